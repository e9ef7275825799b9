"""What a receipt says of a visit, in the form of each audience. Pure.

Source: design of the project (trust, section 3).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from visit_verify.jws import from_base64url, thumbprint, to_base64url

HOLDER = "holder"
_AUDIENCE = re.compile(r"holder|platform|(merchant|brand):[A-Za-z0-9._-]{1,80}")
_WINDOW_MS = 900_000
_OF_THE_ISSUE = {"jti", "iat", "log", "prev", "copy_of"}


@dataclass(frozen=True)
class Visit:
    """A check-in as far as receipts need it. r95_mm: radius of 95 %; p_in: per mille, None where no position was judged.

    claim, confirmation: signed texts. store_hash: of the store's record in force. pos_hash, voucher_hash: commitments, 32 bytes.
    """

    check_in_id: UUID
    shard_cell: int
    store_id: UUID
    merchant_id: UUID | None
    caller_id: UUID
    subject_id: UUID
    store_hash: bytes
    at: datetime
    level: int
    methods: tuple[str, ...]
    p_in: int
    r95_mm: int
    fence: str
    risk: int
    reasons: tuple[str, ...]
    policy: str
    evidence_hash: bytes
    claim: str
    claim_hash: bytes
    confirmation: str | None
    pos_hash: bytes | None
    voucher_hash: bytes | None


@dataclass(frozen=True)
class Issue:
    """The circumstances of one receipt. previous: of the same visit and audience. first: the holder's, of which this is a copy."""

    id: UUID
    issuer: str
    audience: str
    pseudonym: str
    log: str
    at: datetime
    previous: UUID | None
    first: UUID | None


def is_audience(text: str) -> bool:
    return _AUDIENCE.fullmatch(text) is not None


def content_of(visit: Visit, issue: Issue) -> dict[str, Any]:
    """The payload of a receipt. Only the holder's shows the device's claim, whose key would link one person's receipts."""
    begin = _ms(visit.at) // _WINDOW_MS * _WINDOW_MS
    said: dict[str, Any] = {
        "iss": issue.issuer, "jti": str(issue.id), "iat": _ms(issue.at), "sub": issue.pseudonym, "aud": issue.audience,
        "st": str(visit.store_id), "sth": to_base64url(visit.store_hash), "win": [begin, begin + _WINDOW_MS],
        "lvl": visit.level, "meth": list(visit.methods), "pin": visit.p_in, "acc": visit.r95_mm, "fence": visit.fence,
        "risk": visit.risk, "rsn": list(visit.reasons), "pol": visit.policy,
        "evh": to_base64url(visit.evidence_hash), "clh": to_base64url(visit.claim_hash), "log": issue.log,
    }  # fmt: skip
    optional = {
        "claim": visit.claim if issue.audience == HOLDER else None,
        "conf": visit.confirmation,
        "pos": None if visit.pos_hash is None else to_base64url(visit.pos_hash),
        "vch": None if visit.voucher_hash is None else to_base64url(visit.voucher_hash),
        "prev": None if issue.previous is None else str(issue.previous),
        "copy_of": None if issue.first is None else str(issue.first),
    }
    return said | {name: value for name, value in optional.items() if value is not None}


def says_the_same(jws: str, content: Mapping[str, Any]) -> bool:
    """Whether a signed receipt differs from a content in nothing but when and as which one it was issued."""
    before = json.loads(from_base64url(jws.split(".")[1]))
    return all(before.get(name) == content.get(name) for name in (before.keys() | content.keys()) - _OF_THE_ISSUE)


def device_of(jws: str) -> str | None:
    """The device whose claim a receipt shows; None where it shows none."""
    claim = json.loads(from_base64url(jws.split(".")[1])).get("claim")
    return None if claim is None else thumbprint(json.loads(from_base64url(claim.split(".")[0]))["jwk"])


def _ms(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)
