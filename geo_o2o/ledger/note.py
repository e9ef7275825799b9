"""Signing notes: a log its checkpoints, a witness those of others. How notes are read stands with the verifier. Pure.

Source: C2SP signed-note, tlog-cosignature; private keys as golang.org/x/mod/sumdb/note writes them.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from visit_verify.note import COSIGNATURE, PLAIN, BadNote, Note, Signature, VerifierKey, cosigned_message, verifier_key

_PREFIX = "PRIVATE+KEY+"
_SEED_BYTES = 32


@dataclass(frozen=True, repr=False)
class SigningKey:
    """A private key with its name. kind: PLAIN or COSIGNATURE. seed: 32 random bytes."""

    name: str
    kind: int
    seed: bytes

    @property
    def verifier(self) -> VerifierKey:
        """Raises BadNote where the name cannot be that of a key."""
        return verifier_key(self.name, self.kind, self._private.public_key().public_bytes_raw())

    @property
    def _private(self) -> Ed25519PrivateKey:
        return Ed25519PrivateKey.from_private_bytes(self.seed)

    def sign(self, text: str) -> Signature:
        """Of a text that ends with a newline."""
        assert self.kind == PLAIN
        return Signature(self.name, self.verifier.id, self._private.sign(text.encode()))

    def cosign(self, text: str, *, time_s: int) -> Signature:
        """Of the text of a checkpoint. time_s: since 1970."""
        assert self.kind == COSIGNATURE
        return Signature(self.name, self.verifier.id, time_s.to_bytes(8, "big") + self._private.sign(cosigned_message(text, time_s)))

    def format(self) -> str:
        """The secret as one line of text."""
        return f"{_PREFIX}{self.name}+{self.verifier.id.hex()}+{base64.b64encode(bytes([self.kind]) + self.seed).decode()}"

    def __repr__(self) -> str:
        return f"SigningKey({self.verifier})"


def parse_signing_key(text: str) -> SigningKey:
    """Raises BadNote; its words never show the secret."""
    name, *rest = text.strip().removeprefix(_PREFIX).split("+", 2)
    try:
        material = base64.b64decode(rest[1], validate=True)
    except (IndexError, binascii.Error, ValueError):
        material = b""
    if not text.startswith(_PREFIX) or len(material) != 1 + _SEED_BYTES or material[0] not in (PLAIN, COSIGNATURE):
        raise BadNote(f"a signing key looks like {_PREFIX}name+0123abcd+base64")
    key = SigningKey(name, material[0], material[1:])
    if key.verifier.id.hex() != rest[0]:
        raise BadNote(f"the id of the signing key {name} should be {key.verifier.id.hex()}, found {rest[0][:20]}")
    return key


def signed(text: str, *keys: SigningKey) -> Note:
    """A note with the plain signatures of these keys."""
    return Note(text, tuple(key.sign(text) for key in keys))
