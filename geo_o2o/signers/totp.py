"""Codes of six digits for tills without a screen. Pure.

The service knows the secret as well as the till, so such a code proves nothing against the service.
Source: RFC 6238 with SHA-256; design of the project (trust, section 2).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re

import pyotp

STEP_S = 30
SECRET_BYTES = 32
_DIGITS, _WINDOW = 6, 1
_FORM = re.compile(r"[0-9]{6}")


def is_totp(text: str) -> bool:
    """Whether a code has the form of six digits."""
    return _FORM.fullmatch(text) is not None


def make_totp(secret: bytes, *, at_s: float) -> str:
    """at_s: since 1970."""
    return _totp(secret).at(int(at_s))


def totp_step(secret: bytes, text: str, *, at_s: float) -> int | None:
    """The step of which a code is, within one of the present; None where it is of none of them."""
    present = int(at_s // STEP_S)
    for step in (present, *(present + away for away in range(-_WINDOW, _WINDOW + 1) if away)):
        if hmac.compare_digest(make_totp(secret, at_s=step * STEP_S), text):
            return step
    return None


def totp_address(secret: bytes, *, name: str, issuer: str) -> str:
    """What an authenticator app reads (otpauth://)."""
    return _totp(secret).provisioning_uri(name=name, issuer_name=issuer)


def _totp(secret: bytes) -> pyotp.TOTP:
    return pyotp.TOTP(base64.b32encode(secret).decode().rstrip("="), digits=_DIGITS, digest=hashlib.sha256, interval=STEP_S)
