from __future__ import annotations

from typing import Any

import marshmallow as ma

from visit_verify.jws import to_base64url

from ..fields import BoundedList, Id, Moment, Schema, Text
from .models import OperatorKey, Receipt
from .service import Held

_LONGEST_TEXT = 100_000


class ReceiptResponse(ma.Schema):
    receipt_id = ma.fields.UUID()
    check_in_id = ma.fields.UUID()
    audience = ma.fields.String()
    issued_at = Moment()
    replaced_by = ma.fields.UUID(allow_none=True)
    voided_at = Moment(allow_none=True)
    void_reason = ma.fields.String(allow_none=True)
    receipt = ma.fields.String(metadata={"description": "a JWS (alg Ed25519) over canonical JSON"})
    salt = ma.fields.String(allow_none=True, metadata={"description": "base64url, 32 bytes: opens the entry in the log"})
    proof = ma.fields.String(allow_none=True, metadata={"description": "C2SP tlog-proof; null until the entry stands under a published checkpoint"})


class VoidRequest(Schema):
    reason = Text(longest=200, required=True)


class VerifyRequest(Schema):
    receipt = Text(longest=_LONGEST_TEXT, required=True)
    proof = Text(longest=_LONGEST_TEXT, required=True, metadata={"description": "C2SP tlog-proof, as it came with the receipt"})


class VerifyResponse(ma.Schema):
    result = ma.fields.String(metadata={"description": "believed or refused; `geo-o2o receipt verify` and visit-verify say the same offline"})
    reason = ma.fields.String()
    verdict = ma.fields.Dict(metadata={"description": "level, methods, times, who signed, and what was not checked"})


class PolicyAsked(Schema):
    store_ids = BoundedList(Id(), longest=20, load_default=list, metadata={"description": "whose tills are named"})
    log = Text(longest=6, metadata={"description": "the half-year of the log, such as 2026h2; by default the present one"})


class JwkSet(ma.Schema):
    keys = ma.fields.List(ma.fields.Dict())


def dump_receipt(held: Held) -> dict[str, Any]:
    receipt = held.receipt
    plain = ("check_in_id", "audience", "issued_at", "replaced_by", "voided_at", "void_reason")
    return {
        "receipt_id": receipt.id,
        **{name: getattr(receipt, name) for name in plain},
        "receipt": receipt.jws,
        "salt": None if held.proof is None or held.proof.extra is None else to_base64url(held.proof.extra),
        "proof": None if held.proof is None else str(held.proof),
    }


def dump_issued(receipt: Receipt) -> dict[str, Any]:
    return dump_receipt(Held(receipt, None))


def dump_key(key: OperatorKey) -> dict[str, Any]:
    """As a JSON Web Key; keys that are retired stay listed, so that old receipts can be read for ever."""
    return {
        "kty": "OKP", "crv": "Ed25519", "x": to_base64url(key.public), "kid": key.id, "use": "sig", "alg": "Ed25519",
        "status": "revoked" if key.revoked_event else "retired" if key.retired_at else "signing",
    }  # fmt: skip
