from __future__ import annotations

from typing import Any

import marshmallow as ma

from ..fields import Id, Moment, Schema, Text
from .access import ROLES
from .models import ApiKey


class MerchantRequest(Schema):
    name = Text(longest=200, required=True)


class MerchantResponse(ma.Schema):
    id = ma.fields.UUID()
    name = ma.fields.String()
    created_at = Moment()


class MerchantList(ma.Schema):
    items = ma.fields.List(ma.fields.Nested(MerchantResponse))
    next = ma.fields.String(allow_none=True)


class KeyRequest(Schema):
    role = ma.fields.String(required=True, validate=ma.validate.OneOf(list(ROLES)))
    merchant_id = Id(metadata={"description": "for the role store, and for no other"})
    name = Text(longest=100, load_default="", metadata={"description": "a note for yourself"})


class KeyResponse(ma.Schema):
    prefix = ma.fields.String(metadata={"description": "8 characters, by which a key is known"})
    role = ma.fields.String()
    merchant = ma.fields.String(allow_none=True, metadata={"description": "name of the merchant of a store's key"})
    name = ma.fields.String()
    created_at = Moment()
    revoked_at = Moment(allow_none=True)


class KeyMade(KeyResponse):
    key = ma.fields.String(metadata={"description": "the key itself, said once"})


class KeyList(ma.Schema):
    items = ma.fields.List(ma.fields.Nested(KeyResponse))
    next = ma.fields.String(allow_none=True)


def dump_key(key: ApiKey, *, merchant: str | None) -> dict[str, Any]:
    return {name: getattr(key, name) for name in ("prefix", "role", "name", "created_at", "revoked_at")} | {"merchant": merchant}
