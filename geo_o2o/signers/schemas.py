from __future__ import annotations

from typing import Any

import marshmallow as ma

from visit_verify.jws import to_base64url

from ..fields import Moment, Schema, Text
from .models import Device, Till

PLATFORMS = ("ios", "android", "web", "other")


class JwkSchema(Schema):
    """A public key (RFC 7517) with the members that it is made of and no others."""

    kty = Text(longest=3, required=True)
    crv = Text(longest=7, required=True)
    x = Text(longest=43, required=True)
    y = Text(longest=43)


class DeviceRequest(Schema):
    jwk = ma.fields.Nested(JwkSchema, required=True, metadata={"description": "P-256; its private half never leaves the device"})
    platform = ma.fields.String(required=True, validate=ma.validate.OneOf(PLATFORMS))
    attested = ma.fields.Boolean(
        allow_none=True,
        metadata={"description": "the verdict of Play Integrity or App Attest as your server checked it; without one nothing is held against it"},
    )


class DeviceResponse(ma.Schema):
    device_id = ma.fields.String(metadata={"description": "thumbprint of the key (RFC 7638)"})
    platform = ma.fields.String()
    enrolled_at = Moment()
    revoked_at = Moment(allow_none=True)


class TillRequest(Schema):
    jwk = ma.fields.Nested(JwkSchema, required=True, metadata={"description": "Ed25519; its private half never leaves the till"})
    name = Text(longest=100, load_default="till")


class TillResponse(ma.Schema):
    till_id = ma.fields.String(metadata={"description": "thumbprint of the key (RFC 7638)"})
    store_id = ma.fields.UUID()
    name = ma.fields.String()
    jwk = ma.fields.Nested(JwkSchema)
    enrolled_at = Moment()
    revoked_at = Moment(allow_none=True)
    totp = ma.fields.String(
        metadata={"description": "said once, when the till is enrolled: what an authenticator app reads, for codes of six digits"}
    )


class TillList(ma.Schema):
    items = ma.fields.List(ma.fields.Nested(TillResponse))
    next = ma.fields.String(allow_none=True)


def dump_device(device: Device) -> dict[str, Any]:
    return {"device_id": device.id, "platform": device.platform, "enrolled_at": device.enrolled_at, "revoked_at": device.revoked_at}


def dump_till(till: Till, *, totp: str | None = None) -> dict[str, Any]:
    return {
        "till_id": till.id,
        "store_id": till.store_id,
        "name": till.name,
        "jwk": {"kty": "OKP", "crv": "Ed25519", "x": to_base64url(till.public)},
        "enrolled_at": till.enrolled_at,
        "revoked_at": till.revoked_at,
    } | ({"totp": totp} if totp else {})
