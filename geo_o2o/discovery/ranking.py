"""Exact and explained ranking: integer points for distance, rating and words, by a profile that is data.

Rounding is half to even everywhere, and what is scored is what is shown: the distance in whole metres, the rating in thousandths
of a star. So the answer alone is enough to recompute every score and the order.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from importlib import resources
from typing import Any
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from ..geo.distance import LONGEST_CHORD_M
from ..stores.categories import codes_by_id
from ..stores.words import NEEDED, OF

MILLI = 1_000
LOWEST_STARS, STAR_SPAN = 1, 4
_MOST_POINTS = 1_000_000
DEFAULT_TEXT_WEIGHT = 500
DEFAULT_PROFILE = "balanced-1"
# Behind every price and every end: 10^12 is the highest price.
LAST = 1 << 42


class BadProfile(ValueError):
    """A profile that cannot rank; the message says why."""


@dataclass(frozen=True)
class Profile:
    """Weights in points, half-distance in metres, prior in stars. text_weight counts where words are asked for.

    prior_mean_milli: mean rating in thousandths of a star by category code, frozen when the profile was made; `default` for the rest.
    """

    name: str
    distance_weight: int
    half_distance_m: int
    rating_weight: int
    prior_count: int
    prior_mean_milli: Mapping[str, int]
    text_weight: int = DEFAULT_TEXT_WEIGHT

    def prior_of(self, category: str) -> int:
        """Prior mean of a category, else of the nearest category above it, in thousandths of a star."""
        code = category
        while code:
            if code in self.prior_mean_milli:
                return self.prior_mean_milli[code]
            code = code.rpartition(".")[0]
        return self.prior_mean_milli["default"]

    @cached_property
    def prior_ratings_milli(self) -> list[int]:
        """prior_count imagined ratings at the prior mean, summed, by category id from 1 on; thousandths of a star."""
        codes = codes_by_id()
        return [self.prior_count * self.prior_of(codes.get(number, "default")) for number in range(1, max(codes) + 1)]

    @cached_property
    def points_by_metre(self) -> NDArray[np.int64]:
        """Distance points of every whole metre up to the farthest that can be asked for."""
        return np.array([distance_points(self, metres) for metres in range(int(LONGEST_CHORD_M) + 2)], dtype=np.int64)

    def as_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "distance_weight": self.distance_weight,
            "half_distance_m": self.half_distance_m,
            "rating_weight": self.rating_weight,
            "text_weight": self.text_weight,
            "prior_count": self.prior_count,
            "prior_mean": {code: mean / MILLI for code, mean in self.prior_mean_milli.items()},
        }


@dataclass(frozen=True, slots=True)
class Candidate:
    """What the ranking knows of a row. distance_m: whole metres. rating_sum: stars summed over rating_count ratings.

    found, asked: grams of the words asked for that the row has, and how many were asked; both 0 without words.
    price: by what `sort=price` orders; ends: whole minutes since 1970; None of them comes last.
    """

    id: UUID
    distance_m: int
    category: str
    rating_sum: int
    rating_count: int
    found: int = 0
    asked: int = 0
    price: int | None = None
    ends: int | None = None


@dataclass(frozen=True, slots=True)
class Score:
    """Points of one candidate. bayes_milli: the rating after the prior, in thousandths of a star. text: None without words."""

    total: int
    distance: int
    rating: int
    bayes_milli: int
    text: int | None = None


def score(candidate: Candidate, profile: Profile) -> Score:
    bayes = bayes_milli(profile, category=candidate.category, rating_sum=candidate.rating_sum, rating_count=candidate.rating_count)
    distance, rating = distance_points(profile, candidate.distance_m), rating_points(profile, bayes)
    text = text_points(profile, candidate.found, candidate.asked) if candidate.asked else None
    return Score(distance + rating + (text or 0), distance, rating, bayes, text)


def rank(candidates: Iterable[Candidate], profile: Profile, sort: str = "points") -> list[tuple[Candidate, Score]]:
    """Candidates with their points, the best first; ties by distance, then by id."""
    scored = [(candidate, score(candidate, profile)) for candidate in candidates]
    return sorted(scored, key=lambda pair: (order_key(pair[0], pair[1], sort), pair[0].distance_m, pair[0].id))


def order_key(candidate: Candidate, points: Score, sort: str) -> int:
    """What a list is ordered by before distance and id; the smallest comes first."""
    match sort:
        case "distance":
            return candidate.distance_m
        case "rating":
            return -points.bayes_milli
        case "price":
            return LAST if candidate.price is None else candidate.price
        case "ending_soon":
            return LAST if candidate.ends is None else candidate.ends
    return -points.total


def distance_points(profile: Profile, distance_m: int) -> int:
    """distance_weight halved with every half_distance_m."""
    return round(profile.distance_weight * 2.0 ** (-distance_m / profile.half_distance_m))


def bayes_milli(profile: Profile, *, category: str, rating_sum: int, rating_count: int) -> int:
    """Mean of the ratings and of prior_count imagined ones at the category's prior mean, in thousandths of a star."""
    return _divide_half_even(profile.prior_count * profile.prior_of(category) + rating_sum * MILLI, profile.prior_count + rating_count)


