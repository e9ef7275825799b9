from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from ..geo.bounds import Bounds
from ..geo.cells import shard_cells_of_bounds

_SPOTS = """
SELECT ST_X(s.location::geometry) AS lon, ST_Y(s.location::geometry) AS lat, s.address->>'street' AS street, s.category_id, s.rating_count
  FROM stores s
 WHERE s.shard_cell = ANY(:shard_cells) AND s.status = 'live' AND s.location::geometry && ST_MakeEnvelope(:west, :south, :east, :north, 4326)
 ORDER BY s.id
"""


def spots_in(session: Session, bounds: Bounds) -> Iterator[Any]:
    """lon, lat, street, category and number of ratings of every live store in a box. Raises AreaTooLarge."""
    for part in bounds.parts():
        box = {"west": part.west, "south": part.south, "east": part.east, "north": part.north}
        yield from session.execute(sa.text(_SPOTS), {**box, "shard_cells": shard_cells_of_bounds(part)})


# --- a district --------------------------------------------------------------------------------------------------------------------

_STORES = """
SELECT d.district_id, s.category_id, count(*) AS stores, sum(s.rating_sum) AS rating_sum, sum(s.rating_count) AS rating_count,
       count(s.hours_id) AS timed, bool_or(s.rating_sample AND s.rating_count > 0) AS sample,
       count(*) FILTER (WHERE s.created_at >= :since) AS opened
  FROM store_districts d
  JOIN stores s ON s.shard_cell = d.shard_cell AND s.id = d.store_id AND s.shard_cell = ANY(:shard_cells)
 WHERE d.shard_cell = ANY(:shard_cells) AND d.district_id = ANY(:district_ids) AND s.status = 'live'
 GROUP BY 1, 2 ORDER BY 1, 2
"""


def stores_by_category(session: Session, district_ids: Sequence[UUID], *, shard_cells: Sequence[int], since: datetime) -> Sequence[Any]:
    """Live stores of each district by category: how many, their ratings, how many have known hours, how many came since a moment."""
    return session.execute(sa.text(_STORES), {"district_ids": list(district_ids), "shard_cells": list(shard_cells), "since": since}).all()


_CLOSED = """
SELECT count(*) FROM store_districts d
  JOIN stores s ON s.shard_cell = d.shard_cell AND s.id = d.store_id AND s.shard_cell = ANY(:shard_cells)
 WHERE d.shard_cell = ANY(:shard_cells) AND d.district_id = ANY(:district_ids) AND s.status = 'closed' AND s.updated_at >= :since
"""


def closed_since(session: Session, district_ids: Sequence[UUID], *, shard_cells: Sequence[int], since: datetime) -> int:
    return int(session.scalar(sa.text(_CLOSED), {"district_ids": list(district_ids), "shard_cells": list(shard_cells), "since": since}) or 0)


_OFFERS = """
SELECT count(*) AS offers, count(*) FILTER (WHERE o.sample) AS samples
  FROM store_districts d
  JOIN stores s ON s.shard_cell = d.shard_cell AND s.id = d.store_id AND s.shard_cell = ANY(:shard_cells)
  JOIN offer_store o ON o.shard_cell = d.shard_cell AND o.store_id = d.store_id AND o.shard_cell = ANY(:shard_cells)
 WHERE d.shard_cell = ANY(:shard_cells) AND d.district_id = ANY(:district_ids) AND s.status = 'live'
   AND o.valid_from <= :now AND (o.valid_until IS NULL OR o.valid_until > :now)
"""
_OPEN = """
SELECT h.id, lower(open) AS begins, upper(open) AS ends
  FROM opening_hours h CROSS JOIN LATERAL unnest(h.open_during) AS open
 WHERE h.id = ANY(:ids) AND open && tstzrange(:begin, :end)
"""
_HOURS = """
SELECT s.hours_id, count(*) AS stores
  FROM store_districts d
  JOIN stores s ON s.shard_cell = d.shard_cell AND s.id = d.store_id AND s.shard_cell = ANY(:shard_cells)
 WHERE d.shard_cell = ANY(:shard_cells) AND d.district_id = ANY(:district_ids) AND s.status = 'live' AND s.hours_id IS NOT NULL
 GROUP BY 1
"""


def open_intervals(
    session: Session, district_ids: Sequence[UUID], *, shard_cells: Sequence[int], begin: datetime, end: datetime
) -> tuple[int, list[tuple[int, datetime, datetime]]]:
    """How many stores have known hours; and when so many of them are open between two moments: number, from, until."""
    rows = session.execute(sa.text(_HOURS), {"district_ids": list(district_ids), "shard_cells": list(shard_cells)}).all()
    stores = {row.hours_id: row.stores for row in rows}
    found = session.execute(sa.text(_OPEN), {"ids": list(stores), "begin": begin, "end": end}) if stores else ()
    return sum(stores.values()), [(stores[row.id], row.begins, row.ends) for row in found]


def offers_of(session: Session, district_ids: Sequence[UUID], *, shard_cells: Sequence[int], now: datetime) -> Any:
    """Offers that hold now: how many placements, how many of them invented."""
    return session.execute(sa.text(_OFFERS), {"district_ids": list(district_ids), "shard_cells": list(shard_cells), "now": now}).one()


_ZONE = """
SELECT s.time_zone FROM store_districts d
  JOIN stores s ON s.shard_cell = d.shard_cell AND s.id = d.store_id AND s.shard_cell = ANY(:shard_cells)
 WHERE d.shard_cell = ANY(:shard_cells) AND d.district_id = ANY(:district_ids)
 GROUP BY 1 ORDER BY count(*) DESC, 1 LIMIT 1
"""


def zone_of(session: Session, district_ids: Sequence[UUID], *, shard_cells: Sequence[int]) -> str:
    """The time zone of most of its stores; UTC where it has none."""
    return session.scalar(sa.text(_ZONE), {"district_ids": list(district_ids), "shard_cells": list(shard_cells)}) or "UTC"
