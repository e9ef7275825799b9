"""What snapshots are built from: the live stores of a cell of any size with all that nearby shows or asks of them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from ..geo.cells import SHARD_RESOLUTION, descendants, parent

STORE_COLUMNS = """s.id AS store_id, s.cell, s.category_id, s.rating_sum, s.rating_count, s.rating_sample, s.price_band, s.hours_id, s.merchant_id,
       s.chain, s.service_radius_m, encode(ST_AsBinary(s.service_area), 'hex') AS service_area, s.search_grams, s.name, s.names, s.brand, s.tags,
       s.address, s.opening_hours, s.time_zone, s.source, ST_X(s.location::geometry) AS lon, ST_Y(s.location::geometry) AS lat"""
OFFER_COLUMNS = """o.offer_id, o.title, o.titles, o.kind, coalesce(o.category_id, s.category_id) AS offer_category_id, o.price_minor, o.currency,
       o.list_price_minor, o.valid_from, o.valid_until, o.sample, o.store_count,
       o.search_grams AS offer_grams"""
_HERE = "s.shard_cell = :shard_cell AND s.cell BETWEEN :first AND :last AND s.status = 'live'"


def stores_of_cell(session: Session, cell: int) -> Sequence[Any]:
    """Live stores in the order of (cell, id)."""
    return session.execute(sa.text(f"SELECT {STORE_COLUMNS} FROM stores s WHERE {_HERE} ORDER BY s.cell, s.id"), _place(cell)).mappings().all()


def offers_of_cell(session: Session, cell: int) -> Sequence[Any]:
    """Placements in live stores of a cell."""
    text = (
        f"SELECT o.store_id, s.cell, {OFFER_COLUMNS} FROM stores s JOIN offer_store o ON o.shard_cell = s.shard_cell AND o.store_id = s.id"
        f" WHERE o.shard_cell = :shard_cell AND {_HERE}"
    )
    return session.execute(sa.text(text), _place(cell)).mappings().all()


def hours_of_cell(session: Session, cell: int) -> dict[int, dict[str, Any]]:
    """By id: from when to when it is expanded, and the open spans."""
    text = (
        "SELECT id, expanded_from, expanded_until, coalesce((SELECT array_agg(lower(span)) FROM unnest(open_during) span), '{}') AS begins,"
        " coalesce((SELECT array_agg(upper(span)) FROM unnest(open_during) span), '{}') AS ends FROM opening_hours"
        f" WHERE id IN (SELECT s.hours_id FROM stores s WHERE {_HERE} AND s.hours_id IS NOT NULL)"
    )
    return {row["id"]: {**row, "spans": _pairs(row["begins"], row["ends"])} for row in session.execute(sa.text(text), _place(cell)).mappings()}


def groups(session: Session, resolution: int) -> Sequence[int]:
    """Cells of a coarser resolution that hold anything."""
    return session.scalars(sa.text("SELECT DISTINCT h3_parent(cell, :resolution) FROM cell_versions ORDER BY 1"), {"resolution": resolution}).all()


def credit(session: Session) -> dict[str, tuple[str, str]]:
    rows = session.execute(sa.text("SELECT source, attribution, licence FROM attributions"))
    return {row.source: (row.attribution, row.licence) for row in rows}


def _pairs(begins: Sequence[datetime], ends: Sequence[datetime]) -> list[tuple[datetime, datetime]]:
    return list(zip(begins, ends, strict=True))


def _place(cell: int) -> dict[str, int]:
    first, last = descendants(cell)
    return {"shard_cell": parent(cell, SHARD_RESOLUTION), "first": first, "last": last}
