"""Whether a log is what it says: every entry under its tile, every tile under the next, all under a signed head that continues the last. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from visit_verify.merkle import HASH_BYTES, BadProof, check_consistency, leaf_hash
from visit_verify.note import BadNote, Checkpoint, Note, VerifierKey, parse_checkpoint, parse_note, signed_by

from .merkle import root_of
from .tiles import WIDTH, bundle_path, consistency_path, hashes_of, parse_bundle, root, tile_path, tiles_of

# Gives what lies under a name below the log's address.
Fetch = Callable[[str], bytes]


class AuditFailed(Exception):
    """The log is not what it says. The message names the position."""


@dataclass(frozen=True)
class Audit:
    """note: the signed head that was found. kinds: how many entries of each kind (the second byte of an entry)."""

    note: Note
    checkpoint: Checkpoint
    kinds: Counter[int]


def audit(fetch: Fetch, *, key: VerifierKey, since: Checkpoint | None = None) -> Audit:
    """Reads the whole log. since: a head that was seen before. Raises AuditFailed; whatever fetch raises."""
    note, checkpoint = _head(fetch, key)
    if since is not None:
        _check_continues(fetch, since, checkpoint)
    kinds: Counter[int] = Counter()
    above: dict[tuple[int, int], bytes] = {}
    for level, n, width in tiles_of(checkpoint.size):
        hashes = hashes_of(fetch(tile_path(level, n, width)))
        if len(hashes) != width or any(len(one) != HASH_BYTES for one in hashes):
            raise AuditFailed(f"tile {n} of level {level} should have {width} hashes, found {len(hashes)}")
        if level == 0:
            kinds += _check_entries(fetch(bundle_path(n, width)), hashes, first=n * WIDTH)
        for place, one in enumerate(hashes):
            below = n * WIDTH + place
            if level > 0 and above[level - 1, below] != one:
                raise AuditFailed(f"tile {n} of level {level} has another hash at place {place} than tile {below} of level {level - 1} gives")
        if width == WIDTH:
            above[level, n] = root_of(hashes)
    if root(checkpoint.size, lambda level, n, width: fetch(_widest(checkpoint.size, level, n))) != checkpoint.root:
        raise AuditFailed(f"the tiles of {checkpoint.size} entries give another root than the checkpoint has")
    return Audit(note, checkpoint, kinds)


def _head(fetch: Fetch, key: VerifierKey) -> tuple[Note, Checkpoint]:
    try:
        note = parse_note(fetch("checkpoint"))
        if key not in signed_by(note, [key]):
            raise AuditFailed(f"the checkpoint is not signed by {key.name}")
        checkpoint = parse_checkpoint(note.text)
    except BadNote as failure:
        raise AuditFailed(f"the checkpoint: {failure}") from failure
    if checkpoint.origin != key.name:
        raise AuditFailed(f"the checkpoint is of {checkpoint.origin}, expected {key.name}")
    return note, checkpoint


def _check_continues(fetch: Fetch, old: Checkpoint, new: Checkpoint) -> None:
    if old.size > new.size:
        raise AuditFailed(f"the log had {old.size} entries when it was seen last, and has {new.size} now")
    if old.size == 0:
        return
    try:
        path = consistency_path(old.size, new.size, lambda level, n, width: fetch(_widest(new.size, level, n)))
        check_consistency(old.root, new.root, old_size=old.size, new_size=new.size, path=path)
    except BadProof as failure:
        raise AuditFailed(f"the first {old.size} entries are not those that were seen before: {failure}") from failure


def _check_entries(bundle: bytes, hashes: list[bytes], *, first: int) -> Counter[int]:
    try:
        entries = parse_bundle(bundle)
    except ValueError as failure:
        raise AuditFailed(f"the entries from {first} on: {failure}") from failure
    if len(entries) != len(hashes):
        raise AuditFailed(f"there are {len(entries)} entries from {first} on, expected {len(hashes)}")
    for place, (entry, leaf) in enumerate(zip(entries, hashes, strict=True)):
        if leaf_hash(entry) != leaf:
            raise AuditFailed(f"entry {first + place} is not the one that was logged")
    return Counter(entry[1] if len(entry) > 1 else -1 for entry in entries)


def _widest(size: int, level: int, n: int) -> str:
    """The path of a tile as wide as it is in a tree of that size."""
    return tile_path(level, n, min(WIDTH, (size >> (8 * level)) - n * WIDTH))
