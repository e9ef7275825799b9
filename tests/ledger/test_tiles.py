"""A log as tiles: what grows in any steps is the same tree, and every proof made from tiles is taken by the verifier."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geo_o2o.ledger.merkle import Frontier, root_of
from geo_o2o.ledger.tiles import (
    WIDTH,
    Tile,
    bundle_path,
    consistency_path,
    edge_of,
    format_bundle,
    grown_tiles,
    hashes_of,
    inclusion_path,
    parse_bundle,
    root,
    tile_path,
    tiles_of,
)
from visit_verify.merkle import EMPTY_ROOT, BadProof, check_consistency, check_inclusion, leaf_hash, node_hash
from visit_verify.note import parse_checkpoint, parse_note

from ..conftest import vectors


def leaves(count: int) -> list[bytes]:
    return [leaf_hash(b"%d" % number) for number in range(count)]


def plain_root(hashes: list[bytes]) -> bytes:
    """RFC 6962, section 2.1, word for word."""
    if not hashes:
        return EMPTY_ROOT
    if len(hashes) == 1:
        return hashes[0]
    middle = 1
    while 2 * middle < len(hashes):
        middle *= 2
    return node_hash(plain_root(hashes[:middle]), plain_root(hashes[middle:]))


class Store:
    """The tiles of a log that grows."""

    def __init__(self) -> None:
        self.frontier, self.tiles = Frontier(), dict[tuple[int, int], bytes]()

    def grow(self, fresh: list[bytes]) -> None:
        edge = [Tile(level, n, self.tiles[level, n]) for level, n, _ in edge_of(self.frontier.size)]
        for tile in grown_tiles(self.frontier.size, edge, fresh):
            before = self.tiles.get((tile.level, tile.n), b"")
            assert tile.data.startswith(before)
            assert len(tile.data) > len(before)
            self.tiles[tile.level, tile.n] = tile.data
        self.frontier = self.frontier.grown(fresh)

    def read(self, level: int, n: int, width: int) -> bytes:
        return self.tiles[level, n]


def test_the_tree_of_certificate_transparency() -> None:
    """The eight entries by which implementations of RFC 6962 are compared, and their roots."""
    entries = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"]
    roots = [
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ]
    frontier = Frontier()
    for entry, expected in zip(entries, roots, strict=True):
        frontier = frontier.grown([leaf_hash(bytes.fromhex(entry))])
        assert frontier.root.hex() == expected


@pytest.mark.parametrize(("n", "path"), [(0, "000"), (7, "007"), (999, "999"), (1_000, "x001/000"), (1_234_067, "x001/x234/067")])
def test_paths_are_those_of_the_specification(n: int, path: str) -> None:
    assert tile_path(0, n) == f"tile/0/{path}"
    assert tile_path(3, n, 17) == f"tile/3/{path}.p/17"
    assert bundle_path(n) == f"tile/entries/{path}"
    assert bundle_path(n, 255) == f"tile/entries/{path}.p/255"


@pytest.mark.parametrize("width", [0, -1, 257])
def test_a_tile_of_no_width_has_no_path(width: int) -> None:
    with pytest.raises(ValueError, match="1 to 256"):
        tile_path(0, 0, width)


def test_a_tree_of_70_000_has_the_tiles_of_the_specification() -> None:
    found = Counter((level, width == WIDTH) for level, _, width in tiles_of(70_000))
    assert found == {(0, True): 273, (0, False): 1, (1, True): 1, (1, False): 1, (2, False): 1}
    assert edge_of(70_000) == [(0, 273, 112), (1, 1, 17), (2, 0, 1)]
    assert list(tiles_of(256)) == [(0, 0, 256), (1, 0, 1)]
    assert edge_of(256) == [(1, 0, 1)]
    assert list(tiles_of(0)) == edge_of(0) == []


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 700), max_size=8))
def test_a_tree_is_the_same_however_it_grew(steps: list[int]) -> None:
    store, all_leaves = Store(), leaves(sum(steps))
    sizes = [0]
    for step in steps:
        store.grow(all_leaves[sizes[-1] : sizes[-1] + step])
        sizes.append(sizes[-1] + step)
    size = sizes[-1]
    assert store.frontier.root == plain_root(all_leaves) == root(size, store.read)
    assert {(level, n): len(data) // 32 for (level, n), data in store.tiles.items()} == {(level, n): width for level, n, width in tiles_of(size)}
    for before, after in pairwise(sizes):
        wider = {(level, n) for level, n, _ in tiles_of(after, since=before)}
        assert wider == {(level, n) for level, n, width in tiles_of(after) if width > dict_of(before).get((level, n), 0)}


def dict_of(size: int) -> dict[tuple[int, int], int]:
    return {(level, n): width for level, n, width in tiles_of(size)}


@pytest.mark.parametrize("size", [1, 2, 3, 7, 255, 256, 257, 1_000, 65_535, 65_536, 65_537, 70_000])
def test_every_proof_from_tiles_is_taken_by_the_verifier(size: int) -> None:
    store, all_leaves = Store(), leaves(size)
    store.grow(all_leaves)
    whole, chance = store.frontier.root, random.Random(size)
    for index in {0, size - 1, size // 2, *(chance.randrange(size) for _ in range(20))}:
        path = inclusion_path(index, size, store.read)
        check_inclusion(all_leaves[index], whole, index=index, size=size, path=path)
        if size > 1:
            with pytest.raises(BadProof):
                check_inclusion(all_leaves[index], whole, index=(index + 1) % size, size=size, path=path)
    for old in {1, size, (size + 1) // 2, *(chance.randrange(1, size + 1) for _ in range(20))}:
        path = consistency_path(old, size, store.read)
        check_consistency(root(old, store.read), whole, old_size=old, new_size=size, path=path)
        if old < size:
            with pytest.raises(BadProof):
                check_consistency(leaf_hash(b"another"), whole, old_size=old, new_size=size, path=path)


@pytest.mark.parametrize(("old", "new"), [(0, 5), (6, 5), (-1, 5)])
def test_there_is_no_way_back(old: int, new: int) -> None:
    with pytest.raises(BadProof):
        consistency_path(old, new, lambda *_: b"")


@pytest.mark.parametrize("index", [-1, 5, 2**40])
def test_no_entry_no_path(index: int) -> None:
    with pytest.raises(BadProof):
        inclusion_path(index, 5, lambda *_: b"")


def test_a_tile_that_is_too_short_is_noticed() -> None:
    store = Store()
    store.grow(leaves(300))
    with pytest.raises(BadProof, match="has 3 hashes"):
        inclusion_path(299, 300, lambda level, n, width: store.tiles[level, n][: 3 * 32])
    with pytest.raises(ValueError, match="should have 44 hashes"):
        grown_tiles(300, [Tile(0, 1, bytes(32 * 43)), Tile(1, 0, bytes(32))], leaves(1))
    with pytest.raises(ValueError, match="should have 44 hashes"):
        grown_tiles(300, [], leaves(1))


@pytest.mark.parametrize(("size", "count"), [(1, 0), (0, 1), (3, 1), (4, 2), (-1, 0)])
def test_a_frontier_has_as_many_hashes_as_its_size_asks(size: int, count: int) -> None:
    with pytest.raises(ValueError, match="whole subtrees"):
        Frontier(size, (bytes(32),) * count)


@given(st.lists(st.binary(max_size=300), max_size=20))
def test_a_bundle_comes_back_as_it_was_written(entries: list[bytes]) -> None:
    data = format_bundle(entries)
    assert parse_bundle(data) == entries
    for cut in range(1, 3):
        if len(data) > cut and entries[-1]:
            with pytest.raises(ValueError, match="cut"):
                parse_bundle(data[:-cut])


def test_an_entry_has_a_longest_length() -> None:
    assert parse_bundle(format_bundle([bytes(65_535)])) == [bytes(65_535)]
    with pytest.raises(ValueError, match="65535"):
        format_bundle([bytes(65_536)])


def published(name: str) -> Callable[[int, int, int], bytes]:
    folder = vectors(name)

    def read(level: int, n: int, width: int) -> bytes:
        full = folder / tile_path(level, n)
        return full.read_bytes() if full.exists() else max(folder.glob(tile_path(level, n) + ".p/*"), key=lambda path: int(path.name)).read_bytes()

    return read


def test_a_published_log_is_what_its_checkpoints_say() -> None:
    folder, read = vectors("tessera/log"), published("tessera/log")
    heads = {one.size: one.root for path in folder.glob("checkpoint.*") if (one := parse_checkpoint(parse_note(path.read_bytes()).text))}
    assert len(heads) == 16
    entries: list[bytes] = []
    for size in range(1, 16):
        entries = parse_bundle((folder / bundle_path(0, size)).read_bytes())
        assert len(entries) == size
        assert format_bundle(entries) == (folder / bundle_path(0, size)).read_bytes()
        assert root_of(map(leaf_hash, entries)) == heads[size] == root(size, read)
        assert (folder / tile_path(0, 0, size)).read_bytes() == b"".join(map(leaf_hash, entries))
    for old in range(1, 16):
        for new in range(old, 16):
            check_consistency(heads[old], heads[new], old_size=old, new_size=new, path=consistency_path(old, new, read))
    for index, entry in enumerate(entries):
        check_inclusion(leaf_hash(entry), heads[15], index=index, size=15, path=inclusion_path(index, 15, read))


def test_a_published_tree_of_300_entries_is_what_its_cosigned_checkpoint_says() -> None:
    (home,) = (vectors("sunlight") / "witness" / "mirror").glob("0*")
    name = str(home.relative_to(vectors("sunlight").parent))
    read, folder = published(name), home
    checkpoint = parse_checkpoint(parse_note((folder / "checkpoint").read_bytes()).text)
    assert root(300, read) == checkpoint.root
    fresh = hashes_of((folder / tile_path(0, 0)).read_bytes() + (folder / tile_path(0, 1, 44)).read_bytes())
    assert root_of(fresh) == checkpoint.root
    store = Store()
    for step in (100, 156, 1, 43):
        store.grow(fresh[store.frontier.size : store.frontier.size + step])
    assert store.tiles[0, 0] == (folder / tile_path(0, 0)).read_bytes()
    assert store.tiles[0, 1] == (folder / tile_path(0, 1, 44)).read_bytes()
    assert store.tiles[1, 0] == (folder / tile_path(1, 0, 1)).read_bytes()
    assert hashes_of(store.tiles[1, 0]) == [root_of(hashes_of(store.tiles[0, 0]))]
