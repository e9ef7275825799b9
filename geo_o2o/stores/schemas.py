from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import marshmallow as ma
from geoalchemy2.shape import to_shape
from marshmallow import ValidationError
from shapely.geometry import MultiPolygon

from ..fields import (
    Area,
    BoundedList,
    CommaList,
    CrsField,
    Id,
    Instant,
    Latitude,
    Longitude,
    Moment,
    Names,
    Schema,
    Text,
    WebAddress,
    WholeNumber,
    described,
)
from ..geo.cells import to_hex
from ..geo.crs import Crs, read_point, written_point
from ..geo.point import Point
from ..geo.shapes import read_area, to_geojson, written_area
from .categories import codes_by_id, tree
from .models import Attribution, Store
from .ratings import dump_rating
from .zones import zones

MOST_PER_PAGE = 1_000
_CHAIN = re.compile(r"[a-z0-9-]+(\.[a-z0-9-]+)*")


class CategoryField(ma.fields.String):
    """A category's code."""

    def __init__(self, **kwargs: Any):
        super().__init__(**described(kwargs, description="code of a category, as `food.cafe`; GET /v1/categories lists them"))

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> str:
        code = str(super()._deserialize(value, attr, data, **kwargs))
        if code not in tree():
            raise ValidationError(f"there is no category {code[:40]!r}; GET /v1/categories lists them")
        return code


class ChainField(Text):
    """What a store belongs to, from the top down."""

    def __init__(self, **kwargs: Any):
        super().__init__(longest=200, **described(kwargs, description="chain, from the top down, joined by dots", example="sok.prisma"))

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> str:
        text = super()._deserialize(value, attr, data, **kwargs)
        if not _CHAIN.fullmatch(text):
            raise ValidationError(f"expected names of small letters, digits and dashes, joined by dots, as sok.prisma, found {text[:40]!r}")
        return text


class ZoneField(ma.fields.String):
    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> str:
        if not isinstance(value, str) or value not in zones():
            raise ValidationError(f"expected an IANA time zone, as Europe/Helsinki, found {str(value)[:40]!r}")
        return value


class Address(Schema):
    street = Text(longest=200)
    housenumber = Text(longest=40)
    postcode = Text(longest=40)
    city = Text(longest=100)
    region = Text(longest=100)
    full = Text(longest=500)


