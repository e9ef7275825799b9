"""A snapshot: the stores and offers of one cell as columns in one Arrow file, memory-mapped and never changed.

Pure but for the file that is handed in. A file holds one record batch with a row for each cell; each field of a row is a whole column of that
cell, as a list. So cells share a file, columns of different lengths share a row, and all come back as numpy arrays without a copy.
"""

from __future__ import annotations

import json
import mmap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

import numpy as np
import pyarrow as pa
import shapely
from numpy.typing import NDArray

from ..geo.cells import centre_of
from ..geo.distance import ecef_of, to_ecef
from ..geo.point import Point
from .fragments import offer_fragment, rating_fragment, store_fragment

# A file of another form is built anew.
FORMAT = 2
NEVER = np.iinfo(np.int32).max
NOTHING = -1
_BLOCK_RESOLUTION = 9
_HALF = (1 << 64) - 1
_COLUMN = "column:"
_FLAGS = frozenset({"rating_sample", "sample"})

Array = NDArray[Any]
Word = TypeVar("Word")


class BrokenFile(Exception):
    """The file is not a whole snapshot of this form."""


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

    def store_id(self, store: int) -> UUID:
        return UUID(int=(int(self["id_high"][store]) << 64) | int(self["id_low"][store]))

    def offer_id(self, offer: int) -> UUID:
        return UUID(int=(int(self["offer_high"][offer]) << 64) | int(self["offer_low"][offer]))

    def store_texts(self, stores: Array) -> list[tuple[bytes, bytes]]:
        """The fragment of each store, and that of its rating."""
        text, end = self._store_text, self["store_end"]
        begin, middle, last = (end[2 * stores + shift].tolist() for shift in (0, 1, 2))
        return [(bytes(text[a:b]), bytes(text[b:c])) for a, b, c in zip(begin, middle, last, strict=True)]

    def offer_texts(self, offers: Array) -> list[bytes]:
        text, end = self._offer_text, self["offer_end"]
        return [bytes(text[a:b]) for a, b in zip(end[offers].tolist(), end[offers + 1].tolist(), strict=True)]

    @cached_property
    def _store_text(self) -> memoryview:
        return memoryview(self["store_text"])  # type: ignore[arg-type]

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


def save(snapshots: Sequence[Snapshot], path: Path, *, unfinished: Path) -> None:
    """Writes a file of one or more snapshots, in one piece: it is there whole or not at all, also when this process is killed.

    unfinished: the name of the file until it is whole, in the same folder.
    """
    names = list(snapshots[0].columns)
    arrays = [pa.array([one.cell for one in snapshots], type=pa.int64()), pa.array([one.version for one in snapshots], type=pa.int64())]
    arrays.append(pa.array([json.dumps(one.words, ensure_ascii=False) for one in snapshots], type=pa.large_string()))
    arrays += [_lists_of([one.columns[name] for one in snapshots]) for name in names]
    batch = pa.record_batch(arrays, names=["cell", "version", "words", *(f"{_COLUMN}{name}" for name in names)])
    schema = batch.schema.with_metadata({"format": str(FORMAT)})
    try:
        with pa.OSFile(str(unfinished), "wb") as sink, pa.ipc.new_file(sink, schema) as writer:
            writer.write_batch(batch)
        unfinished.rename(path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise


class SnapshotFile:
    """A file of snapshots, mapped into memory; a snapshot is made of it when it is asked for, from slices of its columns.

    cells, versions: of each row. size: bytes. Raises BrokenFile; FileNotFoundError.
    """

    def __init__(self, path: Path):
        self.path = path
        self.size = path.stat().st_size
        if self.size == 0:
            raise BrokenFile(f"{path.name} is empty")
        with path.open("rb") as opened:
            # Keeps a descriptor of its own, by which the length is looked at later.
            self._memory = mmap.mmap(opened.fileno(), 0, prot=mmap.PROT_READ)
        try:
            reader = pa.ipc.open_file(pa.py_buffer(self._memory))
            if reader.schema.metadata[b"format"] != str(FORMAT).encode():
                raise BrokenFile(f"{path.name} has form {reader.schema.metadata[b'format']!r}, expected {FORMAT}")
            batch = reader.get_batch(0)
            self.cells: list[int] = batch.column("cell").to_pylist()
            self.versions: list[int] = batch.column("version").to_pylist()
            self._words = batch.column("words")
            self._columns = {
                name.removeprefix(_COLUMN): _values_of(batch.column(name), flags=name.removeprefix(_COLUMN) in _FLAGS)
                for name in batch.schema.names
                if name.startswith(_COLUMN)
            }
        except (pa.ArrowException, OSError, KeyError, TypeError, ValueError, IndexError) as failure:
            raise BrokenFile(f"{path.name} cannot be read: {failure}") from failure

    def is_whole(self) -> bool:
        """Whether the file still has its length: what was cut off must not be touched."""
        return self._memory.size() == self.size

    def counts(self, row: int) -> tuple[int, int]:
        """Stores and offers of a row."""
        stores, offers = self._columns["category"][1], self._columns["offer_store"][1]
        return int(stores[row + 1] - stores[row]), int(offers[row + 1] - offers[row])

    def snapshot(self, row: int) -> Snapshot:
        columns = {name: values[start[row] : start[row + 1]] for name, (values, start) in self._columns.items()}
        columns["xyz"] = columns["xyz"].reshape(-1, 3)
        return Snapshot(self.cells[row], self.versions[row], columns, json.loads(self._words[row].as_py()))


def _lists_of(columns: Sequence[Array]) -> pa.Array:
    """One list for each snapshot: the whole of a column."""
    flat = [(column.view(np.uint8) if column.dtype == np.bool_ else column).reshape(-1) for column in columns]
    start = np.zeros(len(flat) + 1, dtype=np.int64)
    np.cumsum([len(one) for one in flat], out=start[1:])
    return pa.LargeListArray.from_arrays(pa.array(start), pa.array(np.concatenate(flat)))


def _values_of(column: Any, *, flags: bool) -> tuple[Array, Array]:
    """All elements of a list column, and where each row's begin; without a copy."""
    values = column.values.to_numpy(zero_copy_only=True)
    return (values.view(np.bool_) if flags else values), column.offsets.to_numpy(zero_copy_only=True)


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
