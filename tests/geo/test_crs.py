from __future__ import annotations

import random

import pytest

from geo_o2o.geo.crs import from_wgs84, to_wgs84
from geo_o2o.geo.distance import distance_m
from geo_o2o.geo.point import Point

# Positions of one place in the three systems, as the usual public converters give them (Tiananmen, to 1e-6 degree).
TIANANMEN = Point(116.397389, 39.908722)


@pytest.mark.parametrize("crs", ["gcj02", "bd09"])
def test_100_000_round_trips_come_back_to_under_a_millimetre(crs: str) -> None:
    chance = random.Random(4)
    worst = 0.0
    for number in range(100_000):
        point = Point(chance.uniform(73.5, 134.5), chance.uniform(18.5, 53.5))
        back = to_wgs84(from_wgs84(point, crs), crs)  # type: ignore[arg-type]
        worst = max(worst, abs(back.lon - point.lon), abs(back.lat - point.lat))
        if number % 1_000 == 0:
            assert distance_m(point, back) < 0.001
    # A ten-millionth of a degree is 1.1 cm; this is 1 mm.
    assert worst < 9e-9


@pytest.mark.parametrize("crs", ["gcj02", "bd09"])
@pytest.mark.parametrize("point", [Point(24.94, 60.17), Point(-0.12, 51.5), Point(151.2, -33.9), Point(-180, 0), Point(0, 90)])
def test_outside_china_nothing_moves(crs: str, point: Point) -> None:
    assert from_wgs84(point, crs) == point  # type: ignore[arg-type]
    assert to_wgs84(point, crs) == point  # type: ignore[arg-type]


def test_the_shift_in_china_is_hundreds_of_metres() -> None:
    offsets = []
    chance = random.Random(5)
    for _ in range(2_000):
        point = Point(chance.uniform(73.5, 134.5), chance.uniform(18.5, 53.5))
        offsets.append(distance_m(point, from_wgs84(point, "gcj02")))
    # The design quotes 19 to 711 m, mean 405 m, over the same box.
    assert 15 < min(offsets) < 120
    assert 600 < max(offsets) < 720
    assert 380 < sum(offsets) / len(offsets) < 430


def test_tiananmen_is_where_everybody_puts_it() -> None:
    gcj, bd = from_wgs84(TIANANMEN, "gcj02"), from_wgs84(TIANANMEN, "bd09")
    assert (round(gcj.lon, 4), round(gcj.lat, 4)) == (116.4036, 39.9101)
    assert (round(bd.lon, 4), round(bd.lat, 4)) == (116.4100, 39.9165)


def test_wgs84_is_left_alone() -> None:
    assert to_wgs84(TIANANMEN, "wgs84") is TIANANMEN
    assert from_wgs84(TIANANMEN, "wgs84") is TIANANMEN
