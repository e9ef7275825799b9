"""Marshmallow fields for places: finite, in range, refused by the field's own name."""

from __future__ import annotations

import datetime as dt
import json
import math
import re
from typing import Any
from uuid import UUID

import marshmallow as ma
from marshmallow import ValidationError
from webargs.fields import DelimitedList

from .geo.bounds import Bounds
from .geo.cells import parse_hex, resolution_of
from .geo.corridors import InvalidLine, parse_line
from .geo.crs import CRS_NAMES
from .geo.shapes import InvalidShape, parse_area


def described(kwargs: dict[str, Any], **defaults: Any) -> dict[str, Any]:
    """The arguments of a field with defaults for what the API page shows of it."""
    return {**kwargs, "metadata": {**defaults, **kwargs.get("metadata", {})}}


# What nearly every number looks like; no sign of it can hide something else.
_USUAL = re.compile(r"-?[0-9]{1,9}(\.[0-9]{1,15})?")
_WHOLE = re.compile(r"-?[0-9]{1,19}")
# Plain decimal notation and nothing else that Python would take: no underscores, no digits of other scripts.
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,4})?|[+-]?(nan|inf|infinity)", re.IGNORECASE)


def parse_number(value: int | float | str) -> float:
    """A number from JSON or from a query. Raises ValueError, OverflowError."""
    if isinstance(value, str) and not _NUMBER.fullmatch(value.strip()):
        raise ValueError("not a number")
    return float(value)


class BoundedList(ma.fields.List[Any]):
    """A list of bounded length; the length is looked at before any element is."""

    def __init__(self, inner: Any, *, longest: int, shortest: int = 0, **kwargs: Any):
        self.shortest, self.longest = shortest, longest
        super().__init__(inner, **described(kwargs, minItems=shortest, maxItems=longest))

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> list[Any]:
        if isinstance(value, list) and not self.shortest <= len(value) <= self.longest:
            raise ValidationError(f"expected {self.shortest} to {self.longest} elements, found {len(value)}")
        return super()._deserialize(value, attr, data, **kwargs)


class CommaList(DelimitedList):
    """In a query values joined by commas, in a body a list; of bounded length, which is looked at first."""

    def __init__(self, inner: Any, *, longest: int, **kwargs: Any):
        self.longest = longest
        super().__init__(inner, **described(kwargs, minItems=1, maxItems=longest))

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> list[Any]:
        count = len(value) if isinstance(value, list) else str(value).count(",") + 1
        if not 1 <= count <= self.longest or value == "":
            raise ValidationError(f"expected 1 to {self.longest} values, found {0 if value == '' else count}")
        if isinstance(value, list):
            return list(ma.fields.List._deserialize(self, value, attr, data, **kwargs))
        return list(super()._deserialize(value, attr, data, **kwargs))  # type: ignore[no-untyped-call]


class Schema(ma.Schema):
    """What every schema here shares: an unknown name is an error, so that a misspelt filter is not silently ignored."""

    class Meta:
        unknown = ma.RAISE


class Number(ma.fields.Float):
    """A finite number of degrees or metres in a closed range; true, "1e400", NaN and Infinity are none."""

    def __init__(self, *, low: float, high: float, unit: str, **kwargs: Any):
        self.low, self.high, self.unit = low, high, unit
        # The bounds are documented here and checked below, because a Range lets NaN through.
        super().__init__(**described(kwargs, description=f"{unit}, {low:g} to {high:g}", minimum=low, maximum=high))

    def deserialize(self, value: Any, attr: str | None = None, data: Any = None, **kwargs: Any) -> Any:
        # Most numbers look like this, and then there is nothing else to ask.
        if isinstance(value, str) and _USUAL.fullmatch(value) and self.low <= (number := float(value)) <= self.high and not self.validators:
            return number
        return super().deserialize(value, attr, data, **kwargs)

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> float:
        expected = f"expected a number of {self.unit} in {self.low:g}..{self.high:g}"
        if isinstance(value, bool) or not isinstance(value, int | float | str) or len(str(value)) > 40:
            raise ValidationError(f"{expected}, found {type(value).__name__}")
        try:
            number = parse_number(value)
        except (ValueError, OverflowError) as failure:
            raise ValidationError(f"{expected}, found {str(value)[:40]!r}") from failure
        if not (math.isfinite(number) and self.low <= number <= self.high):
            raise ValidationError(f"{expected}, found {str(value)[:40]}")
        return number


