"""Base64 that can be written in one way only. Pure."""

from __future__ import annotations

import base64
import binascii


class NotBase64(ValueError):
    """The message shows the beginning of what was found."""


def to_base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def from_base64(text: str) -> bytes:
    """RFC 4648, section 4. Raises NotBase64, also where bits are set that nobody reads: they would let one thing be written in several ways."""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as failure:
        raise NotBase64(f"expected base64, found {text[:60]!r}") from failure
    if to_base64(data) != text:
        raise NotBase64(f"expected base64, found {text[:60]!r}")
    return data
