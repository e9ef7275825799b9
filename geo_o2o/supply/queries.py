from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import numpy as np
import sqlalchemy as sa
from sqlalchemy.orm import Session

from ..copying import Stream, line
from ..geo.cells import SHARD_RESOLUTION, descendants, parent
from .rolling import ALL, FINEST, Ints, Rolled, Stock

# --- what is not rolled up, or not any more --------------------------------------------------------------------------------------

_STALE = """
SELECT v.shard_cell, v.cell AS block, v.version
  FROM cell_versions v
  LEFT JOIN supply_blocks b ON b.shard_cell = v.shard_cell AND b.block = v.cell AND b.shard_cell = ANY(:shard_cells)
 WHERE v.shard_cell = ANY(:shard_cells) AND (CAST(:blocks AS bigint[]) IS NULL OR v.cell = ANY(:blocks))
   AND (b.version IS DISTINCT FROM v.version OR b.good_until <= :now)
"""


def stale_blocks(session: Session, *, shard_cells: Sequence[int], blocks: Sequence[int] | None, now: datetime) -> Sequence[Any]:
    """Blocks (shard_cell, block, version) whose rows are missing or not those of the present version. blocks: None for all of the shards."""
    asked = {"shard_cells": list(shard_cells), "blocks": None if blocks is None else list(blocks), "now": now}
    return session.execute(sa.text(_STALE), asked).all()


_STALE_ANYWHERE = """
SELECT v.shard_cell, v.cell AS block, v.version
  FROM cell_versions v
  LEFT JOIN supply_blocks b ON b.shard_cell = v.shard_cell AND b.block = v.cell
 WHERE b.version IS DISTINCT FROM v.version OR b.good_until <= :now
 LIMIT :limit
"""


def stale_anywhere(session: Session, *, now: datetime, limit: int) -> Sequence[Any]:
    return session.execute(sa.text(_STALE_ANYWHERE), {"now": now, "limit": limit}).all()


_OFFERS = """
  CROSS JOIN LATERAL (
      SELECT count(*) FILTER (WHERE o.valid_from <= CAST(:now AS timestamptz)
                                AND (o.valid_until IS NULL OR o.valid_until > CAST(:now AS timestamptz))) AS number,
             coalesce(bool_or(o.sample), false) AS sample,
             min(CASE WHEN o.valid_from > CAST(:now AS timestamptz) THEN o.valid_from
                      WHEN o.valid_until > CAST(:now AS timestamptz) THEN o.valid_until END) AS turns_at
        FROM offer_store o
       WHERE o.shard_cell = s.shard_cell AND o.store_id = s.id AND o.shard_cell = ANY(:shard_cells)
  ) offers
 WHERE s.shard_cell = ANY(:shard_cells) AND s.status = 'live'
"""
# Counts always come from the stores' own cells: H3 cells do not tile their parent exactly, but the digits of the index do.
_COUNTED = """
SELECT s.cell, s.category_id::bigint, offers.number, s.rating_sum::bigint, s.rating_count::bigint, coalesce(s.hours_id, 0),
       (offers.sample OR (s.rating_sample AND s.rating_count > 0))::integer, offers.turns_at
"""
_STOCK = f"""{_COUNTED}
  FROM unnest(CAST(:firsts AS bigint[]), CAST(:lasts AS bigint[])) AS wanted (first, last)
  JOIN stores s ON s.cell BETWEEN wanted.first AND wanted.last
{_OFFERS}"""
_STOCK_OF_DISTRICTS = f"""{_COUNTED}
  FROM store_districts d
  JOIN stores s ON s.shard_cell = d.shard_cell AND s.id = d.store_id
{_OFFERS} AND d.shard_cell = ANY(:shard_cells) AND d.district_id = ANY(:district_ids)
"""


def stock_of(session: Session, blocks: Sequence[int], *, now: datetime) -> tuple[Stock, dict[int, datetime]]:
    """The stores of some cells of resolution 7, and when something in such a cell begins or ends by itself next."""
    ranges = [descendants(block) for block in sorted(blocks)]
    shard_cells = sorted({parent(block, SHARD_RESOLUTION) for block in blocks})
    asked = {"firsts": [one for one, _ in ranges], "lasts": [one for _, one in ranges], "shard_cells": shard_cells, "now": now}
    rows = session.execute(sa.text(_STOCK), asked).all()
    turns: dict[int, datetime] = {}
    for row in rows:
        if row.turns_at is not None:
            block = parent(row.cell, 7)
            turns[block] = min(turns.get(block, row.turns_at), row.turns_at)
    return Stock.of([row[:7] for row in rows]), turns