class Latitude(Number):
    def __init__(self, **kwargs: Any):
        super().__init__(low=-90.0, high=90.0, unit="degrees latitude", **kwargs)


class Longitude(Number):
    def __init__(self, **kwargs: Any):
        super().__init__(low=-180.0, high=180.0, unit="degrees longitude", **kwargs)


class WholeNumber(ma.fields.Integer):
    """An integer in a closed range; 1.5, true and "1e3" are none."""

    def __init__(self, *, low: int, high: int, unit: str = "", **kwargs: Any):
        self.low, self.high = low, high
        words = f"{unit + ', ' if unit else ''}{low} to {high}"
        super().__init__(strict=True, **described(kwargs, description=words, minimum=low, maximum=high))

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> int:
        expected = f"expected a whole number in {self.low}..{self.high}"
        text = str(value)
        if isinstance(value, bool | float) or not _WHOLE.fullmatch(text):
            raise ValidationError(f"{expected}, found {text[:40]!r}")
        number = int(text)
        if not self.low <= number <= self.high:
            raise ValidationError(f"{expected}, found {number}")
        return number


class Text(ma.fields.String):
    """Text of bounded length without control characters; what PostgreSQL cannot store (NUL, lone surrogates) is refused here."""

    def __init__(self, *, longest: int, shortest: int = 1, **kwargs: Any):
        self.longest, self.shortest = longest, shortest
        super().__init__(**described(kwargs, minLength=shortest, maxLength=longest))

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> str:
        text = str(super()._deserialize(value, attr, data, **kwargs)).strip()
        if not self.shortest <= len(text) <= self.longest:
            raise ValidationError(f"expected {self.shortest} to {self.longest} characters, found {len(text)}")
        if any((ord(char) < 32 and char not in "\n\t") or 0xD800 <= ord(char) <= 0xDFFF for char in text):
            raise ValidationError("expected text without control characters")
        return text


class WebAddress(Text):
    """An http or https address."""

    def __init__(self, **kwargs: Any):
        super().__init__(longest=500, **described(kwargs, format="uri"))

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> str:
        text = super()._deserialize(value, attr, data, **kwargs)
        ma.validate.URL(schemes={"http", "https"}, error="expected an address that begins with http:// or https://")(text)
        return text


