"""Tables: CSV (also gzipped) and Parquet, with columns by name."""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ..stores.categories import OTHER, from_osm, tree
from .report import BrokenFile
from .rows import Refused, StoreRow, check_store

# Longest line of a CSV that is taken for one; a stray quote would else swallow the rest of the file.
_LONGEST_FIELD = 100_000
_BATCH = 10_000
_REQUIRED = ("name", "lat", "lng")
_ADDRESS = ("street", "housenumber", "postcode", "city", "region")
_SPELLINGS = {"lng": ("lng", "lon", "long", "longitude"), "lat": ("lat", "latitude"), "source_id": ("source_id", "id")}

Record = tuple[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Columns:
    """Where each of our fields stands in the file: our name to the file's."""

    names: Mapping[str, str]

    @classmethod
    def found_in(cls, header: Sequence[str], given: Mapping[str, str], file: str) -> Columns:
        """Our fields by the given names, else by the usual ones. Raises BrokenFile where a required one is missing."""
        lower = {name.strip().lower(): name for name in header}
        names: dict[str, str] = {}
        for ours, theirs in given.items():
            if theirs not in header:
                raise BrokenFile(f"{file} has no column {theirs!r} for {ours}; it has {', '.join(header)}")
            names[ours] = theirs
        for ours in ("source_id", "name", "lat", "lng", "category", "brand", "phone", "website", "opening_hours", "tags", "price_band",
                     "rating", "rating_count", *_ADDRESS):  # fmt: skip
            for spelling in _SPELLINGS.get(ours, (ours,)):
                if ours not in names and spelling in lower:
                    names[ours] = lower[spelling]
        names |= {name: lower[name] for name in lower if name.startswith("name:")}
        missing = [ours for ours in _REQUIRED if ours not in names]
        if missing:
            raise BrokenFile(f"{file} has no column for {', '.join(missing)}; it has {', '.join(header)}; name them with --column lat=Latitude")
        return cls(names)

    def of(self, record: Mapping[str, Any], ours: str) -> Any:
        """The value of one of our fields, None where it is absent or empty."""
        name = self.names.get(ours)
        value = record.get(name) if name is not None else None
        return value if value not in ("", None) else None


def records(path: Path, *, encoding: str = "utf-8-sig") -> tuple[list[str], Iterator[Record]]:
    """Header and records of a table, each with its place in the file. Raises BrokenFile."""
    try:
        if path.suffix == ".parquet":
            return _parquet(path)
        return _csv(path, encoding)
    except (OSError, pa.ArrowException, csv.Error, LookupError) as failure:
        raise BrokenFile(f"{path.name} cannot be read: {failure}") from failure


def stores(path: Path, *, given: Mapping[str, str], encoding: str = "utf-8-sig") -> Iterator[StoreRow | Refused]:
    """Stores of a table. given: our field to the file's column, where the file has names of its own."""
    header, rows = records(path, encoding=encoding)
    columns = Columns.found_in(header, given, path.name)
    for where, record in rows:
        yield refused if (refused := _misshapen(where, record)) else store_of(where, record, columns)


def store_of(where: str, record: Mapping[str, Any], columns: Columns) -> StoreRow | Refused:
    """A store from a record of any kind of table."""
    category = category_of(columns.of(record, "category"))
    price_band = _whole(columns.of(record, "price_band"))
    count, mean = _whole(columns.of(record, "rating_count")) or 0, _number(columns.of(record, "rating"))
    if mean is not None and not 1.0 <= mean <= 5.0:
        return Refused(where, "bad_rating", f"a rating lies in 1..5 stars, found {mean}")
    count = count if mean is not None and count > 0 else int(mean is not None)
    return check_store(
        where,
        source_id=columns.of(record, "source_id"), name=columns.of(record, "name"), lon=columns.of(record, "lng"), lat=columns.of(record, "lat"),
        category=category,
        names=_names(record, columns),
        brand=_text(columns.of(record, "brand")),
        address={part: str(value) for part in _ADDRESS if (value := columns.of(record, part)) is not None},
        phone=_text(columns.of(record, "phone")), website=_text(columns.of(record, "website")),
        tags=tuple(part.strip()[:100] for part in str(columns.of(record, "tags") or "").split(";") if part.strip())[:50],
        opening_hours=_text(columns.of(record, "opening_hours")),
        price_band=price_band if price_band in (1, 2, 3, 4) else None,
        rating_sum=min(max(round((mean or 0) * count), count), 5 * count), rating_count=count,
    )  # fmt: skip


def _names(record: Mapping[str, Any], columns: Columns) -> dict[str, str]:
    found = {ours.removeprefix("name:"): record.get(theirs) for ours, theirs in columns.names.items() if ours.startswith("name:")}
    return {language: str(name)[:200] for language, name in found.items() if name}


def category_of(text: Any) -> str:
    """A category from its code or from an OSM tag (`amenity=cafe`); what is not known is `other`."""
    if not isinstance(text, str):
        return OTHER
    if text in tree():
        return text
    key, _, value = text.partition("=")
    return from_osm({key.strip(): value.strip()}) or OTHER


def _misshapen(where: str, record: Mapping[str, Any]) -> Refused | None:
    """Why a record cannot be a row at all: bytes of another encoding, or more or fewer fields than the header."""
    if None in record or any(value is _MISSING for value in record.values()):
        return Refused(where, "wrong_number_of_fields", "the line has not as many fields as the header")
    for value in record.values():
        if isinstance(value, str) and any(0xDC80 <= ord(char) <= 0xDCFF for char in value):
            return Refused(where, "bad_encoding", f"not UTF-8: {value[:60]!a}; give --encoding, as latin-1")
    return None


_MISSING: Any = object()


def _csv(path: Path, encoding: str) -> tuple[list[str], Iterator[Record]]:
    csv.field_size_limit(_LONGEST_FIELD)
    raw: Any = gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb")  # noqa: SIM115 - closed with the text around it
    # Bytes of another encoding become marks that _misshapen finds, so that one such line does not spoil the file.
    text = io.TextIOWrapper(raw, encoding=encoding, errors="surrogateescape", newline="")
    reader = csv.DictReader(text, restval=_MISSING)
    header = list(reader.fieldnames or [])
    if not header:
        raise BrokenFile(f"{path.name} is empty")

    def rows() -> Iterator[Record]:
        with text:
            try:
                for record in reader:
                    yield f"line {reader.line_num}", record
            except (csv.Error, OSError, EOFError) as failure:
                raise BrokenFile(f"{path.name}, line {reader.line_num}: {failure}") from failure

    return header, rows()


def _parquet(path: Path) -> tuple[list[str], Iterator[Record]]:
    file = pq.ParquetFile(path)

    def rows() -> Iterator[Record]:
        number = 0
        try:
            for batch in file.iter_batches(batch_size=_BATCH):
                for record in batch.to_pylist():
                    number += 1
                    yield f"row {number}", record
        except (OSError, pa.ArrowException) as failure:
            raise BrokenFile(f"{path.name}, after row {number}: {failure}") from failure

    return list(file.schema_arrow.names), rows()


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def _whole(value: Any) -> int | None:
    try:
        return int(value)
    except (TypeError, ValueError, OverflowError):
        return None


def _number(value: Any) -> float | None:
    try:
        return float(value)
    except (TypeError, ValueError):
        return None
