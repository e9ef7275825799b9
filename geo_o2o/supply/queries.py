"""Supply in the database: which rows are due, the stores they are made from, the rows themselves, and what was before."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import numpy as np
import sqlalchemy as sa
from sqlalchemy.orm import Session

from ..copying import Stream
from ..geo.cells import SHARD_RESOLUTION, VERSIONED_RESOLUTION, descendants, parent, parents
from .rolling import ROLLED, Ints, Rolled, Stock

# --- what is rolled up, and what is not or not any more --------------------------------------------------------------------------

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


# Versions only rise, so their sum is the same only where each of them is.
_SHARDS = """
SELECT v.shard_cell, coalesce(s.version = v.version AND (s.good_until IS NULL OR s.good_until > :now), false) AS fresh
  FROM (SELECT shard_cell, sum(version)::bigint AS version FROM cell_versions WHERE shard_cell = ANY(:shard_cells) GROUP BY shard_cell) v
  LEFT JOIN supply_blocks s ON s.shard_cell = v.shard_cell AND s.block = v.shard_cell AND s.shard_cell = ANY(:shard_cells)
 ORDER BY v.shard_cell
"""


def fresh_and_stale(session: Session, *, shard_cells: Sequence[int], now: datetime) -> tuple[list[int], list[int]]:
    """Of some shards those whose own rows are made from the present versions of all their blocks, and those whose are not.

    Those that never held anything are neither.
    """
    rows = session.execute(sa.text(_SHARDS), {"shard_cells": list(shard_cells), "now": now}).all()
    return [row.shard_cell for row in rows if row.fresh], [row.shard_cell for row in rows if not row.fresh]


_STALE_SHARDS = """
SELECT b.shard_cell, b.shard_cell AS block, b.version, b.good_until
  FROM (SELECT shard_cell, sum(version)::bigint AS version, min(good_until) AS good_until
          FROM supply_blocks WHERE block <> shard_cell GROUP BY shard_cell) b
  LEFT JOIN supply_blocks s ON s.shard_cell = b.shard_cell AND s.block = b.shard_cell
 WHERE s.version IS DISTINCT FROM b.version OR s.good_until IS DISTINCT FROM b.good_until
 LIMIT :limit
"""


def stale_shards(session: Session, *, limit: int) -> Sequence[Any]:
    """Shards (shard_cell, block, version, good_until), any, whose own rows are not the sums of their blocks' rows."""
    return session.execute(sa.text(_STALE_SHARDS), {"limit": limit}).all()


# --- the stores ------------------------------------------------------------------------------------------------------------------

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
SELECT s.cell, s.category_id::bigint, offers.number, s.rating_sum::bigint, s.rating_count::bigint, coalesce(s.hours_id, 0) AS hours,
       (offers.sample OR (s.rating_sample AND s.rating_count > 0))::integer AS sample, offers.turns_at
