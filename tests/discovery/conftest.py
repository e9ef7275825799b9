"""London's 18,387 rated places with hours, offers, brands, chains, tags and prices given to them by a seed: for whoever judges answers."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask
from sqlalchemy.orm import Session

from geo_o2o.config import Settings
from geo_o2o.db import Database
from geo_o2o.geo.ids import unlocated_id
from geo_o2o.geo.point import Point
from geo_o2o.ingest import fhrs
from geo_o2o.ingest import service as ingest
from geo_o2o.shelf.service import Shelf
from geo_o2o.stores.categories import codes_by_id
from geo_o2o.stores.hours import expand, horizon, hours_of
from geo_o2o.stores.service import ensure_hours
from geo_o2o.stores.words import grams

from ..conftest import Api, shared_data
from .oracle import Oracle, Row

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
HOURS = [
    "Mo-Fr 09:00-17:00", "Mo-Su 11:00-23:00", "24/7", "Mo-Sa 08:00-20:00; Su 10:00-16:00", "Fr-Sa 20:00-04:00", "Mo-Th 12:00-15:00,18:00-22:30",
    "Tu-Su 10:00-18:00; PH off", "Mo-Fr 06:30-11:00", "Sa-Su 09:00-14:00", "Mo-Su 17:00-02:00",
]  # fmt: skip


@dataclass
class London:
    """spans: open intervals by hours_id. shelf: looks at the versions itself, for each question."""

    database: Database
    oracle: Oracle
    spans: dict[int, list[tuple[datetime, datetime]]]
    shelf: Shelf


@pytest.fixture(scope="session")
def london(fresh_database: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[London]:
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
        _give_what_filters_ask(session)
    with database.write() as session:
        session.execute(sa.text("ANALYZE"))
    with database.read() as session:
        oracle = Oracle(_rows(session, spans, offers))
    folder: Path = tmp_path_factory.mktemp("shelf")
    yield London(database, oracle, spans, Shelf(folder, reader=database.moment, url=None, staleness_s=1.0, most_bytes=10**9))
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


def _give_what_filters_ask(session: Session) -> None:
    """Brands, chains, tags, price bands, service radii; discounts and words of offers."""
    session.execute(
        sa.text(
            "UPDATE stores SET brand = (ARRAY['Pret', 'Costa', 'Leon', NULL, NULL])[1 + abs(hashtext(source_id || 'b')) % 5],"
            " chain = (ARRAY['jab.pret', 'coke.costa', 'jab', NULL])[1 + abs(hashtext(source_id || 'c')) % 4],"
            " tags = (ARRAY['{}', '{wifi}', '{wifi,terrace}', '{terrace,dogs}'])[1 + abs(hashtext(source_id || 't')) % 4]::text[],"
            " price_band = nullif(abs(hashtext(source_id || 'p')) % 5, 0),"
            " service_radius_m = nullif(abs(hashtext(source_id || 's')) % 40, 0) * 50"
        )
    )
    session.execute(
        sa.text(
            "UPDATE offer_store SET list_price_minor = price_minor + abs(hashtext(offer_id::text)) % 900 + 1 WHERE abs(hashtext(offer_id::text)) % 3 > 0"
        )
    )
    session.execute(
        sa.text("UPDATE offer_store SET title = 'Lunch', search_grams = :grams WHERE abs(hashtext(offer_id::text)) % 2 = 0"),
        {"grams": grams(["Lunch"])},
    )


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


@pytest.fixture
def ask(app: Flask, app_api: Api) -> Any:
    """Asks both paths and compares their bytes; gives the answer."""

    def both(path: str, *, body: dict[str, Any] | None = None, **params: Any) -> Any:
        finder = app.extensions["finder"]

        def once() -> Any:
            return app_api("POST", f"/v1/{path}", json=body) if body is not None else app_api.get(f"/v1/{path}", **params)

        shelf, found = finder.shelf, once()
        assert found.status_code == 200, found.text
        finder.shelf = None
        try:
            other = once()
        finally:
            finder.shelf = shelf
        if found.get_json().get("at") != other.get_json().get("at"):
            return both(path, body=body, **params)  # a minute ended between the two
        assert found.data == other.data, f"shelf and database differ:\n{found.text}\n{other.text}"
        return found.get_json()

    return both
