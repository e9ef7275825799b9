"""The code that a till shows, and the one that a visitor shows to be scanned. Pure.

A till's code is signed and good for a quarter of a minute: `XC1:` and base45 of version (1 byte), store (4), step (4), chance (8), signature
(64), 126 characters. A visitor's is `XCV1:` and base45 of the check-in's id (16) and the hash of the claim (32).
Source: design of the project (trust, section 2); RFC 9285.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from uuid import UUID

import base45
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

STEP_S = 15
# A code that was read at the end of its step is typed or sent in the next one.
GRACE_STEPS = 1
_TILL, _VISITOR = "XC1:", "XCV1:"
_VERSION = 1
_LABEL = b"xc-till-code/v1\x00"
_CHANCE_BYTES, _SIGNATURE_BYTES, _HASH_BYTES = 8, 64, 32
_SIGNED_BYTES = 1 + 4 + 4 + _CHANCE_BYTES


class BadCode(ValueError):
    """Not a code of a till, or not one that it made."""


@dataclass(frozen=True)
class TillCode:
    """store: the first 4 bytes of the hash of the store's id. step: which quarter of a minute since 1970. signed: what the till signed."""

    store: bytes
    step: int
    signed: bytes
    signature: bytes

    def is_of(self, public: bytes) -> bool:
        """Whether the till with this key made it. public: 32 bytes."""
        try:
            Ed25519PublicKey.from_public_bytes(public).verify(self.signature, _LABEL + self.signed)
        except (InvalidSignature, ValueError):
            return False
        return True


@dataclass(frozen=True)
class Scan:
    """What a visitor shows: the check-in, and the hash of the claim, so that a till signs what the visitor showed and not what it is told."""

    check_in_id: UUID
    claim_hash: bytes


def short_store(store_id: UUID) -> bytes:
    """What stands for a store in a code."""
    return hashlib.sha256(store_id.bytes).digest()[:4]


def step_at(seconds: float) -> int:
    """seconds: since 1970."""
    return int(seconds // STEP_S)


def make_till_code(store_id: UUID, *, seed: bytes, at_s: float, chance: bytes) -> str:
    """As a till makes it. seed: of its key, 32 bytes. chance: 8 random bytes, new for each step."""
    signed = bytes([_VERSION]) + short_store(store_id) + step_at(at_s).to_bytes(4, "big") + chance
    if len(signed) != _SIGNED_BYTES:
        raise ValueError(f"expected {_CHANCE_BYTES} random bytes, found {len(chance)}")
    return _TILL + _encode(signed + Ed25519PrivateKey.from_private_bytes(seed).sign(_LABEL + signed))


def parse_till_code(text: str) -> TillCode:
    """Raises BadCode. No signature is checked."""
    data = _decode(text, _TILL, _SIGNED_BYTES + _SIGNATURE_BYTES)
    if data[0] != _VERSION:
        raise BadCode(f"expected a code of version {_VERSION}, found {data[0]}")
    return TillCode(data[1:5], int.from_bytes(data[5:9], "big"), data[:_SIGNED_BYTES], data[_SIGNED_BYTES:])


def is_fresh(code: TillCode, *, at_s: float) -> bool:
    """Whether it is of the present step, of the one before, or, where the till's clock is a little ahead, of the next one."""
    return -GRACE_STEPS <= step_at(at_s) - code.step <= GRACE_STEPS


def make_scan(check_in_id: UUID, claim_hash: bytes) -> str:
    return _VISITOR + _encode(check_in_id.bytes + claim_hash)


def parse_scan(text: str) -> Scan:
    """Raises BadCode."""
    data = _decode(text, _VISITOR, 16 + _HASH_BYTES)
    return Scan(UUID(bytes=data[:16]), data[16:])


def _encode(data: bytes) -> str:
    return base45.b45encode(data).decode()


def _decode(text: str, prefix: str, size: int) -> bytes:
    if not text.startswith(prefix) or len(text) > 2 * size + len(prefix):
        raise BadCode(f"expected a code that begins with {prefix}")
    try:
        data = base45.b45decode(text[len(prefix) :])
    except ValueError as failure:
        raise BadCode("expected base45 behind the prefix") from failure
    # More than one text may stand for the same bytes; only one of them is taken.
    if len(data) != size or _encode(data) != text[len(prefix) :]:
        raise BadCode(f"expected {size} bytes in base45, found {len(data)}")
    return bytes(data)
