"""The list of erased accounts, as a file beside the database: a restored backup knows them again, and this file says so.

An account stands there as a hash under a secret of this installation, so that the list tells nobody who was erased.
"""

from __future__ import annotations

import fcntl
import hashlib
import hmac
import os
from pathlib import Path
from uuid import UUID

from ..ledger.keys import find_key, make_key

_NAME = "erasures.list"
_KEY = "erasures"


class KeyMissing(Exception):
    """There is a list, and the key under which it was written is not here: nobody can say who stands in it."""


def secret_of(folder: Path, keys: Path) -> bytes:
    """The key of the list; made where there is no list yet. Raises KeyMissing."""
    known = find_key(keys, _KEY)
    listed = (folder / _NAME).exists()
    if known is None and listed:
        raise KeyMissing(f"{_NAME} was written under keys/{_KEY}.key, which is not here: put it back, or people who were erased come back")
    secret = (known or make_key(keys, _KEY)).seed
    if listed and _mark_of(secret) not in read(folder):
        raise KeyMissing(f"{_NAME} was written under another key than keys/{_KEY}.key: put that one back")
    return secret


def hash_of(secret: bytes, subject_id: UUID) -> bytes:
    """What stands for an account in the list."""
    return hmac.digest(secret, subject_id.bytes, hashlib.sha256)


def _mark_of(secret: bytes) -> bytes:
    """Stands first in the list, so that it is seen under which key it was written."""
    return hmac.digest(secret, b"xc-erasures/v1", hashlib.sha256)


def read(folder: Path) -> frozenset[bytes]:
    """Every hash in the list. A line that was cut by a crash is passed by: its erasure was not committed either."""
    try:
        lines = (folder / _NAME).read_text(encoding="ascii").split("\n")
    except FileNotFoundError:
        return frozenset()
    return frozenset(bytes.fromhex(line) for line in lines[:-1] if len(line) == 64)


def add(folder: Path, secret: bytes, hashed: bytes) -> None:
    """Durably, before the database forgets: an erasure that is undone is done again, one that is not listed is lost."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / _NAME, "ab+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0, os.SEEK_END)
        if file.tell():
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":
                file.write(b"\n")
        else:
            file.write(_mark_of(secret).hex().encode() + b"\n")
        file.write(hashed.hex().encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())
