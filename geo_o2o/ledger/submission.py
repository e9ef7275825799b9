"""What a log sends to a witness. Pure.

Source: C2SP tlog-witness, add-checkpoint.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from visit_verify.base64 import NotBase64, from_base64, to_base64
from visit_verify.merkle import HASH_BYTES
from visit_verify.note import BadNote, Checkpoint, Note, parse_checkpoint, parse_note

_MOST_HASHES = 63
_OLD = re.compile(r"old (0|[1-9][0-9]{0,18})")


class BadSubmission(ValueError):
    """Not what a log sends to a witness."""


@dataclass(frozen=True)
class Submission:
    """old_size: of the checkpoint that the log believes the witness signed last. path: from there to the one in the note."""

    old_size: int
    path: tuple[bytes, ...]
    note: Note
    checkpoint: Checkpoint

    def __str__(self) -> str:
        return "\n".join([f"old {self.old_size}", *map(to_base64, self.path), "", str(self.note)])


def parse_submission(data: bytes) -> Submission:
    """Raises BadSubmission."""
    try:
        head, found, note_text = data.decode().partition("\n\n")
        first, *lines = head.split("\n")
        old = _OLD.fullmatch(first)
        if not found or old is None or len(lines) > _MOST_HASHES:
            raise BadSubmission(f"expected `old <size>`, at most {_MOST_HASHES} hashes, an empty line and a checkpoint")
        note = parse_note(note_text)
        return Submission(int(old[1]), tuple(map(_hash, lines)), note, parse_checkpoint(note.text))
    except (UnicodeDecodeError, BadNote, NotBase64) as failure:
        raise BadSubmission(str(failure)) from failure


def _hash(text: str) -> bytes:
    data = from_base64(text)
    if len(data) != HASH_BYTES:
        raise BadSubmission(f"expected a hash of {HASH_BYTES} bytes in base64, found {text[:60]!r}")
    return data
