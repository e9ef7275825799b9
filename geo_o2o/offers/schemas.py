from __future__ import annotations

from typing import Any

import marshmallow as ma
from marshmallow import ValidationError

from ..fields import BoundedList, Id, Instant, Moment, Names, Schema, Text, WholeNumber, described
from ..stores.categories import codes_by_id
from ..stores.schemas import CategoryField
from .lifecycle import KINDS, STATUSES
from .models import Offer, Placement

MOST_STORES = 5_000
# 10^12 of the smallest unit: more than any price, far inside 64 bits.
HIGHEST_PRICE_MINOR = 1_000_000_000_000


class CurrencyField(ma.fields.String):
    def __init__(self, **kwargs: Any):
        super().__init__(validate=ma.validate.Regexp(r"^[A-Z]{3}\Z", error="expected an ISO 4217 code, as EUR"), **described(kwargs, example="EUR"))


class OfferFields(Schema):
    title = Text(longest=200)
    titles = Names()
    description = Text(longest=2_000, allow_none=True)
    kind = ma.fields.String(validate=ma.validate.OneOf(KINDS))
    category = CategoryField(allow_none=True, metadata={"description": "by default that of each store"})
    price_minor = WholeNumber(low=0, high=HIGHEST_PRICE_MINOR, unit="smallest unit of the currency", allow_none=True)
    currency = CurrencyField(allow_none=True)
    list_price_minor = WholeNumber(
        low=1,
        high=HIGHEST_PRICE_MINOR,
        unit="smallest unit of the currency",
        allow_none=True,
        metadata={"description": "the price without the offer"},
    )
    stock = WholeNumber(low=0, high=1_000_000_000, allow_none=True, metadata={"description": "how many are left; sold out at 0"})
    valid_from = Instant(metadata={"description": "kept to the whole minute, rounded down"})
    valid_until = Instant(allow_none=True, metadata={"description": "kept to the whole minute, rounded up"})
    store_ids = BoundedList(Id(), shortest=1, longest=MOST_STORES)
    status = ma.fields.String(validate=ma.validate.OneOf(["draft", "live", "paused", "ended"]))

    @ma.validates_schema
    def price_with_currency(self, data: dict[str, Any], **kwargs: Any) -> None:
        if ("price_minor" in data) != ("currency" in data) or (data.get("price_minor") is None) != (data.get("currency") is None):
            raise ValidationError("price_minor and currency come together", "currency" if "price_minor" in data else "price_minor")


class OfferRequest(OfferFields):
    class Meta(OfferFields.Meta):
        pass

    title = Text(longest=200, required=True)
    kind = ma.fields.String(validate=ma.validate.OneOf(KINDS), load_default="standing")
    status = ma.fields.String(validate=ma.validate.OneOf(["draft", "live"]), load_default="live")
    store_ids = BoundedList(Id(), shortest=1, longest=MOST_STORES, required=True)


class OfferChange(OfferFields):
    """Only what is sent changes; null clears."""


class OfferWalk(Schema):
    merchant_id = Id()
    status = ma.fields.String(validate=ma.validate.OneOf([status for status in STATUSES if status != "removed"]))
    changed_since = Instant()
    limit = WholeNumber(low=1, high=1_000, load_default=100)
    cursor = ma.fields.String()


class OfferResponse(ma.Schema):
    id = ma.fields.UUID()
    merchant_id = ma.fields.UUID(allow_none=True)
    kind = ma.fields.String()
    status = ma.fields.String()
    title = ma.fields.String()
    titles = ma.fields.Dict(keys=ma.fields.String(), values=ma.fields.String())
    description = ma.fields.String(allow_none=True)
    category = ma.fields.String(allow_none=True)
    price_minor = ma.fields.Integer(allow_none=True)
    currency = ma.fields.String(allow_none=True)
    list_price_minor = ma.fields.Integer(allow_none=True)
    stock = ma.fields.Integer(allow_none=True)
    valid_from = Moment()
    valid_until = Moment(allow_none=True)
    store_ids = ma.fields.List(ma.fields.UUID())
    sample = ma.fields.Boolean(metadata={"description": "true where the offer was invented for the demonstration"})
    version = ma.fields.Integer()
    created_at = Moment()
    updated_at = Moment()


class OfferList(ma.Schema):
    items = ma.fields.List(ma.fields.Nested(OfferResponse))
    next = ma.fields.String(allow_none=True)


class PlacedOffer(ma.Schema):
    """An offer as a store shows it."""

    id = ma.fields.UUID()
    title = ma.fields.String()
    titles = ma.fields.Dict(keys=ma.fields.String(), values=ma.fields.String())
    kind = ma.fields.String()
    category = ma.fields.String()
    price_minor = ma.fields.Integer(allow_none=True)
    currency = ma.fields.String(allow_none=True)
    list_price_minor = ma.fields.Integer(allow_none=True, metadata={"description": "the price without the offer"})
    valid_from = Moment()
    valid_until = Moment(allow_none=True)
    sample = ma.fields.Boolean()
    store_count = ma.fields.Integer(metadata={"description": "stores it holds in"})


_PLAIN = (
    "id", "merchant_id", "kind", "status", "title", "titles", "description", "price_minor", "currency", "list_price_minor", "stock",
    "valid_from", "valid_until", "sample", "version", "created_at", "updated_at",
)  # fmt: skip


def dump_offer(offer: Offer) -> dict[str, Any]:
    """OfferResponse of one offer."""
    body: dict[str, Any] = {name: getattr(offer, name) for name in _PLAIN}
    body["category"] = codes_by_id()[offer.category_id] if offer.category_id else None
    body["store_ids"] = list(offer.store_ids)
    return body


def dump_placement(placement: Placement, *, store_category_id: int) -> dict[str, Any]:
    plain = ("title", "titles", "kind", "price_minor", "currency", "list_price_minor", "valid_from", "valid_until", "sample", "store_count")
    return {
        "id": placement.offer_id,
        "category": codes_by_id()[placement.category_id or store_category_id],
        **{name: getattr(placement, name) for name in plain},
    }
