"""The operator's secret keys: one that signs receipts now, and one for each month that salts are encrypted under. Files beside the log's."""

from __future__ import annotations

import secrets
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from visit_verify.jws import ed25519_thumbprint

from ..ledger.keys import find_key, make_key
from ..ledger.receipt import public_of

_OPERATOR, _SALTS = "operator", "salts"
_NONCE_BYTES = 12


class KeyGone(Exception):
    """The key of that month was destroyed, and with it what it encrypted."""


def operator_seed(folder: Path, key_id: str) -> bytes | None:
    """The secret of an operator's key; None where this machine has not got it."""
    key = find_key(folder, f"{_OPERATOR}-{key_id}")
    return None if key is None else key.seed


def new_operator_seed(folder: Path) -> tuple[str, bytes]:
    """A new key: its thumbprint and its secret, which is kept under that name."""
    unnamed = f"{_OPERATOR}-new-{secrets.token_hex(8)}"
    key = make_key(folder, unnamed)
    id_ = ed25519_thumbprint(public_of(key.seed))
    (folder / f"{unnamed}.key").rename(folder / f"{_OPERATOR}-{id_}.key")
    return id_, key.seed


def seal(folder: Path, month: str, salt: bytes, *, name: bytes) -> bytes:
    """A salt encrypted under the key of a month, such as 2026-11. name: what it belongs to, which is part of the seal."""
    nonce = secrets.token_bytes(_NONCE_BYTES)
    return nonce + AESGCM(make_key(folder, f"{_SALTS}-{month}").seed).encrypt(nonce, salt, name)


def unseal(folder: Path, month: str, sealed: bytes, *, name: bytes) -> bytes:
    """Raises KeyGone."""
    key = find_key(folder, f"{_SALTS}-{month}")
    if key is None:
        raise KeyGone(f"the key of the salts of {month} is not here")
    try:
        return AESGCM(key.seed).decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], name)
    except InvalidTag as failure:
        raise KeyGone(f"the salts of {month} were encrypted under another key") from failure


def destroy_salt_keys(folder: Path, *, before: str) -> int:
    """Destroys the keys of the months before one; what they encrypted, in whatever copy of the database, can never be read again."""
    old = [path for path in folder.glob(f"{_SALTS}-*.key") if path.stem.removeprefix(f"{_SALTS}-") < before]
    for path in old:
        path.unlink()
    return len(old)
