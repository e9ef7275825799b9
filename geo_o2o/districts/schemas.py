from __future__ import annotations

from typing import Any

import marshmallow as ma
from geoalchemy2.shape import to_shape
from marshmallow import ValidationError
from shapely.geometry import MultiPolygon

from ..fields import Area, BoundsField, CrsField, Id, Instant, Moment, Names, Schema, Text, WholeNumber, parse_number
from ..geo.crs import Crs, to_wgs84
from ..geo.point import Point
from ..geo.shapes import read_area, read_bounds, to_geojson, written_area
from .models import District, DistrictVersion

_LAYER = ma.validate.Regexp(r"^[a-z][a-z0-9_-]{0,39}\Z", error="expected a layer's name, as `business` or `administrative`")


class PointField(ma.fields.Field[Point]):
    """A point as `lng,lat`."""

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> Point:
        try:
            lon, lat = (parse_number(part) for part in str(value)[:100].split(","))
            return Point(lon, lat)
        except (ValueError, OverflowError) as failure:
            raise ValidationError("expected `lng,lat` in degrees, longitude -180..180, latitude -90..90") from failure


class DistrictFields(Schema):
    layer = ma.fields.String(validate=_LAYER)
    name = Text(longest=300)
    names = Names()
    area = Area()
    valid_from = Instant(metadata={"description": "since when this holds; by default now"})
    valid_to = Instant(allow_none=True, metadata={"description": "when it ends; null: not for now"})
    crs = CrsField()

    @ma.post_load
    def in_wgs84(self, data: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        if "area" in data:
            data["area"] = read_area(data["area"], data["crs"])
        return data


class DistrictRequest(DistrictFields):
    class Meta(DistrictFields.Meta):
        pass

    layer = ma.fields.String(validate=_LAYER, load_default="business")
    name = Text(longest=300, required=True)
    area = Area(required=True)


class DistrictChange(DistrictFields):
    """Only what is sent changes."""


class DistrictsAsked(Schema):
    layer = ma.fields.String(validate=_LAYER)
    contains = PointField(metadata={"description": "only districts that hold this point, as lng,lat", "example": "24.941,60.170"})
    bbox = BoundsField()
    parent = Id(metadata={"description": "only districts that lie directly in this one"})
    as_of = Instant(metadata={"description": "as it was at this moment"})
    outlines = ma.fields.Boolean(load_default=False, metadata={"description": "each with its area, as one alone has"})
    limit = WholeNumber(low=1, high=1_000, load_default=100)
    cursor = ma.fields.String()
    crs = CrsField()

    @ma.post_load
    def in_wgs84(self, data: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        if "contains" in data:
            data["contains"] = to_wgs84(data["contains"], data["crs"])
        if "bbox" in data:
            data["bbox"] = read_bounds(data["bbox"], data["crs"])
        return data


class DistrictAsked(Schema):
    as_of = Instant(metadata={"description": "as it was at this moment"})
    crs = CrsField()


class CoverAsked(Schema):
    resolution = WholeNumber(low=6, high=11, unit="H3 resolution", load_default=9)


class CoverCell(ma.Schema):
    cell = ma.fields.String(metadata={"description": "H3 cell in hexadecimal"})
    share = ma.fields.Float(metadata={"description": "of the cell's area, that which lies in the district"})


class Cover(ma.Schema):
    resolution = ma.fields.Integer()
    items = ma.fields.List(ma.fields.Nested(CoverCell))
    next = ma.fields.String(allow_none=True)


class DistrictSummary(ma.Schema):
    id = ma.fields.UUID()
    layer = ma.fields.String()
    name = ma.fields.String()
    names = ma.fields.Dict(keys=ma.fields.String(), values=ma.fields.String())
    area_m2 = ma.fields.Float(metadata={"description": "area on the ellipsoid"})
    bbox = ma.fields.List(ma.fields.Float(), metadata={"description": "west, south, east, north"})
    source = ma.fields.String()
    source_id = ma.fields.String()
    attribution = ma.fields.String(allow_none=True)
    parent_id = ma.fields.UUID(allow_none=True, metadata={"description": "the smallest district of its layer that holds it"})
    valid_from = Moment()
    valid_to = Moment(allow_none=True)
    version = ma.fields.Integer()


class DistrictResponse(DistrictSummary):
    area = ma.fields.Dict(metadata={"description": "GeoJSON MultiPolygon; in a list with outlines=true"})


class DistrictList(ma.Schema):
    items = ma.fields.List(ma.fields.Nested(DistrictResponse))
    next = ma.fields.String(allow_none=True)


def dump_district(district: District | DistrictVersion, *, crs: Crs, with_area: bool = False) -> dict[str, Any]:
    area = written_area(MultiPolygon(to_shape(district.area)), crs)
    plain = ("id", "layer", "name", "names", "source", "source_id", "attribution", "parent_id", "valid_from", "valid_to", "version")
    body: dict[str, Any] = {name: getattr(district, name) for name in plain}
    body["area_m2"] = round(district.area_m2, 1)
    body["bbox"] = [round(value, 7) for value in area.bounds]
    if with_area:
        body["area"] = to_geojson(area)
    return body
