"""Hits in their order, each offer once: what a walk through the cells has found. Pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from .nearest import DISTANCE_BITS, HIT, NO_ORDER
from .question import After
from .selection import View

Array = NDArray[Any]

_HALF = (1 << 64) - 1


@dataclass(slots=True)
class Hits:
    """Hits in their order. page: shape (n,) of nearest.HIT, whose `number` is a place in views."""

    views: Sequence[View]
    page: Array

    def __len__(self) -> int:
        return len(self.page)

    def first(self, count: int) -> Hits:
        return Hits(self.views, self.page[:count])

    def place(self, at: int) -> After:
        """The place of one hit: what a cursor must know of the last one."""
        order, high, low, *_ = self.page[at].item()
        return After(order >> DISTANCE_BITS, order & ((1 << DISTANCE_BITS) - 1), UUID(int=(high << 64) | low))


@dataclass(frozen=True, slots=True)
class Found:
    """Rows of one view that are near enough. order: key and distance in one number."""

    view: View
    rows: Array
    order: Array

    @property
    def repeats(self) -> bool:
        """Whether an offer of many stores is among them, which may come more than once."""
        return self.view.repeats is not None and bool(self.view.repeats[self.rows].any())


def order_of(after: After) -> int:
    """The order of the hit at a cursor: key and distance (whole metres) in one number."""
    return (after.key << DISTANCE_BITS) + after.distance_m


def empty_page(size: int) -> Array:
    """Room for so many hits, none of which is found yet."""
    return np.frombuffer(bytearray(_empty_page(size)), dtype=HIT)


@lru_cache(maxsize=256)
def _empty_page(size: int) -> bytes:
    page = np.zeros(size, dtype=HIT)
    page["order"] = NO_ORDER
    # Bytes are copied at once, where an array of records would be copied field by field.
    return page.tobytes()


def in_order(found: Sequence[Found]) -> Array:
    """All hits among rows, shape (n,) of nearest.HIT, best first: an offer once, at the best of its stores. Their `number` is a place in found."""
    hits = np.concatenate([_hits(number, one) for number, one in enumerate(found)])
    hits = hits[np.lexsort([hits[name] for name in ("store_low", "store_high", "low", "high", "order")])]
    return hits[_first_of_id(hits)]


def is_later(order: Array, high: Array, low: Array, after: After) -> Array:
    """Which hits come behind a cursor. high, low: the halves of their ids."""
    last_high, last_low = np.uint64(after.id.int >> 64), np.uint64(after.id.int & _HALF)
    behind = (high > last_high) | ((high == last_high) & (low > last_low))
    last = order_of(after)
    return np.asarray((order > last) | ((order == last) & behind))


def is_among(high: Array, low: Array, wanted: Collection[int]) -> Array:
    """Which ids, given as halves, are among those that are wanted, given whole."""
    found = np.isin(low, np.array([one & _HALF for one in wanted], dtype=np.uint64))
    for place in np.flatnonzero(found).tolist():
        found[place] = (int(high[place]) << 64) | int(low[place]) in wanted
    return found


def ids(view: View, rows: Array) -> tuple[Array, Array]:
    """The upper and lower 64 bits of the ids of rows: those of their offers where offers are asked for, else those of their stores."""
    if view.offers is None:
        return store_ids(view, rows)
    offers = view.offers[rows]
    return view.snapshot["offer_high"][offers], view.snapshot["offer_low"][offers]


def store_ids(view: View, rows: Array) -> tuple[Array, Array]:
    stores = view.stores[rows]
    return view.snapshot["id_high"][stores], view.snapshot["id_low"][stores]


def _hits(number: int, found: Found) -> Array:
    hits = np.empty(len(found.rows), dtype=HIT)
    hits["order"], hits["number"], hits["row"] = found.order, number, found.rows
    hits["high"], hits["low"] = ids(found.view, found.rows)
    hits["store_high"], hits["store_low"] = store_ids(found.view, found.rows)
    return hits


def _first_of_id(hits: Array) -> Array:
    """Which of sorted hits are the first of their id."""
    high, low = hits["high"], hits["low"]
    # This sort is stable, so that the first of each id stays before the others.
    by_id = np.lexsort([low, high])
    again = (high[by_id[1:]] == high[by_id[:-1]]) & (low[by_id[1:]] == low[by_id[:-1]])
    first = np.ones(len(hits), dtype=bool)
    first[by_id[1:][again]] = False
    return first
