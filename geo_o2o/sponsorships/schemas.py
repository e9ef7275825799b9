from __future__ import annotations

import marshmallow as ma

from ..fields import Id, Instant, Moment, Schema, Text


class SponsorshipRequest(Schema):
    offer_id = Id(required=True)
    sponsor = Text(longest=200, required=True)
    starts_at = Instant()
    ends_at = Instant(required=True)


class SponsorshipResponse(ma.Schema):
    id = ma.fields.UUID()
    offer_id = ma.fields.UUID()
    sponsor = ma.fields.String()
    starts_at = Moment()
    ends_at = Moment()
    created_at = Moment()


class SponsorshipList(ma.Schema):
    items = ma.fields.List(ma.fields.Nested(SponsorshipResponse))
    next = ma.fields.String(allow_none=True)
