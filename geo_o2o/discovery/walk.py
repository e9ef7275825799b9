"""Answers a question from snapshots: cells in the order of their nearness, until nothing farther can matter. Exact, and pure.

Each cell gives a view (selection.py). Straight lines through the earth measure its rows to a thousandth of a millimetre near by; where that
leaves open to which whole metre a row belongs, or on which side of the radius it lies, the geodesic decides.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from ..geo.cells import descendants
from ..geo.distance import LONGEST_CHORD_M, distances_m, ecef_of
from ..shelf.snapshot import Snapshot
from .hits import Found, Hits, empty_page, ids, in_order, is_among, is_later, order_of
from .nearest import DISTANCE_BITS, NO_ORDER, keep_near, keep_rows, near_blocks, near_rows
from .question import After, Question, Sort
from .ranking import LAST, Profile
from .rings import cells_by_nearness
from .selection import View, Views

Array = NDArray[Any]
Shelf = Callable[[int], Snapshot]

# So many rows are asked at first, for each hit that is wanted, whether they pass.
_ROWS_PER_HIT = 6
_FARTHEST_M = int(LONGEST_CHORD_M)
_NOBODY: frozenset[int] = frozenset()


class Walk:
    """One question on its way through the cells."""

    def __init__(self, question: Question, shelf: Shelf, views: Views):
        self.question, self._shelf, self._view_of = question, shelf, views.asked(question)
        self._where = question.where
        self._lonlat = (self._where.origin.lon, self._where.origin.lat)
        self._centre = ecef_of(self._where.origin)
        self._points_by_metre = _points_by_metre(question.profile, question.sort)
        # The most that any row can be worth; see View.worth.
        profile = question.profile
        most = profile.rating_weight + (profile.text_weight if question.words else 0)
        self._most = most if question.sort == "points" else 0 if question.sort == "distance" else LAST
        # The best hits so far; the numbers of their views are places in this list.
        self._page = empty_page(question.limit)
        self._views: list[View] = []
        self._asks_more = bool(
            self._where.area is not None or self._where.cells or self._where.serves or question.exclude or question.after is not None
        )
        self._left_out = frozenset(one.int for one in question.exclude) if question.exclude else _NOBODY
        if self._where.area is not None:
            shapely.prepare(self._where.area)

    def page(self) -> Hits:
        """The best `limit` hits behind the cursor, best first."""
        if self.question.after is not None and self.question.kind == "offers":
            self._left_out |= self._shown_before(self.question.after)
        worst = NO_ORDER
        for lower_m, cell in cells_by_nearness(self._where, self._centre):
            if worst != NO_ORDER and self._bound(self._most, lower_m) > worst:
                break
            view = self._view(cell)
            if view is not None and (worst == NO_ORDER or self._bound(view.best, self._nearest_m(view, lower_m)) <= worst):
                worst = self._take(view, worst)
        return Hits(self._views, self._page if worst != NO_ORDER else self._page[self._page["order"] != NO_ORDER])

    def groups(self) -> list[tuple[View, Array]]:
        """Every hit, each offer at its best store, in no order: rows of views."""
        views = [view for _, cell in cells_by_nearness(self._where, self._centre) if (view := self._view(cell)) is not None]
        found = [Found(view, *self._passing(view, *view.whole, NO_ORDER)) for view in views]
        if not any(one.repeats for one in found):
            return [(one.view, one.rows) for one in found]
        hits = in_order(found)
        return [(found[number].view, hits["row"][hits["number"] == number]) for number in np.unique(hits["number"]).tolist()]

    def _shown_before(self, after: After) -> frozenset[int]:
        """Ids of the offers of many stores that stood before the cursor, at a better store than any that comes behind it."""
        last, shown = order_of(after), set[int]()
        for lower_m, cell in cells_by_nearness(self._where, self._centre):
            if self._bound(self._most, lower_m) > last:
                break
            view = self._view(cell)
            if view is None or view.repeats is None:
                continue
            blocks = view.blocks[near_blocks(view.blocks, self._centre, self._points_by_metre, self._where.radius_m, last)]
            rows, order = self._passing(view, blocks["start"].copy(), blocks["end"].copy(), last)
            high, low = ids(view, rows)
            again = view.repeats[rows] & ~is_later(order, high, low, after)
            shown.update((one << 64) | other for one, other in zip(high[again].tolist(), low[again].tolist(), strict=True))
        return frozenset(shown)

    # --- cells ---------------------------------------------------------------------------------------------------------------

    def _view(self, cell: int) -> View | None:
        view = self._view_of(self._shelf(cell))
        return view if view.stores.size else None

    def _nearest_m(self, view: View, lower_m: float) -> float:
        centre, radius = view.snapshot.circle
        return max(lower_m, math.dist(centre, self._centre) - radius - 0.01)

    def _bound(self, best: int, nearest_m: float) -> int:
        """The smallest order that a row can have which is not nearer. best: the most that any of them is worth."""
        metres = int(nearest_m)
        points = self._points_by_metre.item(min(metres, _FARTHEST_M)) + best
        return (-points << DISTANCE_BITS) + metres

    # --- rows ----------------------------------------------------------------------------------------------------------------

    def _take(self, view: View, worst: int) -> int:
        """Keeps the best rows of a view; returns the order that a row needs from now on."""
        where = self._where
        if self._asks_more:
            return self._take_in_parts(view, worst)
        worst, open_ = keep_near(
            self._page, self._number(view), view.repeats is not None, view.snapshot["xyz"], *view.ids, view.things, view.stores, view.worth,
            view.blocks, self._centre, self._points_by_metre, where.min_radius_m, where.radius_m,
        )  # fmt: skip
        if len(open_):
            exact, order = self._by_geodesic(view, open_)
            near = (exact <= where.radius_m) & (exact >= where.min_radius_m)
            worst = self._keep_rows(view, open_[near], order[near])
        return worst

    def _take_in_parts(self, view: View, worst: int) -> int:
        """The same where more is asked of each row than its distance: the nearest first, so that the question is put to few."""
        wanted = _ROWS_PER_HIT * self.question.limit
        blocks = view.blocks
        while True:
            near = near_blocks(blocks, self._centre, self._points_by_metre, self._where.radius_m, worst)
            if not len(near):
                return worst
            part = near[: int(np.searchsorted(np.cumsum(blocks["end"][near] - blocks["start"][near]), wanted)) + 1]
            rows, order = self._passing(view, blocks["start"][part], blocks["end"][part], worst)
            if self.question.after is not None:
                later = is_later(order, *ids(view, rows), self.question.after)
                rows, order = rows[later], order[later]
            worst = self._keep_rows(view, rows, order)
            blocks, wanted = np.delete(blocks, part), 4 * wanted

    def _keep_rows(self, view: View, rows: Array, order: Array) -> int:
        return keep_rows(self._page, self._number(view), view.repeats is not None, *view.ids, view.things, view.stores, rows, order)

    def _number(self, view: View) -> int:
        if not self._views or self._views[-1] is not view:
            self._views.append(view)
        return len(self._views) - 1

    def _passing(self, view: View, start: Array, end: Array, worst: int) -> tuple[Array, Array]:
        """Of spans of rows those that pass and are not behind the worst, on whatever page, with their order."""
        where, snapshot = self._where, view.snapshot
        rows, metres, order, doubted = near_rows(
            snapshot["xyz"], view.stores, view.worth, start, end, self._centre, self._points_by_metre, where.min_radius_m, where.radius_m,
            where.serves, worst,
        )  # fmt: skip
        if len(doubted):
            metres[doubted], order[doubted] = self._by_geodesic(view, rows[doubted])
            kept = np.flatnonzero((metres <= where.radius_m) & (metres >= where.min_radius_m) & (order <= worst))
            rows, metres, order = rows[kept], metres[kept], order[kept]
        if self._asks_more:
            inside = self._inside(view, rows, metres)
            rows, order = rows[inside], order[inside]
        return rows, order

    def _by_geodesic(self, view: View, rows: Array) -> tuple[Array, Array]:
        """Metres and order of rows."""
        stores = view.stores[rows]
        exact = distances_m(self._where.origin, np.column_stack([view.snapshot["lon"][stores], view.snapshot["lat"][stores]]))
        away = np.rint(exact).astype(np.int64)
        return exact, away - ((self._points_by_metre[np.minimum(away, _FARTHEST_M)] + view.worth[rows]) << DISTANCE_BITS)

    def _inside(self, view: View, rows: Array, metres: Array) -> Array:
        """Of rows near enough, which also lie in the area and the cells, serve the place and are not left out."""
        where, snapshot, stores = self._where, view.snapshot, view.stores[rows]
        keep = np.ones(len(rows), dtype=bool)
        if where.area is not None:
            keep &= shapely.intersects_xy(where.area, snapshot["lon"][stores], snapshot["lat"][stores])
        if where.cells:
            keep &= _in_cells(where.cells, snapshot["cell"][stores])
        if where.serves:
            keep &= (metres <= snapshot["service_radius_m"][stores]) | self._served_by_area(snapshot)[stores]
        if self._left_out:
            keep &= ~is_among(*ids(view, rows), self._left_out)
        return keep

    def _served_by_area(self, snapshot: Snapshot) -> Array:
        number = snapshot["service_area"]
        inside = np.zeros(len(snapshot.areas) + 1, dtype=bool)
        if snapshot.areas:
            inside[:-1] = shapely.intersects_xy(np.array(snapshot.areas, dtype=object), *self._lonlat)
        return np.asarray(inside[number])


@cache
def _points_of_nothing() -> Array:
    return np.zeros(_FARTHEST_M + 2, dtype=np.int64)


@cache
def _points_of_nearness() -> Array:
    return -np.arange(_FARTHEST_M + 2, dtype=np.int64)


def _points_by_metre(profile: Profile, sort: Sort) -> Array:
    """What the distance adds to the points by which rows are ordered: those of the profile; each metre; or nothing."""
    if sort == "points":
        return profile.points_by_metre
    return _points_of_nearness() if sort == "distance" else _points_of_nothing()


def _in_cells(cells: tuple[int, ...], stored: Array) -> Array:
    inside = np.zeros(len(stored), dtype=bool)
    for cell in cells:
        first, last = descendants(cell)
        inside |= (stored >= first) & (stored <= last)
    return inside
