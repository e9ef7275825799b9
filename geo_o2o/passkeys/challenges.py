"""Challenges that need no memory before they are answered. Pure: the secret, the moment and the chance are handed in.

A challenge is expiry || chance || mac: 8, 16 and 16 bytes. The MAC is keyed BLAKE2b over what the challenge is for.
"""

from __future__ import annotations

import hashlib
import hmac

LIFE_S = 300
CHANCE_BYTES = 16
_EXPIRY_BYTES, _MAC_BYTES = 8, 16


class BadChallenge(ValueError):
    """Not made here, for something else, or too old; the message says which."""


def make_challenge(purpose: str, *, secret: str, at_s: float, chance: bytes) -> bytes:
    """purpose: what the answer may be used for, as `sign in`. chance: 16 random bytes."""
    body = round((at_s + LIFE_S) * 1_000).to_bytes(_EXPIRY_BYTES) + chance
    return body + _mac(body, purpose, secret)


def check_challenge(challenge: bytes, purpose: str, *, secret: str, at_s: float) -> float:
    """The second at which it expires. Raises BadChallenge."""
    body, mac = challenge[: _EXPIRY_BYTES + CHANCE_BYTES], challenge[_EXPIRY_BYTES + CHANCE_BYTES :]
    if len(challenge) != _EXPIRY_BYTES + CHANCE_BYTES + _MAC_BYTES or not hmac.compare_digest(mac, _mac(body, purpose, secret)):
        raise BadChallenge("the challenge was not made here, or for something else")
    expires_s = int.from_bytes(body[:_EXPIRY_BYTES]) / 1_000
    if at_s >= expires_s:
        raise BadChallenge(f"the challenge is older than {LIFE_S // 60} minutes: begin again")
    return expires_s


def _mac(body: bytes, purpose: str, secret: str) -> bytes:
    key = hashlib.blake2b(secret.encode(), person=b"geo-o2o passkey").digest()
    return hashlib.blake2b(purpose.encode() + b"\0" + body, digest_size=_MAC_BYTES, key=key).digest()