class Names(ma.fields.Dict):
    """Names by language tag, as {"fi": "Kirjakauppa", "en": "Bookshop"}."""

    def __init__(self, **kwargs: Any):
        super().__init__(
            keys=ma.fields.String(validate=ma.validate.Regexp(r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{1,8}){0,3}\Z", error="expected a language tag")),
            values=Text(longest=200),
            validate=ma.validate.Length(max=50),
            **described(kwargs, example={"en": "Academic Bookshop"}),
        )


class BoundsField(ma.fields.Field[Bounds]):
    """A box as `west,south,east,north` in degrees; west above east crosses the date line."""

    def __init__(self, **kwargs: Any):
        words = "west,south,east,north in degrees, WGS 84; west > east crosses the date line"
        super().__init__(**described(kwargs, description=words, example="24.93,60.16,24.96,60.18"))

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> Bounds:
        parts = str(value).split(",")
        if len(parts) != 4 or len(str(value)) > 200:
            raise ValidationError("expected four numbers: west,south,east,north")
        try:
            return Bounds(*(parse_number(part) for part in parts))
        except (ValueError, OverflowError) as failure:
            raise ValidationError(f"expected west,south,east,north in degrees: {failure}") from failure


class Area(ma.fields.Dict):
    """A GeoJSON Polygon or MultiPolygon."""

    def __init__(self, **kwargs: Any):
        super().__init__(**described(kwargs, description="GeoJSON Polygon or MultiPolygon, WGS 84, longitude first (RFC 7946)"))

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> Any:
        try:
            return parse_area(value)
        except InvalidShape as failure:
            raise ValidationError(f"{failure.code}: {failure}") from failure


class AreaText(Area):
    """The same in a query, as text."""

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> Any:
        return super()._deserialize(_parsed(value), attr, data, **kwargs)


class Shape(ma.fields.Field[Any]):
    """An area, or a line with a width; in a query as text."""

    def __init__(self, **kwargs: Any):
        words = "GeoJSON Polygon or MultiPolygon, or a LineString with width_m; WGS 84, longitude first, cut at the date line (RFC 7946)"
        super().__init__(**described(kwargs, description=words))

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> Any:
        value = _parsed(value)
        try:
            return parse_line(value) if isinstance(value, dict) and value.get("type") == "LineString" else parse_area(value)
        except InvalidShape as failure:
            raise ValidationError(f"{failure.code}: {failure}") from failure
        except InvalidLine as failure:
            raise ValidationError(f"invalid_line: {failure}") from failure


def _parsed(value: Any) -> Any:
    """GeoJSON that came as text; anything else as it is."""
    try:
        return json.loads(value) if isinstance(value, str) else value
    except (ValueError, RecursionError) as failure:
        raise ValidationError("expected GeoJSON") from failure


class CrsField(ma.fields.String):
    """Coordinate system of what is sent and received."""

    def __init__(self, **kwargs: Any):
        words = "coordinate system of the positions sent and received"
        super().__init__(load_default="wgs84", validate=ma.validate.OneOf(CRS_NAMES), **described(kwargs, description=words))


class Instant(ma.fields.AwareDateTime):
    """An instant with its offset (RFC 3339), kept in UTC."""

    def __init__(self, **kwargs: Any):
        super().__init__(format="iso", **described(kwargs, example="2026-11-21T17:30:00+02:00"))

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> Any:
        if isinstance(value, str) and len(value) > 40:
            raise ValidationError("expected an instant with its offset, as 2026-11-21T17:30:00+02:00")
        # A plus sign that was not percent-encoded arrives as a space.
        text = value.replace(" ", "+") if isinstance(value, str) and value.count(" ") == 1 and "T" in value else value
        try:
            instant = super()._deserialize(text, attr, data, **kwargs)
            return instant.astimezone(dt.UTC)
        except (ValidationError, OverflowError, ValueError) as failure:
            raise ValidationError("expected an instant with its offset, as 2026-11-21T17:30:00+02:00") from failure


class Moment(ma.fields.AwareDateTime):
    """An instant as every answer writes it: RFC 3339 in UTC, with a Z."""

    def __init__(self, **kwargs: Any):
        super().__init__(format="iso", **kwargs)

    def _serialize(self, value: Any, attr: Any, obj: Any, **kwargs: Any) -> str | None:
        return None if value is None else value.astimezone(dt.UTC).isoformat().replace("+00:00", "Z")


class CellField(ma.fields.Field[int]):
    """An H3 cell as it is usually written, in hexadecimal."""

    def __init__(self, **kwargs: Any):
        super().__init__(**described(kwargs, description="H3 cell, resolution 0 to 12", example="89089969a83ffff"))

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> int:
        try:
            cell = parse_hex(str(value))
        except ValueError as failure:
            raise ValidationError(str(failure)) from failure
        if resolution_of(cell) > 12:
            raise ValidationError(f"expected a cell of resolution 0 to 12, found {resolution_of(cell)}")
        return cell


class Id(ma.fields.UUID):
    """A public id."""

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> UUID:
        if not isinstance(value, str) or len(value) != 36:
            raise ValidationError("expected an id, a UUID of 36 characters")
        return super()._deserialize(value, attr, data, **kwargs)
