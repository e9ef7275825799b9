from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import h3.api.basic_int as h3
import numpy as np
from shapely.geometry import MultiPolygon
from sqlalchemy.orm import Session

from ..districts.cover import touched_cells
from ..geo.cells import SHARD_RESOLUTION, parents, shard_cells_of_bounds
from ..geo.shapes import bounds_of
from ..stores.categories import tree, with_ancestors, with_descendants
from . import queries
from .rolling import (
    ALL,
    COARSEST,
    FINEST,
    ROLLED,
    ROLLED_OF_SHARDS,
    Ints,
    Rolled,
    coarsen,
    merge,
    open_stores,
    quotients,
    roll,
    roll_by_category,
    within,
)

# What one batch of the worker rolls up in one transaction.
_BLOCKS_PER_BATCH, _SHARDS_PER_BATCH = 200, 20
# From so many blocks on it is cheaper to read whole shards.
_MOST_BLOCKS = 2_000
# At the equator.
_KM2_PER_DEG2 = 111.2**2


def roll_due(session: Session, *, now: datetime) -> int:
    """Rolls up what has changed or was never rolled up, one batch, and writes down what was before; returns how many blocks and shards.

    May be run twice without harm. What changes meanwhile is found again: a row's version is never newer than what it was read from.
    """
    due = queries.stale_anywhere(session, now=now, limit=_BLOCKS_PER_BATCH)
    if due:
        stock, turns = queries.stock_of(session, [row.block for row in due], now=now, note=True)
        rolled = {resolution: roll_by_category(stock, resolution, above=with_ancestors()) for resolution in ROLLED}
        queries.replace_blocks(session, due, rolled, turns)
        return len(due)
    queries.begin_history(session, now=now)
    shards = queries.stale_shards(session, limit=_SHARDS_PER_BATCH)
    if shards:
        rows = queries.cells_by_category(session, shard_cells=[row.shard_cell for row in shards], resolution=ROLLED[0])
        rolled = {resolution: coarsen(rows, resolution) for resolution in ROLLED_OF_SHARDS}
        queries.replace_blocks(session, shards, rolled, {row.block: row.good_until for row in shards})
    return len(shards)


def supply_in(session: Session, area: MultiPolygon, *, resolution: int, category: str | None, now: datetime) -> Rolled:
    """The present supply of every cell that touches an area, whole cells; live and exact: what changed a moment ago is summed up anew.

    resolution: 4 to 11. Raises AreaTooLarge, CoverTooLarge. The transaction must see one moment (Database.planner does).
    """
    cells, shard_cells = _cells_of(area, resolution)
    category_id, category_ids = (ALL, None) if category is None else (tree()[category].id, with_descendants(category))
    parts = []
    if resolution in ROLLED_OF_SHARDS:
        fresh, shard_cells = queries.fresh_and_stale(session, shard_cells=shard_cells, now=now)
        parts.append(queries.rolled_cells(session, shard_cells=fresh, blocks=fresh, without=[], resolution=resolution, category_id=category_id))
    if shard_cells:
        blocks, finer = _blocks_of(cells, resolution), max(resolution, ROLLED[0])
        stale = [row.block for row in queries.stale_blocks(session, shard_cells=shard_cells, blocks=blocks, now=now)]
        parts.append(queries.rolled_cells(session, shard_cells=shard_cells, blocks=blocks, without=stale, resolution=finer, category_id=category_id))
        if stale:
            stock, _ = queries.stock_of(session, stale, now=now)
            parts.append(roll(stock, finer, categories=category_ids))
    return within(merge(parts, resolution), cells)


def supply_as_of(session: Session, area: MultiPolygon, *, resolution: int, category: str | None, as_of: datetime) -> Rolled:
    """The same as it was at a moment; without opening hours. Raises AreaTooLarge, CoverTooLarge."""
    cells, shard_cells = _cells_of(area, resolution)
    found = queries.cells_as_of(
        session, shard_cells=shard_cells, blocks=_blocks_of(cells, resolution), resolution=resolution,
        category_ids=None if category is None else with_descendants(category), as_of=as_of,
    )  # fmt: skip
    return within(found, cells)


def supply_of_districts(
    session: Session, district_ids: Sequence[UUID], *, shard_cells: Sequence[int], resolution: int, category: str | None, now: datetime
) -> Rolled:
    """The present supply of the stores of some districts alone, per cell: the sum over cells is the districts'."""
    stock = queries.stock_of_districts(session, district_ids, shard_cells=shard_cells, now=now)
    return roll(stock, resolution, categories=None if category is None else with_descendants(category))


def supply_of_districts_as_of(
    session: Session, district_ids: Sequence[UUID], *, area: MultiPolygon, layer: str, resolution: int, category: str | None, as_of: datetime
) -> Rolled:
    """The same as it was at a moment, within the present outlines. area: that of all these districts, which are of one layer."""
    cells, shard_cells = _cells_of(area, ROLLED[0])
    return queries.cells_as_of(
        session, shard_cells=shard_cells, blocks=_blocks_of(cells, ROLLED[0]), resolution=resolution,
        category_ids=None if category is None else with_descendants(category), as_of=as_of, layer=layer, district_ids=district_ids,
    )  # fmt: skip


def known_since(session: Session) -> datetime | None:
    """From when on what was is known; None where nothing was rolled up yet."""
    return queries.known_since(session)


def open_shares(session: Session, rolled: Rolled, *, at: datetime) -> list[float | None]:
    """Of each row the share of stores that are open at a moment, among those whose hours are known; None where none are."""
    ids = np.unique(rolled.hours[:, 1]).tolist() if len(rolled.hours) else []
    return quotients(open_stores(rolled, queries.open_hours(session, ids, at=at)), rolled.timed)


def finest_for(area: MultiPolygon, *, most: int) -> int:
    """The finest resolution at which an area has about so many cells at most."""
    size_deg2 = sum((east - west) * (north - south) for west, south, east, north in (part.bounds for part in area.geoms))
    size_km2 = size_deg2 * _KM2_PER_DEG2 * math.cos(math.radians(area.centroid.y))
    fitting = (one for one in range(FINEST, COARSEST, -1) if size_km2 / h3.average_hexagon_area(one, unit="km^2") <= most)
    return next(fitting, COARSEST)


def _cells_of(area: MultiPolygon, resolution: int) -> tuple[Ints, list[int]]:
    """The cells that touch an area and the shards that hold them: whole cells are read, wherever in them their stores are.

    Raises AreaTooLarge, CoverTooLarge.
    """
    for part in bounds_of(area):
        shard_cells_of_bounds(part)
    cells = touched_cells(area, resolution)
    return cells, np.unique(parents(cells, SHARD_RESOLUTION)).tolist()


def _blocks_of(cells: Ints, resolution: int) -> list[int] | None:
    """The blocks that hold some cells; None where they are too many to be named."""
    if resolution < ROLLED[0]:
        return None
    blocks = np.unique(parents(cells, ROLLED[0]))
    return blocks.tolist() if len(blocks) <= _MOST_BLOCKS else None
