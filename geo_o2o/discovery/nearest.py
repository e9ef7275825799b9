"""The loops over cells and rows that every question runs, compiled: which cells are near, which rows are near, and which are the best. Pure.

In numpy each of these would be a dozen passes over the columns, and between any two of them another thread of the process may take
its turn and leave this one waiting. Compiled they are one pass that nobody interrupts (decision 0011).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import from_dtype, njit, types
from numpy.typing import NDArray

from .compiling import column, compiled

Array = NDArray[Any]

# A key of the order and a distance in one number: the farthest distance has 18 bits.
DISTANCE_BITS = 18
# Behind every row there is.
NO_ORDER = np.iinfo(np.int64).max
# A hit: its order; its id and that of its store, in halves, by which those of one order are sorted; and where it was found: the number of
# its view, and its row there.
HIT = np.dtype([
    ("order", np.int64), ("high", np.uint64), ("low", np.uint64), ("store_high", np.uint64), ("store_low", np.uint64),
    ("number", np.int64), ("row", np.int64),
])  # fmt: skip
_MEAN_RADIUS_M = 6_371_008.8
# Arc over chord: 1 + chord² / 24 R² + ..., whose next term is a millimetre at 200 km.
_BEND = 1.0 / (24.0 * _MEAN_RADIUS_M**2)


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


# Neighbouring rows of a view: from where to where, a ball around them (earth-centred metres), and the most that any of them is worth.
BLOCK = np.dtype([
    ("start", np.int64), ("end", np.int64), ("x", np.float64), ("y", np.float64), ("z", np.float64), ("radius", np.float64), ("best", np.int64),
])  # fmt: skip

_WHERE = types.UniTuple(types.float64, 3)
_BLOCKS = from_dtype(BLOCK)[::1]
_HITS = from_dtype(HIT)[::1]
_IDS = column(types.uint64)
_found_rows = types.Tuple((types.int64[::1], types.float64[::1], types.int64[::1], types.int64[::1]))


@compiled(types.Tuple((types.int64[::1], types.float64[::1]))(column(types.float64, 2), _WHERE, types.float64))
def by_nearness(xyz: Array, origin: tuple[float, float, float], most_m: float) -> tuple[Array, Array]:
    """The places of the points within a distance in the order of theirs from the origin, and that distance in metres by straight lines.

    xyz: earth-centred metres, shape (n, 3). origin: the same, of one point.
    """
    x, y, z = origin
    found, places, ways = 0, np.empty(len(xyz), np.int64), np.empty(len(xyz))
    for place in range(len(xyz)):
        dx, dy, dz = xyz[place, 0] - x, xyz[place, 1] - y, xyz[place, 2] - z
        way = way_m(dx * dx + dy * dy + dz * dz)
        if way <= most_m:
            places[found], ways[found] = place, way
            found += 1
    sequence = np.argsort(ways[:found])
    return places[:found][sequence], ways[:found][sequence]


@njit
def _block_m(block: Any, origin: tuple[float, float, float]) -> float:
    """A distance in metres that no row of a block is nearer than: a centimetre less than it is, for whatever is lost in the sums."""
    dx, dy, dz = block.x - origin[0], block.y - origin[1], block.z - origin[2]
    return max(np.sqrt(dx * dx + dy * dy + dz * dz) - block.radius - 0.01, 0.0)


@njit
def _first_order(nearest_m: float, best: int, points_by_metre: Array) -> int:
    """The smallest order that a row can have which is not nearer and not worth more."""
    metres = int(nearest_m)
    return metres - ((points_by_metre[min(metres, len(points_by_metre) - 1)] + best) << DISTANCE_BITS)


@compiled(types.int64[::1](_BLOCKS, _WHERE, column(types.int64), types.float64, types.int64))
def near_blocks(blocks: Array, origin: tuple[float, float, float], points_by_metre: Array, most_m: float, worst: int) -> Array:
    """The places of the blocks that may hold rows within a distance whose order is not behind the worst, the nearest first.

    blocks: shape (n,) of BLOCK. The others are those of near_rows.
    """
    found, places, ways = 0, np.empty(len(blocks), np.int64), np.empty(len(blocks))
    for place in range(len(blocks)):
        block = blocks[place]
        nearest = _block_m(block, origin)
        if nearest > most_m or _first_order(nearest, block.best, points_by_metre) > worst:
            continue
        places[found], ways[found] = place, nearest
        found += 1
    return places[:found][np.argsort(ways[:found])]


@njit
def _beyond2(most_m: float) -> float:
    """The squared straight distance beyond which everything is beyond the limit for certain, and needs no root."""
    beyond_m = most_m + way_error_m(most_m) + 1.0
    return beyond_m * beyond_m


@njit
def _measure(chord2: float, worth: int, points_by_metre: Array, least_m: float, most_m: float) -> tuple[float, int, bool]:
    """Metres and order of a row, and whether straight lines leave something open: to which whole metre the distance belongs, or on which
    side of a limit it lies. Metres are -1 where it does not lie between the limits.
    """
    way = way_m(chord2)
    error = way_error_m(way)
    if way > most_m + error or way < least_m - error:
        return -1.0, 0, False
    whole = np.rint(way)
    away = min(int(whole), len(points_by_metre) - 1)
    order = away - ((points_by_metre[away] + worth) << DISTANCE_BITS)
    return way, order, abs(way - whole) >= 0.5 - error or way > most_m - error or way < least_m + error


@compiled(*(
    _found_rows(column(types.float64, 2), column(types.int32), column(worth), column(types.int64), column(types.int64),
                _WHERE, column(types.int64), types.float64, types.float64, types.boolean, types.int64)
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
    Returns the rows, their metres, their order, and the places among them at which straight lines leave something open (_measure).
    Of those the order is still to be found.
    """
    count = 0
    for span in range(len(start)):
        count += end[span] - start[span]
    rows, metres, order, open_ = np.empty(count, np.int64), np.empty(count), np.empty(count, np.int64), np.empty(count, np.int64)
    found, opened = 0, 0
    x, y, z = origin
    beyond2 = _beyond2(most_m)
    for span in range(len(start)):
        for row in range(start[span], end[span]):
            store = stores[row]
            dx, dy, dz = xyz[store, 0] - x, xyz[store, 1] - y, xyz[store, 2] - z
            chord2 = dx * dx + dy * dy + dz * dz
            if chord2 > beyond2:
                continue
            way, place, doubted = _measure(chord2, worth[row], points_by_metre, least_m, most_m)
            if way < 0.0:
                continue
            if doubt_all or doubted:
                open_[opened] = found
                opened += 1
            elif place > worst:
                continue
            rows[found], metres[found], order[found] = row, way, place
            found += 1
    return rows[:found].copy(), metres[:found].copy(), order[:found].copy(), open_[:opened].copy()


