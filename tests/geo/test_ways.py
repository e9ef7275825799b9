"""Distances by straight lines, corridors and cells' radii: what is claimed of them is measured here again."""

from __future__ import annotations

import math

import h3.api.basic_int as h3
import numpy as np
import pytest
import shapely

from geo_o2o.discovery.nearest import way_error_m, way_m
from geo_o2o.discovery.rings import CELL_RADIUS_M, NARROWEST_STEP_M
from geo_o2o.geo.cells import VERSIONED_RESOLUTION
from geo_o2o.geo.corridors import InvalidLine, corridor, detours_m, length_m, parse_line
from geo_o2o.geo.distance import GEOD, distance_m, ecef_of, to_ecef
from geo_o2o.geo.point import Point


def test_a_straight_line_tells_the_way_within_its_error() -> None:
    chance = np.random.default_rng(10)
    count = 200_000
    lat = np.degrees(np.arcsin(chance.uniform(-1, 1, count)))
    lon, azimuth = chance.uniform(-180, 180, count), chance.uniform(0, 360, count)
    metres = 10 ** chance.uniform(0, math.log10(200_000), count)
    there = GEOD.fwd(lon, lat, azimuth, metres)
    straight = to_ecef(np.column_stack([lon, lat])) - to_ecef(np.column_stack(there[:2]))
    error = np.abs(np.array([way_m(chord2) for chord2 in (straight**2).sum(axis=1)]) - metres)
    for farthest_m in (100, 1_000, 10_000, 50_000, 200_000):
        assert error[metres <= farthest_m].max() < way_error_m(farthest_m)
    assert way_error_m(10_000) < 3e-5


def test_one_point_and_many_are_the_same() -> None:
    for point in (Point(24.94, 60.17), Point(180, -17), Point(0, 90), Point(-120, -89.9)):
        assert to_ecef(np.array([[point.lon, point.lat]]))[0] == pytest.approx(ecef_of(point), abs=1e-8)


def test_no_store_lies_farther_from_the_middle_of_its_cell_than_assumed() -> None:
    chance = np.random.default_rng(7)
    cells = [h3.latlng_to_cell(math.degrees(math.asin(chance.uniform(-1, 1))), chance.uniform(-180, 180), VERSIONED_RESOLUTION) for _ in range(60)]
    for pentagon in h3.get_pentagons(VERSIONED_RESOLUTION):
        cells += h3.grid_disk(pentagon, 1)
    for cell in cells:
        lat, lon = h3.cell_to_latlng(cell)
        corners = np.array([corner for child in h3.cell_to_children(cell, 9) for corner in h3.cell_to_boundary(child)])
        # What lies below resolution 9 overhangs its cell by less than a tenth of the small cell again.
        away = GEOD.inv(np.full(len(corners), lon), np.full(len(corners), lat), corners[:, 1], corners[:, 0])[2].max()
        assert away + 0.15 * h3.average_hexagon_edge_length(9, unit="m") < CELL_RADIUS_M
        for ring in (1, 2, 5):
            try:
                others = h3.grid_ring(cell, ring)
            except Exception:
                continue  # around a pentagon there is no ring
            middles = np.array([h3.cell_to_latlng(other) for other in others])
            nearest = GEOD.inv(np.full(len(middles), lon), np.full(len(middles), lat), middles[:, 1], middles[:, 0])[2].min()
            assert nearest >= ring * NARROWEST_STEP_M


@pytest.mark.parametrize("begin", [Point(24.94, 60.17), Point(179.99, -17.0), Point(-179.995, 65.0), Point(10.0, 85.0)])
def test_a_corridor_holds_what_is_within_its_width_and_nothing_else(begin: Point) -> None:
    chance = np.random.default_rng(11)
    line = [begin]
    for azimuth, metres in ((70, 3_000), (150, 2_000), (80, 4_000)):
        lon, lat, _ = GEOD.fwd(line[-1].lon, line[-1].lat, azimuth, metres)
        line.append(Point(lon, lat))
    area = corridor(line, half_width_m=250)
    lon, lat, _ = GEOD.fwd(np.full(4_000, line[1].lon), np.full(4_000, line[1].lat), chance.uniform(0, 360, 4_000), chance.uniform(0, 6_000, 4_000))
    lonlat = np.column_stack([lon, lat])
    aside = detours_m(line, lonlat) / 2
    inside = shapely.intersects_xy(area, lonlat[:, 0], lonlat[:, 1])
    # The round caps are polygons of sixteen corners a quarter: inside by at most half a per cent.
    sure = np.abs(aside - 250) > 1.5
    assert inside[sure].tolist() == (aside[sure] < 250).tolist()
    assert 0.02 < inside.mean() < 0.6