class StoreFields(Schema):
    """What can be said of a store. Positions are read in `crs` and kept in WGS 84."""

    name = Text(longest=300)
    names = Names()
    category = CategoryField()
    lat = Latitude()
    lng = Longitude()
    crs = CrsField()
    brand = Text(longest=200, allow_none=True)
    address = ma.fields.Nested(Address)
    phone = Text(longest=60, allow_none=True)
    website = WebAddress(allow_none=True)
    tags = BoundedList(Text(longest=100), longest=50)
    opening_hours = Text(
        longest=1_000, allow_none=True, metadata={"description": "OSM opening_hours syntax, in the store's zone", "example": "Mo-Fr 09:00-17:00"}
    )
    time_zone = ZoneField(metadata={"description": "IANA zone; by default that of the position", "example": "Europe/Helsinki"})
    price_band = WholeNumber(low=1, high=4, allow_none=True)
    footprint = Area(allow_none=True)
    fence_radius_m = WholeNumber(low=10, high=1_000, unit="metres", allow_none=True)
    chain = ChainField(allow_none=True)
    service_radius_m = WholeNumber(low=10, high=50_000, unit="metres", allow_none=True)
    service_area = Area(allow_none=True)
    merchant_id = Id(allow_none=True, metadata={"description": "owner; a store's key always means its own merchant"})
    status = ma.fields.String(validate=ma.validate.OneOf(["live", "closed"]))

    @ma.validates_schema
    def both_coordinates(self, data: dict[str, Any], **kwargs: Any) -> None:
        if ("lat" in data) != ("lng" in data):
            raise ValidationError("lat and lng come together", "lng" if "lat" in data else "lat")

    @ma.post_load
    def as_point(self, data: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        crs: Crs = data["crs"]
        if "lat" in data:
            data["at"] = read_point(data.pop("lng"), data.pop("lat"), crs)
        for name in ("footprint", "service_area"):
            if data.get(name) is not None:
                data[name] = read_area(data[name], crs)
        return data


class StoreRequest(StoreFields):
    class Meta(StoreFields.Meta):
        pass

    name = Text(longest=300, required=True)
    category = CategoryField(required=True)
    lat = Latitude(required=True)
    lng = Longitude(required=True)


class StoreChange(StoreFields):
    """Only what is sent changes; null clears."""


class StoreWalk(Schema):
    """Filters of a walk over the whole catalogue."""

    merchant_id = Id()
    source = Text(longest=60)
    district = Id(metadata={"description": "only stores in this district"})
    category = CategoryField()
    changed_since = Instant()
    limit = WholeNumber(low=1, high=MOST_PER_PAGE, load_default=100)
    cursor = ma.fields.String()
    crs = CrsField()


class StoreAsked(Schema):
    crs = CrsField()


class DistrictOfStore(ma.Schema):
    layer = ma.fields.String()
    id = ma.fields.UUID()
    name = ma.fields.String()


class RatingSchema(ma.Schema):
    mean = ma.fields.Float(allow_none=True, metadata={"description": "stars, 1 to 5; null where nobody rated"})
    count = ma.fields.Integer()
    sum = ma.fields.Integer(metadata={"description": "stars of all ratings together"})
    sample = ma.fields.Boolean(metadata={"description": "true where the rating was invented for the demonstration"})


class AttributionSchema(ma.Schema):
    source = ma.fields.String()
    attribution = ma.fields.String()
    licence = ma.fields.String()


class StoreResponse(ma.Schema):
    id = ma.fields.UUID()
    status = ma.fields.String()
    name = ma.fields.String()
    names = ma.fields.Dict(keys=ma.fields.String(), values=ma.fields.String())
    category = ma.fields.String()
    lat = ma.fields.Float()
    lng = ma.fields.Float()
    cell = ma.fields.String(metadata={"description": "H3 cell of resolution 12"})
    brand = ma.fields.String(allow_none=True)
    address = ma.fields.Dict(keys=ma.fields.String(), values=ma.fields.String())
    phone = ma.fields.String(allow_none=True)
    website = ma.fields.String(allow_none=True)
    tags = ma.fields.List(ma.fields.String())
    opening_hours = ma.fields.String(allow_none=True)
    time_zone = ma.fields.String()
    country = ma.fields.String(allow_none=True)
    price_band = ma.fields.Integer(allow_none=True)
    rating = ma.fields.Nested(RatingSchema)
    footprint = ma.fields.Dict(allow_none=True, metadata={"description": "GeoJSON, always WGS 84"})
    fence_radius_m = ma.fields.Integer(allow_none=True)
    chain = ma.fields.String(allow_none=True)
    service_radius_m = ma.fields.Integer(allow_none=True)
    service_area = ma.fields.Dict(allow_none=True, metadata={"description": "GeoJSON, always WGS 84"})
    merchant_id = ma.fields.UUID(allow_none=True)
    districts = ma.fields.List(ma.fields.Nested(DistrictOfStore))
    source = ma.fields.String()
    source_id = ma.fields.String()
    version = ma.fields.Integer()
    created_at = Moment()
    updated_at = Moment()


class StoreList(ma.Schema):
    items = ma.fields.List(ma.fields.Nested(StoreResponse))
    next = ma.fields.String(allow_none=True)
    attribution = ma.fields.List(ma.fields.Nested(AttributionSchema))


class CategorySchema(ma.Schema):
    code = ma.fields.String()
    parent = ma.fields.String(allow_none=True)
    names = ma.fields.Dict(keys=ma.fields.String(), values=ma.fields.String())


class CategoryList(ma.Schema):
    items = ma.fields.List(ma.fields.Nested(CategorySchema))
    next = ma.fields.String(allow_none=True)


class CategoryCodes(CommaList):
    """Category codes joined by commas."""

    def __init__(self, **kwargs: Any):
        words = "category codes joined by commas; each includes what lies below it"
        super().__init__(CategoryField(), longest=50, **described(kwargs, description=words, example="food.cafe,shop.books"))


def dump_attribution(rows: Sequence[Attribution]) -> list[dict[str, str]]:
    return [{"source": row.source, "attribution": row.attribution, "licence": row.licence} for row in rows]


def dump_store(store: Store, *, districts: Sequence[tuple[str, UUID, str]], crs: Crs = "wgs84") -> dict[str, Any]:
    """StoreResponse of one store. districts: (layer, id, name) of each."""
    location = to_shape(store.location)
    plain: tuple[str, ...] = (
        "id", "status", "name", "names", "brand", "address", "phone", "website", "tags", "opening_hours", "time_zone", "country",
        "price_band", "fence_radius_m", "chain", "service_radius_m", "merchant_id", "source", "source_id", "version", "created_at", "updated_at",
    )  # fmt: skip
    body: dict[str, Any] = {name: getattr(store, name) for name in plain}
    body |= written_point(Point(location.x, location.y), crs)
    body["cell"] = to_hex(store.cell)
    body["category"] = codes_by_id()[store.category_id]
    body["rating"] = dump_rating(store.rating_sum, store.rating_count, store.rating_sample)
    for name in ("footprint", "service_area"):
        area = getattr(store, name)
        body[name] = None if area is None else to_geojson(written_area(MultiPolygon(to_shape(area)), crs))
    body["districts"] = [{"layer": layer, "id": id_, "name": name} for layer, id_, name in districts]
    return body
