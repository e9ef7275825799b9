"""A year of invented visits: people who live somewhere, like some places better than others, come back, and find doors closed at night.

The same for the same seed and stores. Where somebody goes depends on how far it is (a half of the interest is gone after each
HALF_DISTANCE_M), on how well known the place is, and on the hour that suits its kind; half of all visits are to a person's own few
favourites. Weeks differ: more before Christmas, fewer in July.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..geo.distance import distances_m
from ..geo.point import Point

HOURS_OF_WEEK = 168
HALF_DISTANCE_M = 350.0
_VISITS_PER_WEEK = 0.9
_FAVOURITES = 3
_FAITHFUL_SHARE = 0.5
# How far people live from the middle, metres; and from how many places they come.
_SPREAD_M = 700.0
_QUARTERS = 40
_M_PER_DEG = 111_200.0

# Share of a day's visits in each hour, by kind of place, from midnight on; any scale.
_DAY = {
    "food": (1, 1, 0, 0, 0, 0, 1, 3, 5, 5, 6, 12, 14, 10, 6, 6, 7, 10, 12, 11, 9, 7, 5, 3),
    "food.cafe": (0, 0, 0, 0, 0, 0, 2, 8, 12, 12, 10, 9, 10, 10, 10, 9, 7, 5, 3, 2, 1, 0, 0, 0),
    "food.bar": (8, 5, 2, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 2, 2, 3, 5, 8, 10, 12, 14, 15, 14, 12),
    "food.pub": (8, 5, 2, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 2, 2, 3, 5, 8, 10, 12, 14, 15, 14, 12),
    "shop": (0, 0, 0, 0, 0, 0, 0, 1, 2, 4, 8, 9, 10, 10, 10, 11, 13, 13, 9, 5, 2, 1, 0, 0),
    "leisure": (2, 1, 0, 0, 0, 0, 1, 2, 2, 4, 6, 7, 7, 7, 7, 8, 10, 13, 14, 12, 8, 6, 5, 3),
    "": (0, 0, 0, 0, 0, 0, 0, 2, 6, 10, 10, 9, 8, 9, 10, 10, 9, 6, 3, 2, 1, 0, 0, 0),
}
# Monday to Sunday; evenings belong to the weekend.
_WEEK = {"food.bar": (3, 4, 5, 7, 13, 14, 4), "food.pub": (3, 4, 5, 7, 13, 14, 4), "shop": (6, 6, 7, 7, 9, 11, 5), "": (7, 7, 7, 8, 9, 9, 6)}


@dataclass(frozen=True)
class Place:
    """A store as the crowd sees it. fame: any positive number. open_hours: for each hour of a week, Monday first, whether it is open."""

    at: Point
    category: str
    fame: float
    open_hours: NDArray[np.bool_]


@dataclass(frozen=True)
class Week:
    """Visits of one week, in arrays of one length: person and place by number, seconds since Monday, midnight in the city's time."""

    person: NDArray[np.int64]
    place: NDArray[np.int64]
    second: NDArray[np.int64]


def weeks(places: Sequence[Place], *, people: int, numbers: Sequence[int], seed: int) -> Iterator[Week]:
    """Visits week by week. numbers: of the ISO weeks, which say what season it is. No places, no visits."""
    if not places or people < 1:
        return
    chance = np.random.default_rng(seed)
    odds = _odds(places, chance)
    quarter = chance.integers(len(odds), size=people)
    rate = chance.gamma(1.2, _VISITS_PER_WEEK / 1.2, size=people)
    favourites = np.stack([_draw(odds, quarter, chance) for _ in range(_FAVOURITES)], axis=1)
    for number in numbers:
        times = chance.poisson(rate * _season(number))
        person = np.repeat(np.arange(people), times)
        pick = np.where(
            chance.random(len(person)) < _FAITHFUL_SHARE,
            favourites[person, chance.integers(_FAVOURITES, size=len(person))],
            _draw(odds, quarter[person], chance),
        )
        place, hour = np.divmod(pick, HOURS_OF_WEEK)
        yield Week(person, place, hour * 3_600 + chance.integers(3_600, size=len(person)))


def hours_that_suit(category: str) -> NDArray[np.float64]:
    """How much each hour of a week, Monday first, suits a kind of place; any scale."""
    day, week = _of_kind(_DAY, category), _of_kind(_WEEK, category)
    return np.outer(week, day).ravel().astype(np.float64)


def _of_kind(table: Mapping[str, tuple[int, ...]], category: str) -> tuple[int, ...]:
    while category not in table:
        category = category.rpartition(".")[0]
    return table[category]


def _odds(places: Sequence[Place], chance: np.random.Generator) -> NDArray[np.float64]:
    """For each quarter that people come from, the running sum of the odds of every place and hour; shape (quarters, places x 168)."""
    lonlat = np.array([(place.at.lon, place.at.lat) for place in places])
    middle = lonlat.mean(axis=0)
    reach = np.array([_SPREAD_M / (_M_PER_DEG * np.cos(np.radians(middle[1]))), _SPREAD_M / _M_PER_DEG])
    homes = middle + chance.normal(size=(_QUARTERS, 2)) * reach
    suits = np.stack([hours_that_suit(place.category) * place.open_hours for place in places])
    fame = np.array([place.fame for place in places])
    found = []
    for lon, lat in homes:
        pull = fame * 2.0 ** (-distances_m(Point(float(lon), float(lat)), lonlat) / HALF_DISTANCE_M)
        found.append(np.cumsum((pull[:, None] * suits).ravel()))
    return np.stack(found)


def _draw(odds: NDArray[np.float64], quarter: NDArray[np.int64], chance: np.random.Generator) -> NDArray[np.int64]:
    """For each quarter given one place and hour, as place x 168 + hour."""
    picked = np.empty(len(quarter), dtype=np.int64)
    for number in np.unique(quarter):
        here = quarter == number
        picked[here] = np.searchsorted(odds[number], chance.random(int(here.sum())) * odds[number][-1], side="right")
    return np.minimum(picked, odds.shape[1] - 1)


def _season(number: int) -> float:
    """What share of a usual week's visits an ISO week has."""
    return 0.75 if 26 <= number <= 31 else 1.35 if 49 <= number <= 51 else 0.9 if number in (1, 2, 53) else 1.0
