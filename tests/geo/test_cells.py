from __future__ import annotations

import itertools
import math
import random

import h3.api.basic_int as h3
import numpy as np
import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from geo_o2o.geo.bounds import Bounds
from geo_o2o.geo.cells import (
    STORED_RESOLUTION,
    AreaTooLarge,
    boundary,
    cell_of,
    centre_of,
    descendants,
    parent,
    parents,
    parse_hex,
    resolution_of,
    shard_cells_of_bounds,
    shard_cells_of_circle,
    to_hex,
)
from geo_o2o.geo.distance import GEOD, distance_m
from geo_o2o.geo.point import Point


def random_point(chance: random.Random) -> Point:
    """Uniform on the sphere."""
    return Point(chance.uniform(-180, 180), 90 - 180 / math.pi * math.acos(chance.uniform(-1, 1)))


def pentagons(up_to: int) -> list[int]:
    return [cell for resolution in range(up_to + 1) for cell in h3.get_pentagons(resolution)]


def test_parent_and_range_agree_with_h3_on_100_000_random_cells() -> None:
    chance = random.Random(1)
    for _ in range(100_000):
        cell = cell_of(random_point(chance), STORED_RESOLUTION)
        resolution = chance.randint(0, STORED_RESOLUTION)
        ancestor = h3.cell_to_parent(cell, resolution)
        assert parent(cell, resolution) == ancestor
        first, last = descendants(ancestor)
        assert first <= cell <= last


def test_no_cell_of_another_parent_lies_in_the_range() -> None:
    chance = random.Random(2)
    for _ in range(20_000):
        cell = cell_of(random_point(chance), STORED_RESOLUTION)
        resolution = chance.randint(0, STORED_RESOLUTION)
        other = chance.choice(h3.grid_disk(h3.cell_to_parent(cell, resolution), 1))
        first, last = descendants(other)
        assert (first <= cell <= last) == (h3.cell_to_parent(cell, resolution) == other)


def test_ranges_hold_for_every_pentagon_and_all_their_children() -> None:
    for cell in pentagons(up_to=11):
        first, last = descendants(cell)
        for child in h3.cell_to_children(cell, min(resolution_of(cell) + 2, STORED_RESOLUTION)):
            child_first, child_last = descendants(child)
            assert first <= child_first <= child_last <= last
            assert parent(child, resolution_of(cell)) == cell


def test_siblings_have_ranges_apart() -> None:
    for cell in [*pentagons(up_to=3), cell_of(Point(24.94, 60.17), 6)]:
        ranges = sorted(descendants(child) for child in h3.cell_to_children(cell, resolution_of(cell) + 1))
        assert all(left[1] < right[0] for left, right in itertools.pairwise(ranges))


def test_sql_functions_equal_python(session: Session) -> None:
    chance = random.Random(3)
    cells = [cell_of(random_point(chance), 12) for _ in range(2_000)] + [h3.cell_to_center_child(one, 12) for one in pentagons(up_to=11)]
    for resolution in range(13):
        rows = session.execute(
            sa.text(
                "SELECT cell, h3_parent(cell, :r) AS parent, h3_first(h3_parent(cell, :r)) AS first, h3_last(h3_parent(cell, :r)) AS last"
                " FROM unnest(CAST(:cells AS bigint[])) AS cell"
            ),
            {"r": resolution, "cells": cells},
        )
        for row in rows:
            assert row.parent == parent(row.cell, resolution)
            assert (row.first, row.last) == descendants(row.parent)


@pytest.mark.parametrize("radius_m", [1, 50, 500, 3_000, 10_000, 50_000])
def test_the_cover_of_a_circle_misses_no_shard(radius_m: int) -> None:
    chance = random.Random(radius_m)
    for _ in range(60):
        centre = random_point(chance)
        cover = set(shard_cells_of_circle(centre, radius_m))
        for _ in range(60):
            lon, lat, _ = GEOD.fwd(centre.lon, centre.lat, chance.uniform(0, 360), radius_m * chance.random() ** 0.25)
            assert parent(cell_of(Point(lon, lat)), 4) in cover


@pytest.mark.parametrize("centre", [Point(180, 0), Point(-180, 65), Point(0, 90), Point(30, -90), Point(179.99, -45)])
def test_the_cover_holds_at_the_date_line_and_the_poles(centre: Point) -> None:
    cover = set(shard_cells_of_circle(centre, 20_000))
    for azimuth in range(0, 360, 5):
        lon, lat, _ = GEOD.fwd(centre.lon, centre.lat, azimuth, 19_999)
        assert parent(cell_of(Point(lon, lat)), 4) in cover


@pytest.mark.parametrize(
    "bounds",
    [
        Bounds(24.9, 60.1, 25.0, 60.2),
        Bounds(179.5, -1, -179.5, 1),
        Bounds(-10, 35, 5, 45),
        Bounds(100, 88, 120, 90),
        Bounds(-0.001, 51.5, 0.001, 51.501),
    ],
)
def test_the_cover_of_a_box_misses_no_shard(bounds: Bounds) -> None:
    chance = random.Random(5)
    cover = set(shard_cells_of_bounds(bounds))
    width = (bounds.east - bounds.west) % 360
    for _ in range(3_000):
        lon = bounds.west + chance.random() * width
        point = Point(lon - 360 if lon > 180 else lon, chance.uniform(bounds.south, bounds.north))
        assert parent(cell_of(point), 4) in cover


def test_a_box_around_the_world_is_refused() -> None:
    with pytest.raises(AreaTooLarge):
        shard_cells_of_bounds(Bounds(-180, -90, 180, 90))


def test_hexadecimal_round_trip_and_refusals() -> None:
    cell = cell_of(Point(24.94, 60.17), 9)
    assert parse_hex(to_hex(cell)) == cell
    for text in ("", "xyz", "0", "ffffffffffffffff", "8" * 60):
        with pytest.raises(ValueError):
            parse_hex(text)


def test_parent_refuses_a_finer_resolution() -> None:
    with pytest.raises(ValueError):
        parent(cell_of(Point(0, 0), 5), 6)


def test_a_boundary_runs_on_past_the_date_line() -> None:
    ring = boundary(cell_of(Point(180, 10), 4))
    lons = [lon for lon, _ in ring]
    assert max(lons) > 180 > min(lons)
    assert ring[0] == ring[-1]


def test_a_cell_holds_its_centre() -> None:
    cell = cell_of(Point(121.0, 24.8))
    assert cell_of(centre_of(cell)) == cell
    assert distance_m(centre_of(cell), Point(121.0, 24.8)) < 12


def test_ancestors_of_an_array_are_those_of_each_cell() -> None:
    cells = np.array([cell_of(Point(lon, lat), 9) for lon in range(-170, 180, 17) for lat in range(-80, 90, 13)], dtype=np.int64)
    for resolution in (0, 4, 7, 8, 9):
        assert parents(cells, resolution).tolist() == [parent(cell, resolution) for cell in cells.tolist()]
        assert parents(cells, resolution).tolist() == [h3.cell_to_parent(cell, resolution) for cell in cells.tolist()]
