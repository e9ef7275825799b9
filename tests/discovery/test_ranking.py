from __future__ import annotations

import json
import math
from decimal import ROUND_HALF_EVEN, Decimal
from uuid import UUID

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.orm import Session

from geo_o2o.discovery.queries import _CAN_REACH, _SCORED
from geo_o2o.discovery.ranking import (
    BadProfile,
    Candidate,
    Profile,
    bayes_milli,
    built_in_profiles,
    distance_points,
    parse_profile,
    rank,
    rating_points,
    reach_m,
    score,
)

BALANCED = built_in_profiles()["balanced-1"]
counts = st.integers(0, 100_000)


def test_the_default_profile_is_the_one_of_the_design() -> None:
    assert distance_points(BALANCED, 0) == 600
    assert distance_points(BALANCED, 800) == 300
    assert distance_points(BALANCED, 3200) == 38  # 37.5, half to even
    assert rating_points(BALANCED, 5000) == 400
    assert rating_points(BALANCED, 1000) == 0
    assert bayes_milli(BALANCED, category="food", rating_sum=721, rating_count=149) == 4728
    assert rating_points(BALANCED, 1005) == 0  # 0.5, half to even
    assert rating_points(BALANCED, 1015) == 2  # 1.5, half to even


@given(counts, st.floats(1, 5), st.integers(1000, 5000), st.integers(1, 500))
def test_bayes_equals_exact_decimal_arithmetic(count: int, mean: float, prior: int, prior_count: int) -> None:
    profile = Profile("p-1", 600, 800, 400, prior_count, {"default": prior})
    stars = min(max(round(count * mean), count), 5 * count)
    exact = (Decimal(prior_count) * prior + Decimal(stars) * 1000) / (prior_count + count)
    assert bayes_milli(profile, category="x", rating_sum=stars, rating_count=count) == int(exact.quantize(Decimal(1), ROUND_HALF_EVEN))


def test_the_nearest_category_above_gives_the_prior() -> None:
    profile = Profile("p-1", 1, 1, 1, 1, {"default": 3000, "food": 3500, "food.cafe": 4000})
    assert [profile.prior_of(code) for code in ("food.cafe", "food.bar", "food", "shop", "")] == [4000, 3500, 3500, 3000, 3000]


def candidate(number: int, distance_m: int, stars: int = 0, count: int = 0) -> Candidate:
    return Candidate(UUID(int=number), distance_m, "food", stars, count)


def test_ties_fall_to_the_nearer_then_to_the_smaller_id() -> None:
    nearest = built_in_profiles()["nearest-1"]
    order = [
        one.id.int for one, _ in rank([candidate(3, 100), candidate(1, 100), candidate(2, 99), candidate(9, 60_000), candidate(8, 50_000)], nearest)
    ]
    assert order == [2, 1, 3, 8, 9]


@pytest.mark.parametrize("profile", list(built_in_profiles().values()), ids=lambda one: one.name)
def test_nothing_beyond_the_reach_can_have_the_score(profile: Profile) -> None:
    for total in range(0, profile.distance_weight + profile.rating_weight + 1, 7):
        reach = reach_m(profile, total)
        if not math.isinf(reach) and reach > 0:
            beyond = math.ceil(reach + 0.5)
            assert distance_points(profile, beyond) + profile.rating_weight < total
            # And it is no looser than it must be.
            assert distance_points(profile, max(0, math.floor(reach) - 3)) + profile.rating_weight >= total - 1


@pytest.mark.parametrize("profile", list(built_in_profiles().values()), ids=lambda one: one.name)
def test_the_arithmetic_of_sql_is_that_of_python(session: Session, profile: Profile) -> None:
    """Every whole metre to 50 km, and ratings of all sizes: the same points, to the last one."""
    far = session.execute(
        sa.text(
            "SELECT d, round(CAST(:weight AS float8) * power(2::float8, -d / CAST(:half AS float8)))::bigint AS points FROM generate_series(0, 50000) d"
        ),
        {"weight": profile.distance_weight, "half": profile.half_distance_m},
    )
    assert all(row.points == distance_points(profile, row.d) for row in far)
    assert "power(2::float8, -distance_m / :half_distance_m ::float8)" in _SCORED
    rated = session.execute(
        sa.text(
            "SELECT n, s, round((CAST(:prior AS bigint) + s::bigint * 1000) / (:count + n)::float8)::bigint AS bayes"
            " FROM generate_series(0, 400) n, generate_series(n, 5 * n, greatest(n / 7, 1)) s"
        ),
        {"prior": profile.prior_count * profile.prior_of("x"), "count": profile.prior_count},
    )
    for row in rated:
        assert row.bayes == bayes_milli(profile, category="x", rating_sum=row.s, rating_count=row.n)
    points = session.execute(
        sa.text("SELECT b, round(CAST(:weight AS bigint) * (b - 1000) / 4000::float8)::bigint AS points FROM generate_series(1000::bigint, 5000) b"),
        {"weight": profile.rating_weight},
    )
    assert all(row.points == rating_points(profile, row.b) for row in points)
    assert ":rating_weight * (bayes_milli - 1000) / 4000::float8" in _SCORED
    assert "reach.total" in _CAN_REACH


@pytest.mark.parametrize(
    "change",
    [
        {"name": ""}, {"name": "a b"}, {"name": "x" * 61}, {"distance_weight": -1}, {"distance_weight": "many"}, {"half_distance_m": 0}, {"rating_weight": 10**7},
        {"prior_count": 0}, {"prior_mean": {}}, {"prior_mean": {"food": 4}}, {"prior_mean": {"default": 6}}, {"prior_mean": 3}, {"prior_mean": {"default": math.nan}},
    ],
)  # fmt: skip
def test_a_profile_that_cannot_rank_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(BadProfile):
        parse_profile({**BALANCED.as_json(), **change})
    with pytest.raises(BadProfile):
        parse_profile({name: value for name, value in BALANCED.as_json().items() if name not in change})


def test_a_profile_survives_json() -> None:
    assert parse_profile(json.loads(json.dumps(BALANCED.as_json()))) == BALANCED


@given(st.integers(0, 60_000), st.integers(0, 500), st.floats(1, 5))
def test_a_score_lies_within_the_weights(distance_m: int, count: int, mean: float) -> None:
    stars = min(max(round(mean * count), count), 5 * count)
    points = score(candidate(1, distance_m, stars, count), BALANCED)
    assert 0 <= points.distance <= 600
    assert 0 <= points.rating <= 400
    assert points.total == points.distance + points.rating
