"""2,000 random questions over London's 18,387 rated places, all filters mixed: same ids, same order, same points as brute force."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from geo_o2o.config import Settings
from geo_o2o.db import Database
from geo_o2o.discovery import question as asked
from geo_o2o.discovery.answer import candidate_of
from geo_o2o.discovery.queries import best_rows
from geo_o2o.discovery.question import After, Filters, Where
from geo_o2o.discovery.ranking import Profile, built_in_profiles, rank
from geo_o2o.geo.ids import shard_of, unlocated_id
from geo_o2o.geo.point import Point
from geo_o2o.ingest import fhrs
from geo_o2o.ingest import service as ingest
from geo_o2o.stores.categories import codes_by_id, with_descendants
from geo_o2o.stores.hours import expand, horizon, hours_of
from geo_o2o.stores.service import ensure_hours

from ..conftest import shared_data
from .oracle import Oracle, Question, Row

QUESTIONS = 2_000
NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
HOURS = [
    "Mo-Fr 09:00-17:00", "Mo-Su 11:00-23:00", "24/7", "Mo-Sa 08:00-20:00; Su 10:00-16:00", "Fr-Sa 20:00-04:00", "Mo-Th 12:00-15:00,18:00-22:30",
    "Tu-Su 10:00-18:00; PH off", "Mo-Fr 06:30-11:00", "Sa-Su 09:00-14:00", "Mo-Su 17:00-02:00",
]  # fmt: skip
PROFILES = [
    *built_in_profiles().values(),
    Profile("odd-1", 777, 333, 1234, 3, {"default": 3333, "food.restaurant": 4100}),
    Profile("huge-1", 1_000_000, 150, 900_000, 1, {"default": 1100}),
]


@dataclass
class London:
    database: Database
    oracle: Oracle


@pytest.fixture(scope="module")
def london(fresh_database: Any) -> Iterator[London]:
    """The places of the file, with opening hours and offers given to them by a seed."""
    path = shared_data("london/fhrs_central_london.csv.gz")
    settings: Settings = fresh_database()
    database = Database(settings, statement_timeout_ms=0)
    with database.write() as session:
        report = ingest.load_stores(session, source="fhrs", rows=fhrs.stores(path), now=NOW, horizon_d=35)
    assert (report.new, dict(report.refused)) == (18_386, {"no_name": 1})
    with database.write() as session:
        spans = _give_hours(session)
        offers = _give_offers(session)
    with database.write() as session:
        session.execute(sa.text("ANALYZE"))
    with database.read() as session:
        oracle = Oracle(_rows(session, spans, offers))
    yield London(database, oracle)
    database.close()


def _give_hours(session: Session) -> dict[int, list[tuple[datetime, datetime]]]:
    """Opening hours for two thirds of the places; the open intervals by hours_id."""
    made = [hours_of(text, time_zone="Europe/London", country="GB", at=Point(-0.12, 51.5)) for text in HOURS]
    ensure_hours(session, made, now=NOW, horizon_d=35)
    session.execute(
        sa.text(
            "UPDATE stores SET hours_id = (CAST(:ids AS bigint[]))[1 + abs(hashtext(source_id)) % :number] WHERE abs(hashtext(source_id || 'h')) % 3 > 0"
        ),
        {"ids": [one.id for one in made], "number": len(made)},
    )
    start, until = horizon(NOW, 35)
    return {one.id: expand(one, start=start, until=until) for one in made}


def _give_offers(session: Session) -> dict[Any, list[tuple[Any, int]]]:
    """3,000 offers, some in one place, some in twenty, as placements; by store id."""
    chance = random.Random(11)
    stores = session.execute(sa.text("SELECT shard_cell, id, category_id FROM stores ORDER BY source_id")).all()
    placed: dict[Any, list[tuple[Any, int]]] = {}
    rows = []
    for number in range(3_000):
        offer, price = unlocated_id(now=NOW + timedelta(milliseconds=number), chance=chance.getrandbits(55)), chance.randrange(200, 5_000)
        chosen = chance.sample(stores, chance.choice((1, 1, 1, 3, 20)))
        for store in chosen:
            placed.setdefault(store.id, []).append((offer, price))
            rows.append(
                {
                    "shard": store.shard_cell,
                    "store": store.id,
                    "offer": offer,
                    "category": store.category_id,
                    "price": price,
                    "count": len(chosen),
                    "now": NOW - timedelta(days=1),
                }
            )
    session.execute(
        sa.text(
            "INSERT INTO offer_store (shard_cell, store_id, offer_id, category_id, title, titles, kind, price_minor, currency, valid_from, sample, store_count)"
            " VALUES (:shard, :store, :offer, :category, 'Offer', '{}', 'standing', :price, 'GBP', :now, false, :count)"
        ),
        rows,
    )
    return placed


def _rows(session: Session, spans: dict[int, Any], offers: dict[Any, Any]) -> list[Row]:
    found = session.execute(
        sa.text(
            "SELECT id, ST_X(location::geometry) AS x, ST_Y(location::geometry) AS y, category_id, rating_sum, rating_count, hours_id FROM stores"
        )
    )
    return [
        Row(
            row.id,
            Point(row.x, row.y),
            codes_by_id()[row.category_id],
            row.rating_sum,
            row.rating_count,
            spans.get(row.hours_id),
            offers.get(row.id, []),
        )
        for row in found
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


def test_2_000_random_questions_equal_brute_force(london: London) -> None:
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
