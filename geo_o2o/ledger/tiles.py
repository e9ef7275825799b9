"""A log as static files: tiles of 256 hashes and bundles of 256 entries, from which anybody makes any proof. Pure.

Tile n of level l holds the roots of the subtrees of 256^l entries from entry n * 256^(l + 1) on. A tile at the right edge of the tree
has fewer; as the tree grows it only gets longer, so the first bytes of a tile are every narrower one that it has been.
Source: C2SP tlog-tiles.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from visit_verify.merkle import HASH_BYTES, BadProof

from .merkle import root_of

WIDTH = 256
_LEVEL_BITS = 8
_LONGEST_ENTRY = 2**16 - 1

# Gives the bytes of a tile at least so wide: (level, n, width).
Read = Callable[[int, int, int], bytes]


@dataclass(frozen=True)
class Tile:
    """data: its hashes, one behind the other."""

    level: int
    n: int
    data: bytes

    @property
    def width(self) -> int:
        return len(self.data) // HASH_BYTES


def tile_path(level: int, n: int, width: int = WIDTH) -> str:
    """Where a tile lies below the log's address."""
    return f"tile/{level}/{_number(n)}{_part(width)}"


def bundle_path(n: int, width: int = WIDTH) -> str:
    """Where the entries lie whose hashes are tile n of level 0."""
    return f"tile/entries/{_number(n)}{_part(width)}"


def _number(n: int) -> str:
    """In groups of three digits, all but the last with an x before it, so that no folder has more than 2,000 names."""
    *above, last = f"{n:,}".split(",")
    return "/".join([*(f"x{one:0>3}" for one in above), f"{last:0>3}"])


def _part(width: int) -> str:
    if not 1 <= width <= WIDTH:
        raise ValueError(f"a tile has 1 to {WIDTH} hashes, found {width}")
    return "" if width == WIDTH else f".p/{width}"


