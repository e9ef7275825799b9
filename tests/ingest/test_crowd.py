from __future__ import annotations

import numpy as np
import pytest

from geo_o2o.geo.distance import distance_m
from geo_o2o.geo.point import Point
from geo_o2o.ingest.crowd import HOURS_OF_WEEK, Place, hours_that_suit, weeks

ALWAYS = np.ones(HOURS_OF_WEEK, dtype=bool)
MIDDLE = Point(24.94, 60.17)


def place(east_m: float = 0.0, *, category: str = "food", fame: float = 1.0, open_hours: np.ndarray = ALWAYS) -> Place:
    return Place(Point(MIDDLE.lon + east_m / 55_500, MIDDLE.lat), category, fame, open_hours)


def year(places: list[Place], *, people: int = 2_000, numbers: tuple[int, ...] = (10, 11, 12, 13), seed: int = 1) -> list[tuple[int, int, int, int]]:
    """Week, person, place, hour of the week of every visit."""
    found = weeks(places, people=people, numbers=numbers, seed=seed)
    return [
        (number, int(person), int(where), int(second) // 3_600)
        for number, week in zip(numbers, found, strict=True)
        for person, where, second in zip(week.person, week.place, week.second, strict=True)
    ]


def test_the_same_seed_makes_the_same_visits() -> None:
    places = [place(100 * number) for number in range(5)]
    assert year(places) == year(places)
    assert year(places) != year(places, seed=2)
    assert list(weeks([], people=9, numbers=[1], seed=1)) == []


def test_nobody_goes_where_it_is_closed_and_few_where_it_is_far() -> None:
    mornings = np.zeros(HOURS_OF_WEEK, dtype=bool)
    mornings[8:12] = True
    places = [place(0, open_hours=mornings), place(0), place(3_000)]
    visits = year(places)
    assert {hour for _, _, where, hour in visits if where == 0} <= {8, 9, 10, 11}
    near, far = (sum(where == number for _, _, where, _ in visits) for number in (1, 2))
    assert 0 < far < near / 2
    assert distance_m(places[1].at, places[2].at) == pytest.approx(3_000, rel=0.02)


def test_people_come_back_and_some_weeks_are_fuller() -> None:
    places = [place(50 * number) for number in range(40)]
    visits = year(places, numbers=(28, 35, 50), people=4_000)
    count = [sum(week == number for week, *_ in visits) for number in (28, 35, 50)]
    assert count[0] < count[1] < count[2]
    pairs = [(person, where) for _, person, where, _ in visits]
    # Forty equal places and no favourites would bring hardly anybody to one of them twice.
    assert len(pairs) - len(set(pairs)) > 0.15 * len(pairs)


@pytest.mark.parametrize(
    ("category", "busy", "quiet"), [("food.cafe.bakery", 9, 2), ("food.bar", 22, 9), ("shop.books", 16, 4), ("unheard.of", 10, 3)]
)
def test_each_kind_has_its_hours(category: str, busy: int, quiet: int) -> None:
    suits = hours_that_suit(category)
    assert suits.shape == (HOURS_OF_WEEK,)
    assert suits[busy] > suits[quiet]


def test_well_known_places_draw_more() -> None:
    visits = year([place(0, fame=1), place(0, fame=9)])
    count = [sum(where == number for _, _, where, _ in visits) for number in (0, 1)]
    assert count[1] == pytest.approx(9 * count[0], rel=0.3)
