"""A snapshot: the stores and offers of one cell as columns, never changed. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any
from uuid import UUID

import numpy as np
import shapely
from numpy.typing import NDArray

from ..geo.cells import centre_of
from ..geo.distance import ecef_of, to_ecef
from ..geo.point import Point
from .fragments import offer_fragment, rating_fragment, store_fragment

NEVER = np.iinfo(np.int32).max
NOTHING = -1
_BLOCK_RESOLUTION = 9
_HALF = (1 << 64) - 1

Array = NDArray[Any]


def minutes(moment: datetime) -> int:
    """Whole minutes since 1970. Everything that an answer shows changes at whole minutes."""
    return int(moment.timestamp() // 60)


@dataclass(frozen=True, eq=False)
class Snapshot:
    """One cell. Every column of stores has one element a store, in the order of (cell, id); those of offers one a placement.

    columns: by name, see `pack`. words: the texts that columns name by their place in a list. version: that of the cell when it was read.
    """

    cell: int
    version: int
    columns: Mapping[str, Array]
    words: Mapping[str, Sequence[Any]]
    # What questions make of the columns and may need again; see discovery/walk.
    views: dict[Any, Any] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Array:
        return self.columns[name]

    @property
    def store_count(self) -> int:
        return len(self["category"])

    @property
    def offer_count(self) -> int:
        return len(self["offer_store"])

    @cached_property
    def circle(self) -> tuple[tuple[float, float, float], float]:
        """Centre (earth-centred) and radius in metres of all its stores, by straight lines."""
        centre = ecef_of(centre_of(self.cell))
        away = np.sqrt(((self["xyz"] - np.array(centre)) ** 2).sum(axis=1))
        return centre, float(away.max()) if len(away) else 0.0

    @cached_property
    def blocks(self) -> Array:
        """The first store of each cell of resolution 9; neighbours in the order are neighbours on the ground."""
        shift = 3 * (15 - _BLOCK_RESOLUTION)
        coarse = self["cell"] >> shift
        return np.flatnonzero(np.concatenate([[True], coarse[1:] != coarse[:-1]])) if len(coarse) else np.zeros(0, dtype=np.int64)

    @cached_property
    def areas(self) -> list[Any]:
        """The outlines of service areas, by their number in the column service_area."""
        return [shapely.from_wkb(bytes.fromhex(text)) for text in self.words["service_areas"]]

    @cached_property
    def credit(self) -> dict[int, tuple[str, str, str]]:
        """Name, attribution and licence of each source by its number; those that nobody must name are absent."""
        number = {name: place for place, name in enumerate(self.words["sources"])}
        return {number[name]: (name, attribution, licence) for name, attribution, licence in self.words["credit"]}

    def store_id(self, store: int) -> UUID:
        return UUID(int=(int(self["id_high"][store]) << 64) | int(self["id_low"][store]))

    def offer_id(self, offer: int) -> UUID:
        return UUID(int=(int(self["offer_high"][offer]) << 64) | int(self["offer_low"][offer]))

    @cached_property
    def store_texts(self) -> memoryview:
        """Of each store its fragment and that of its rating; where they end says the column store_end, twice a store."""
        return memoryview(self["store_text"])  # type: ignore[arg-type]

    def offer_texts(self, offers: Array) -> list[memoryview]:
        text, end = self._offer_text, self["offer_end"]
        return [text[a:b] for a, b in zip(end[offers].tolist(), end[offers + 1].tolist(), strict=True)]

    @cached_property
    def _offer_text(self) -> memoryview:
        return memoryview(self["offer_text"])  # type: ignore[arg-type]

    def position(self, store: int) -> Point:
        return Point(float(self["lon"][store]), float(self["lat"][store]))

    def open_state(self, minute: int) -> Array:
        """By number of the hours: 1 open, 0 closed, -1 not known at that minute; the last element is for stores without hours."""
        kept = self.views.get("open")
        if kept is None or kept[0] != minute:
            kept = self.views["open"] = minute, self._states(minute, minute)
        return np.asarray(kept[1])

    def open_through(self, minute: int, until: int) -> Array:
        """The same for being open all the time from one minute to another."""
        return self._states(minute, until)

    def _states(self, minute: int, until: int) -> Array:
        begin, end, start = self["open_from"], self["open_until"], self["hours_start"]
        covers = (begin <= minute) & (end > minute) & (end >= until)
        counted = np.concatenate([[0], np.cumsum(covers)])
        state = (counted[start[1:]] > counted[start[:-1]]).astype(np.int8)
        known = (self["known_from"] <= minute) & (minute < self["known_until"])
        return np.append(np.where(known, state, NOTHING), NOTHING).astype(np.int8)


class _Numbers(dict[Any, int]):
    """Numbers words in the order they come; None is NOTHING."""

    def __call__(self, word: Any) -> int:
        return NOTHING if word is None else self.setdefault(word, len(self))


def pack(cell: int, version: int, *, stores: Sequence[Mapping[str, Any]], offers: Sequence[Mapping[str, Any]], hours: Mapping[int, Any],
         credit: Mapping[str, Any]) -> Snapshot:  # fmt: skip
    """A snapshot from the rows of shelf/queries.

    stores: sorted by (cell, id). offers: placements, in any order. hours: by id, with open_during as pairs of instants.
    credit: source to (attribution, licence).
    """
    number = {row["store_id"]: place for place, row in enumerate(stores)}
    offers = sorted(offers, key=lambda row: (number[row["store_id"]], row["offer_id"].int))
    words = {name: _Numbers() for name in ("brands", "chains", "merchants", "sources", "tags", "currencies", "kinds", "hours", "service_areas")}
    lonlat = np.array([(row["lon"], row["lat"]) for row in stores], dtype=np.float64).reshape(-1, 2)
    columns: dict[str, Array] = {
        "lon": lonlat[:, 0].copy(), "lat": lonlat[:, 1].copy(), "xyz": to_ecef(lonlat),
        "cell": _column(stores, "cell", np.int64), "category": _column(stores, "category_id", np.int16),
        "rating_sum": _column(stores, "rating_sum", np.int32), "rating_count": _column(stores, "rating_count", np.int32),
        "rating_sample": _column(stores, "rating_sample", np.bool_),
        "price_band": np.array([row["price_band"] or 0 for row in stores], dtype=np.int8),
        "service_radius_m": np.array([row["service_radius_m"] or 0 for row in stores], dtype=np.int32),
        "offer_store": np.array([number[row["store_id"]] for row in offers], dtype=np.int32),
        "offer_category": _column(offers, "offer_category_id", np.int16),
        "price": np.array([NOTHING if row["price_minor"] is None else row["price_minor"] for row in offers], dtype=np.int64),
        "discount": np.array([discount_of(row["price_minor"], row["list_price_minor"]) for row in offers], dtype=np.int16),
        "valid_from": np.array([minutes(row["valid_from"]) for row in offers], dtype=np.int32),
        "valid_until": np.array([NEVER if row["valid_until"] is None else minutes(row["valid_until"]) for row in offers], dtype=np.int32),
        "sample": _column(offers, "sample", np.bool_), "store_count": _column(offers, "store_count", np.int32),
    }  # fmt: skip
    for name, column, rows in (
        ("brands", "brand", stores), ("chains", "chain", stores), ("merchants", "merchant_id", stores), ("sources", "source", stores),
        ("hours", "hours_id", stores), ("service_areas", "service_area", stores), ("currencies", "currency", offers), ("kinds", "kind", offers),
    ):  # fmt: skip
        columns[column] = np.array([words[name](row[column]) for row in rows], dtype=np.int32)
    columns["id_high"], columns["id_low"] = _ids(row["store_id"] for row in stores)
    columns["offer_high"], columns["offer_low"] = _ids(row["offer_id"] for row in offers)
    columns["tag_start"], columns["tag"] = _lists([[words["tags"](tag) for tag in row["tags"]] for row in stores], np.int32)
    columns["gram"], columns["gram_store"] = _inverted([row["search_grams"] or () for row in stores])
    columns["offer_gram"], columns["gram_offer"] = _inverted([row["offer_grams"] or () for row in offers])
    spans = [hours[id_] for id_ in words["hours"]]
    columns["known_from"] = np.array([minutes(one["expanded_from"]) for one in spans], dtype=np.int32)
    columns["known_until"] = np.array([minutes(one["expanded_until"]) for one in spans], dtype=np.int32)
    columns["hours_start"], columns["open_from"] = _lists([[minutes(begin) for begin, _ in one["spans"]] for one in spans], np.int32)
    columns["open_until"] = _lists([[minutes(end) for _, end in one["spans"]] for one in spans], np.int32)[1]
    columns["store_end"], columns["store_text"] = _texts([text for row in stores for text in (store_fragment(row), rating_fragment(row))])
    columns["offer_end"], columns["offer_text"] = _texts([offer_fragment(row) for row in offers])
    texts: dict[str, Sequence[Any]] = {name: [str(word) for word in found] for name, found in words.items() if name != "hours"}
    texts["credit"] = [[source, *credit[source]] for source in sorted(words["sources"]) if source in credit]
    return Snapshot(cell, version, columns, texts)


def discount_of(price: int | None, list_price: int | None) -> int:
    """Whole per cent off the list price, rounded down; 0 where one of them is not known."""
    return 0 if price is None or not list_price else 100 * (list_price - price) // list_price


def empty(cell: int, version: int) -> Snapshot:
    """The snapshot of a cell without stores, which needs no file."""
    return pack(cell, version, stores=[], offers=[], hours={}, credit={})


def _column(rows: Sequence[Mapping[str, Any]], name: str, kind: Any) -> Array:
    return np.array([row[name] for row in rows], dtype=kind)


def _ids(ids: Iterable[UUID]) -> tuple[Array, Array]:
    numbers = [one.int for one in ids]
    return np.array([one >> 64 for one in numbers], dtype=np.uint64), np.array([one & _HALF for one in numbers], dtype=np.uint64)


def _lists(rows: Sequence[Sequence[int]], kind: Any) -> tuple[Array, Array]:
    """Where each row's list starts (one element more than rows), and all lists in a row."""
    start = np.zeros(len(rows) + 1, dtype=np.int64)
    np.cumsum([len(row) for row in rows], out=start[1:])
    return start, np.array([one for row in rows for one in row], dtype=kind)


def _inverted(rows: Sequence[Sequence[int]]) -> tuple[Array, Array]:
    """Every gram of every row, sorted, and the row of each."""
    start, grams = _lists(rows, np.int32)
    sequence = np.argsort(grams, kind="stable")
    return grams[sequence], np.repeat(np.arange(len(rows), dtype=np.int32), np.diff(start))[sequence]


def _texts(texts: Sequence[bytes]) -> tuple[Array, Array]:
    end = np.zeros(len(texts) + 1, dtype=np.int64)
    np.cumsum([len(text) for text in texts], out=end[1:])
    return end, np.frombuffer(b"".join(texts), dtype=np.uint8)
