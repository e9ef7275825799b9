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

from ..ledger.keys import make_key

_NAME = "erasures.list"
_KEY = "erasures"


def hash_of(keys: Path, subject_id: UUID) -> bytes:
    """What stands for an account in the list."""
    return hmac.digest(make_key(keys, _KEY).seed, subject_id.bytes, hashlib.sha256)


def read(folder: Path) -> frozenset[bytes]:
    """Every hash in the list. A line that was cut by a crash is passed by: its erasure was not committed either."""
    try:
        lines = (folder / _NAME).read_text(encoding="ascii").split("\n")
    except FileNotFoundError:
        return frozenset()
    return frozenset(bytes.fromhex(line) for line in lines[:-1] if len(line) == 64)


def add(folder: Path, hashed: bytes) -> None:
    """Durably, before the database forgets: an erasure that is undone is done again, one that is not listed is lost."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / _NAME, "ab+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0, os.SEEK_END)
        if file.tell():
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":
                file.write(b"\n")
        file.write(hashed.hex().encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())
