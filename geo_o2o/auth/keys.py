"""The text of an API key: `go_<role>_<prefix>_<secret>`. Pure: chance is handed in.

The prefix (8 characters) recognises a key in lists and logs; the secret (256 bits) is kept only as its SHA-256. A slow hash
would add nothing: nobody guesses 256 bits.
"""

from __future__ import annotations

import hashlib
import hmac
import re

_SHAPE = re.compile(r"^go_[a-z]{3,8}_([0-9a-f]{8})_([0-9a-f]{64})$")


def format_key(role: str, *, prefix: bytes, secret: bytes) -> str:
    """prefix: 4 bytes, secret: 32 bytes."""
    return f"go_{role}_{prefix.hex()}_{secret.hex()}"


def parse_key(text: str) -> tuple[str, bytes] | None:
    """Prefix and hash of the secret; None where the text is not shaped like a key."""
    match = _SHAPE.match(text)
    return (match[1], hash_secret(match[2])) if match else None


def hash_secret(secret_hex: str) -> bytes:
    return hashlib.sha256(secret_hex.encode()).digest()


def same_hash(a: bytes, b: bytes) -> bool:
    return hmac.compare_digest(a, b)
