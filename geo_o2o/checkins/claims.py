"""What a device and a till sign about a visit, read as strictly as the verifier reads it. Pure.

Source: design of the project (trust, section 2).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from visit_verify.jws import ED25519, ES256, BadJws, canonical, check_ed25519, check_es256, from_base64url, p256_jwk, parse_jws, thumbprint
from visit_verify.receipt import CLAIM, CONFIRMATION

CHALLENGE_BYTES, SALT_BYTES = 16, 32
_LATEST_MS = 253_402_300_799_999
_LONGEST_CODE = 160


class BadClaim(ValueError):
    """Not a claim or a confirmation that can be believed. field: of what was sent."""

    def __init__(self, message: str, *, field: str = "claim"):
        super().__init__(message)
        self.field = field


@dataclass(frozen=True)
class Claim:
    """A device's signed word. text: as it was sent. challenge: 16 bytes. beacon_size, beacon_root: of the log, as the device was told.

    at_ms: by the device's clock. evidence_hash: commitment to the positions. code: of the till, where one was read.
    """

    text: str
    device_id: str
    jti: UUID
    challenge: bytes
    beacon_size: int
    beacon_root: bytes
    store_id: UUID
    at_ms: int
    evidence_hash: bytes
    code: str | None

    @property
    def hash(self) -> bytes:
        """SHA-256 of the text, by which tills and receipts name it."""
        return hashlib.sha256(self.text.encode()).digest()


@dataclass(frozen=True)
class Confirmation:
    """A till's signed word that it saw whoever made a claim. late: it was made while the till was offline."""

    text: str
    till_id: str
    jti: UUID
    claim_hash: bytes
    store_id: UUID
    at_ms: int
    late: bool
    pos_hash: bytes | None
    signed: Any

    def check(self, public: bytes) -> None:
        """Raises BadClaim unless this key signed it."""
        try:
            check_ed25519(self.signed, public)
        except BadJws as failure:
            raise BadClaim(str(failure), field="confirmation") from failure


def parse_claim(text: str) -> Claim:
    """Raises BadClaim. The signature is checked, by the key in the header."""
    try:
        jws = parse_jws(text, typ=CLAIM, alg=ES256, members=frozenset({"jwk"}))
        jwk = p256_jwk(jws.header["jwk"])
        check_es256(jws, jwk)
        said = _Said(jws.payload, required={"jti", "ch", "bcn", "st", "iat", "evh"}, optional={"code"})
        beacon = said.payload["bcn"]
        if not isinstance(beacon, dict) or beacon.keys() != {"size", "root"}:
            raise BadClaim("bcn: expected the size and the root of the beacon")
        code = said.payload.get("code")
        if code is not None and not (isinstance(code, str) and 0 < len(code) <= _LONGEST_CODE):
            raise BadClaim(f"code: expected text of at most {_LONGEST_CODE} characters")
        within = _Said(beacon, required={"size", "root"}, optional=set())
        return Claim(
            text, thumbprint(jwk), said.id("jti"), said.bytes("ch", CHALLENGE_BYTES), within.whole("size"), within.bytes("root", 32),
            said.id("st"), said.whole("iat"), said.bytes("evh", 32), code,
        )  # fmt: skip
    except BadJws as failure:
        raise BadClaim(str(failure)) from failure


def parse_confirmation(text: str) -> Confirmation:
    """Raises BadClaim. The signature is not checked: whose key it must be is for the caller to find."""
    try:
        jws = parse_jws(text, typ=CONFIRMATION, alg=ED25519, members=frozenset({"kid"}))
        said = _Said(jws.payload, required={"jti", "clh", "st", "till", "iat"}, optional={"staff", "pos", "late"}, field="confirmation")
        till = said.payload["till"]
        if not isinstance(till, str) or till != jws.header["kid"]:
            raise BadClaim("the confirmation names another till than the one that signed it", field="confirmation")
        if "staff" in jws.payload:
            said.bytes("staff", 32)
        late = said.payload.get("late", False)
        if not isinstance(late, bool):
            raise BadClaim("late: expected true or false", field="confirmation")
        pos = said.bytes("pos", 32) if "pos" in jws.payload else None
        return Confirmation(text, till, said.id("jti"), said.bytes("clh", 32), said.id("st"), said.whole("iat"), late, pos, jws)
    except BadJws as failure:
        raise BadClaim(str(failure), field="confirmation") from failure


def evidence_hash(evidence: dict[str, Any], salt: bytes) -> bytes:
    """What a claim says of the positions without showing them. salt: 32 bytes. Raises BadClaim where the evidence is no plain JSON."""
    try:
        return hashlib.sha256(salt + canonical(evidence)).digest()
    except BadJws as failure:
        raise BadClaim(str(failure), field="evidence") from failure


def read_salt(text: str) -> bytes:
    """Raises BadClaim."""
    try:
        data = from_base64url(text)
    except BadJws:
        data = b""
    if len(data) != SALT_BYTES:
        raise BadClaim(f"expected {SALT_BYTES} bytes in base64url", field="evidence_salt")
    return data


@dataclass(frozen=True)
class _Said:
    """A payload whose members are read by their kind."""

    payload: dict[str, Any]
    required: set[str]
    optional: set[str]
    field: str = "claim"

    def __post_init__(self) -> None:
        missing, unknown = self.required - self.payload.keys(), self.payload.keys() - self.required - self.optional
        if missing or unknown:
            words = [f"without {', '.join(sorted(missing))}"] * bool(missing) + [f"with the unknown {', '.join(sorted(unknown))[:100]}"] * bool(
                unknown
            )
            raise BadClaim(f"the {self.field} is {' and '.join(words)}", field=self.field)

    def id(self, name: str) -> UUID:
        value = self.payload[name]
        try:
            found = UUID(value) if isinstance(value, str) else None
        except ValueError:
            found = None
        if found is None or str(found) != value:
            raise BadClaim(f"{name}: expected an id in its usual form", field=self.field)
        return found

    def bytes(self, name: str, size: int) -> bytes:
        value = self.payload[name]
        try:
            data = from_base64url(value) if isinstance(value, str) else b""
        except BadJws:
            data = b""
        if len(data) != size:
            raise BadClaim(f"{name}: expected {size} bytes in base64url", field=self.field)
        return data

    def whole(self, name: str) -> int:
        value = self.payload[name]
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= _LATEST_MS:
            raise BadClaim(f"{name}: expected a whole number from 0 on", field=self.field)
        return value
