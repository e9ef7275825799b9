"""The compiled loops do what their plain forms do; and a compiled loop is compiled again where nothing may be written."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from geo_o2o.discovery.nearest import DISTANCE_BITS, NO_ORDER, by_nearness, keep_best, near_rows, shown_columns
from geo_o2o.geo.distance import GEOD, to_ecef

ROOT = Path(__file__).parents[2]
NOTHING = np.zeros(0, dtype=np.uint64)


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


def test_the_best_orders_are_kept_with_all_that_equal_the_last() -> None:
    chance = np.random.default_rng(3)
    best = np.full(7, NO_ORDER)
    seen: list[int] = []
    for _ in range(40):
        order = chance.integers(-60, 60, chance.integers(1, 30))
        seen += order.tolist()
        rows, kept, worst = keep_best(np.arange(len(order)), order, NOTHING, NOTHING, best, NOTHING.copy(), NOTHING.copy())
        expected = sorted(seen)[:7]
        assert best.tolist() == expected + [NO_ORDER] * (7 - len(expected))
        assert worst == best[-1]
        assert (kept == order[rows]).all()
        assert kept.tolist() == [one for one in order.tolist() if one <= worst]


def test_an_id_that_comes_twice_counts_once_at_its_best() -> None:
    chance = np.random.default_rng(4)
    best, high, low = np.full(5, NO_ORDER), *np.zeros((2, 5), dtype=np.uint64)
    by_id: dict[tuple[int, int], int] = {}
    for number in range(60):
        order = chance.integers(-90, 90, 6)
        ids = chance.integers(1, 4, (2, 6)).astype(np.uint64)
        if number % 5 == 4:  # rows of which none comes twice
            ids = np.array([np.full(6, 9), np.arange(6) + 10 * number], dtype=np.uint64)
            keep_best(np.arange(6), order, NOTHING, NOTHING, best, high, low)
        else:
            keep_best(np.arange(6), order, ids[0], ids[1], best, high, low)
        for one, *id_ in zip(order.tolist(), *ids.tolist(), strict=True):
            key = (id_[0], id_[1])
            by_id[key] = min(by_id.get(key, NO_ORDER), one)
        expected = sorted(by_id.values())[:5]
        assert best.tolist() == expected + [NO_ORDER] * (5 - len(expected))


def test_points_come_in_the_order_of_their_distance() -> None:
    chance = np.random.default_rng(5)
    lonlat = np.column_stack([24.94 + chance.normal(0, 0.1, 300), 60.17 + chance.normal(0, 0.05, 300)])
    sequence, ways = by_nearness(to_ecef(lonlat), tuple(to_ecef(np.array([[24.94, 60.17]]))[0].tolist()))
    exact = GEOD.inv(np.full(300, 24.94), np.full(300, 60.17), lonlat[:, 0], lonlat[:, 1])[2]
    assert np.abs(ways - exact[sequence]).max() < 1e-3
    assert (np.diff(ways) >= 0).all()
    assert sorted(sequence.tolist()) == list(range(300))


def test_what_hits_show_is_taken_from_their_store() -> None:
    stores, source, hours = np.array([2, 0], dtype=np.int32), np.array([7, 8, 9], dtype=np.int32), np.array([1, 0, -1], dtype=np.int32)
    state = np.array([1, 0, -1], dtype=np.int8)  # the last one is that of stores without hours
    bayes, rating = np.array([4_100, 4_200, 4_300], dtype=np.int32), np.array([310, 320, 330], dtype=np.int32)
    table, end = np.arange(100, dtype=np.int64) * 2, np.array([0, 5, 6, 15, 16, 25, 26])
    order = np.array([(-900 << DISTANCE_BITS) + 30, (-800 << DISTANCE_BITS) + 40])
    found = shown_columns(np.array([0, 1]), order, stores, source, hours, state, bayes, rating, table, end)
    assert found.tolist() == [[9, -1, 30, 60, 330, 4_300, 16, 25, 26], [7, 0, 40, 80, 310, 4_100, 0, 5, 6]]


def test_where_nothing_may_be_written_it_is_compiled_for_the_process(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "geo_o2o", tmp_path / "geo_o2o", ignore=shutil.ignore_patterns("__pycache__"))
    # A file in the place of every folder that a cache could be kept in.
    (tmp_path / "geo_o2o" / "discovery" / "__pycache__").write_text("")
    (tmp_path / "home").write_text("")
    environment = {**os.environ, "HOME": str(tmp_path / "home"), "XDG_CACHE_HOME": str(tmp_path / "home" / "x"), "PYTHONDONTWRITEBYTECODE": "1"}
    command = "from geo_o2o.discovery.nearest import by_nearness as f; import numpy as n; print(f(n.zeros((2, 3)), (0.0, 0.0, 1.0))[1])"
    done = subprocess.run([sys.executable, "-c", command], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.stdout.strip() == "[1. 1.]", done.stderr[-2_000:]