def rating_points(profile: Profile, bayes: int) -> int:
    """0 for one star, rating_weight for five. bayes: thousandths of a star."""
    return _divide_half_even(profile.rating_weight * (bayes - LOWEST_STARS * MILLI), STAR_SPAN * MILLI)


def text_points(profile: Profile, found: int, asked: int) -> int:
    """text_weight where every gram that was asked for is there, 0 where just enough of them are (words.NEEDED of words.OF)."""
    return _divide_half_even(profile.text_weight * (OF * found - NEEDED * asked), (OF - NEEDED) * asked)


def reach_m(profile: Profile, total: int) -> float:
    """Distance in metres beyond which no candidate, however well rated, reaches this total; infinity where there is none."""
    needed = total - profile.rating_weight - 0.5
    if needed <= 0:
        return math.inf
    if profile.distance_weight <= needed:
        return 0.0
    # The distance is rounded before it is scored, so a row half a metre farther can still count as this one.
    return profile.half_distance_m * math.log2(profile.distance_weight / needed) + 1.0


def parse_profile(body: Any) -> Profile:
    """A profile from its JSON form. Raises BadProfile."""
    try:
        means = {str(code): round(float(mean) * MILLI) for code, mean in body["prior_mean"].items()}
        profile = Profile(
            name=str(body["name"]),
            distance_weight=int(body["distance_weight"]),
            half_distance_m=int(body["half_distance_m"]),
            rating_weight=int(body["rating_weight"]),
            prior_count=int(body["prior_count"]),
            prior_mean_milli=means,
            text_weight=int(body.get("text_weight", DEFAULT_TEXT_WEIGHT)),
        )
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as failure:
        raise BadProfile(f"a field of the profile is missing or of the wrong type: {failure!r}") from failure
    if not 1 <= len(profile.name) <= 60 or not profile.name.replace("-", "").isalnum():
        raise BadProfile("a profile's name has letters, digits and dashes, as balanced-2")
    if not all(0 <= weight <= _MOST_POINTS for weight in (profile.distance_weight, profile.rating_weight, profile.text_weight)):
        raise BadProfile(f"weights are points from 0 to {_MOST_POINTS}")
    # Below 50 m the points of the farthest rows would be smaller than any number PostgreSQL can hold.
    if not 50 <= profile.half_distance_m <= 1_000_000:
        raise BadProfile("half_distance_m lies in 50..1000000 metres")
    if not 1 <= profile.prior_count <= 1_000_000:
        raise BadProfile("prior_count lies in 1..1000000")
    if "default" not in means or not all(MILLI <= mean <= 5 * MILLI for mean in means.values()):
        raise BadProfile("prior_mean has a default, and means from 1 to 5 stars")
    return profile


@cache
def built_in_profiles() -> dict[str, Profile]:
    rows = json.loads(resources.files(__package__).joinpath("profiles.json").read_text(encoding="utf-8"))
    return {profile.name: profile for profile in map(parse_profile, rows)}


def _divide_half_even(numerator: int, denominator: int) -> int:
    """numerator / denominator rounded half to even, exactly. denominator > 0."""
    quotient, remainder = divmod(numerator, denominator)
    twice = 2 * remainder
    return quotient + (1 if twice > denominator or (twice == denominator and quotient % 2) else 0)