"""
_STOCK = f"""{_COUNTED}, s.shard_cell, s.id, s.location
  FROM unnest(CAST(:firsts AS bigint[]), CAST(:lasts AS bigint[])) AS wanted (first, last)
  JOIN stores s ON s.cell BETWEEN wanted.first AND wanted.last
{_OFFERS}"""
_STOCK_OF_DISTRICTS = f"""{_COUNTED}
  FROM store_districts d
  JOIN stores s ON s.shard_cell = d.shard_cell AND s.id = d.store_id
{_OFFERS} AND d.shard_cell = ANY(:shard_cells) AND d.district_id = ANY(:district_ids)
"""
# A row for each store that is otherwise than its newest row says; for one that has gone its last row again, not live.
_STOCK_NOTED = f"""
WITH stock AS MATERIALIZED ({_STOCK}),
known AS (
    SELECT DISTINCT ON (shard_cell, block, store_id) * FROM supply_changes
     WHERE shard_cell = ANY(:shard_cells) AND block = ANY(:blocks)
     ORDER BY shard_cell, block, store_id, changed_at DESC
),
noted AS (
    INSERT INTO supply_changes (shard_cell, block, store_id, changed_at, live, cell, location, category_id, offers, rating_sum, rating_count)
    SELECT coalesce(s.shard_cell, k.shard_cell), coalesce(h3_parent(s.cell, {VERSIONED_RESOLUTION}), k.block), coalesce(s.id, k.store_id),
           greatest(CAST(:now AS timestamptz), k.changed_at + interval '1 microsecond'), s.id IS NOT NULL,
           coalesce(s.cell, k.cell), coalesce(s.location, k.location), coalesce(s.category_id, k.category_id),
           coalesce(s.number, 0), coalesce(s.rating_sum, 0), coalesce(s.rating_count, 0)
      FROM stock s
      FULL JOIN known k ON k.shard_cell = s.shard_cell AND k.block = h3_parent(s.cell, {VERSIONED_RESOLUTION}) AND k.store_id = s.id
     WHERE CASE WHEN s.id IS NULL THEN k.live
                ELSE (s.cell, s.location, s.category_id, s.number, s.rating_sum, s.rating_count, true)
                     IS DISTINCT FROM (k.cell, k.location, k.category_id, k.offers, k.rating_sum, k.rating_count, k.live) END
)
SELECT * FROM stock
"""


def stock_of(session: Session, blocks: Sequence[int], *, now: datetime, note: bool = False) -> tuple[Stock, dict[int, datetime]]:
    """The stores of some cells of resolution 7, and when something in such a cell begins or ends by itself next.

    note: and writes down of each store that it is otherwise from now on, where it is.
    """
    ranges = [descendants(block) for block in sorted(blocks)]
    shard_cells = sorted({parent(block, SHARD_RESOLUTION) for block in blocks})
    asked = {"firsts": [one for one, _ in ranges], "lasts": [one for _, one in ranges], "shard_cells": shard_cells, "now": now}
    if note:
        rows = session.execute(sa.text(_STOCK_NOTED), {**asked, "blocks": list(blocks)}).all()
    else:
        rows = session.execute(sa.text(_STOCK), asked).all()
    turns: dict[int, datetime] = {}
    for row in rows:
        if row.turns_at is not None:
            block = parent(row.cell, VERSIONED_RESOLUTION)
            turns[block] = min(turns.get(block, row.turns_at), row.turns_at)
    return Stock.of([row[:7] for row in rows]), turns


def stock_of_districts(session: Session, district_ids: Sequence[UUID], *, shard_cells: Sequence[int], now: datetime) -> Stock:
    """The stores that lie in some districts. shard_cells: those that such stores can have."""
    asked = {"district_ids": list(district_ids), "shard_cells": list(shard_cells), "now": now}
    return Stock.of([row[:7] for row in session.execute(sa.text(_STOCK_OF_DISTRICTS), asked)])


# --- the rows --------------------------------------------------------------------------------------------------------------------

_COLUMNS = (
    "shard_cell", "block", "resolution", "category_id", "cell", "stores", "offers", "rating_sum", "rating_count", "timed", "sample",
    "hours_ids", "hours_counts",
)  # fmt: skip


def replace_blocks(session: Session, blocks: Sequence[Any], rolled: Mapping[int, Rolled], good_until: Mapping[int, datetime | None]) -> None:
    """The rows of some blocks (shard_cell, block, version) anew. A block is a cell of resolution 7, or a shard. rolled: by resolution."""
    asked = {"shard_cells": sorted({row.shard_cell for row in blocks}), "blocks": [row.block for row in blocks]}
    for table in ("supply_cells", "supply_blocks"):
        session.execute(sa.text(f"DELETE FROM {table} WHERE shard_cell = ANY(:shard_cells) AND block = ANY(:blocks)"), asked)
    _copy(session, f"COPY supply_cells ({', '.join(_COLUMNS)}) FROM STDIN", (row for part in rolled.items() for row in _lines(*part)))
    said = ((row.shard_cell, row.block, row.version, good_until.get(row.block) or "\\N") for row in blocks)
    _copy(session, "COPY supply_blocks (shard_cell, block, version, good_until) FROM STDIN", (_line(row) for row in said))


def _lines(resolution: int, rolled: Rolled) -> Iterable[str]:
    blocks = parents(rolled.cell, VERSIONED_RESOLUTION if resolution in ROLLED else SHARD_RESOLUTION)
    columns = [parents(rolled.cell, SHARD_RESOLUTION), blocks, np.full(len(rolled), resolution), rolled.category, rolled.cell, *rolled.columns()[2:]]
    # The triples come by row: those of a row lie between two places.
    ends = np.searchsorted(rolled.hours[:, 0], np.arange(len(rolled) + 1)).tolist()
    ids, counts = rolled.hours[:, 1].tolist(), rolled.hours[:, 2].tolist()
    for row, begin, end in zip(zip(*(column.tolist() for column in columns), strict=True), ends[:-1], ends[1:], strict=True):
        yield _line((*row, _array(ids[begin:end]), _array(counts[begin:end])))


def _array(values: Sequence[int]) -> str:
    return "{" + ",".join(map(str, values)) + "}"


def _line(values: Iterable[Any]) -> str:
    """Of numbers, moments and what needs no escape."""
    return "\t".join(map(str, values)) + "\n"


def _copy(session: Session, command: str, lines: Iterable[str]) -> None:
    raw: Any = session.connection().connection.driver_connection
    with raw.cursor() as cursor:
        cursor.copy_expert(command, Stream(lines), size=1 << 18)


_ROWS = """
SELECT c.cell, c.category_id::bigint, c.stores::bigint, c.offers::bigint, c.rating_sum, c.rating_count, c.timed::bigint, c.sample::bigint,
       array_to_string(c.hours_ids, ','), array_to_string(c.hours_counts, ','), cardinality(c.hours_ids)
  FROM supply_cells c
 WHERE c.shard_cell = ANY(:shard_cells) AND c.resolution = :resolution AND {which}
