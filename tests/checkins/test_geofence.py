from __future__ import annotations

import math

import numpy as np
import pytest
from shapely.geometry import MultiPolygon, Polygon, box
from shapely.geometry import Point as Dot

from geo_o2o.checkins.geofence import R95_SIGMAS, Fence, Fix, area_probability, circle_probability, judge
from geo_o2o.geo.distance import GEOD
from geo_o2o.geo.point import Point

ANDROID, WEB = 1 / 1.5096, 1 / 2.4477
SHOP = box(-12.5, -10, 12.5, 10)
SHOP_WITH_BUFFER = SHOP.buffer(20, join_style="mitre")
STORE = Point(24.9414, 60.1690)


@pytest.mark.parametrize(
    ("offset_m", "accuracy_m", "p", "as_web", "cautious"),
    [
        (0, 20, 0.999, 1.000, 0.958),
        (30, 20, 0.909, 0.990, 0.770),
        (50, 20, 0.447, 0.467, 0.419),
        (80, 20, 0.009, 0.000, 0.048),
        (0, 50, 0.680, 0.950, 0.397),
    ],
)
def test_the_table_of_the_design_for_a_circle_of_50_m(offset_m: float, accuracy_m: float, p: float, as_web: float, cautious: float) -> None:
    assert circle_probability(offset_m, 50, accuracy_m * ANDROID) == pytest.approx(p, abs=0.001)
    assert circle_probability(offset_m, 50, accuracy_m * WEB) == pytest.approx(as_web, abs=0.001)
    assert circle_probability(offset_m, 50, accuracy_m * ANDROID * 1.5) == pytest.approx(cautious, abs=0.001)


@pytest.mark.parametrize(("accuracy_m", "p"), [(5, 0.997), (10, 0.817), (20, 0.360), (50, 0.070)])
def test_the_table_of_the_design_for_a_footprint(accuracy_m: float, p: float) -> None:
    assert area_probability((0, 0), SHOP, accuracy_m * ANDROID) == pytest.approx(p, abs=0.001)


@pytest.mark.parametrize(("accuracy_m", "p"), [(5, 1.000), (10, 1.000), (20, 0.963), (50, 0.428)])
def test_the_table_of_the_design_for_the_buffered_footprint(accuracy_m: float, p: float) -> None:
    assert area_probability((0, 0), SHOP_WITH_BUFFER, accuracy_m * ANDROID) == pytest.approx(p, abs=0.001)


@pytest.mark.parametrize(("accuracy_m", "p"), [(5, 0.999), (10, 0.934), (20, 0.764), (50, 0.373)])
def test_the_table_of_the_design_from_10_m_outside_the_wall(accuracy_m: float, p: float) -> None:
    assert area_probability((0, 20), SHOP_WITH_BUFFER, accuracy_m * ANDROID) == pytest.approx(p, abs=0.001)


def test_the_same_accuracy_means_different_things() -> None:
    assert circle_probability(0, 30, 50 * ANDROID) == pytest.approx(0.34, abs=0.005)
    assert circle_probability(0, 30, 50 * WEB) == pytest.approx(0.66, abs=0.005)


RING_OF_A_COURTYARD = Polygon([(-40, -40), (40, -40), (40, 40), (-40, 40)], holes=[[(-15, -15), (-15, 15), (15, 15), (15, -15)]])
L_SHAPE = Polygon([(0, 0), (60, 0), (60, 20), (20, 20), (20, 60), (0, 60)])
TWO_WINGS = MultiPolygon([box(-50, -10, -20, 10), box(20, -10, 50, 10)])


@pytest.mark.parametrize("area", [RING_OF_A_COURTYARD, L_SHAPE, TWO_WINGS], ids=["hole", "L", "two parts"])
@pytest.mark.parametrize("place", [(0.0, 0.0), (10.0, 10.0), (35.0, -5.0), (70.0, 70.0)])
@pytest.mark.parametrize("sigma_m", [4.0, 25.0])
def test_the_exact_formula_equals_monte_carlo(area: Polygon | MultiPolygon, place: tuple[float, float], sigma_m: float) -> None:
    import shapely

    samples = np.random.default_rng(8).normal(place, sigma_m, size=(2_000_000, 2))
    inside = shapely.contains_xy(area, samples[:, 0], samples[:, 1]).mean()
    assert area_probability(place, area, sigma_m) == pytest.approx(inside, abs=0.001)


