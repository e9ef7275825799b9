"""Answers a question from snapshots: cells in the order of their nearness, until nothing farther can matter. Exact, and pure.

Each cell gives a view (selection.py). Straight lines through the earth measure its rows to a thousandth of a millimetre near by; where that
leaves open to which whole metre a row belongs, or on which side of the radius it lies, the geodesic decides.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple
from uuid import UUID

import h3.api.basic_int as h3
import numpy as np
import shapely
from numpy.typing import NDArray

from ..geo.cells import VERSIONED_RESOLUTION, cell_of, centre_of, descendants
from ..geo.distance import LONGEST_CHORD_M, distances_m, ecef_of, to_ecef, way_error_m, way_m
from ..shelf.snapshot import Snapshot
from .question import Question
from .selection import Blocks, View, Views

Array = NDArray[Any]
Shelf = Callable[[int], Snapshot]

# A key of the order and a distance in one number: the farthest distance has 18 bits.
_DISTANCE_BITS = 18
# So few rows are sorted in less time than it takes to choose among them.
_WORTH_CHOOSING = 256
_NO_KEY = np.iinfo(np.int64).max
_EDGE_M = h3.average_hexagon_edge_length(VERSIONED_RESOLUTION, unit="m")
# The farthest a store can be from the middle of its cell, in mean edges (measured on cells of every kind: 1.143; tests repeat it).
_CELL_RADIUS_M = 1.2 * _EDGE_M
# So much farther apart are the middles of cells with each ring between them at least: cells are smallest around the twelve pentagons.
_NARROWEST_STEP_M = 1.5 * 0.65 * _EDGE_M
# Rings of cells around the one that is asked from: most questions end within the first, and the last holds the farthest that may be asked.
_DISKS = (3, 8, 20, 50, 152)


class Place(NamedTuple):
    """A hit as the row of a view, with its place in the order: key and distance in one number."""

    view: View
    row: int
    order: int

    @property
    def distance_m(self) -> int:
        return self.order & ((1 << _DISTANCE_BITS) - 1)

    @property
    def key(self) -> int:
        """See ranking.order_key."""
        return self.order >> _DISTANCE_BITS

    @property
    def id(self) -> UUID:
        stores, offers = self.view.stores, self.view.offers
        return self.view.snapshot.store_id(int(stores[self.row])) if offers is None else self.view.snapshot.offer_id(int(offers[self.row]))


@dataclass(slots=True)
class _Found:
    """Rows of one view that are near enough. order: key and distance in one number."""

    view: View
    rows: Array
    order: Array


class Walk:
    """One question on its way through the cells."""

    def __init__(self, question: Question, shelf: Shelf, views: Views):
        self.question, self._shelf, self._view_of = question, shelf, views.asked(question)
        self._where = question.where
        self._lonlat = (self._where.origin.lon, self._where.origin.lat)
        self._centre = ecef_of(self._where.origin)
        self._origin = np.array(self._centre)
        self._found: list[_Found] = []
        # Whether an offer of many stores was found, which may come more than once.
        self._repeats = False
        # So many rows of a view are kept at most, but for those of the same order.
        self._enough = question.limit
        self._after = None if question.after is None else (question.after.key << _DISTANCE_BITS) + question.after.distance_m
        if self._where.area is not None:
            shapely.prepare(self._where.area)

    def page(self) -> list[Place]:
        """The best `limit` hits behind the cursor, best first."""
        worst = _NO_KEY
        for lower_m, cell in self._cells():
            if self._bound(None, lower_m) > worst:
                break
            view = self._view(cell)
            if view is not None and self._bound(view.best, self._nearest_m(view, lower_m)) <= worst:
                worst = self._take(view, worst)
        return self._ordered(self.question.limit)

    def groups(self) -> list[tuple[View, Array]]:
        """Every hit, each offer at its best store, in no order: rows of views."""
        self._enough = sys.maxsize
        for _, cell in self._cells():
            view = self._view(cell)
            if view is not None:
                self._measure(view, None)
        if not self._repeats:
            return [(one.view, one.rows) for one in self._found]
        kept: dict[int, tuple[View, list[int]]] = {}
        for place in self._ordered(None):
            kept.setdefault(id(place.view), (place.view, []))[1].append(place.row)
        return [(view, np.array(rows)) for view, rows in kept.values()]

    # --- cells ---------------------------------------------------------------------------------------------------------------

    def _cells(self) -> Iterator[tuple[float, int]]:
        """Every cell that may hold a hit, with a distance that none of its stores is nearer than; the nearest first."""
        where, seen = self._where, set()
        home = cell_of(where.origin, VERSIONED_RESOLUTION)
        for rings in _DISKS:
            cells, centres = _disk(home, rings)
            lower = np.maximum(_ways_m(centres, self._origin) - _CELL_RADIUS_M, 0.0)
            # Beyond this the next disk may hold something nearer.
            sure_m = (rings + 1) * _NARROWEST_STEP_M - 2 * _CELL_RADIUS_M
            for place in np.argsort(lower, kind="stable").tolist():
                cell, lower_m = cells[place], float(lower[place])
                if lower_m > where.radius_m:
                    break
                if cell not in seen and lower_m <= max(sure_m, 0.0):
                    seen.add(cell)
                    yield lower_m, cell
            if sure_m > where.radius_m:
                return

    def _view(self, cell: int) -> View | None:
        snapshot = self._shelf(cell)
        if not snapshot.store_count:
            return None
        view = self._view_of(snapshot)
        return view if len(view) else None

    def _nearest_m(self, view: View, lower_m: float) -> float:
        centre, radius = view.snapshot.circle
        return max(lower_m, math.dist(centre, self._centre) - radius - 0.01)

    def _bound(self, best: int | None, nearest_m: float) -> int:
        """The smallest order that a row can have which is not nearer. best: of the rows; None where that is not known."""
        question, metres = self.question, max(int(nearest_m), 0)
        if question.sort == "distance":
            return (metres << _DISTANCE_BITS) + metres
        if question.sort != "points":
            return ((-(1 << 42) if best is None else best) << _DISTANCE_BITS) + metres
        most = question.profile.rating_weight + (question.profile.text_weight if question.words else 0) if best is None else best
        points = question.profile.points_by_metre.item(min(metres, int(LONGEST_CHORD_M))) + most
        return (-points << _DISTANCE_BITS) + metres

    # --- rows ----------------------------------------------------------------------------------------------------------------

    def _take(self, view: View, worst: int) -> int:
        """Measures what may still belong on the page; returns the order that a row needs from now on."""
        blocks = view.blocks
        if blocks is None or self.question.sort not in ("points", "distance"):
            self._measure(view, None)
            return self._worst()
        nearest = np.maximum(np.sqrt(((blocks.centre - self._origin) ** 2).sum(axis=1)) - blocks.radius - 0.01, 0.0)
        first = np.zeros(len(nearest), dtype=bool)
        order = np.argsort(nearest)
        enough = int(np.searchsorted(np.cumsum(blocks.count[order]), 6 * self.question.limit)) + 1
        first[order[:enough]] = True
        if worst == _NO_KEY:
            self._measure(view, blocks.rows(np.flatnonzero(first)))
            worst = self._worst()
        else:
            first[:] = False
        rest = np.flatnonzero(~first & (self._bounds(blocks, nearest) <= worst) & (nearest <= self._where.radius_m))
        if len(rest):
            self._measure(view, blocks.rows(rest))
            worst = self._worst()
        return worst

    def _bounds(self, blocks: Blocks, nearest: Array) -> Array:
        metres = np.minimum(nearest, LONGEST_CHORD_M).astype(np.int64)
        if self.question.sort == "distance":
            return (metres << _DISTANCE_BITS) + metres
        return -((self.question.profile.points_by_metre[metres] + blocks.best) << _DISTANCE_BITS)

    def _measure(self, view: View, rows: Array | None) -> None:
        """Measures rows of a view and keeps those that the question's place and cursor let pass."""
        where, sort = self._where, self.question.sort
        metres = _ways_m(view.xyz if rows is None else view.xyz[rows], self._origin)
        distance = np.rint(metres)
        farthest_m = float(metres.max())
        unsure_m = way_error_m(farthest_m)
        # Where a straight line cannot tell, the geodesic does.
        unsure = np.abs(metres - distance) >= 0.5 - unsure_m
        at_edge = farthest_m >= where.radius_m - unsure_m or bool(where.min_radius_m) or where.serves
        if at_edge:
            for edge_m in (where.radius_m, where.min_radius_m):
                unsure |= np.abs(metres - edge_m) <= unsure_m
            unsure |= where.serves
        if unsure.any():
            places = np.flatnonzero(unsure)
            stores = view.stores[places if rows is None else rows[places]]
            metres[places] = distances_m(where.origin, np.column_stack([view.snapshot["lon"][stores], view.snapshot["lat"][stores]]))
            distance = np.rint(metres)
        away = distance.astype(np.int64)
        if sort == "points":
            points = view.points if rows is None else view.points[rows]
            order = away - ((self.question.profile.points_by_metre[away] + points) << _DISTANCE_BITS)
        else:
            fixed = away if view.fixed is None else view.fixed if rows is None else view.fixed[rows]
            order = (fixed << _DISTANCE_BITS) + away
        chosen = np.arange(len(metres)) if rows is None else rows
        if at_edge:
            kept = np.flatnonzero((metres <= where.radius_m) & (metres >= where.min_radius_m))
            chosen, order, metres = chosen[kept], order[kept], metres[kept]
        if where.area is not None or where.cells or where.serves or self.question.exclude or self._after is not None:
            inside = self._inside(view, chosen, metres, order)
            chosen, order = chosen[inside], order[inside]
        if not len(chosen):
            return
        if view.repeats is not None and view.repeats[chosen].any():
            self._repeats = True
        elif len(chosen) > self._enough:
            # Whatever else is found, the rest of this view cannot come onto the page.
            near = np.flatnonzero(order <= np.partition(order, self._enough - 1)[self._enough - 1])
            chosen, order = chosen[near], order[near]
        self._found.append(_Found(view, chosen, order))

    def _inside(self, view: View, rows: Array, metres: Array, order: Array) -> Array:
        """Of rows near enough, which also lie in the area and the cells, serve the place, are not excluded and come after the cursor."""
        where, snapshot, stores = self._where, view.snapshot, view.stores[rows]
        keep = np.ones(len(rows), dtype=bool)
        if where.area is not None:
            keep &= shapely.intersects_xy(where.area, snapshot["lon"][stores], snapshot["lat"][stores])
        if where.cells:
            keep &= _in_cells(where.cells, snapshot["cell"][stores])
        if where.serves:
            keep &= (metres <= snapshot["service_radius_m"][stores]) | self._served_by_area(snapshot)[stores]
        if self.question.exclude:
            high, low = _ids(view, rows)
            for one in self.question.exclude:
                keep &= (high != np.uint64(one.int >> 64)) | (low != np.uint64(one.int & ((1 << 64) - 1)))
        if self._after is not None and self.question.after is not None:
            later = order > self._after
            same = np.flatnonzero(order == self._after)
            if len(same):
                high, low = _ids(view, rows[same])
                last = self.question.after.id.int
                last_high, last_low = np.uint64(last >> 64), np.uint64(last & ((1 << 64) - 1))
                later[same] = (high > last_high) | ((high == last_high) & (low > last_low))
            if view.repeats is not None:
                # An offer of many stores may have been on an earlier page, at a better store: that is seen when all are in order.
                later |= view.repeats[rows]
            keep &= later
        return keep

    def _served_by_area(self, snapshot: Snapshot) -> Array:
        number = snapshot["service_area"]
        inside = np.zeros(len(snapshot.areas) + 1, dtype=bool)
        if snapshot.areas:
            inside[:-1] = shapely.intersects_xy(np.array(snapshot.areas, dtype=object), *self._lonlat)
        return np.asarray(inside[number])

    # --- order ---------------------------------------------------------------------------------------------------------------

    def _worst(self) -> int:
        """The order of the last row of the page, as far as it is known."""
        limit = self.question.limit
        if not self._found:
            return _NO_KEY
        if self._repeats:
            found = self._ordered(limit)
            return found[-1].order if len(found) == limit else _NO_KEY
        orders = _joined([one.order for one in self._found])
        return int(np.partition(orders, limit - 1)[limit - 1]) if len(orders) >= limit else _NO_KEY

    def _ordered(self, limit: int | None) -> list[Place]:
        """The found rows in order, an offer once, those after the cursor."""
        if not self._found:
            return []
        orders = _joined([one.order for one in self._found])
        repeats = self._repeats
        wanted = len(orders) if limit is None else limit
        # Offers of many stores come more than once: so more rows are looked at than wanted, and still more where those do not suffice.
        taken = max(2 * wanted + 16 if repeats else wanted, _WORTH_CHOOSING)
        while True:
            near = np.flatnonzero(orders <= np.partition(orders, taken - 1)[taken - 1]) if taken < len(orders) else np.arange(len(orders))
            found = self._sorted(orders, near, repeats=repeats)
            if limit is None or len(found) >= wanted or len(near) == len(orders):
                return found[:wanted]
            taken *= 4

    def _sorted(self, orders: Array, near: Array, *, repeats: bool) -> list[Place]:
        """The rows at these places of all found ones, in order; those of one order by id."""
        begin = 0
        parts: list[tuple[View, Array]] = []
        for one in self._found:
            mine = near[(near >= begin) & (near < begin + len(one.rows))] - begin if len(self._found) > 1 else near
            parts.append((one.view, one.rows[mine]))
            begin += len(one.rows)
        ids = [_ids(view, rows) for view, rows in parts]
        high, low = (_joined([pair[half] for pair in ids]) for half in (0, 1))
        keys = [low, high, orders[near]]
        if repeats:
            stores = [_store_ids(view, rows) for view, rows in parts]
            keys = [*(_joined([pair[half] for pair in stores]) for half in (1, 0)), *keys]
        sequence = np.lexsort(keys)
        views = [view for view, rows in parts for _ in range(len(rows))]
        rows, order = _joined([rows for _, rows in parts])[sequence].tolist(), orders[near][sequence].tolist()
        found = [Place(views[place], *one) for place, *one in zip(sequence.tolist(), rows, order, strict=True)]
        return self._once(found, high[sequence].tolist(), low[sequence].tolist()) if repeats else found

    def _once(self, found: list[Place], high: list[int], low: list[int]) -> list[Place]:
        """Each offer at the first, and so the best, of its stores; without those of the pages before."""
        seen: set[tuple[int, int]] = set()
        kept = []
        after, last = self._after, self.question.after
        for one, *id_ in zip(found, high, low, strict=True):
            offer = (id_[0], id_[1])
            if offer in seen:
                continue
            seen.add(offer)
            if after is None or last is None or (one.order, (offer[0] << 64) | offer[1]) > (after, last.id.int):
                kept.append(one)
        return kept


