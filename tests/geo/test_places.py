"""Points, boxes, distances, shapes, tiles."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.orm import Session

from geo_o2o.geo.bounds import Bounds
from geo_o2o.geo.distance import area_m2, distance_m, distances_m
from geo_o2o.geo.local import to_local_m
from geo_o2o.geo.point import Point
from geo_o2o.geo.shapes import MAX_VERTICES, InvalidShape, parse_area
from geo_o2o.geo.tiles import Tile

lons, lats = st.floats(-180, 180), st.floats(-90, 90)
SQUARE = [[0, 0], [1, 0], [1, 1], [0, 1], [0, 0]]


@pytest.mark.parametrize(("lon", "lat"), [(181, 0), (-180.1, 0), (0, 91), (0, -90.5), (math.nan, 0), (0, math.nan), (math.inf, 0), (0, -math.inf)])
def test_a_point_outside_the_earth_is_refused(lon: float, lat: float) -> None:
    with pytest.raises(ValueError):
        Point(lon, lat)


def test_a_box_with_south_above_north_is_refused() -> None:
    with pytest.raises(ValueError):
        Bounds(0, 2, 1, 1)


def test_a_box_across_the_date_line_has_two_parts_and_holds_both_sides() -> None:
    box = Bounds(170, -10, -170, 10)
    assert box.crosses_date_line
    assert len(box.parts()) == 2
    assert box.contains(Point(175, 0))
    assert box.contains(Point(-175, 0))
    assert not box.contains(Point(0, 0))


@given(st.floats(-180, 170), st.floats(-89, 80), st.floats(0.001, 60), st.floats(0.001, 9), st.floats(0, 1), st.floats(0, 1))
def test_the_circle_of_a_box_holds_the_whole_box(west: float, south: float, width: float, height: float, x: float, y: float) -> None:
    east = west + width
    box = Bounds(west, south, east - 360 if east > 180 else east, south + height)
    centre, radius_m = box.circle()
    lon = west + width * x
    assert distance_m(centre, Point(lon - 360 if lon > 180 else lon, south + height * y)) <= radius_m


def test_distances_equal_postgis(session: Session) -> None:
    chance = random.Random(6)
    points = [(chance.uniform(-180, 180), chance.uniform(-90, 90)) for _ in range(500)] + [(180.0, 5.0), (-180.0, 5.0), (0.0, 90.0), (7.0, -90.0)]
    origin = Point(179.9, 12.0)
    ours = distances_m(origin, np.array(points))
    rows = session.execute(
        sa.text(
            "SELECT ST_Distance(ST_SetSRID(ST_MakePoint(179.9, 12), 4326)::geography, ST_SetSRID(ST_MakePoint(x, y), 4326)::geography)"
            " FROM unnest(CAST(:xs AS float8[]), CAST(:ys AS float8[])) WITH ORDINALITY AS p(x, y, n) ORDER BY n"
        ),
        {"xs": [lon for lon, _ in points], "ys": [lat for _, lat in points]},
    ).scalars()
    assert np.allclose(ours, list(rows), atol=1e-5)


def test_distances_of_nothing_and_of_nonsense() -> None:
    assert distances_m(Point(0, 0), np.empty((0, 2))).shape == (0,)
    for bad in ([[181, 0]], [[0, math.nan]], [[math.inf, 0]]):
        with pytest.raises(ValueError):
            distances_m(Point(0, 0), np.array(bad))


def test_a_tenth_of_a_degree_at_the_equator() -> None:
    # The ellipsoid's own length, and not the sphere's 11,119.5 m.
    assert distance_m(Point(0, 0), Point(0.1, 0)) == pytest.approx(11_131.95, abs=0.01)


@given(lons, lats)
def test_local_metres_keep_the_distance_from_the_origin(lon: float, lat: float) -> None:
    origin = Point(24.94, 60.17)
    x, y = to_local_m(origin, np.array([[lon, lat]]))[0]
    assert math.hypot(x, y) == pytest.approx(distance_m(origin, Point(lon, lat)), abs=1e-6)


def polygon(*rings: list[list[float]]) -> dict[str, object]:
    return {"type": "Polygon", "coordinates": list(rings)}


@pytest.mark.parametrize(
    ("geojson", "code"),
    [
        (None, "not_an_area"),
        ({"type": "Point", "coordinates": [0, 0]}, "not_an_area"),
        ({"type": "Polygon"}, "not_an_area"),
        ({"type": "Polygon", "coordinates": []}, "not_an_area"),
        ({"type": "Polygon", "coordinates": "abc"}, "not_an_area"),
        (polygon([[0, 0], [1, 1], [0, 0]]), "ring_not_closed"),
        (polygon([[0, 0], [1, 0], [1, 1], [0, 1]]), "ring_not_closed"),
        (polygon([[0, 0], [1, 1], [1, 0], [0, 1], [0, 0]]), "area_invalid"),
        (polygon([[0, 0], [1, 0], [2, 0], [0, 0]]), "area_invalid"),
        (polygon([[0, 0], [1, 0], [1, 91], [0, 0]]), "position_out_of_range"),
        (polygon([[0, 0], [1, 0], [math.nan, 1], [0, 0]]), "position_out_of_range"),
        (polygon([[0, 0], [True, 0], [1, 1], [0, 0]]), "not_an_area"),
        (polygon([[0, 0], ["1", 0], [1, 1], [0, 0]]), "not_an_area"),
        (polygon([[179, 0], [-179, 0], [-179, 1], [179, 1], [179, 0]]), "area_crosses_date_line"),
        (polygon([[-180, 70], [180, 70], [180, 80], [-180, 80], [-180, 70]]), "area_crosses_date_line"),
        (polygon([[0, 0], *([0.5, 0.5] for _ in range(MAX_VERTICES)), [0, 0]]), "too_many_vertices"),
    ],
)
def test_a_broken_area_is_refused_by_code(geojson: object, code: str) -> None:
    if code == "too_many_vertices":
        geojson = {"type": "MultiPolygon", "coordinates": [geojson["coordinates"]]}  # type: ignore[index]
    with pytest.raises(InvalidShape) as refused:
        parse_area(geojson)
    assert refused.value.code == code


def test_a_bow_tie_of_a_file_is_mended() -> None:
    mended = parse_area(polygon([[0, 0], [1, 1], [1, 0], [0, 1], [0, 0]]), repair=True)
    assert mended.is_valid
    assert mended.area == pytest.approx(0.5)


def test_rings_are_turned_and_holes_kept() -> None:
    hole = [[0.2, 0.2], [0.8, 0.2], [0.8, 0.8], [0.2, 0.8], [0.2, 0.2]]
    area = parse_area(polygon(SQUARE[::-1], hole))
    assert area.geom_type == "MultiPolygon"
    assert area.geoms[0].exterior.is_ccw
    assert not area.geoms[0].interiors[0].is_ccw
    assert area.area == pytest.approx(1 - 0.36)


def test_an_area_on_both_sides_of_the_date_line_is_taken_as_two_parts() -> None:
    west = [[179, 0], [180, 0], [180, 1], [179, 1], [179, 0]]
    east = [[-180, 0], [-179, 0], [-179, 1], [-180, 1], [-180, 0]]
    area = parse_area({"type": "MultiPolygon", "coordinates": [[west], [east]]})
    assert len(area.geoms) == 2
    assert area_m2(area) == pytest.approx(2 * area_m2(parse_area(polygon(SQUARE))), rel=1e-6)


def test_tiles_tell_their_bounds() -> None:
    assert Tile(0, 0, 0).bounds().west == -180
    helsinki = Tile(14, 9327, 4742).bounds()
    assert helsinki.contains(Point(24.9414, 60.1690))


@pytest.mark.parametrize(("z", "x", "y"), [(-1, 0, 0), (23, 0, 0), (1, 2, 0), (1, 0, 2), (3, -1, 0)])
def test_a_tile_that_is_not_there_is_refused(z: int, x: int, y: int) -> None:
    with pytest.raises(ValueError):
        Tile(z, x, y)
