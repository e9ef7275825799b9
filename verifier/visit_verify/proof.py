"""A proof in one text file: where an entry stands in a log, and the signed checkpoint that covers it. Pure.

Source: C2SP tlog-proof, version 1.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from .base64 import NotBase64, from_base64, to_base64
from .merkle import HASH_BYTES, BadProof, check_inclusion, leaf_hash
from .note import BadNote, Checkpoint, Note, parse_checkpoint, parse_note

_FIRST_LINE = "c2sp.org/tlog-proof@v1"
_MOST_BYTES, _MOST_HASHES = 1_000_000, 64
_INDEX = re.compile(r"index (0|[1-9][0-9]{0,18})")


@dataclass(frozen=True)
class Proof:
    """index: of the entry. path: hashes from the leaf's sibling up. note: the signed checkpoint. extra: what the application needs beside
    it; nobody has signed that."""

    index: int
    path: tuple[bytes, ...]
    note: Note
    extra: bytes | None = None

    @property
    def checkpoint(self) -> Checkpoint:
        """Raises BadNote."""
        return parse_checkpoint(self.note.text)

    def check(self, entry: bytes) -> Checkpoint:
        """The checkpoint, once it is sure that the entry stands in its tree; whose signatures it has is another question. Raises BadProof."""
        checkpoint = self.checkpoint
        check_inclusion(leaf_hash(entry), checkpoint.root, index=self.index, size=checkpoint.size, path=self.path)
        return checkpoint

    def __str__(self) -> str:
        extra = [] if self.extra is None else [f"extra {to_base64(self.extra)}"]
        lines = [_FIRST_LINE, *extra, f"index {self.index}", *map(to_base64, self.path), "", str(self.note)]
        return "\n".join(lines)


def parse_proof(data: bytes | str) -> Proof:
    """Raises BadProof."""
    if len(data) > _MOST_BYTES:
        raise BadProof("the proof is too long")
    try:
        text = data if isinstance(data, str) else data.decode()
    except UnicodeDecodeError as failure:
        raise BadProof("a proof is UTF-8") from failure
    head, found, note = text.partition("\n\n")
    first, *lines = head.split("\n")
    if first != _FIRST_LINE or not found:
        raise BadProof(f"a proof begins with {_FIRST_LINE}, and its checkpoint comes after an empty line")
    extra = _read_base64(lines.pop(0).removeprefix("extra ")) if lines and lines[0].startswith("extra ") else None
    index = _INDEX.fullmatch(lines[0]) if lines else None
    if index is None:
        raise BadProof("expected a line `index` with the number of the entry")
    path = tuple(_read_base64(line) for line in lines[1:])
    if len(path) > _MOST_HASHES or any(len(one) != HASH_BYTES for one in path):
        raise BadProof(f"a path has up to {_MOST_HASHES} hashes of {HASH_BYTES} bytes")
    try:
        return Proof(int(index[1]), path, parse_note(note), extra)
    except BadNote as failure:
        raise BadProof(f"the checkpoint of the proof: {failure}") from failure


def _read_base64(text: str) -> bytes:
    try:
        return from_base64(text)
    except NotBase64 as failure:
        raise BadProof(str(failure)) from failure