def _joined(arrays: list[Array]) -> Array:
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)


def _ways_m(xyz: Array, origin: Array) -> Array:
    straight = xyz - origin
    return way_m(np.einsum("ij,ij->i", straight, straight))


def _store_ids(view: View, rows: Array) -> tuple[Array, Array]:
    stores = view.stores[rows]
    return view.snapshot["id_high"][stores], view.snapshot["id_low"][stores]


def _ids(view: View, rows: Array) -> tuple[Array, Array]:
    snapshot = view.snapshot
    if view.offers is None:
        return _store_ids(view, rows)
    offers = view.offers[rows]
    return snapshot["offer_high"][offers], snapshot["offer_low"][offers]


def _in_cells(cells: tuple[int, ...], stored: Array) -> Array:
    inside = np.zeros(len(stored), dtype=bool)
    for cell in cells:
        first, last = descendants(cell)
        inside |= (stored >= first) & (stored <= last)
    return inside


def _disk(home: int, rings: int) -> tuple[list[int], Array]:
    """The cells up to so many rings around one, and their middles, earth-centred."""
    return _near_disk(home, rings) if rings == _DISKS[0] else _far_disk(home, rings)


def _make_disk(home: int, rings: int) -> tuple[list[int], Array]:
    cells = h3.grid_disk(home, rings)
    centres = [centre_of(cell) for cell in cells]
    return cells, to_ecef(np.array([(one.lon, one.lat) for one in centres]))


# The small ones are asked for all the time; a large one is some hundred kilobytes.
_near_disk = lru_cache(maxsize=4_096)(_make_disk)
_far_disk = lru_cache(maxsize=32)(_make_disk)