def tiles_of(size: int, *, since: int = 0) -> Iterator[tuple[int, int, int]]:
    """Level, n and width of each tile of a tree that is wider than it was when the tree had `since` entries."""
    level = 0
    while count := size >> (_LEVEL_BITS * level):
        before = since >> (_LEVEL_BITS * level)
        for n in range(before // WIDTH, (count + WIDTH - 1) // WIDTH):
            width = min(WIDTH, count - n * WIDTH)
            if n * WIDTH + width > before:
                yield level, n, width
        level += 1


def edge_of(size: int) -> list[tuple[int, int, int]]:
    """Level, n and width of the tiles at the right edge of a tree that are not full."""
    counts = [size >> (_LEVEL_BITS * level) for level in range((size.bit_length() + _LEVEL_BITS - 1) // _LEVEL_BITS)]
    return [(level, count // WIDTH, count % WIDTH) for level, count in enumerate(counts) if count % WIDTH]


def grown_tiles(size: int, edge: Sequence[Tile], leaves: Sequence[bytes]) -> list[Tile]:
    """The tiles of a tree of that size that change when these leaf hashes come behind its own, as they then are.

    edge: the tiles at its right edge that are not full, see edge_of. Raises ValueError where one is missing or has not the width it should.
    """
    open_ = {tile.level: tile for tile in edge}
    changed: list[Tile] = []
    fresh, level = list(leaves), 0
    while fresh:
        count = size >> (_LEVEL_BITS * level)
        n, width = divmod(count, WIDTH)
        before = open_.get(level, Tile(level, n, b""))
        if (before.n, before.width) != (n, width):
            raise ValueError(f"the tile {n} of level {level} should have {width} hashes, found tile {before.n} with {before.width}")
        data = before.data + b"".join(fresh)
        tiles = [Tile(level, n + at // (WIDTH * HASH_BYTES), data[at : at + WIDTH * HASH_BYTES]) for at in range(0, len(data), WIDTH * HASH_BYTES)]
        changed += tiles
        fresh = [root_of(hashes_of(tile.data)) for tile in tiles if tile.width == WIDTH]
        level += 1
    return changed


def hashes_of(data: bytes) -> list[bytes]:
    return [data[at : at + HASH_BYTES] for at in range(0, len(data), HASH_BYTES)]


# --- proofs ------------------------------------------------------------------------------------------------------------------


def inclusion_path(index: int, size: int, read: Read) -> list[bytes]:
    """The path of an entry in a tree of that size. Raises BadProof where it has no such entry."""
    if not 0 <= index < size:
        raise BadProof(f"a tree of {size} entries has no entry {index}")
    return _path(index, 0, size, read)


def consistency_path(old_size: int, new_size: int, read: Read) -> list[bytes]:
    """What shows that the tree of the old size is the beginning of that of the new one. Raises BadProof where it cannot be."""
    if not 0 < old_size <= new_size:
        raise BadProof(f"a tree of {old_size} entries is not the beginning of one of {new_size}")
    return _consistency(old_size, 0, new_size, read, known=True)


def root(size: int, read: Read) -> bytes:
    """The root of the tree of that size."""
    return _hash(0, size, read) if size else root_of([])


def _path(index: int, begin: int, end: int, read: Read) -> list[bytes]:
    if end - begin == 1:
        return []
    middle = begin + _split(end - begin)
    if index < middle:
        return [*_path(index, begin, middle, read), _hash(middle, end, read)]
    return [*_path(index, middle, end, read), _hash(begin, middle, read)]


def _consistency(old_end: int, begin: int, end: int, read: Read, *, known: bool) -> list[bytes]:
    """RFC 6962, section 2.1.2. known: the subtree is the whole of the old tree, whose root the other side has."""
    if old_end == end:
        return [] if known else [_hash(begin, end, read)]
    middle = begin + _split(end - begin)
    if old_end <= middle:
        return [*_consistency(old_end, begin, middle, read, known=known), _hash(middle, end, read)]
    return [*_consistency(old_end, middle, end, read, known=False), _hash(begin, middle, read)]


def _split(count: int) -> int:
    """The largest power of two below a number."""
    return 1 << ((count - 1).bit_length() - 1)


def _hash(begin: int, end: int, read: Read) -> bytes:
    """The root over entries begin to end, which are a subtree or the right edge of one."""
    count = end - begin
    if count & (count - 1):
        middle = begin + _split(count)
        return root_of([_hash(begin, middle, read), _hash(middle, end, read)])
    # A whole subtree: 2^height entries, found in a tile of the level below which it fits.
    level, low = divmod(count.bit_length() - 1, _LEVEL_BITS)
    n, first = divmod(begin >> (_LEVEL_BITS * level), WIDTH)
    last = first + (1 << low)
    data = read(level, n, last)
    if len(data) < last * HASH_BYTES:
        raise BadProof(f"the tile {n} of level {level} has {len(data) // HASH_BYTES} hashes, {last} are needed")
    return root_of(hashes_of(data[first * HASH_BYTES : last * HASH_BYTES]))


# --- entries -----------------------------------------------------------------------------------------------------------------


def format_bundle(entries: Sequence[bytes]) -> bytes:
    """Entries one behind the other, each behind its length in two bytes. Raises ValueError where one is longer than that."""
    if any(len(one) > _LONGEST_ENTRY for one in entries):
        raise ValueError(f"an entry has at most {_LONGEST_ENTRY} bytes")
    return b"".join(len(one).to_bytes(2, "big") + one for one in entries)


def parse_bundle(data: bytes) -> list[bytes]:
    """Raises ValueError where it was cut."""
    entries, at = [], 0
    while at < len(data):
        end = at + 2 + int.from_bytes(data[at : at + 2], "big")
        if at + 2 > len(data) or end > len(data):
            raise ValueError("the bundle was cut in the middle of an entry")
        entries.append(data[at + 2 : end])
        at = end
    return entries
