"""Opaque signed cursors: where a walk over a list stands, and of which question.

Pure: the secret is handed in. A cursor is base64url(mac || JSON [question, position]); the MAC is keyed BLAKE2b, 16 bytes: like
every hash of short texts here it never lets another thread of the process in.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from functools import cache
from typing import Any

import orjson

from .errors import InvalidInput

_MAC_BYTES = 16
_LONGEST_CURSOR = 8_000


class BadCursor(InvalidInput):
    code = "cursor_invalid"


def sign_cursor(position: list[Any], *, question: str, secret: str) -> str:
    """position: JSON values. question: what the list was asked with; the cursor answers to no other."""
    body = orjson.dumps([_digest(question), position])
    return base64.urlsafe_b64encode(_mac(body, secret) + body).decode().rstrip("=")


def read_cursor(cursor: str, *, question: str, secret: str) -> list[Any]:
    """The position inside a cursor.

    Raises BadCursor: `cursor_invalid` where it was not made here or was changed, `cursor_of_other_question` where the filters differ.
    """
    try:
        if len(cursor) > _LONGEST_CURSOR:
            raise ValueError("too long")
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        mac, body = raw[:_MAC_BYTES], raw[_MAC_BYTES:]
        if not hmac.compare_digest(mac, _mac(body, secret)):
            raise ValueError("bad signature")
        asked, position = json.loads(body)
    except (ValueError, binascii.Error) as failure:
        message = "the cursor was not issued here, or was cut or changed: start again without it"
        raise BadCursor(message, errors={"cursor": [message]}) from failure
    if asked != _digest(question):
        message = "the cursor belongs to a question with other filters: start again without it"
        raise BadCursor(message, code="cursor_of_other_question", errors={"cursor": [message]})
    return list(position)


def _mac(body: bytes, secret: str) -> bytes:
    return hashlib.blake2b(body, digest_size=_MAC_BYTES, key=_key(secret), person=b"geo-o2o cursor 4").digest()


@cache
def _key(secret: str) -> bytes:
    """A key of the length that BLAKE2b takes, from a secret of any length."""
    return hashlib.blake2b(secret.encode(), person=b"geo-o2o key").digest()


def _digest(question: str) -> str:
    return hashlib.blake2b(question.encode(), digest_size=8).hexdigest()
