"""Which cells may hold a hit, the nearest first. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import h3.api.basic_int as h3
import numpy as np
from numpy.typing import NDArray

from ..geo.cells import CELL_RADIUS_EDGES, VERSIONED_RESOLUTION, cell_of, centre_of, edge_m
from ..geo.distance import ecef_of, to_ecef
from ..geo.point import Point
from .nearest import by_nearness
from .question import Where

Xyz = tuple[float, float, float]

CELL_RADIUS_M = CELL_RADIUS_EDGES * edge_m(VERSIONED_RESOLUTION)
# So much farther apart are the middles of cells with each ring between them at least: cells are smallest around the twelve pentagons.
NARROWEST_STEP_M = 1.5 * 0.65 * edge_m(VERSIONED_RESOLUTION)
# Rings of cells around the one that is asked from: most questions end within the first, and the last holds the largest radius.
_DISKS = (3, 8, 20, 50)


def cells_by_nearness(where: Where, origin: Xyz) -> Iterator[tuple[float, int]]:
    """Every cell that may hold a hit, with a distance in metres that none of its stores is nearer than; the nearest first.

    origin: where.origin, earth-centred, metres.
    """
    return _around_origin(where, origin) if where.around is None else _around_shape(where, origin, *where.around)


def _around_origin(where: Where, origin: Xyz) -> Iterator[tuple[float, int]]:
    seen = set[int]()
    home = cell_of(where.origin, VERSIONED_RESOLUTION)
    for rings in _DISKS:
        cells, centres = _disk(home, rings)
        # Beyond this the next disk may hold something nearer.
        sure_m = max(_covered_m(rings), 0.0)
        sequence, ways = by_nearness(centres, origin, min(where.radius_m, sure_m) + CELL_RADIUS_M)
        for place, way in zip(sequence.tolist(), ways.tolist(), strict=True):
            cell, lower_m = cells[place], max(way - CELL_RADIUS_M, 0.0)
            if cell not in seen:
                seen.add(cell)
                yield lower_m, cell
        if sure_m > where.radius_m:
            return


def _around_shape(where: Where, origin: Xyz, middle: Point, around_m: float) -> Iterator[tuple[float, int]]:
    rings = next(rings for rings in _DISKS if _covered_m(rings) > around_m)
    cells, centres = _disk(cell_of(middle, VERSIONED_RESOLUTION), rings)
    inside, _ = by_nearness(centres, ecef_of(middle), around_m + CELL_RADIUS_M)
    sequence, ways = by_nearness(centres[inside], origin, where.radius_m + CELL_RADIUS_M)
    for place, way in zip(inside[sequence].tolist(), ways.tolist(), strict=True):
        yield max(way - CELL_RADIUS_M, 0.0), cells[place]


def _covered_m(rings: int) -> float:
    """No store outside a disk of so many rings is nearer to any point of the cell in its middle."""
    return (rings + 1) * NARROWEST_STEP_M - 2 * CELL_RADIUS_M


def _disk(home: int, rings: int) -> tuple[list[int], NDArray[Any]]:
    """The cells up to so many rings around one, and their middles: earth-centred metres, shape (n, 3)."""
    return _near_disk(home, rings) if rings == _DISKS[0] else _far_disk(home, rings)


def _make_disk(home: int, rings: int) -> tuple[list[int], NDArray[Any]]:
    cells = h3.grid_disk(home, rings)
    centres = [centre_of(cell) for cell in cells]
    return cells, to_ecef(np.array([(one.lon, one.lat) for one in centres]))


# The small ones are asked for all the time; a large one is some hundred kilobytes.
_near_disk = lru_cache(maxsize=4_096)(_make_disk)
_far_disk = lru_cache(maxsize=32)(_make_disk)
