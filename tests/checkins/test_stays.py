"""A drive-by is no visit, ten minutes are one, and a receiver that wanders makes one of one and not five."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geo_o2o.checkins.geofence import KAPPA, R95_SIGMAS, circle_probability
from geo_o2o.checkins.stays import Stay, stays


def seen(
    track: list[tuple[float, float]], *, accuracy_m: float, radius_m: float = 50.0, chance: random.Random | None = None
) -> list[tuple[float, float]]:
    """Seconds and probability inside a circle, of a track of (seconds, metres from its middle); with chance the receiver errs as it says."""
    sigma_m = accuracy_m / R95_SIGMAS
    found = []
    for at_s, metres in track:
        away_m = metres if chance is None else math.hypot(metres + chance.gauss(0, sigma_m), chance.gauss(0, sigma_m))
        found.append((at_s, circle_probability(away_m, radius_m, KAPPA * sigma_m)))
    return found


def test_a_drive_by_is_no_visit() -> None:
    for speed_mps in (8, 14, 25):
        track = [(t, abs(-400 + speed_mps * t)) for t in range(0, 120, 2)]
        assert stays(seen(track, accuracy_m=10)) == []


@pytest.mark.parametrize("every_s", [5, 30, 60, 120])
def test_ten_minutes_are_one_visit(every_s: int) -> None:
    track = [(t, 300.0 if t < 300 or t > 900 else 5.0) for t in range(0, 1_200, every_s)]
    (found,) = stays(seen(track, accuracy_m=15))
    assert found.dwell_s is not None
    assert 600 - 2 * every_s <= found.dwell_s <= 600


@pytest.mark.parametrize("seed", range(20))
def test_a_receiver_that_wanders_makes_one_visit_of_one(seed: int) -> None:
    """An hour inside, by a receiver that drifts over the edge for half a minute now and then."""
    chance = random.Random(seed)
    track, drift = [], 0.0
    for t in range(0, 3_600, 10):
        drift = 0.9 * drift + chance.gauss(0, 6)
        jumped = 120.0 if t % 600 in (300, 310, 320) else 0.0
        track.append((float(t), abs(10 + drift + jumped)))
    track += [(3_600.0 + t, 400.0) for t in range(0, 200, 10)]
    assert len(stays(seen(track, accuracy_m=20, chance=chance))) == 1


def test_two_visits_are_two() -> None:
    track = [(t, 5.0 if t < 600 or 1_200 <= t < 1_800 else 500.0) for t in range(0, 2_400, 10)]
    assert [(round(one.first_s), round(one.last_s)) for one in stays(seen(track, accuracy_m=10))] == [(0, 590), (1_200, 1_790)]


def test_leaving_takes_a_minute() -> None:
    inside, outside, between = 0.9, 0.1, 0.5
    one = [(0, inside), (30, inside), (60, outside), (100, outside), (110, inside), (140, inside)]
    assert stays(one) == [Stay(0, 140, 140)]
    assert stays([*one[:4], (121, outside), (130, inside), (160, inside)]) == [Stay(0, 30, 30), Stay(130, 160, 30)]
    assert stays([(0, inside), (30, inside), (60, outside), (100, between), (150, outside), (200, inside)]) == [Stay(0, 200, 200)]


def test_where_fixes_are_missing_nobody_knows_how_long() -> None:
    assert stays([(0, 0.9), (30, 0.9), (700, 0.9)]) == [Stay(0, 700, None)]
    assert stays([(0, 0.9), (700, 0.9)]) == [], "seen once and once again is no stay"
    assert stays([(0, 0.9), (700, 0.9), (730, 0.9)]) == [Stay(700, 730, 30)]


def test_nothing_seen_is_no_visit() -> None:
    assert stays([]) == []
    assert stays([(0, 0.9)]) == []
    assert stays([(0, 0.9), (19, 0.9)]) == []
    assert stays([(0, 0.79), (1_000, 0.79)]) == []


@given(st.lists(st.tuples(st.floats(0, 400), st.floats(0, 1)), max_size=60))
def test_stays_follow_each_other_and_last_as_long_as_they_were_seen(steps: list[tuple[float, float]]) -> None:
    at_s, fixes = 0.0, []
    for step_s, p_in in steps:
        at_s += step_s
        fixes.append((at_s, p_in))
    found = stays(fixes)
    times = [time for one in found for time in (one.first_s, one.last_s)]
    assert times == sorted(times)
    for one in found:
        assert one.last_s - one.first_s >= 20
        assert one.dwell_s is None or one.dwell_s == one.last_s - one.first_s
        assert {(at, p >= 0.8) for at, p in fixes} >= {(one.first_s, True), (one.last_s, True)}
