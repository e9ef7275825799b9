"""What nearby is measured on: the rated places of the UK and the venues of eleven US states, with hours, ratings and offers from a seed."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import sqlalchemy as sa
from sqlalchemy.orm import Session

from geo_o2o.copying import Stream, line
from geo_o2o.db import Database
from geo_o2o.geo.ids import unlocated_id
from geo_o2o.ingest import fhrs, queries, tables
from geo_o2o.ingest import service as ingest
from geo_o2o.ingest.rows import StoreRow
from geo_o2o.stores.words import grams

from .load import COLUMNS, categories_of

SEED = 20
OFFERS = 1_500_000
# Two thirds of the places have hours.
HOURS = [
    "Mo-Fr 09:00-17:00", "Mo-Su 11:00-23:00", "24/7", "Mo-Sa 08:00-20:00; Su 10:00-16:00", "Fr-Sa 20:00-04:00", "Mo-Th 12:00-15:00,18:00-22:30",
    "Tu-Su 10:00-18:00; PH off", "Mo-Fr 06:30-11:00", "Sa-Su 09:00-14:00", "Mo-Su 17:00-02:00", None, None, None, None, None,
]  # fmt: skip
_TITLES = ["Coffee and a bun", "Lunch of the day", "Two for one", "Ten per cent off", "Free delivery", "Happy hour"]


def ensure_london(database: Database, path: Path) -> int:
    with database.write() as session:
        if "fhrs" not in _sources(session):
            now = datetime.now(UTC)
            ingest.load_stores(session, source="fhrs", rows=_with_hours(path), now=now, horizon_d=35)
            ingest.write_attribution(session, source="fhrs", attribution=fhrs.ATTRIBUTION, licence=fhrs.LICENCE, now=now)
            queries.analyze(session, "stores")
    return _count(database, "SELECT count(*) FROM stores WHERE source = 'fhrs'")


def ensure_venues(database: Database, path: Path) -> tuple[int, int]:
    """Venues and offers."""
    with database.write() as session:
        if "wof" not in _sources(session):
            now = datetime.now(UTC)
            with tempfile.TemporaryDirectory() as folder:
                table = Path(folder) / "venues.parquet"
                _with_ratings_and_hours(path, table)
                rows = tables.stores(table, given=COLUMNS, encoding="utf-8")
                ingest.load_stores(session, source="wof", rows=rows, now=now, horizon_d=35)
            ingest.write_attribution(session, source="wof", attribution="Who's On First", licence="CC0", now=now)
            _add_offers(session, now)
            queries.analyze(session, "stores", "offer_store")
    return _count(database, "SELECT count(*) FROM stores WHERE source = 'wof'"), _count(database, "SELECT count(DISTINCT offer_id) FROM offer_store")


def _with_hours(path: Path) -> Iterator[Any]:
    chance = np.random.default_rng(SEED)
    for row in fhrs.stores(path):
        yield replace(row, opening_hours=HOURS[int(chance.integers(len(HOURS)))]) if isinstance(row, StoreRow) else row


def _with_ratings_and_hours(path: Path, target: Path) -> None:
    table, chance = pq.read_table(path), np.random.default_rng(SEED)
    count = table.num_rows
    number = chance.integers(0, 200, count)
    table = table.set_column(table.schema.get_field_index("category"), "category", categories_of(table))
    table = table.append_column("rating", pa.array(np.round(chance.uniform(2.5, 5.0, count), 1)))
    table = table.append_column("rating_count", pa.array(number))
    table = table.append_column("opening_hours", pa.array([HOURS[one] for one in chance.integers(0, len(HOURS), count)]))
    pq.write_table(table, target)


def _add_offers(session: Session, now: datetime) -> None:
    """Placements of 1.5 M offers: three quarters in one venue, the others in two to five."""
    chance = np.random.default_rng(SEED + 1)
    venues = session.execute(sa.text("SELECT shard_cell, id FROM stores WHERE source = 'wof' ORDER BY source_id")).all()
    words = [grams([title]) for title in _TITLES]
    columns = (
        "shard_cell, store_id, offer_id, title, titles, kind, price_minor, currency, list_price_minor, valid_from, valid_until, sample,"
        " store_count, search_grams"
    )
    since = (now - timedelta(days=1)).replace(second=0, microsecond=0)

    def lines() -> Iterator[str]:
        many = chance.choice([1, 1, 1, 2, 5], OFFERS)
        place = chance.integers(0, len(venues), OFFERS)
        price, title = chance.integers(200, 9_000, OFFERS), chance.integers(0, len(_TITLES), OFFERS)
        random = chance.integers(0, 1 << 55, OFFERS)
        for number in range(OFFERS):
            id_ = unlocated_id(now=now, chance=int(random[number]))
            kind = int(title[number])
            until = None if kind % 2 else since + timedelta(days=30 + kind)
            for step in range(int(many[number])):
                venue = venues[(int(place[number]) + step) % len(venues)]
                yield line(
                    (
                        venue.shard_cell, venue.id, id_, _TITLES[kind], {}, "standing", int(price[number]), "USD", int(price[number]) + 500,
                        since.isoformat(), None if until is None else until.isoformat(), False, int(many[number]), words[kind],
                    )
                )  # fmt: skip

    raw: Any = session.connection().connection.driver_connection
    with raw.cursor() as cursor:
        cursor.copy_expert(f"COPY offer_store ({columns}) FROM STDIN", Stream(lines()), size=1 << 18)


def _sources(session: Session) -> set[str]:
    return {row.source for row in queries.loaded_sources(session)}


def _count(database: Database, text: str) -> int:
    with database.read() as session:
        return int(session.scalar(sa.text(text)) or 0)
