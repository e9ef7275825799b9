"""800 random questions over London's 18,387 rated places, all filters mixed: same ids, same order, same points as brute force."""

from __future__ import annotations

import random
from datetime import timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from geo_o2o.config import Settings
from geo_o2o.db import Database
from geo_o2o.discovery import question as asked
from geo_o2o.discovery.answer import candidate_of
from geo_o2o.discovery.queries import best_rows
from geo_o2o.discovery.question import After, Filters, Where
from geo_o2o.discovery.ranking import Profile, built_in_profiles, rank
from geo_o2o.geo.ids import shard_of
from geo_o2o.geo.point import Point
from geo_o2o.stores.categories import with_descendants

from .conftest import NOW, London
from .oracle import Question

QUESTIONS = 800
PROFILES = [
    *built_in_profiles().values(),
    Profile("odd-1", 777, 333, 1234, 3, {"default": 3333, "food.restaurant": 4100}),
    Profile("huge-1", 1_000_000, 150, 900_000, 1, {"default": 1100}),
]


def _question(chance: random.Random) -> Question:
    return Question(
        origin=Point(chance.gauss(-0.12, 0.05), chance.gauss(51.51, 0.03)),
        radius_m=chance.choice((1, 150, 500, 2_000, 2_000, 10_000, 50_000, chance.uniform(100, 5_000))),
        profile=chance.choice(PROFILES),
        categories=chance.choice(((), (), ("food",), ("food.restaurant", "shop"), ("health",), ("lodging",))),
        min_rating=chance.choice((None, None, None, 3, 4.5, 5)),
        open_at=chance.choice((None, None, NOW + timedelta(minutes=chance.randrange(0, 20 * 24 * 60)))),
        price_max=chance.choice((None, None, None, 250, 1_500)),
    )


def _asked(question: Question, limit: int, after: After | None, kind: Any) -> asked.Question:
    open_at = question.open_at
    filters = Filters(
        at=open_at or NOW,
        open_from=open_at,
        open_until=open_at,
        category_ids=tuple(sorted({id_ for code in question.categories for id_ in with_descendants(code)})) or None,
        min_rating_milli=round(question.min_rating * 1000) if question.min_rating is not None else None,
        price_max=question.price_max,
    )
    return asked.Question(
        kind=kind, where=Where(question.origin, question.radius_m), filters=filters, profile=question.profile, limit=limit, after=after
    )


def _ask(session: Session, question: Question, limit: int, after: After | None, *, offers: bool = False) -> list[tuple[Any, int, int, int, int]]:
    """What the service answers: rows of SQL in the order and with the points of the pure ranking."""
    kind, id_column = ("offers", "offer_id") if offers else ("stores", "store_id")
    rows = best_rows(session, _asked(question, limit, after, kind))
    ranked = rank((candidate_of(row, id_column=id_column) for row in rows), question.profile)
    assert [one.id for one, _ in ranked] == [row[id_column] for row in rows], "SQL and Python disagree on the order"
    assert [points.total for _, points in ranked] == [row["total"] for row in rows], "SQL and Python disagree on the points"
    return [(one.id, one.distance_m, points.distance, points.rating, points.total) for one, points in ranked]


def test_800_random_questions_equal_brute_force(london: London) -> None:
    chance = random.Random(20)
    answered = 0
    with london.database.read() as session:
        for number in range(QUESTIONS):
            question = _question(chance)
            limit = chance.choice((1, 20, 20, 100))
            expected = london.oracle.ask(question)
            found = _ask(session, question, limit, None)
            assert found == expected[:limit], f"question {number}: {question}"
            answered += bool(found)
            if number % 5 == 0 and len(expected) > limit:
                last = expected[limit - 1]
                after = After(key=-last[4], distance_m=last[1], id=last[0])
                assert _ask(session, question, limit, after) == expected[limit : 2 * limit], f"second page of question {number}: {question}"
    assert answered > QUESTIONS / 3


def test_400_random_questions_for_offers_equal_brute_force(london: London) -> None:
    chance = random.Random(21)
    with london.database.read() as session:
        for number in range(400):
            question = _question(chance)
            limit = chance.choice((1, 10, 50))
            expected = london.oracle.ask_offers(question)
            assert _ask(session, question, limit, None, offers=True) == expected[:limit], f"question {number}: {question}"
            if len(expected) > limit:
                last = expected[limit - 1]
                after = After(key=-last[4], distance_m=last[1], id=last[0])
                assert _ask(session, question, limit, after, offers=True) == expected[limit : 2 * limit], f"second page {number}: {question}"


def test_a_whole_walk_by_pages_is_the_whole_answer(london: London) -> None:
    question = Question(origin=Point(-0.1276, 51.5072), radius_m=1_500, profile=PROFILES[0])
    expected = london.oracle.ask(question)
    assert len(expected) > 500
    seen: list[Any] = []
    after = None
    with london.database.read() as session:
        while page := _ask(session, question, 37, after):
            seen += page
            after = After(key=-page[-1][4], distance_m=page[-1][1], id=page[-1][0])
    assert seen == expected


def test_the_plans_that_a_connection_keeps_give_the_same_answers(london: London, settings: Settings) -> None:
    from dataclasses import replace

    kept = Database(replace(settings, database_url=london.database.engine.url.render_as_string(hide_password=False), prepared=1))
    chance = random.Random(22)
    with kept.read() as session:
        for _ in range(60):
            question = _question(chance)
            assert _ask(session, question, 20, None) == london.oracle.ask(question)[:20]
            assert _ask(session, question, 20, None, offers=True) == london.oracle.ask_offers(question)[:20]
    kept.close()


def test_every_id_of_the_oracle_knows_its_shard(london: London) -> None:
    with london.database.read() as session:
        assert session.scalar(sa.text("SELECT count(*) FROM stores WHERE shard_cell <> shard_of(id)")) == 0
        row = session.execute(sa.text("SELECT id, shard_cell FROM stores LIMIT 1")).one()
        assert shard_of(row.id) == row.shard_cell
