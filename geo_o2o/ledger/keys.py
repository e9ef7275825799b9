"""Secret keys in files that nobody else can read."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from visit_verify.note import PLAIN

from .note import SigningKey, parse_signing_key


def find_key(folder: Path, name: str) -> SigningKey | None:
    """The key of that name. Raises BadNote where its file is spoilt."""
    try:
        return parse_signing_key(_path(folder, name).read_text())
    except FileNotFoundError:
        return None


def make_key(folder: Path, name: str, *, kind: int = PLAIN) -> SigningKey:
    """The key of that name, made where there is none; of several that make it at once all get the same."""
    known = find_key(folder, name)
    if known is not None:
        return known
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = _path(folder, name)
    unfinished = path.with_suffix(f".{os.getpid()}-{secrets.token_hex(4)}.part")
    with open(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(SigningKey(name, kind, secrets.token_bytes(32)).format() + "\n")
        file.flush()
        os.fsync(file.fileno())
    try:
        # Unlike a rename a link does not replace what another has made meanwhile.
        os.link(unfinished, path)
    except FileExistsError:
        pass
    finally:
        unfinished.unlink()
    return parse_signing_key(path.read_text())


def _path(folder: Path, name: str) -> Path:
    return folder / f"{name.replace('/', '_')}.key"
