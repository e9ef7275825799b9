from __future__ import annotations

from typing import Any

import marshmallow as ma

from ..fields import Moment, Schema, Text
from .models import Passkey


class CredentialField(ma.fields.Dict):
    """A PublicKeyCredential as its `toJSON()` gives it."""

    def __init__(self) -> None:
        super().__init__(keys=ma.fields.String(), required=True, metadata={"description": "the browser's PublicKeyCredential, by its toJSON()"})


class PasskeyRequest(Schema):
    name = Text(longest=100, load_default="", metadata={"description": "a note for yourself: whose, or on what"})
    credential = CredentialField()


class SignInRequest(Schema):
    credential = CredentialField()


class PasskeyResponse(ma.Schema):
    id = ma.fields.UUID()
    name = ma.fields.String()
    merchant_id = ma.fields.UUID()
    created_at = Moment()
    used_at = Moment(allow_none=True)
    revoked_at = Moment(allow_none=True)


class PasskeyList(ma.Schema):
    items = ma.fields.List(ma.fields.Nested(PasskeyResponse))
    next = ma.fields.String(allow_none=True)


class SignInResponse(ma.Schema):
    key = ma.fields.String(metadata={"description": "an API key of role store, said once"})
    expires_at = Moment()
    passkey_id = ma.fields.UUID()
    merchant_id = ma.fields.UUID()


def dump_passkey(passkey: Passkey) -> dict[str, Any]:
    return {name: getattr(passkey, name) for name in ("id", "name", "merchant_id", "created_at", "used_at", "revoked_at")}
