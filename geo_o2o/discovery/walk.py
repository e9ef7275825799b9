"""Answers a question from snapshots: cells in the order of their nearness, until nothing farther can matter. Exact, and pure.

Each cell gives a view (selection.py). Straight lines through the earth measure its rows to a thousandth of a millimetre near by; where that
leaves open to which whole metre a row belongs, or on which side of the radius it lies, the geodesic decides.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from ..geo.cells import descendants
from ..geo.distance import LONGEST_CHORD_M, distances_m, ecef_of
from ..shelf.snapshot import Snapshot
from .nearest import DISTANCE_BITS, NO_ORDER, keep_best, near_rows
from .question import After, Question, Sort
from .ranking import LAST, Profile
from .rings import cells_by_nearness
from .selection import Blocks, View, Views

Array = NDArray[Any]
Shelf = Callable[[int], Snapshot]

# So few rows are sorted in less time than it takes to choose among them.
_WORTH_CHOOSING = 256
_NOTHING = np.zeros(0, dtype=np.uint64)


@dataclass(frozen=True, slots=True)
class Hits:
    """Hits in their order. places: of each its order (key and distance in one number), the number of its view, and its row there."""

    views: Sequence[View]
    places: Sequence[tuple[int, int, int]]

    def __len__(self) -> int:
        return len(self.places)

    def first(self, count: int) -> Hits:
        return Hits(self.views, self.places[:count])

    def place(self, at: int) -> After:
        """The place of one hit: what a cursor must know of the last one."""
        order, number, row = self.places[at]
        view = self.views[number]
        snapshot, stores, offers = view.snapshot, view.stores, view.offers
        id_ = snapshot.store_id(int(stores[row])) if offers is None else snapshot.offer_id(int(offers[row]))
        return After(order >> DISTANCE_BITS, metres_of(order), id_)


def metres_of(order: int) -> int:
    return order & ((1 << DISTANCE_BITS) - 1)


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
        self._points_by_metre = _points_by_metre(question.profile, question.sort)
        # The most that any row can be worth; see View.worth.
        profile = question.profile
        most = profile.rating_weight + (profile.text_weight if question.words else 0)
        self._most = most if question.sort == "points" else 0 if question.sort == "distance" else LAST
        # The best orders so far, of so many hits as are wanted, and the ids of their offers.
        ids = _NOTHING if question.kind == "stores" else np.zeros(question.limit, dtype=np.uint64)
        self._best = np.full(question.limit, NO_ORDER, dtype=np.int64), ids, ids.copy()
        self._after = None if question.after is None else (question.after.key << DISTANCE_BITS) + question.after.distance_m
        if self._where.area is not None:
            shapely.prepare(self._where.area)

    def page(self) -> Hits:
        """The best `limit` hits behind the cursor, best first."""
        worst = NO_ORDER
        for lower_m, cell in cells_by_nearness(self._where):
            if worst != NO_ORDER and self._bound(self._most, lower_m) > worst:
                break
            view = self._view(cell)
            if view is not None and (worst == NO_ORDER or self._bound(view.best, self._nearest_m(view, lower_m)) <= worst):
                worst = self._take(view, worst)
        return self._first(worst)

    def groups(self) -> list[tuple[View, Array]]:
        """Every hit, each offer at its best store, in no order: rows of views."""
        for _, cell in cells_by_nearness(self._where):
            view = self._view(cell)
            if view is not None:
                self._note(view, *self._measure(view, *view.whole, NO_ORDER))
        if not self._repeats:
            return [(one.view, one.rows) for one in self._found]
        kept: dict[int, list[int]] = {}
        for _, number, row in self._ordered(None):
            kept.setdefault(number, []).append(row)
        return [(self._found[number].view, np.array(rows)) for number, rows in kept.items()]

    # --- cells ---------------------------------------------------------------------------------------------------------------

    def _view(self, cell: int) -> View | None:
        snapshot = self._shelf(cell)
        if not snapshot.store_count:
            return None
        view = self._view_of(snapshot)
        return view if len(view) else None

    def _nearest_m(self, view: View, lower_m: float) -> float:
        centre, radius = view.snapshot.circle
        return max(lower_m, math.dist(centre, self._centre) - radius - 0.01)

    def _bound(self, best: int, nearest_m: float) -> int:
        """The smallest order that a row can have which is not nearer. best: the most that any of them is worth."""
        metres = max(int(nearest_m), 0)
        points = self._points_by_metre.item(min(metres, int(LONGEST_CHORD_M))) + best
        return (-points << DISTANCE_BITS) + metres

    # --- rows ----------------------------------------------------------------------------------------------------------------

    def _take(self, view: View, worst: int) -> int:
        """Measures what may still belong on the page; returns the order that a row needs from now on."""
        blocks = view.blocks
        if blocks is None:
            return self._keep(view, *self._measure(view, *view.whole, worst))
        nearest = np.maximum(np.sqrt(((blocks.centre - self._origin) ** 2).sum(axis=1)) - blocks.radius - 0.01, 0.0)
        rest = np.ones(len(nearest), dtype=bool)
        if worst == NO_ORDER:
            # The nearest blocks first, so that of the others only those are looked at which can hold something as good.
            order = np.argsort(nearest)
            first = order[: int(np.searchsorted(np.cumsum((blocks.end - blocks.start)[order]), 6 * self.question.limit)) + 1]
            rest[first] = False
            worst = self._keep(view, *self._measure(view, blocks.start[first], blocks.end[first], worst))
        chosen = np.flatnonzero(rest & (self._bounds(blocks, nearest) <= worst) & (nearest <= self._where.radius_m))
        return self._keep(view, *self._measure(view, blocks.start[chosen], blocks.end[chosen], worst)) if len(chosen) else worst

    def _bounds(self, blocks: Blocks, nearest: Array) -> Array:
        metres = np.minimum(nearest, LONGEST_CHORD_M).astype(np.int64)
        return -((self._points_by_metre[metres] + blocks.best) << DISTANCE_BITS)

    def _measure(self, view: View, start: Array, end: Array, worst: int) -> tuple[Array, Array]:
        """Of spans of rows those that the question's place and cursor let pass and that are not behind the worst, with their order."""
        where, snapshot = self._where, view.snapshot
        rows, metres, order, doubted = near_rows(
            snapshot["xyz"], view.stores, view.worth, start, end, self._centre, self._points_by_metre, where.min_radius_m, where.radius_m,
            where.serves, worst,
        )  # fmt: skip
        if len(doubted):
            self._resolve(view, rows, metres, order, doubted)
            kept = np.flatnonzero((metres <= where.radius_m) & (metres >= where.min_radius_m) & (order <= worst))
            rows, metres, order = rows[kept], metres[kept], order[kept]
        if where.area is not None or where.cells or where.serves or self.question.exclude or self._after is not None:
            inside = self._inside(view, rows, metres, order)
            rows, order = rows[inside], order[inside]
        return rows, order

    def _resolve(self, view: View, rows: Array, metres: Array, order: Array, doubted: Array) -> None:
        """Measures rows by the geodesic; metres and order of them are changed."""
        chosen = rows[doubted]
        stores = view.stores[chosen]
        exact = distances_m(self._where.origin, np.column_stack([view.snapshot["lon"][stores], view.snapshot["lat"][stores]]))
        away = np.rint(exact).astype(np.int64)
        metres[doubted] = exact
        order[doubted] = away - ((self._points_by_metre[np.minimum(away, int(LONGEST_CHORD_M))] + view.worth[chosen]) << DISTANCE_BITS)

    def _note(self, view: View, rows: Array, order: Array) -> None:
        if len(rows):
            self._repeats = self._repeats or (view.repeats is not None and bool(view.repeats[rows].any()))
            self._found.append(_Found(view, rows, order))

    def _keep(self, view: View, rows: Array, order: Array) -> int:
        """Notes the rows that may come onto the page; returns the order that a row needs from now on."""
        if view.repeats is not None and self._after is not None:
            # Of an offer of many stores nobody knows yet whether it was on an earlier page.
            self._note(view, rows, order)
            found = self._ordered(self.question.limit)
            return found[-1][0] if len(found) == self.question.limit else NO_ORDER
        high, low = (_NOTHING, _NOTHING) if view.repeats is None else _ids(view, rows)
        rows, order, worst = keep_best(rows, order, high, low, *self._best)
        self._note(view, rows, order)
        return worst

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

    def _first(self, worst: int) -> Hits:
        """The page. worst: nothing behind it belongs there."""
        limit, views = self.question.limit, [one.view for one in self._found]
        if self._repeats:
            return Hits(views, self._ordered(limit))
        places = sorted(
            (order, number, row)
            for number, one in enumerate(self._found)
            for order, row in zip(one.order.tolist(), one.rows.tolist(), strict=True)
            if order <= worst
        )
        # Those of one order by id.
        first = 0
        while first < min(limit, len(places)):
            last = first + 1
            while last < len(places) and places[last][0] == places[first][0]:
                last += 1
            if last > first + 1:
                places[first:last] = sorted(places[first:last], key=self._id)
            first = last
        return Hits(views, places[:limit])

    def _id(self, place: tuple[int, int, int]) -> tuple[int, int]:
        high, low = _ids(self._found[place[1]].view, np.array(place[2]))
        return int(high), int(low)

    def _ordered(self, limit: int | None) -> list[tuple[int, int, int]]:
        """The found rows in order, an offer once, those after the cursor; see Hits.places, whose numbers are those of self._found."""
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

    def _sorted(self, orders: Array, near: Array, *, repeats: bool) -> list[tuple[int, int, int]]:
        """The rows at these places of all found ones, in order; those of one order by id."""
        ends = np.cumsum([len(one.rows) for one in self._found])
        numbers = np.searchsorted(ends, near, side="right")
        rows = _joined([one.rows for one in self._found])[near]
        parts = [(one.view, rows[numbers == number]) for number, one in enumerate(self._found)]
        high, low = (_joined(list(halves)) for halves in zip(*(_ids(view, mine) for view, mine in parts), strict=True))
        keys = [low, high, orders[near]]
        if repeats:
            store_high, store_low = (_joined(list(halves)) for halves in zip(*(_store_ids(view, mine) for view, mine in parts), strict=True))
            keys = [store_low, store_high, *keys]
        sequence = np.lexsort(keys)
        found = list(zip(orders[near][sequence].tolist(), numbers[sequence].tolist(), rows[sequence].tolist(), strict=True))
        return self._once(found, high[sequence].tolist(), low[sequence].tolist()) if repeats else found

    def _once(self, found: list[tuple[int, int, int]], high: list[int], low: list[int]) -> list[tuple[int, int, int]]:
        """Each offer at the first, and so the best, of its stores; without those of the pages before."""
        seen: set[tuple[int, int]] = set()
        kept = []
        after, last = self._after, self.question.after
        for one, *id_ in zip(found, high, low, strict=True):
            offer = (id_[0], id_[1])
            if offer in seen:
                continue
            seen.add(offer)
            if after is None or last is None or (one[0], (offer[0] << 64) | offer[1]) > (after, last.id.int):
                kept.append(one)
        return kept


def _joined(arrays: list[Array]) -> Array:
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)


@cache
def _points_of_nothing() -> Array:
    return np.zeros(int(LONGEST_CHORD_M) + 2, dtype=np.int64)


@cache
def _points_of_nearness() -> Array:
    return -np.arange(int(LONGEST_CHORD_M) + 2, dtype=np.int64)


def _points_by_metre(profile: Profile, sort: Sort) -> Array:
    """What the distance adds to the points by which rows are ordered: those of the profile; each metre; or nothing."""
    if sort == "points":
        return profile.points_by_metre
    return _points_of_nearness() if sort == "distance" else _points_of_nothing()


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
