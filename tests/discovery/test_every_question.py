"""10,000 random questions over all filters, shapes, words and orders: the shelf's answers equal brute force, and so do those of SQL."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from shapely.geometry import MultiPolygon, Polygon

from geo_o2o.discovery.answer import hits_of
from geo_o2o.discovery.items import items_of_hits
from geo_o2o.discovery.ordered import rows_in_order
from geo_o2o.discovery.question import After, Filters, Question, Where
from geo_o2o.discovery.ranking import Profile, built_in_profiles
from geo_o2o.discovery.reading import circle_of, read_words
from geo_o2o.discovery.selection import Views
from geo_o2o.discovery.walk import Walk
from geo_o2o.geo.cells import cell_of
from geo_o2o.geo.corridors import corridor
from geo_o2o.geo.point import Point
from geo_o2o.stores.categories import with_descendants

from .conftest import NOW, London
from .judge import Judge

QUESTIONS = 10_000
# SQL is judged by every so manieth question: it takes ten times as long.
BY_SQL = 20
PROFILES = [
    *built_in_profiles().values(),
    Profile("odd-1", 777, 333, 1234, 3, {"default": 3333, "food.restaurant": 4100}, text_weight=77),
    Profile("huge-1", 1_000_000, 150, 900_000, 1, {"default": 1100}, text_weight=1_000_000),
]


@pytest.fixture(scope="module")
def judge(london: London) -> Judge:
    with london.database.read() as session:
        return Judge.of(session, london.spans)


def some_filters(chance: random.Random) -> Filters:
    """Each filter now and then; most questions have one or two."""

    def now_and_then(value: Any, otherwise: Any, share: float = 0.08) -> Any:
        return value if chance.random() < share else otherwise

    at = NOW + timedelta(minutes=chance.randrange(0, 20 * 24 * 60))
    since = now_and_then(at, None, 0.3)
    until = None if since is None else since + timedelta(minutes=chance.choice((0, 0, 30, 240)))
    codes = now_and_then(chance.choice((("food",), ("food.restaurant", "shop"), ("health",), ("lodging",))), (), 0.3)
    return Filters(
        at=at, open_from=since, open_until=until,
        category_ids=tuple(sorted({id_ for code in codes for id_ in with_descendants(code)})) or None,
        brands=now_and_then(("Pret", "Leon"), ()), chains=now_and_then(chance.choice((("jab",), ("jab.pret", "coke"))), ()),
        tags_any=now_and_then(("wifi", "dogs"), ()), tags_all=now_and_then(("wifi", "terrace"), ()), tags_none=now_and_then(("terrace",), ()),
        price_bands=now_and_then((1, 4), ()), min_rating_milli=now_and_then(chance.choice((3000, 4500)), None),
        min_rating_count=now_and_then(chance.choice((1, 2)), None), price_max=now_and_then(chance.choice((250, 1_500)), None),
        currency=now_and_then(chance.choice(("GBP", "EUR")), None), offer_kinds=now_and_then(("standing",), ()),
        discount_min=now_and_then(chance.choice((5, 30)), None), sample=now_and_then(chance.random() < 0.5, None),
    )  # fmt: skip


def some_where(chance: random.Random) -> Where:
    origin = Point(chance.gauss(-0.12, 0.05), chance.gauss(51.51, 0.03))
    radius_m = chance.choice((1.0, 150.0, 500.0, 1_000.0, 2_000.0, chance.uniform(100, 3_000), 10_000.0 if chance.random() < 0.15 else 800.0))
    kind = chance.random()
    if kind < 0.6:
        return Where(origin, radius_m)
    if kind < 0.7:
        return Where(origin, radius_m, min_radius_m=radius_m * chance.random() * 0.9)
    if kind < 0.75:
        return Where(origin, radius_m, serves=True)
    if kind < 0.8:
        cells = tuple(cell_of(Point(origin.lon + chance.gauss(0, 0.005), origin.lat), chance.choice((7, 8, 9, 10))) for _ in range(3))
        return Where(origin, radius_m, cells=cells, around=circle_of(None, cells))
    middle = Point(origin.lon + chance.gauss(0, 0.01), origin.lat + chance.gauss(0, 0.006))
    if kind < 0.9:
        corners = [(middle.lon + chance.gauss(0, 0.01), middle.lat + chance.gauss(0, 0.006)) for _ in range(5)]
        area: Any = Polygon(corners).convex_hull
        hole = area.centroid.buffer(0.001)
        shape = MultiPolygon([area.difference(hole)] if isinstance(area.difference(hole), Polygon) else [area])
    else:
        shape = corridor([origin, middle], half_width_m=chance.uniform(20, 300))
    return Where(origin, radius_m, area=shape, around=circle_of(shape, ()))


def some_question(chance: random.Random) -> Question:
    kind: Any = chance.choice(("stores", "stores", "offers"))
    sort: Any = chance.choice(("points",) * 6 + ("distance", "rating", "price") + (("ending_soon",) if kind == "offers" else ()))
    words = read_words(chance.choice(("coffee", "cafe", "pizza", "hotel", "lunch", "restaurant", "kitchn", "st"))) if chance.random() < 0.12 else None
    return Question(
        kind=kind, where=some_where(chance), filters=some_filters(chance), profile=chance.choice(PROFILES), words=words, sort=sort,
        limit=chance.choice((1, 20, 20, 50)),
    )  # fmt: skip


def by_shelf(london: London, views: Views, question: Question) -> list[tuple[Any, int, int]]:
    hits = Walk(question, london.shelf.open()[0], views).page()
    items, _ = items_of_hits(hits, profile=question.profile, minute=question.filters.minute)
    shown = hits_of(items)
    return [(hits.place(at).id, one["score"]["total"], one["distance_m"]) for at, one in enumerate(shown)]


def by_sql(london: London, question: Question) -> list[tuple[Any, int, int]]:
    with london.database.read() as session:
        ranked = rows_in_order(session, question)[: question.limit]
    return [(one.candidate.id, one.score.total, one.candidate.distance_m) for one in ranked]


def after_of(question: Question, hit: tuple[Any, int, int], judge: Judge) -> After:
    """The cursor behind a hit of an order by points or distance."""
    key = -hit[1] if question.sort == "points" else hit[2]
    return After(key, hit[2], hit[0])


def test_10_000_random_questions_equal_brute_force(london: London, judge: Judge) -> None:
    chance = random.Random(3)
    views = Views(50_000_000)
    answered = pages = 0
    for number in range(QUESTIONS):
        question = some_question(chance)
        expected = judge.ask(question)
        assert by_shelf(london, views, question) == expected[: question.limit], f"question {number}: {question}"
        answered += bool(expected)
        if number % BY_SQL == 0:
            assert by_sql(london, question) == expected[: question.limit], f"question {number} by SQL: {question}"
        if number % 4 == 0 and len(expected) > question.limit and question.sort in ("points", "distance"):
            pages += 1
            following = replace(question, after=after_of(question, expected[question.limit - 1], judge))
            assert by_shelf(london, views, following) == expected[question.limit : 2 * question.limit], f"second page {number}: {following}"
            if number % (4 * BY_SQL) == 0:
                assert by_sql(london, following) == expected[question.limit : 2 * question.limit], f"second page {number} by SQL: {following}"
        if number % 10 == 0 and expected:
            shorter = replace(question, exclude=frozenset(hit[0] for hit in expected[:: max(len(expected) // 50, 1)]))
            assert by_shelf(london, views, shorter) == judge.ask(shorter)[: question.limit], f"question {number} with exclusions: {shorter}"
    assert answered > QUESTIONS / 3
    assert pages > 100
