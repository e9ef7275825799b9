"""H3 cells as numbers: one index at resolution 12 answers for every coarser resolution.

The digits of an H3 index lie from coarse to fine, so all descendants of a cell form one contiguous range of the number,
and a parent is bit arithmetic. Layout of the 64 bits: 1 reserved, 4 mode, 3 reserved, 4 resolution, 7 base cell, 15 digits of 3 bits.
"""

from __future__ import annotations

import math
from functools import lru_cache

import h3.api.basic_int as h3
import numpy as np
from numpy.typing import NDArray

from .bounds import Bounds
from .distance import distance_m
from .point import Point

# About 9 m edge: fine enough to tell two shop doors apart, coarse enough that a store has one cell.
STORED_RESOLUTION = 12
# Decided once for ever: the distribution key of every big table (design: scale, section 1).
SHARD_RESOLUTION = 4
# Cells of this size have a version that rises with every change in them, about 5 square kilometres: small enough to be read anew in a
# moment, large enough that a question touches one or two.
VERSIONED_RESOLUTION = 7

_RESOLUTION_SHIFT = 52
_RESOLUTION_MASK = 15 << _RESOLUTION_SHIFT
_DIGIT_BITS = 3
_MAX_RESOLUTION = 15
_LARGEST_DIGIT = 6

# Cell edges differ by place: against the mean edge, H3's own table of extremes stays within these factors.
_SHORTEST_EDGE = 0.75
_LONGEST_EDGE = 1.3
# Children overhang their parent. A fine cell whose centre is farther than this many edges outside cannot reach in
# (measured: no miss in 1,200 circles; the tests here repeat it).
_OVERHANG_EDGES = 2.2
# The farthest that anything stored in a cell can be from its middle, in mean edges (measured on cells of every kind: 1.143; tests repeat it).
CELL_RADIUS_EDGES = 1.2
# Wider than this (some 5,000 shard cells) a cover no longer prunes anything, and the caller should ask for less.
LARGEST_COVER_M = 1_500_000


class AreaTooLarge(ValueError):
    """The area is wider than LARGEST_COVER_M around its middle."""


def cell_of(point: Point, resolution: int = STORED_RESOLUTION) -> int:
    """The H3 index of the cell that holds a point."""
    return h3.latlng_to_cell(point.lat, point.lon, resolution)


def centre_of(cell: int) -> Point:
    lat, lon = h3.cell_to_latlng(cell)
    return Point(lon, lat)


def resolution_of(cell: int) -> int:
    return (cell & _RESOLUTION_MASK) >> _RESOLUTION_SHIFT


def parent(cell: int, resolution: int) -> int:
    """The ancestor of a cell at a coarser (or the same) resolution, 0..15.

    Raises ValueError where the resolution is finer than the cell's.
    """
    if not 0 <= resolution <= resolution_of(cell):
        raise ValueError(f"resolution must lie in 0..{resolution_of(cell)}, found {resolution}")
    unused_digits = (1 << (_DIGIT_BITS * (_MAX_RESOLUTION - resolution))) - 1
    return (cell & ~_RESOLUTION_MASK) | (resolution << _RESOLUTION_SHIFT) | unused_digits


def parents(cells: NDArray[np.int64], resolution: int) -> NDArray[np.int64]:
    """The ancestor of each cell at a coarser (or the same) resolution: parent() for an array, which is not checked."""
    unused_digits = (1 << (_DIGIT_BITS * (_MAX_RESOLUTION - resolution))) - 1
    return np.asarray((cells & np.int64(~_RESOLUTION_MASK)) | np.int64((resolution << _RESOLUTION_SHIFT) | unused_digits), dtype=np.int64)


def descendants(cell: int, resolution: int = STORED_RESOLUTION) -> tuple[int, int]:
    """First and last number that a descendant of this cell can have at a finer resolution.

    Every descendant lies in first..last, and every valid index of that resolution in first..last is a descendant.
    """
    own = resolution_of(cell)
    if not own <= resolution <= _MAX_RESOLUTION:
        raise ValueError(f"resolution must lie in {own}..{_MAX_RESOLUTION}, found {resolution}")
    base = (cell & ~_RESOLUTION_MASK) | (resolution << _RESOLUTION_SHIFT)
    first = last = base
    for level in range(own + 1, resolution + 1):
        shift = _DIGIT_BITS * (_MAX_RESOLUTION - level)
        first &= ~(7 << shift)
        last = (last & ~(7 << shift)) | (_LARGEST_DIGIT << shift)
    return first, last


