from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from visit_verify.note import BadNote, Note, VerifierKey, parse_checkpoint, parse_note, parse_verifier_key

from ..config import BadSettings
from ..ledger.note import SigningKey
from ..ledger.submission import BadSubmission, parse_submission
from .protocol import Refused, check_continues, signed_by_its_log
from .store import Store


class Witness:
    """keys: of the logs that are witnessed, by origin. key: what this witness signs with."""

    def __init__(self, store: Store, *, key: SigningKey, keys: Mapping[str, Sequence[VerifierKey]]):
        self._store, self.key, self._keys = store, key, keys
        self._origins = {hashlib.sha256(origin.encode()).hexdigest(): origin for origin in keys}

    def add_checkpoint(self, data: bytes, *, now_s: int) -> str:
        """The line with the cosignature. Raises Refused. What is signed is on disk before it is told."""
        try:
            submission = parse_submission(data)
        except BadSubmission as failure:
            raise Refused(400, f"{failure}\n") from failure
        note = signed_by_its_log(submission, self._keys)
        with self._store.changing(submission.checkpoint.origin) as entry:
            seen = None if entry.note is None else parse_checkpoint(parse_note(entry.note).text)
            check_continues(submission, seen)
            line = self.key.cosign(note.text, time_s=now_s)
            entry.put(str(Note(note.text, (*note.signatures, line))))
        return str(line)

    def newest(self, origin_hash: str) -> str | None:
        """The note that was signed last of the log whose origin has that SHA-256, in hexadecimal digits."""
        origin = self._origins.get(origin_hash)
        return None if origin is None else self._store.find(origin)


def read_log_keys(path: Path) -> dict[str, list[VerifierKey]]:
    """A file with the public key of a log in each line; empty lines and those after a # are passed by. Raises BadSettings."""
    found: dict[str, list[VerifierKey]] = {}
    try:
        for line in path.read_text(encoding="utf-8").splitlines():
            if line.strip() and not line.startswith("#"):
                key = parse_verifier_key(line.strip())
                found.setdefault(key.name, []).append(key)
    except (OSError, UnicodeDecodeError, BadNote) as failure:
        raise BadSettings(f"the keys of the logs to witness: {failure}") from failure
    if not found:
        raise BadSettings(f"{path} names no log to witness")
    return found
