from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

import h3.api.basic_int as h3
import numpy as np
from shapely.geometry import MultiPolygon
from sqlalchemy.orm import Session

from ..districts.cover import touched_cells
from ..geo.cells import SHARD_RESOLUTION, parents, shard_cells_of_bounds
from ..geo.shapes import bounds_of
from . import queries
from .rolling import COARSEST, FINEST, ROLLED, Ints, Rolled, merge, open_stores, roll

# Blocks that one round of the worker rolls up in one transaction.
_BLOCKS_PER_BATCH = 200
# From so many blocks on it is cheaper to read whole shards.
_MOST_BLOCKS = 2_000
# At the equator.
_KM2_PER_DEG2 = 111.2**2


def roll_due(session: Session, *, now: datetime) -> int:
    """Rolls up what has changed or was never rolled up, one batch, and writes down what it was before; returns how many blocks.

    May be run twice without harm. What changes meanwhile is found again: a row's version is never newer than what it was read from.
    """
    due = queries.stale_anywhere(session, now=now, limit=_BLOCKS_PER_BATCH)
    if not due:
        return 0
    stock, turns = queries.stock_of(session, [row.block for row in due], now=now)
    queries.replace_cells(session, due, [(resolution, roll(stock, resolution)) for resolution in ROLLED], turns)
    queries.note_changes(session, due, now=now)
    return len(due)


def supply_in(session: Session, area: MultiPolygon, *, resolution: int, category_ids: Collection[int] | None, now: datetime) -> Rolled:
    """The present supply of every cell that touches an area, whole cells; live and exact: what changed a moment ago is summed up anew.

    resolution: 4 to 11. Raises AreaTooLarge, CoverTooLarge. The transaction must see one moment (Database.planner does).
    """
    _check_width(area)
    cells = touched_cells(area, resolution)
    # Whole cells are read, wherever in them their stores are.
    shard_cells = np.unique(parents(cells, SHARD_RESOLUTION)).tolist()
    blocks = _blocks_of(cells, resolution)
    stale = [row.block for row in queries.stale_blocks(session, shard_cells=shard_cells, blocks=blocks, now=now)]
    rolled = queries.rolled_cells(
        session, shard_cells=shard_cells, blocks=blocks, without=stale, resolution=max(resolution, ROLLED[0]), category_ids=category_ids
    )
    parts = [rolled]
    if stale:
        stock, _ = queries.stock_of(session, stale, now=now)
        parts.append(roll(stock, max(resolution, ROLLED[0]), categories=_all_of(category_ids, stock.category)))
    return _within(merge(parts, resolution=resolution if resolution < ROLLED[0] else None), cells)


def supply_as_of(session: Session, area: MultiPolygon, *, resolution: int, category_ids: Collection[int] | None, as_of: datetime) -> Rolled:
    """The same as it was at a moment; without opening hours. Raises AreaTooLarge, CoverTooLarge."""
    _check_width(area)
    cells = touched_cells(area, resolution)
    # Whole cells are read, wherever in them their stores are.
    shard_cells = np.unique(parents(cells, SHARD_RESOLUTION)).tolist()
    found = queries.cells_as_of(
        session, shard_cells=shard_cells, blocks=_blocks_of(cells, resolution),
        category_ids=None if category_ids is None else sorted(category_ids), as_of=as_of,
    )  # fmt: skip
    return _within(merge([found], resolution=resolution), cells)


def known_since(session: Session, area: MultiPolygon) -> datetime | None:
    """From when on supply_as_of knows anything of an area."""
    return queries.known_since(session, shard_cells=_shards_of(area))


def supply_of_stores(
    session: Session, district_ids: Sequence[Any], *, shard_cells: Sequence[int], resolution: int, category_ids: Collection[int] | None, now: datetime
) -> Rolled:
    """The present supply of the stores of some districts alone, per cell: the sum over cells is the districts'."""
    stock = queries.stock_of_districts(session, district_ids, shard_cells=shard_cells, now=now)
    return merge([roll(stock, resolution, categories=_all_of(category_ids, stock.category))])


def open_shares(session: Session, rolled: Rolled, *, at: datetime) -> list[float | None]:
    """Of each row the share of stores that are open at a moment, among those whose hours are known; None where none are."""
    ids = np.unique(rolled.hours[:, 1]).tolist() if len(rolled.hours) else []
    is_open = open_stores(rolled, queries.open_hours(session, ids, at=at))
    return [round(number / timed, 3) if timed else None for number, timed in zip(is_open.tolist(), rolled.timed.tolist(), strict=True)]


def _all_of(category_ids: Collection[int] | None, present: Ints) -> Collection[int]:
    return np.unique(present).tolist() if category_ids is None else category_ids


def _check_width(area: MultiPolygon) -> None:
    """Raises AreaTooLarge."""
    _shards_of(area)


def _shards_of(area: MultiPolygon) -> list[int]:
    return sorted({cell for part in bounds_of(area) for cell in shard_cells_of_bounds(part)})


def _blocks_of(cells: Ints, resolution: int) -> list[int] | None:
    """The blocks that hold some cells; None where they are too many to be named."""
    if resolution < ROLLED[0]:
        return None
    blocks = np.unique(parents(cells, ROLLED[0]))
    return blocks.tolist() if len(blocks) <= _MOST_BLOCKS else None


def _within(rolled: Rolled, cells: Ints) -> Rolled:
    """Only the rows of some cells."""
    kept = np.isin(rolled.cell, cells)
    if kept.all():
        return rolled
    number = np.cumsum(kept) - 1
    hours = rolled.hours[kept[rolled.hours[:, 0]]] if len(rolled.hours) else rolled.hours
    if len(hours):
        hours = np.column_stack([number[hours[:, 0]], hours[:, 1:]])
    return Rolled.of((column[kept] for column in rolled.columns()), hours)


def finest_for(area: MultiPolygon, *, most: int) -> int:
    """The finest resolution at which an area has about so many cells at most."""
    size_deg2 = sum((east - west) * (north - south) for west, south, east, north in (part.bounds for part in area.geoms))
    size_km2 = size_deg2 * _KM2_PER_DEG2 * math.cos(math.radians(area.centroid.y))
    fitting = (one for one in range(FINEST, COARSEST, -1) if size_km2 / h3.average_hexagon_area(one, unit="km^2") <= most)
    return next(fitting, COARSEST)
