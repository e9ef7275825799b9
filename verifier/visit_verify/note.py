"""Signed notes: checkpoints of a log, signed by the log itself and by witnesses. Pure.

Source: C2SP signed-note, tlog-checkpoint and tlog-cosignature (Ed25519).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from .base64 import NotBase64, from_base64, to_base64
from .merkle import HASH_BYTES

# What a signature is, as a byte before the public key: of the note's text, or of the text and a time by a witness.
PLAIN, COSIGNATURE = 0x01, 0x04
_MOST_BYTES, _MOST_SIGNATURES = 1_000_000, 100
_ID_BYTES, _KEY_BYTES, _TIME_BYTES, _SIGNATURE_BYTES = 4, 32, 8, 64
_DASH = "\u2014 "
_LATEST_TIME = 2**63 - 1
_NUMBER = re.compile(r"0|[1-9][0-9]{0,18}")


class BadNote(ValueError):
    """The note has not the form of one, or a key that is known did not sign it."""


@dataclass(frozen=True)
class VerifierKey:
    """Who signs, and with what: `name+id+base64(kind || key)`. kind: PLAIN or COSIGNATURE. id: 4 bytes."""

    name: str
    id: bytes
    kind: int
    public: bytes

    def __str__(self) -> str:
        return f"{self.name}+{self.id.hex()}+{to_base64(bytes([self.kind]) + self.public)}"


@dataclass(frozen=True)
class Signature:
    """One line under a note. id: of the key. body: as the kind of key has it."""

    name: str
    id: bytes
    body: bytes

    def __str__(self) -> str:
        return f"{_DASH}{self.name} {to_base64(self.id + self.body)}\n"


@dataclass(frozen=True)
class Note:
    """text: ends with a newline."""

    text: str
    signatures: tuple[Signature, ...]

    def __str__(self) -> str:
        return f"{self.text}\n{''.join(map(str, self.signatures))}"


@dataclass(frozen=True)
class Checkpoint:
    """The head of a log: the name it goes by, how many entries it has, and the root over them. further: lines that nobody audits."""

    origin: str
    size: int
    root: bytes
    further: tuple[str, ...] = ()

    def __str__(self) -> str:
        """The text of its note."""
        return "".join(f"{line}\n" for line in (self.origin, self.size, to_base64(self.root), *self.further))


def key_id(name: str, kind: int, public: bytes) -> bytes:
    return hashlib.sha256(name.encode() + b"\n" + bytes([kind]) + public).digest()[:_ID_BYTES]


def verifier_key(name: str, kind: int, public: bytes) -> VerifierKey:
    """Raises BadNote where the name cannot be one or the key has not 32 bytes."""
    if not _is_name(name):
        raise BadNote(f"a key's name has neither spaces nor a plus, found {name[:60]!r}")
    if kind not in (PLAIN, COSIGNATURE) or len(public) != _KEY_BYTES:
        raise BadNote(f"expected an Ed25519 key of {_KEY_BYTES} bytes that signs notes (1) or cosigns checkpoints (4), found kind {kind}")
    return VerifierKey(name, key_id(name, kind, public), kind, public)


def parse_verifier_key(text: str) -> VerifierKey:
    """Raises BadNote, also where the id is not that of the key."""
    # The key in base64 may have a plus in it, the name may not.
    name, *rest = text.split("+", 2)
    if len(rest) != 2 or not re.fullmatch(r"[0-9a-f]{8}", rest[0]):
        raise BadNote(f"a verifier key looks like name+0123abcd+base64, found {text[:80]!r}")
    material = _read_base64(rest[1])
    key = verifier_key(name, material[0] if material else 0, material[1:])
    if key.id.hex() != rest[0]:
        raise BadNote(f"the id of the key {name} should be {key.id.hex()}, found {rest[0]}")
    return key


def parse_note(data: bytes | str) -> Note:
    """Raises BadNote. No signature is looked at."""
    if len(data) > _MOST_BYTES:
        raise BadNote("the note is too long")
    try:
        whole = data if isinstance(data, str) else data.decode()
    except UnicodeDecodeError as failure:
        raise BadNote("a note is UTF-8") from failure
    if any(ord(letter) < 0x20 and letter != "\n" for letter in whole):
        raise BadNote("a note has no control characters")
    text, found, lines = whole.rpartition("\n\n")
    if not found or not lines.endswith("\n"):
        raise BadNote("a note is a text, an empty line and lines with signatures, each with its newline")
    signatures = [_parse_signature(line) for line in lines[:-1].split("\n")]
    if len(signatures) > _MOST_SIGNATURES:
        raise BadNote("the note has too many signatures")
    return Note(text + "\n", tuple(signatures))


def parse_checkpoint(text: str) -> Checkpoint:
    """The checkpoint that a note's text is. Raises BadNote."""
    lines = text.split("\n")
    if len(lines) < 4 or lines.pop() or not all(lines):
        raise BadNote("a checkpoint has an origin, a size and a root, and no empty lines")
    if not _NUMBER.fullmatch(lines[1]):
        raise BadNote(f"the size of a checkpoint is a number without leading zeroes, found {lines[1][:30]!r}")
    root = _read_base64(lines[2])
    if len(root) != HASH_BYTES:
        raise BadNote("the root of a checkpoint has 32 bytes")
    return Checkpoint(lines[0], int(lines[1]), root, tuple(lines[3:]))


def signed_by(note: Note, keys: Iterable[VerifierKey]) -> dict[VerifierKey, int | None]:
    """Which of these keys signed the note, with the time of a cosignature in seconds since 1970 (None for a plain signature).

    Signatures of other keys are passed by. Raises BadNote where one of a known key is wrong: then nothing of the note is to be believed.
    """
    known = {(key.name, key.id): key for key in keys}
    found: dict[VerifierKey, int | None] = {}
    for signature in note.signatures:
        key = known.get((signature.name, signature.id))
        if key is not None and key not in found:
            found[key] = _time_of(note, signature, key)
    return found


def cosigned_message(text: str, time_s: int) -> bytes:
    """What a witness signs of a checkpoint."""
    return f"cosignature/v1\ntime {time_s}\n{text}".encode()


def _time_of(note: Note, signature: Signature, key: VerifierKey) -> int | None:
    body, time_s, message = signature.body, None, note.text.encode()
    if key.kind == COSIGNATURE:
        time_s = int.from_bytes(body[:_TIME_BYTES], "big")
        body, message = body[_TIME_BYTES:], cosigned_message(note.text, time_s)
    try:
        if len(body) != _SIGNATURE_BYTES or (time_s or 0) > _LATEST_TIME:
            raise InvalidSignature
        Ed25519PublicKey.from_public_bytes(key.public).verify(body, message)
    except InvalidSignature as failure:
        raise BadNote(f"the signature of {key.name} is wrong") from failure
    return time_s


def _parse_signature(line: str) -> Signature:
    name, space, body = line.removeprefix(_DASH).partition(" ")
    raw = _read_base64(body) if line.startswith(_DASH) and space and _is_name(name) else b""
    if len(raw) <= _ID_BYTES:
        raise BadNote(f"a signature looks like `— name base64`, found {line[:60]!r}")
    return Signature(name, raw[:_ID_BYTES], raw[_ID_BYTES:])


def _is_name(name: str) -> bool:
    return bool(name) and "+" not in name and not any(letter.isspace() for letter in name)


def _read_base64(text: str) -> bytes:
    try:
        return from_base64(text)
    except NotBase64 as failure:
        raise BadNote(str(failure)) from failure
