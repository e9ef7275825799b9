"""What every reader yields: a row that can be loaded, or why one cannot. Here a row is checked, whatever file it came from."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from shapely.geometry import MultiPolygon
from shapely.geometry.base import BaseGeometry

from ..geo.point import Point
from ..stores.categories import OTHER

LONGEST_NAME = 300
LONGEST_SOURCE_ID = 200
# Far more than any place has, and far inside what the arithmetic of the ranking was shown to be exact for.
MOST_RATINGS = 10_000_000
# What PostgreSQL cannot store, and what no name contains: control characters and halves of surrogate pairs.
_NOT_TEXT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class StoreRow:
    """A store as a file has it, checked. time_zone None: that of the point. rating_sum: stars, 1 to 5 each."""

    source_id: str
    name: str
    at: Point
    category: str = OTHER
    names: Mapping[str, str] = field(default_factory=dict)
    brand: str | None = None
    address: Mapping[str, str] = field(default_factory=dict)
    phone: str | None = None
    website: str | None = None
    tags: tuple[str, ...] = ()
    opening_hours: str | None = None
    price_band: int | None = None
    rating_sum: int = 0
    rating_count: int = 0
    footprint: MultiPolygon | None = None
    # False where the source knows the place only roughly, by its postcode: then two rows at one point are two places.
    exact_place: bool = True

    def fingerprint(self) -> int:
        """A signed 64-bit hash of everything above: two rows with the same one need no write."""
        outline = self.footprint.wkb_hex if self.footprint is not None else ""
        parts = (
            self.name, self.at.lon, self.at.lat, self.category, tuple(sorted(self.names.items())), self.brand,
            tuple(sorted(self.address.items())), self.phone, self.website, self.tags, self.opening_hours, self.price_band,
            self.rating_sum, self.rating_count, outline,
        )  # fmt: skip
        return _hash64(parts)

    def likeness(self) -> int:
        """A hash that two entries of one and the same store share: name, position and address."""
        return _hash64((self.name.casefold(), round(self.at.lon, 6), round(self.at.lat, 6), tuple(sorted(self.address.items()))))


@dataclass(frozen=True, slots=True)
class DistrictRow:
    """A named area as a file has it, checked and repaired."""

    source_id: str
    name: str
    area: MultiPolygon
    names: Mapping[str, str] = field(default_factory=dict)

    def fingerprint(self, layer: str, attribution: str) -> int:
        return _hash64((layer, attribution, self.name, tuple(sorted(self.names.items())), self.area.wkb_hex))


@dataclass(frozen=True, slots=True)
class BasemapRow:
    """A street, building, water body or piece of land."""

    source_id: str
    layer: str
    kind: str
    shape: BaseGeometry
    name: str | None = None
    names: Mapping[str, str] = field(default_factory=dict)

    def fingerprint(self) -> int:
        return _hash64((self.layer, self.kind, self.name, tuple(sorted(self.names.items())), self.shape.wkb_hex))


@dataclass(frozen=True, slots=True)
class Refused:
    """A row that is not loaded. where: its line or id in the file. reason: a stable code."""

    where: str
    reason: str
    detail: str


def check_store(where: str, *, source_id: Any, name: Any, lon: Any, lat: Any, **rest: Any) -> StoreRow | Refused:
    """A row from raw values, or the reason why there is none. lon, lat: text or numbers, degrees."""
    shown = " ".join(str(name or "").split())
    if not shown:
        return Refused(where, "no_name", "a store needs a name")
    if len(shown) > LONGEST_NAME:
        return Refused(where, "name_too_long", f"at most {LONGEST_NAME} characters, found {len(shown)}")
    broken = next((text for text in (shown, *_texts(rest)) if _NOT_TEXT.search(text)), None)
    if broken is not None:
        return Refused(where, "bad_encoding", f"not text in the file's encoding: {broken[:60]!a}")
    at = _check_point(where, lon, lat)
    if isinstance(at, Refused):
        return at
    identity = str(source_id if source_id is not None else "").strip() or f"{_hash64((shown, at.lon, at.lat)) & (2**64 - 1):016x}"
    if len(identity) > LONGEST_SOURCE_ID or _NOT_TEXT.search(identity):
        return Refused(where, "bad_id", f"an id has at most {LONGEST_SOURCE_ID} characters of text, found {identity[:60]!a}")
    if not 0 <= rest.get("rating_count", 0) <= MOST_RATINGS:
        return Refused(where, "bad_rating", f"a store has 0 to {MOST_RATINGS:,} ratings, found {rest['rating_count']}")
    return StoreRow(source_id=identity, name=shown, at=at, **{**rest, "website": web_address(rest.get("website"))})


def web_address(text: Any) -> str | None:
    """An http or https address of bearable length, None for anything else: what a file calls a website may be a script."""
    shown = str(text or "").strip()
    return shown if re.match(r"https?://[^\s]+\Z", shown) and len(shown) <= 500 else None


def _check_point(where: str, lon: Any, lat: Any) -> Point | Refused:
    try:
        x, y = float(lon), float(lat)
    except (TypeError, ValueError, OverflowError):
        return Refused(where, "bad_point", f"longitude and latitude are numbers of degrees, found {str(lon)[:40]!r}, {str(lat)[:40]!r}")
    if abs(y) > 90.0 >= abs(x) and abs(y) <= 180.0:
        return Refused(where, "swapped_axes", f"latitude {y} cannot be; it looks like the longitude")
    if x == 0.0 and y == 0.0:
        return Refused(where, "bad_point", "0, 0 lies in the sea and means `not known`")
    try:
        # A ten-millionth of a degree is a centimetre; more digits are noise, and two stores a hair apart are one place.
        return Point(round(x, 7), round(y, 7))
    except ValueError as failure:
        return Refused(where, "bad_point", str(failure))


def _texts(values: Mapping[str, Any]) -> Iterator[str]:
    """Every text among the values of a row, also inside mappings and tuples."""
    for value in values.values():
        if isinstance(value, str):
            yield value
        elif isinstance(value, Mapping):
            yield from (part for pair in value.items() for part in pair if isinstance(part, str))
        elif isinstance(value, tuple):
            yield from (part for part in value if isinstance(part, str))


def _hash64(parts: Any) -> int:
    return int.from_bytes(hashlib.blake2b(repr(parts).encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big", signed=True)
