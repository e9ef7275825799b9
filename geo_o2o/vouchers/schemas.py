from __future__ import annotations

import marshmallow as ma

from ..checkins.schemas import CheckInResponse
from ..fields import Id, Instant, Moment, Schema, Text, WholeNumber


class CampaignRequest(Schema):
    name = Text(longest=200, required=True)
    budget = WholeNumber(low=0, high=10_000_000, unit="redemptions", required=True)
    expires_at = Instant(required=True)


class CampaignResponse(ma.Schema):
    id = ma.fields.UUID()
    name = ma.fields.String()
    budget = ma.fields.Integer(metadata={"description": "redemptions that are left"})
    granted = ma.fields.Integer()
    expires_at = Moment()


class VoucherResponse(ma.Schema):
    id = ma.fields.UUID(metadata={"description": "what the visitor shows; whoever has it can redeem it"})
    campaign_id = ma.fields.UUID()
    state = ma.fields.String()
    expires_at = Moment()


class RedemptionRequest(Schema):
    voucher = Id()
    pos = Text(
        longest=43,
        metadata={"description": "base64url, 32 bytes: HMAC-SHA-256(the store's own key, ticket_no|amount_minor|currency|time_ms)"},
    )


class DecisionRequest(Schema):
    grant = ma.fields.Boolean(required=True)


class RedemptionResponse(ma.Schema):
    check_in = ma.fields.Nested(CheckInResponse)
    voucher = ma.fields.UUID(allow_none=True)
    reward = ma.fields.String(metadata={"description": "granted; held where something speaks against the visit, until somebody has looked; refused"})
    redeemed_at = Moment()