"""
_CELLS = _ROWS.format(which="c.category_id = :category_id AND c.block = ANY(:blocks)")
# Where an area has many blocks, or they are not known ahead: all of the shards but those that are stale.
_CELLS_OF_SHARDS = _ROWS.format(which="c.category_id = :category_id AND c.block <> ALL(:without)")
_CELLS_BY_CATEGORY = _ROWS.format(which="true")


def rolled_cells(
    session: Session, *, shard_cells: Sequence[int], blocks: Sequence[int] | None, without: Sequence[int], resolution: int, category_id: int
) -> Rolled:
    """The rows of one resolution and category: of some blocks, or of all of the shards, in both cases without some."""
    asked: dict[str, Any] = {"shard_cells": list(shard_cells), "resolution": resolution, "category_id": category_id}
    if blocks is None:
        return _read(session.execute(sa.text(_CELLS_OF_SHARDS), {**asked, "without": list(without)}).all())
    return _read(session.execute(sa.text(_CELLS), {**asked, "blocks": sorted(set(blocks) - set(without))}).all())


def cells_by_category(session: Session, *, shard_cells: Sequence[int], resolution: int) -> Rolled:
    """All rows of one resolution."""
    return _read(session.execute(sa.text(_CELLS_BY_CATEGORY), {"shard_cells": list(shard_cells), "resolution": resolution}).all())


def _read(rows: Sequence[Any]) -> Rolled:
    columns = np.array([row[:8] for row in rows], dtype=np.int64).reshape(-1, 8).T
    # As text, because the driver takes arrays apart a number at a time.
    ids, counts = (np.fromstring(",".join([row[at] for row in rows if row[at]]), dtype=np.int64, sep=",") for at in (8, 9))
    number = np.repeat(np.arange(len(rows)), np.array([row[10] for row in rows], dtype=np.int64))
    return Rolled.of(columns, np.column_stack([number, ids, counts]))


def open_hours(session: Session, ids: Sequence[int], *, at: datetime) -> set[int]:
    """Which of these opening hours are open at a moment."""
    query = "SELECT id FROM opening_hours WHERE id = ANY(:ids) AND open_during @> CAST(:at AS timestamptz)"
    return set(session.scalars(sa.text(query), {"ids": list(ids), "at": at})) if ids else set()


# --- what was ----------------------------------------------------------------------------------------------------------------------

_AS_OF = """
SELECT h3_parent(cell, :resolution) AS cell, count(*), sum(offers)::bigint, sum(rating_sum)::bigint, sum(rating_count)::bigint FROM (
    SELECT DISTINCT ON (shard_cell, block, store_id) * FROM supply_changes
     WHERE shard_cell = ANY(:shard_cells) AND (CAST(:blocks AS bigint[]) IS NULL OR block = ANY(:blocks)) AND changed_at <= :as_of
     ORDER BY shard_cell, block, store_id, changed_at DESC
) known
 WHERE live AND (CAST(:category_ids AS smallint[]) IS NULL OR category_id = ANY(:category_ids)) {where}
 GROUP BY 1 ORDER BY 1
"""
# As stores are given their districts: the smallest of a layer that covers it.
_IN_DISTRICTS = """
   AND (SELECT d.id FROM districts d
         WHERE d.in_force AND d.layer = :layer AND ST_Covers(d.area, known.location::geometry)
         ORDER BY d.area_m2, d.id LIMIT 1) = ANY(:district_ids)
"""


def cells_as_of(
    session: Session, *, shard_cells: Sequence[int], blocks: Sequence[int] | None, resolution: int, category_ids: Sequence[int] | None,
    as_of: datetime, layer: str | None = None, district_ids: Sequence[UUID] = (),
) -> Rolled:  # fmt: skip
    """What cells held at a moment; with a layer only in some of its districts, by their present outlines. Opening hours are not kept."""
    asked: dict[str, Any] = {
        "shard_cells": list(shard_cells), "blocks": None if blocks is None else list(blocks), "resolution": resolution,
        "category_ids": None if category_ids is None else list(category_ids), "as_of": as_of,
    }  # fmt: skip
    if layer is not None:
        asked |= {"layer": layer, "district_ids": list(district_ids)}
    rows = session.execute(sa.text(_AS_OF.format(where=_IN_DISTRICTS if layer is not None else "")), asked).all()
    cells, *sums = np.array([tuple(row) for row in rows], dtype=np.int64).reshape(-1, 5).T
    nothing: Ints = np.zeros(len(rows), dtype=np.int64)
    return Rolled.of([cells, nothing, *sums, nothing, nothing])


_BEGIN = "INSERT INTO supply_history (begun_at) SELECT :now WHERE NOT EXISTS (SELECT FROM supply_history)"


def begin_history(session: Session, *, now: datetime) -> None:
    """From now on the past is known, wherever: everything there is has been rolled up. Only the first time counts."""
    session.execute(sa.text(_BEGIN), {"now": now})


def known_since(session: Session) -> datetime | None:
    """Before it not everything was written down."""
    return session.scalar(sa.text("SELECT min(begun_at) FROM supply_history"))