@njit
def _is_before(one: Any, other: Any) -> bool:
    if one.order != other.order:
        return one.order < other.order
    if one.high != other.high:
        return one.high < other.high
    if one.low != other.low:
        return one.low < other.low
    if one.store_high != other.store_high:
        return one.store_high < other.store_high
    return one.store_low < other.store_low


@njit
def _keep(page: Array, hit: Any, once: bool) -> None:
    """Puts a hit at its place on the page, where it belongs there; the last one makes room. once: whether its id may be there already."""
    gap = len(page) - 1
    if once:
        for place in range(len(page)):
            if page[place].high == hit.high and page[place].low == hit.low and page[place].order != NO_ORDER:
                gap = place
                break
    if not _is_before(hit, page[gap]):
        return
    while gap > 0 and _is_before(hit, page[gap - 1]):
        page[gap] = page[gap - 1]
        gap -= 1
    page[gap] = hit


@compiled(*(
    types.Tuple((types.int64, types.int64[::1]))(
        _HITS, types.int64, types.boolean, column(types.float64, 2), _IDS, _IDS, _IDS, _IDS, column(types.int32), column(types.int32), column(worth),
        _BLOCKS, _WHERE, column(types.int64), types.float64, types.float64)
    for worth in (types.int32, types.int64)
))  # fmt: skip
def keep_near(
    page: Array, number: int, once: bool, xyz: Array, high: Array, low: Array, store_high: Array, store_low: Array, things: Array, stores: Array,
    worth: Array, blocks: Array, origin: tuple[float, float, float], points_by_metre: Array, least_m: float, most_m: float,
) -> tuple[int, Array]:  # fmt: skip
    """Keeps the best rows of a view between two distances: near_rows and keep_rows in one, for questions that ask for nothing else.

    page: the best hits so far, shape (n,) of HIT, those that are still to be found with NO_ORDER; it is changed. number: that of the
    view. once: whether ids may come more than once, and count once. things: of each row the place in high and low of what it shows, the
    store itself or an offer. The others are those of near_rows and near_blocks.
    Returns the worst order that is still of use, and the rows of which straight lines leave something open: they are still to be kept.
    """
    x, y, z = origin
    beyond2 = _beyond2(most_m)
    opened = 0
    open_ = np.empty(8, np.int64)
    hit = np.empty(1, page.dtype)[0]
    last = len(page) - 1
    for place in near_blocks(blocks, origin, points_by_metre, most_m, page[last].order):
        block = blocks[place]
        # What was kept meanwhile may have made this block too bad.
        if _first_order(_block_m(block, origin), block.best, points_by_metre) > page[last].order:
            continue
        for row in range(block.start, block.end):
            store = stores[row]
            dx, dy, dz = xyz[store, 0] - x, xyz[store, 1] - y, xyz[store, 2] - z
            chord2 = dx * dx + dy * dy + dz * dz
            if chord2 > beyond2:
                continue
            way, order, doubted = _measure(chord2, worth[row], points_by_metre, least_m, most_m)
            if way < 0.0:
                continue
            if doubted:
                if opened == len(open_):
                    open_ = np.append(open_, np.empty(opened, np.int64))
                open_[opened] = row
                opened += 1
            elif order <= page[last].order:
                thing = things[row]
                hit.order, hit.high, hit.low, hit.number, hit.row = order, high[thing], low[thing], number, row
                hit.store_high, hit.store_low = store_high[store], store_low[store]
                _keep(page, hit, once)
    return page[last].order, open_[:opened].copy()


@compiled(types.int64(
    _HITS, types.int64, types.boolean, _IDS, _IDS, _IDS, _IDS, column(types.int32), column(types.int32), types.int64[::1], types.int64[::1],
))  # fmt: skip
def keep_rows(
    page: Array, number: int, once: bool, high: Array, low: Array, store_high: Array, store_low: Array, things: Array, stores: Array,
    rows: Array, order: Array,
) -> int:  # fmt: skip
    """Keeps the best of rows whose order is known. The arguments are those of keep_near; returns the worst order that is still of use."""
    hit = np.empty(1, page.dtype)[0]
    last = len(page) - 1
    for place in range(len(rows)):
        row = rows[place]
        if order[place] <= page[last].order:
            thing, store = things[row], stores[row]
            hit.order, hit.high, hit.low, hit.number, hit.row = order[place], high[thing], low[thing], number, row
            hit.store_high, hit.store_low = store_high[store], store_low[store]
            _keep(page, hit, once)
    return page[last].order
