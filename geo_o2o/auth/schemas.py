from __future__ import annotations

import marshmallow as ma

from ..fields import Moment, Schema, Text


class MerchantRequest(Schema):
    name = Text(longest=200, required=True)


class MerchantResponse(ma.Schema):
    id = ma.fields.UUID()
    name = ma.fields.String()
    created_at = Moment()


class MerchantList(ma.Schema):
    items = ma.fields.List(ma.fields.Nested(MerchantResponse))
    next = ma.fields.String(allow_none=True)