def stock_of_districts(session: Session, district_ids: Sequence[UUID], *, shard_cells: Sequence[int], now: datetime) -> Stock:
    """The stores that lie in some districts. shard_cells: those that such stores can have."""
    asked = {"district_ids": list(district_ids), "shard_cells": list(shard_cells), "now": now}
    return Stock.of([row[:7] for row in session.execute(sa.text(_STOCK_OF_DISTRICTS), asked)])


# --- rolled up -------------------------------------------------------------------------------------------------------------------

_COLUMNS = (
    "shard_cell", "block", "resolution", "category_id", "cell", "stores", "offers", "rating_sum", "rating_count", "timed", "sample",
    "hours_ids", "hours_counts",
)  # fmt: skip


def replace_cells(session: Session, blocks: Sequence[Any], rolled: Sequence[tuple[int, Rolled]], turns: dict[int, datetime]) -> None:
    """The rows of some blocks (shard_cell, block, version) anew. rolled: resolution and its rows."""
    asked = {"shard_cells": sorted({row.shard_cell for row in blocks}), "blocks": [row.block for row in blocks]}
    for table in ("supply_cells", "supply_blocks"):
        session.execute(sa.text(f"DELETE FROM {table} WHERE shard_cell = ANY(:shard_cells) AND block = ANY(:blocks)"), asked)
    _copy(session, f"COPY supply_cells ({', '.join(_COLUMNS)}) FROM STDIN", (line(row) for part in rolled for row in _rows(*part)))
    said = ((row.shard_cell, row.block, row.version, turns.get(row.block)) for row in blocks)
    _copy(session, "COPY supply_blocks (shard_cell, block, version, good_until) FROM STDIN", (line(row) for row in said))


def _rows(resolution: int, rolled: Rolled) -> Iterable[tuple[Any, ...]]:
    hours: dict[int, tuple[list[int], list[int]]] = {}
    for row, id_, count in rolled.hours.tolist():
        ids, counts = hours.setdefault(row, ([], []))
        ids.append(id_)
        counts.append(count)
    columns = (rolled.cell, rolled.category, rolled.stores, rolled.offers, rolled.rating_sum, rolled.rating_count, rolled.timed, rolled.sample)
    for number, (cell, category, *sums) in enumerate(zip(*(column.tolist() for column in columns), strict=True)):
        ids, counts = hours.get(number, ([], []))
        yield parent(cell, SHARD_RESOLUTION), parent(cell, 7), resolution, category, cell, *sums, ids, counts


def _copy(session: Session, command: str, lines: Iterable[str]) -> None:
    raw: Any = session.connection().connection.driver_connection
    with raw.cursor() as cursor:
        cursor.copy_expert(command, Stream(lines), size=1 << 18)


_CELLS = """
SELECT c.cell, c.category_id::bigint, c.stores::bigint, c.offers::bigint, c.rating_sum, c.rating_count, c.timed::bigint, c.sample::bigint,
       c.hours_ids, c.hours_counts
  FROM supply_cells c
 WHERE c.shard_cell = ANY(:shard_cells) AND c.block = ANY(:blocks) AND c.resolution = :resolution AND c.category_id = ANY(:category_ids)
"""
# Where an area has many blocks, or they are not known ahead: all of the shards but those that are stale.
_CELLS_OF_SHARDS = """
SELECT c.cell, c.category_id::bigint, c.stores::bigint, c.offers::bigint, c.rating_sum, c.rating_count, c.timed::bigint, c.sample::bigint,
       c.hours_ids, c.hours_counts
  FROM supply_cells c
 WHERE c.shard_cell = ANY(:shard_cells) AND c.block <> ALL(:without) AND c.resolution = :resolution AND c.category_id = ANY(:category_ids)
"""


def rolled_cells(
    session: Session, *, shard_cells: Sequence[int], blocks: Sequence[int] | None, without: Sequence[int], resolution: int,
    category_ids: Collection[int] | None,
) -> Rolled:  # fmt: skip
    """The rows of one resolution: of some blocks, or of all of the shards without some. category_ids: None for all categories together."""
    kinds = [ALL] if category_ids is None else list(category_ids)
    asked: dict[str, Any] = {"shard_cells": list(shard_cells), "resolution": resolution, "category_ids": kinds}
    if blocks is None:
        rows = session.execute(sa.text(_CELLS_OF_SHARDS), {**asked, "without": list(without)}).all()
    else:
        rows = session.execute(sa.text(_CELLS), {**asked, "blocks": sorted(set(blocks) - set(without))}).all()
    columns = np.array([row[:8] for row in rows], dtype=np.int64).reshape(-1, 8).T
    triples = [(number, id_, count) for number, row in enumerate(rows) if row[8] for id_, count in zip(row[8], row[9], strict=True)]
    return Rolled.of(columns, np.array(triples, dtype=np.int64).reshape(-1, 3))