def test_a_720_gon_is_a_circle() -> None:
    gon = Dot(0, 0).buffer(50, quad_segs=180)
    assert area_probability((30, 0), gon, 20.0) == pytest.approx(circle_probability(30, 50, 20.0), abs=0.0001)


def test_the_turning_of_rings_and_a_fix_on_an_edge_make_no_difference() -> None:
    assert area_probability((3, 4), L_SHAPE, 10) == pytest.approx(area_probability((3, 4), L_SHAPE.reverse(), 10))
    assert area_probability((30, 0), L_SHAPE, 10) == pytest.approx(area_probability((30, 1e-9), L_SHAPE, 10), abs=1e-6)
    assert area_probability((0, 0), L_SHAPE, 10) == pytest.approx(0.25, abs=0.03)


@pytest.mark.parametrize(
    ("distance_m", "radius_m", "sigma_m", "p"), [(5_000, 50, 0.5, 0.0), (0, 5_000, 0.5, 1.0), (1e7, 50, 200, 0.0), (10, 1_000, 1, 1.0)]
)
def test_far_inside_and_far_outside_are_certain(distance_m: float, radius_m: float, sigma_m: float, p: float) -> None:
    assert circle_probability(distance_m, radius_m, sigma_m) == p


def fix(east_m: float, north_m: float, accuracy_m: float = 10, *, kind: str = "p68", mock: bool = False) -> Fix:
    lon, lat, _ = GEOD.fwd(STORE.lon, STORE.lat, math.degrees(math.atan2(east_m, north_m)), math.hypot(east_m, north_m))
    return Fix(at=Point(lon, lat), accuracy_m=accuracy_m, kind=kind, mock=mock)  # type: ignore[arg-type]


def test_a_good_fix_at_the_door_is_located() -> None:
    verdict = judge([fix(5, 5)], Fence(STORE))
    assert (verdict.level, verdict.reasons) == (1, ())
    assert verdict.distance_m == pytest.approx(math.hypot(5, 5), abs=0.01)
    assert verdict.r95_m == pytest.approx(R95_SIGMAS * 10 / 1.5096, abs=0.01)


@pytest.mark.parametrize(
    ("fixes", "reasons"),
    [
        ([fix(200, 0)], ("p_in_low",)),
        ([fix(0, 0, 120)], ("accuracy_low", "p_in_low")),
        ([fix(0, 0, mock=True)], ("R01",)),
        ([fix(0, 0), fix(1, 1, mock=True)], ("R01",)),
    ],
)
def test_what_keeps_the_level_down_is_told(fixes: list[Fix], reasons: tuple[str, ...]) -> None:
    verdict = judge(fixes, Fence(STORE))
    assert (verdict.level, verdict.reasons) == (0, reasons)


def test_one_outlier_of_five_does_not_move_the_visitor_but_widens_the_doubt() -> None:
    calm = judge([fix(2, 0), fix(0, 2), fix(-2, 0), fix(0, -2), fix(0, 0)], Fence(STORE))
    wild = judge([fix(2, 0), fix(0, 2), fix(-2, 0), fix(0, -2), fix(300, 0)], Fence(STORE))
    assert calm.level == 1
    assert wild.distance_m < 3
    assert wild.r95_m > 300
    assert wild.level == 0


def test_five_fixes_are_no_better_than_one() -> None:
    assert judge([fix(30, 0)] * 5, Fence(STORE)).p_in == pytest.approx(judge([fix(30, 0)], Fence(STORE)).p_in)


def test_a_footprint_counts_with_20_m_around_it() -> None:
    lonlat = [GEOD.fwd(STORE.lon, STORE.lat, math.degrees(math.atan2(x, y)), math.hypot(x, y))[:2] for x, y in SHOP.exterior.coords]
    fence = Fence(STORE, MultiPolygon([Polygon(lonlat)]))
    assert fence.name == "buffer20"
    expected = area_probability((22.5, 0), SHOP_WITH_BUFFER, 10 * ANDROID * 1.5)
    assert judge([fix(22.5, 0)], fence).p_in == pytest.approx(expected, abs=0.001)


def test_the_fence_of_a_store_without_footprint_has_its_own_radius() -> None:
    assert Fence(STORE).name == "circle50"
    assert Fence(STORE, radius_m=200).name == "circle200"
    assert judge([fix(150, 0)], Fence(STORE, radius_m=200)).level == 1


def test_no_phone_is_believed_to_be_right_to_a_millimetre() -> None:
    assert judge([fix(0, 0, 0.0)], Fence(STORE)).r95_m == pytest.approx(R95_SIGMAS * 0.5)
