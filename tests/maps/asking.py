"""What the tests of heat layers ask, and what they expect straight from the tables."""

from __future__ import annotations

import random
from typing import Any

import h3.api.basic_int as h3
import numpy as np
import sqlalchemy as sa
from sqlalchemy.orm import Session

from geo_o2o.changes.service import note_change
from geo_o2o.geo.cells import to_hex
from geo_o2o.geo.point import Point
from geo_o2o.http import utcnow
from geo_o2o.stores.models import Store
from geo_o2o.supply.service import roll_due

from ..factories import make_store

BOX = "24.93,60.16,24.96,60.18"


def rows_of(body: dict[str, Any]) -> list[dict[str, Any]]:
    columns = body["columns"]
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def rolled_up(session: Session) -> int:
    """Everything is rolled up, as by the worker; returns how many blocks were."""
    total = 0
    while done := roll_due(session, now=utcnow()):
        total += done
    session.commit()
    return total


def scatter(session: Session, count: int) -> list[Point]:
    chance = random.Random(9)
    points = [Point(chance.uniform(24.935, 24.955), chance.uniform(60.162, 60.178)) for _ in range(count)]
    for number, point in enumerate(points):
        make_store(
            session,
            name=f"Store {number}",
            at=point,
            rating=(4 * (number % 3), number % 3),
            category="shop.books" if number % 4 == 0 else "food.cafe",
        )
    return points


def by_hand(session: Session, resolution: int, codes: list[int] | None) -> dict[str, tuple[Any, ...]]:
    """Supply per cell straight from the tables: stores, offers, sum and number of ratings."""
    rows = session.execute(
        sa.text(
            "/* test */ SELECT cell, category_id, rating_sum, rating_count, (SELECT count(*) FROM offer_store o WHERE o.shard_cell = s.shard_cell AND o.store_id = s.id"
            " AND o.valid_from <= :now AND (o.valid_until IS NULL OR o.valid_until > :now)) AS offers FROM stores s WHERE status = 'live'"
        ),
        {"now": utcnow()},
    )
    found: dict[str, np.ndarray] = {}
    for row in rows:
        if codes is None or row.category_id in codes:
            cell = to_hex(h3.cell_to_parent(row.cell, resolution))
            found[cell] = found.get(cell, np.zeros(4, dtype=int)) + np.array([1, row.offers, row.rating_sum, row.rating_count])
    return {cell: tuple(one.tolist()) for cell, one in found.items()}


def shown(body: dict[str, Any]) -> dict[str, tuple[Any, ...]]:
    return {
        one["cell"]: (one["stores"], one["offers"], round((one["rating_mean"] or 0) * one["rating_count"]), one["rating_count"])
        for one in rows_of(body)
    }


def close(session: Session, store: Store) -> None:
    store.status = "closed"
    session.flush()
    note_change(session, [store.cell])