def descendants_at(cell: int, resolution: int) -> list[int]:
    """Every descendant of a cell at a finer (or the same) resolution, sorted."""
    return sorted(h3.cell_to_children(cell, resolution))


def edge_m(resolution: int) -> float:
    """Mean length of a cell's edge, metres."""
    return float(h3.average_hexagon_edge_length(resolution, unit="m"))


def area_km2(cell: int) -> float:
    """True area of this very cell on the sphere, square kilometres; cells of one resolution differ by up to a factor of two."""
    return h3.cell_area(cell, unit="km^2")


def boundary(cell: int) -> list[tuple[float, float]]:
    """The closed outline of a cell as (lon, lat), counter-clockwise; longitudes run past 180 where it crosses the date line."""
    ring = [(lon, lat) for lat, lon in h3.cell_to_boundary(cell)]
    lons = [lon for lon, _ in ring]
    if max(lons) - min(lons) > 180.0:
        ring = [(lon + 360.0 if lon < 0 else lon, lat) for lon, lat in ring]
    return [*ring, ring[0]]


def to_hex(cell: int) -> str:
    """The usual text form; the number itself does not fit a JavaScript number."""
    return h3.int_to_str(cell)


def parse_hex(text: str) -> int:
    """Raises ValueError where the text is not a valid cell."""
    try:
        cell = h3.str_to_int(text)
    except (ValueError, OverflowError) as failure:
        raise ValueError(f"expected an H3 cell in hexadecimal, found {text[:40]!r}") from failure
    if not h3.is_valid_cell(cell):
        raise ValueError(f"expected a valid H3 cell, found {text[:40]!r}")
    return cell


def shard_cells_of_circle(centre: Point, radius_m: float) -> list[int]:
    """Shard cells that a store within radius_m of the centre can have; a superset, sorted.

    Covers the circle by fine cells and takes their ancestors, because coarse cells do not hold their descendants exactly. The answer
    is made for all centres of one small cell at once, and remembered: people ask from the same places.
    """
    return list(_shard_cells_around(cell_of(centre, min(_fine_resolution(radius_m)[0] + 1, STORED_RESOLUTION)), radius_m))


@lru_cache(maxsize=65_536)
def _shard_cells_around(place: int, radius_m: float) -> tuple[int, ...]:
    """Shard cells within radius_m of any point of a cell."""
    centre = centre_of(place)
    fine, edge_m = _fine_resolution(radius_m)
    slack_m = _LONGEST_EDGE * h3.average_hexagon_edge_length(resolution_of(place), unit="m")
    reach_m = radius_m + slack_m + _OVERHANG_EDGES * _LONGEST_EDGE * edge_m
    rings = math.ceil(reach_m / (1.5 * _SHORTEST_EDGE * edge_m))
    disk = h3.grid_disk(cell_of(centre, fine), rings)
    parents = {parent(cell, SHARD_RESOLUTION) for cell in disk}
    if len(parents) > 1:
        parents = {parent(cell, SHARD_RESOLUTION) for cell in disk if distance_m(centre, centre_of(cell)) <= reach_m}
    return tuple(sorted(parents))


def shard_cells_of_bounds(bounds: Bounds) -> list[int]:
    """Shard cells that a store inside the box can have; a superset, sorted: those of the circle around it.

    Raises AreaTooLarge where the circle is wider than LARGEST_COVER_M.
    """
    centre, radius_m = bounds.circle()
    if radius_m > LARGEST_COVER_M:
        raise AreaTooLarge("the box is too large: ask for a smaller one")
    return shard_cells_of_circle(centre, radius_m)


@lru_cache(maxsize=4096)
def _fine_resolution(radius_m: float) -> tuple[int, float]:
    """The coarsest resolution from SHARD_RESOLUTION on whose mean edge is at most a third of the radius, and that edge in metres."""
    for resolution in range(SHARD_RESOLUTION, STORED_RESOLUTION):
        edge_m = h3.average_hexagon_edge_length(resolution, unit="m")
        if edge_m <= radius_m / 3:
            return resolution, edge_m
    return STORED_RESOLUTION, h3.average_hexagon_edge_length(STORED_RESOLUTION, unit="m")
