"""The loops over cells and rows that every question runs, compiled: which cells are near, which rows are near and good enough, and how good
is enough. Pure.

In numpy each of these would be a dozen passes over the columns, and between any two of them another thread of the process may take
its turn and leave this one waiting. Compiled they are one pass that nobody interrupts (decision 0011).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from numba import njit, types
from numpy.typing import NDArray

Array = NDArray[Any]
Loop = TypeVar("Loop", bound=Callable[..., Any])

# A key of the order and a distance in one number: the farthest distance has 18 bits.
DISTANCE_BITS = 18
# Behind every row there is.
NO_ORDER = np.iinfo(np.int64).max
_MEAN_RADIUS_M = 6_371_008.8
# Arc over chord: 1 + chord² / 24 R² + ..., whose next term is a millimetre at 200 km.
_BEND = 1.0 / (24.0 * _MEAN_RADIUS_M**2)


# These stand here because the compiler notices a change in this file alone.
@njit
def way_m(chord2: float) -> float:
    """The geodesic distance of two points whose squared straight distance is given, within way_error_m of it up to LONGEST_CHORD_M.

    An arc over its chord, on a sphere of the mean radius: of the shape of the ellipsoid only the third power of the distance is left
    in the error. Right at the poles and across the date line, and a tenth of the cost of the geodesic.
    """
    return np.sqrt(chord2) * (1.0 + chord2 * _BEND)


@njit
def way_error_m(metres: float) -> float:
    """How far way_m can be off at most, up to a distance: 1 micrometre near by, 2.5 mm at 50 km (measured: half of it, on a million pairs)."""
    return 1e-6 + 2e-17 * metres**3


def _column(kind: Any, dimensions: int = 1) -> Any:
    # Snapshots are mapped read-only; what can be written is taken as well.
    return types.Array(kind, dimensions, "C", readonly=True)


def _compiled(*signatures: Any) -> Callable[[Loop], Loop]:
    """Compiled once for a machine, at the first import. Where nothing may be written, once for a process."""

    def compiled(loop: Loop) -> Loop:
        try:
            return njit(list(signatures), cache=True)(loop)
        except RuntimeError:
            return njit(list(signatures))(loop)

    return compiled


_WHERE = types.UniTuple(types.float64, 3)
_found_rows = types.Tuple((types.int64[::1], types.float64[::1], types.int64[::1], types.int64[::1]))
_found_best = types.Tuple((types.int64[::1], types.int64[::1], types.int64))


@_compiled(types.Tuple((types.int64[::1], types.float64[::1]))(_column(types.float64, 2), _WHERE))
def by_nearness(xyz: Array, origin: tuple[float, float, float]) -> tuple[Array, Array]:
    """The places of points in the order of their distance from the origin, and that distance in metres by straight lines.

    xyz: earth-centred metres, shape (n, 3). origin: the same, of one point.
    """
    x, y, z = origin
    ways = np.empty(len(xyz))
    for place in range(len(xyz)):
        dx, dy, dz = xyz[place, 0] - x, xyz[place, 1] - y, xyz[place, 2] - z
        chord2 = dx * dx + dy * dy + dz * dz
        ways[place] = way_m(chord2)
    sequence = np.argsort(ways)
    return sequence, ways[sequence]


@_compiled(*(
    _found_rows(_column(types.float64, 2), _column(types.int32), _column(worth), _column(types.int64), _column(types.int64),
                _WHERE, _column(types.int64), types.float64, types.float64, types.boolean, types.int64)
    for worth in (types.int32, types.int64)
))  # fmt: skip
def near_rows(
    xyz: Array, stores: Array, worth: Array, start: Array, end: Array, origin: tuple[float, float, float], points_by_metre: Array,
    least_m: float, most_m: float, doubt_all: bool, worst: int,
) -> tuple[Array, Array, Array, Array]:  # fmt: skip
    """The rows of a view between two distances whose order is not behind the worst that is still of use.

    xyz: of each store, earth-centred metres, shape (n, 3). stores, worth: of each row its store, and its points beside those of distance.
    start, end: the spans of rows to look at. origin: earth-centred. points_by_metre: distance points of every whole metre.
    least_m, most_m: the two distances, metres. worst: an order. doubt_all: whether every distance is to be measured by the geodesic.
    Returns the rows, their metres, their order, and the places among them at which straight lines leave something open: to which whole
    metre the distance belongs, or on which side of a limit it lies. Of those the order is still to be found.
    """
    count = 0
    for span in range(len(start)):
        count += end[span] - start[span]
    rows, metres, order, open_ = np.empty(count, np.int64), np.empty(count), np.empty(count, np.int64), np.empty(count, np.int64)
    found, opened = 0, 0
    x, y, z = origin
    # What lies beyond this is beyond the limit for certain, and needs no root.
    beyond_m = most_m + way_error_m(most_m) + 1.0
    beyond2 = beyond_m * beyond_m
    farthest = len(points_by_metre) - 1
    for span in range(len(start)):
        for row in range(start[span], end[span]):
            store = stores[row]
            dx, dy, dz = xyz[store, 0] - x, xyz[store, 1] - y, xyz[store, 2] - z
            chord2 = dx * dx + dy * dy + dz * dz
            if chord2 > beyond2:
                continue
            way = way_m(chord2)
            error = way_error_m(way)
            if way > most_m + error or way < least_m - error:
                continue
            whole = np.rint(way)
            away = min(int(whole), farthest)
            place = away - ((points_by_metre[away] + worth[row]) << DISTANCE_BITS)
            if doubt_all or abs(way - whole) >= 0.5 - error or way > most_m - error or way < least_m + error:
                open_[opened] = found
                opened += 1
            elif place > worst:
                continue
            rows[found], metres[found], order[found] = row, way, place
            found += 1
    return rows[:found].copy(), metres[:found].copy(), order[:found].copy(), open_[:opened].copy()


@_compiled(_found_best(
    types.int64[::1], types.int64[::1], _column(types.uint64), _column(types.uint64), types.int64[::1], types.uint64[::1], types.uint64[::1],
))  # fmt: skip
def keep_best(rows: Array, order: Array, high: Array, low: Array, best: Array, best_high: Array, best_low: Array) -> tuple[Array, Array, int]:
    """Notes the best orders that were found so far, and drops the rows that cannot come onto the page.

    order: of the rows that were found. high, low: the halves of their ids, where an id may come more than once and counts once; else
    empty. best: the orders so far, smallest first, NO_ORDER where there are fewer; best_high, best_low: their ids, empty
    where none comes twice. These three are changed.
    Returns the rows that are left, their order, and the worst order that is still of use.
    """
    last = len(best) - 1
    for row in range(len(order)):
        one = order[row]
        if one >= best[last]:
            continue
        gap = last
        if len(high):
            for place in range(len(best)):
                if best_high[place] == high[row] and best_low[place] == low[row] and best[place] != NO_ORDER:
                    gap = place
                    break
            if best[gap] <= one:
                continue
        while gap > 0 and best[gap - 1] > one:
            best[gap] = best[gap - 1]
            if len(best_high):
                best_high[gap], best_low[gap] = best_high[gap - 1], best_low[gap - 1]
            gap -= 1
        best[gap] = one
        if len(best_high):
            best_high[gap], best_low[gap] = (high[row], low[row]) if len(high) else (np.uint64(0), np.uint64(0))
    left = order <= best[last]
    return rows[left], order[left], best[last]


@_compiled(types.int64[:, ::1](
    types.int64[::1], types.int64[::1], _column(types.int32), _column(types.int32), _column(types.int32), _column(types.int8),
    _column(types.int32), _column(types.int32), _column(types.int64), _column(types.int64),
))  # fmt: skip
def shown_columns(
    rows: Array, order: Array, stores: Array, source: Array, hours_id: Array, open_state: Array, bayes: Array, rating: Array,
    points_by_metre: Array, text_end: Array,
) -> Array:  # fmt: skip
    """What hits show beside their texts. rows, order: of each hit; stores: of each row; the other columns are those of the snapshot.

    Returns for each hit, shape (n, 9): source, open, metres, points of distance, points of rating, rating after the prior in thousandths of
    a star, and the bytes at which the texts of its store begin, part and end.
    """
    found = np.empty((len(rows), 9), np.int64)
    for hit in range(len(rows)):
        store = stores[rows[hit]]
        metres = order[hit] & ((1 << DISTANCE_BITS) - 1)
        found[hit, 0], found[hit, 1], found[hit, 2] = source[store], open_state[hours_id[store]], metres
        found[hit, 3], found[hit, 4], found[hit, 5] = points_by_metre[metres], rating[store], bayes[store]
        found[hit, 6], found[hit, 7], found[hit, 8] = text_end[2 * store], text_end[2 * store + 1], text_end[2 * store + 2]
    return found