def open_hours(session: Session, ids: Sequence[int], *, at: datetime) -> set[int]:
    """Which of these opening hours are open at a moment."""
    query = "SELECT id FROM opening_hours WHERE id = ANY(:ids) AND open_during @> CAST(:at AS timestamptz)"
    return set(session.scalars(sa.text(query), {"ids": list(ids), "at": at})) if ids else set()


# --- what was ----------------------------------------------------------------------------------------------------------------------

_SINCE = """
INSERT INTO supply_changes (shard_cell, block, cell, category_id, changed_at, stores, offers, rating_sum, rating_count)
SELECT coalesce(n.shard_cell, o.shard_cell), coalesce(n.block, o.block), coalesce(n.cell, o.cell), coalesce(n.category_id, o.category_id),
       greatest(CAST(:now AS timestamptz), o.changed_at + interval '1 microsecond'),
       coalesce(n.stores, 0), coalesce(n.offers, 0), coalesce(n.rating_sum, 0), coalesce(n.rating_count, 0)
  FROM (SELECT * FROM supply_cells WHERE shard_cell = ANY(:shard_cells) AND block = ANY(:blocks) AND resolution = :finest AND category_id <> 0) n
  FULL JOIN (
      SELECT DISTINCT ON (shard_cell, block, cell, category_id) * FROM supply_changes
       WHERE shard_cell = ANY(:shard_cells) AND block = ANY(:blocks)
       ORDER BY shard_cell, block, cell, category_id, changed_at DESC
  ) o USING (shard_cell, block, cell, category_id)
 WHERE (coalesce(n.stores, 0), coalesce(n.offers, 0), coalesce(n.rating_sum, 0), coalesce(n.rating_count, 0))
       IS DISTINCT FROM (coalesce(o.stores, 0), coalesce(o.offers, 0), coalesce(o.rating_sum, 0), coalesce(o.rating_count, 0))
"""


def note_changes(session: Session, blocks: Sequence[Any], *, now: datetime) -> None:
    """Writes down what some blocks, just rolled up, hold otherwise than before."""
    asked = {"shard_cells": sorted({row.shard_cell for row in blocks}), "blocks": [row.block for row in blocks], "finest": FINEST, "now": now}
    session.execute(sa.text(_SINCE), asked)


_AS_OF = """
SELECT cell, stores::bigint, offers::bigint, rating_sum, rating_count FROM (
    SELECT DISTINCT ON (shard_cell, block, cell, category_id) * FROM supply_changes
     WHERE shard_cell = ANY(:shard_cells) AND (CAST(:blocks AS bigint[]) IS NULL OR block = ANY(:blocks))
       AND (CAST(:category_ids AS smallint[]) IS NULL OR category_id = ANY(:category_ids)) AND changed_at <= :as_of
     ORDER BY shard_cell, block, cell, category_id, changed_at DESC
) known WHERE stores > 0 OR offers > 0
"""


def cells_as_of(
    session: Session, *, shard_cells: Sequence[int], blocks: Sequence[int] | None, category_ids: Sequence[int] | None, as_of: datetime
) -> Rolled:
    """What cells of resolution 11 held at a moment, a row for each category. Opening hours are not kept."""
    asked = {
        "shard_cells": list(shard_cells), "blocks": None if blocks is None else list(blocks),
        "category_ids": None if category_ids is None else list(category_ids), "as_of": as_of,
    }  # fmt: skip
    rows = session.execute(sa.text(_AS_OF), asked).all()
    columns: Ints = np.array([tuple(row) for row in rows], dtype=np.int64).reshape(-1, 5).T
    nothing = np.zeros(len(rows), dtype=np.int64)
    return Rolled.of([columns[0], nothing, *columns[1:], nothing, nothing], np.empty((0, 3), dtype=np.int64))


def known_since(session: Session, *, shard_cells: Sequence[int]) -> datetime | None:
    """When the first row of the last of the shards was written; before that not everything is known."""
    firsts = "SELECT min(changed_at) AS first FROM supply_changes WHERE shard_cell = ANY(:shard_cells) GROUP BY shard_cell"
    return session.scalar(sa.text(f"SELECT max(first) FROM ({firsts}) firsts"), {"shard_cells": list(shard_cells)})
