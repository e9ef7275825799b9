"""The compiled loops do what their plain forms do; and a compiled loop is compiled again where nothing may be written."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from geo_o2o.discovery.hits import empty_page
from geo_o2o.discovery.nearest import BLOCK, DISTANCE_BITS, NO_ORDER, by_nearness, keep_near, keep_rows, near_blocks, near_rows
from geo_o2o.geo.distance import GEOD, to_ecef

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("seed", range(5))
def test_rows_that_are_near_enough_and_good_enough(seed: int) -> None:
    chance = np.random.default_rng(seed)
    count, (lon, lat) = 4_000, (chance.uniform(-180, 180), chance.uniform(-89, 89))
    metres = chance.uniform(0, 3_000, count)
    # Some of them where the straight line cannot tell which whole metre is meant, and some on the edges.
    metres[:200] = chance.integers(0, 3_000, 200) + 0.5
    metres[200:260] = np.where(np.arange(60) % 2, 2_000.0, 400.0)
    there = GEOD.fwd(np.full(count, lon), np.full(count, lat), chance.uniform(0, 360, count), metres)
    xyz = to_ecef(np.column_stack(there[:2]))
    stores = chance.permutation(count).astype(np.int32)
    worth, table = chance.integers(0, 400, count).astype(np.int32), np.arange(4_000, dtype=np.int64)[::-1].copy()
    origin = tuple(to_ecef(np.array([[lon, lat]]))[0].tolist())
    start, end = np.array([0, 1_500]), np.array([1_000, 4_000])
    worst = -(3_000 << DISTANCE_BITS)
    rows, ways, order, open_ = near_rows(xyz, stores, worth, start, end, origin, table, 400.0, 2_000.0, False, worst)
    exact = metres[stores[rows]]
    assert np.abs(ways - exact).max() < 1e-5
    settled = np.ones(len(rows), dtype=bool)
    settled[open_] = False
    assert (order[settled] == np.rint(exact[settled]) - ((table[np.rint(exact[settled]).astype(int)] + worth[rows[settled]]) << DISTANCE_BITS)).all()
    looked_at = np.concatenate([np.arange(0, 1_000), np.arange(1_500, 4_000)])
    true = metres[stores[looked_at]]
    whole = np.rint(true).astype(int)
    good = (true > 400.001) & (true < 1_999.999) & (whole - ((table[whole] + worth[looked_at]) << DISTANCE_BITS) <= worst)
    clear = np.abs(true - np.floor(true) - 0.5) > 1e-4
    assert set(looked_at[good & clear].tolist()) == set(rows[settled].tolist()) & set(looked_at[clear].tolist())
    assert set(rows.tolist()) <= set(looked_at.tolist())
    # Whatever lies between two metres is left to the geodesic.
    unclear = (np.abs(true - np.floor(true) - 0.5) < 1e-7) & (true > 400) & (true < 2_000)
    assert set(looked_at[unclear].tolist()) <= set(rows[open_].tolist())
    all_open = near_rows(xyz, stores, worth, start, end, origin, table, 0.0, 2_000.0, True, worst)
    assert len(all_open[3]) == len(all_open[0]) == ((true < 2_000.001).sum())


def some_rows(chance: np.random.Generator, count: int, *, things: int) -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
    """The columns of ids (of things and of stores), and of each row its thing and its store; few ids and few orders, so that many are equal."""
    ids = [chance.integers(0, 3, things).astype(np.uint64) << np.uint64(62), chance.integers(0, 4, things).astype(np.uint64)]
    store_ids = [np.zeros(count, dtype=np.uint64), chance.permutation(count).astype(np.uint64)]
    return ids + store_ids, chance.integers(0, things, count).astype(np.int32), chance.permutation(count).astype(np.int32)


def block_of(xyz: np.ndarray, worth: np.ndarray, start: int, end: int) -> tuple[float, ...]:
    centre = xyz[start:end].mean(axis=0)
    return (start, end, *centre, np.sqrt(((xyz[start:end] - centre) ** 2).sum(axis=1)).max(), worth[start:end].max())


def places_of(page: np.ndarray) -> list[tuple[int, ...]]:
    return [one for one in page.tolist() if one[0] != NO_ORDER]


@pytest.mark.parametrize("once", [True, False])
def test_the_best_rows_are_kept_in_order_and_an_id_once_where_that_is_asked(once: bool) -> None:
    chance = np.random.default_rng(3)
    for _ in range(30):
        page, seen = empty_page(7), []
        for number in range(6):
            count = int(chance.integers(1, 30))
            columns, things, stores = some_rows(chance, count, things=12)
            rows, order = np.sort(chance.permutation(count)[: count // 2 + 1]), chance.integers(-20, 20, count // 2 + 1)
            worst = keep_rows(page, number, once, *columns, things, stores, rows, order)
            for row, one in zip(rows.tolist(), order.tolist(), strict=True):
                halves = [int(columns[half][things[row]]) for half in (0, 1)] + [int(columns[half][stores[row]]) for half in (2, 3)]
                seen.append((one, *halves, number, row))
            expected: list[tuple[int, ...]] = []
            for hit in sorted(seen):
                if not once or hit[1:3] not in [other[1:3] for other in expected]:
                    expected.append(hit)
            assert [hit[:5] for hit in places_of(page)] == [hit[:5] for hit in expected[:7]]
            assert set(places_of(page)) <= set(seen)
            assert worst == (expected[6][0] if len(expected) >= 7 else NO_ORDER)


def test_an_empty_page_is_a_new_one_each_time() -> None:
    page = empty_page(3)
    page["order"] = 1
    assert empty_page(3)["order"].tolist() == [NO_ORDER] * 3


@pytest.mark.parametrize("seed", range(5))
def test_keeping_near_rows_is_finding_them_and_keeping_those(seed: int) -> None:
    chance = np.random.default_rng(seed)
    count = 2_000
    lonlat = np.column_stack([24.94 + chance.normal(0, 0.02, count), 60.17 + chance.normal(0, 0.01, count)])
    # Some exactly between two metres.
    lonlat[:50] = np.column_stack(GEOD.fwd(np.full(50, 24.94), np.full(50, 60.17), chance.uniform(0, 360, 50), np.arange(50) * 20 + 0.5)[:2])
    origin = tuple(to_ecef(np.array([[24.94, 60.17]]))[0].tolist())
    xyz, table = to_ecef(lonlat), np.arange(2_000, dtype=np.int64)[::-1] // 100
    columns, things, stores = some_rows(chance, count, things=600)
    for kind in (np.int32, np.int64):
        worth = chance.integers(0, 40, count).astype(kind)
        # Rows are as they come, so that blocks overlap and each may hold something good.
        blocks = np.array([block_of(xyz[stores], worth, start, min(start + 170, count)) for start in range(0, count, 170)], dtype=BLOCK)
        spans = blocks["start"].copy(), blocks["end"].copy()
        page, other = empty_page(20), empty_page(20)
        worst, open_ = keep_near(page, 3, True, xyz, *columns, things, stores, worth, blocks, origin, table, 100.0, 1_500.0)
        rows, _, order, doubted = near_rows(xyz, stores, worth, *spans, origin, table, 100.0, 1_500.0, False, NO_ORDER)
        assert len(doubted) > 8
        # Of rows that are too bad for the page nobody needs to know.
        good = doubted[order[doubted] <= worst]
        assert set(rows[good].tolist()) <= set(open_.tolist()) <= set(rows[doubted].tolist())
        settled = np.setdiff1d(np.arange(len(rows)), doubted)
        assert worst == keep_rows(other, 3, True, *columns, things, stores, rows[settled], order[settled])
        assert page.tolist() == other.tolist()
        # What comes later finds the page as it is.
        again, _ = keep_near(page, 4, True, xyz, *columns, things, stores, worth, blocks, origin, table, 100.0, 1_500.0)
        assert again == worst
        assert page.tolist() == other.tolist()


def test_points_come_in_the_order_of_their_distance() -> None:
    chance = np.random.default_rng(5)
    lonlat = np.column_stack([24.94 + chance.normal(0, 0.1, 300), 60.17 + chance.normal(0, 0.05, 300)])
    xyz, origin = to_ecef(lonlat), tuple(to_ecef(np.array([[24.94, 60.17]]))[0].tolist())
    sequence, ways = by_nearness(xyz, origin, 1e6)
    exact = GEOD.inv(np.full(300, 24.94), np.full(300, 60.17), lonlat[:, 0], lonlat[:, 1])[2]
    assert np.abs(ways - exact[sequence]).max() < 1e-3
    assert (np.diff(ways) >= 0).all()
    assert sorted(sequence.tolist()) == list(range(300))
    near, ways_of_near = by_nearness(xyz, origin, float(ways[99]))
    assert near.tolist() == sequence[:100].tolist()
    assert ways_of_near.tolist() == ways[:100].tolist()
    assert by_nearness(xyz, origin, 0.0)[0].tolist() == []


def test_where_nothing_may_be_written_it_is_compiled_for_the_process(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "geo_o2o", tmp_path / "geo_o2o", ignore=shutil.ignore_patterns("__pycache__"))
    # A file in the place of every folder that a cache could be kept in.
    (tmp_path / "geo_o2o" / "discovery" / "__pycache__").write_text("")
    (tmp_path / "home").write_text("")
    environment = {**os.environ, "HOME": str(tmp_path / "home"), "XDG_CACHE_HOME": str(tmp_path / "home" / "x"), "PYTHONDONTWRITEBYTECODE": "1"}
    command = "from geo_o2o.discovery.nearest import by_nearness as f; import numpy as n; print(f(n.zeros((2, 3)), (0.0, 0.0, 1.0), 2.0)[1])"
    done = subprocess.run([sys.executable, "-c", command], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.stdout.strip() == "[1. 1.]", done.stderr[-2_000:]


def test_blocks_that_can_hold_nothing_are_left_out() -> None:
    chance = np.random.default_rng(8)
    origin, table = (0.0, 0.0, 6.371e6), np.arange(5_000, dtype=np.int64)[::-1] // 10
    blocks = np.zeros(40, dtype=BLOCK)
    blocks["x"], blocks["y"], blocks["z"] = chance.uniform(-3_000, 3_000, 40), chance.uniform(-3_000, 3_000, 40), 6.371e6
    blocks["radius"], blocks["best"] = chance.uniform(0, 300, 40), chance.integers(0, 300, 40)
    nearest = np.maximum(np.hypot(blocks["x"], blocks["y"]) - blocks["radius"] - 0.01, 0)
    first = nearest.astype(int) - ((table[nearest.astype(int)] + blocks["best"]) << DISTANCE_BITS)
    for most_m, worst in ((5_000.0, NO_ORDER), (1_500.0, NO_ORDER), (5_000.0, int(np.median(first))), (1_500.0, int(first.min()) - 1)):
        expected = [place for place in np.argsort(nearest) if nearest[place] <= most_m and first[place] <= worst]
        assert near_blocks(blocks, origin, table, most_m, worst).tolist() == expected