@pytest.mark.parametrize("north", [True, False])
@pytest.mark.parametrize("half_width_m", [25, 100, 500, 2_000])
@pytest.mark.parametrize(
    "line",
    [
        [(0, 89.99), (180, 89.99)], [(80, 89.999), (100, 89.999)], [(0, 89.9), (0, 90)], [(0, 90), (45, 89.95)], [(170, 89.98), (-170, 89.98)],
        [(0, 89.5), (90, 89.9), (180, 89.9)], [(30, 89.2), (31, 89.1)], [(-90, 89.995), (90, 89.999), (91, 89.9)],
    ],
)  # fmt: skip
def test_a_corridor_is_right_at_the_poles(line: list[tuple[float, float]], half_width_m: int, north: bool) -> None:
    sign = 1 if north else -1
    way = [Point(lon, sign * lat) for lon, lat in line]
    area = corridor(way, half_width_m=half_width_m)
    assert area.is_valid
    chance = np.random.default_rng(half_width_m)
    count, aside = 6_000, float(max(distance_m(way[0], point) for point in way) + 3 * half_width_m)
    lon, lat, _ = GEOD.fwd(
        np.full(count, way[0].lon), np.full(count, way[0].lat), chance.uniform(0, 360, count), aside * np.sqrt(chance.uniform(0, 1, count))
    )
    # The pole itself, and the meridians on which sectors meet.
    edges, lats = np.meshgrid(np.arange(-180, 181, 45), sign * np.linspace(89.5, 90, 40))
    lonlat = np.column_stack([np.concatenate([lon, edges.ravel()]), np.concatenate([lat, lats.ravel()])])
    away = detours_m(way, lonlat) / 2
    inside = shapely.intersects_xy(area, lonlat[:, 0], lonlat[:, 1])
    sure = np.abs(away - half_width_m) > 0.01 * half_width_m + 1.0
    assert inside[sure].tolist() == (away[sure] < half_width_m).tolist()
    assert inside.any()


def test_a_line_that_goes_to_and_fro_has_the_corridor_of_what_it_covers() -> None:
    """A thousand and a half times over the same ground: as a whole it would take most of a minute."""
    line = [Point(24.9 + (k % 2) * 1e-3, 60.1 + k * 1e-6) for k in range(1_500)]
    area = corridor(line, half_width_m=400)
    chance = np.random.default_rng(5)
    lonlat = np.column_stack([chance.uniform(24.88, 24.92, 2_000), chance.uniform(60.09, 60.12, 2_000)])
    aside = detours_m(line, lonlat) / 2
    inside = shapely.intersects_xy(area, lonlat[:, 0], lonlat[:, 1])
    sure = np.abs(aside - 400) > 2.5
    assert inside[sure].tolist() == (aside[sure] < 400).tolist()


def test_the_way_out_of_the_way_is_twice_the_distance() -> None:
    begin = Point(24.94, 60.17)
    lon, lat, _ = GEOD.fwd(begin.lon, begin.lat, 90, 2_000)
    line = [begin, Point(lon, lat)]
    assert length_m(line) == pytest.approx(2_000, abs=1e-6)
    side_lon, side_lat, _ = GEOD.fwd(*GEOD.fwd(begin.lon, begin.lat, 90, 700)[:2], 0, 130)
    behind_lon, behind_lat, _ = GEOD.fwd(begin.lon, begin.lat, 270, 55)
    assert detours_m(line, np.array([[side_lon, side_lat], [behind_lon, behind_lat]])) == pytest.approx([260, 110], abs=0.1)


@pytest.mark.parametrize(
    "geojson",
    [
        None, [], {}, {"type": "Point", "coordinates": [1, 2]}, {"type": "LineString"}, {"type": "LineString", "coordinates": [[1, 2]]},
        {"type": "LineString", "coordinates": [[1, 2], [1, 2]]}, {"type": "LineString", "coordinates": [[1, 2], ["a", 2]]},
        {"type": "LineString", "coordinates": [[1, 2], [True, 2]]}, {"type": "LineString", "coordinates": [[1, 2], [999, 2]]},
        {"type": "LineString", "coordinates": [[1, 2], [float("nan"), 2]]}, {"type": "LineString", "coordinates": [[0, 0], [5, 0]]},
        {"type": "LineString", "coordinates": [[0, 0]] * 6_000}, {"type": "LineString", "coordinates": [[1, 2], [1, 2, 3, 4]]},
    ],
)  # fmt: skip
def test_no_line(geojson: object) -> None:
    with pytest.raises(InvalidLine):
        parse_line(geojson)
