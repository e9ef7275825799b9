from __future__ import annotations

from typing import Any

import marshmallow as ma
from marshmallow import ValidationError

from ..fields import AreaText, BoundsField, CrsField, Id, Instant, Moment, Schema, Text, WholeNumber
from ..geo.shapes import area_of, read_area, read_bounds
from ..releases.products import PRODUCTS
from ..stores.schemas import AttributionSchema, CategoryField
from ..supply.rolling import COARSEST, FINEST
from .columns import FORMATS

LAYERS = ("supply", *PRODUCTS)


class HeatRequest(Schema):
    """Where, how fine and in which form; `area` after loading: bbox or within as a multipolygon, WGS 84."""

    district = Id(metadata={"description": "the stores of this district, or the cells that its outline touches"})
    bbox = BoundsField()
    within = AreaText()
    format = ma.fields.String(load_default="json", validate=ma.validate.OneOf(list(FORMATS)))
    crs = CrsField()

    @ma.post_load
    def in_wgs84(self, data: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        if "bbox" in data:
            data["area"] = area_of(read_bounds(data["bbox"], data["crs"]))
        elif "within" in data:
            data["area"] = read_area(data["within"], data["crs"])
        return data

    @ma.validates_schema
    def one_area(self, data: dict[str, Any], **kwargs: Any) -> None:
        if sum(name in data for name in ("district", "bbox", "within")) > 1:
            raise ValidationError("give one of district, bbox and within", "district")


class SupplyRequest(HeatRequest):
    class Meta(HeatRequest.Meta):
        pass

    resolution = WholeNumber(low=COARSEST, high=FINEST, unit="H3 resolution; without it that of the zoom, or as fine as the area bears")
    zoom = WholeNumber(low=0, high=22, unit="zoom of the map that is drawn")
    category = CategoryField()
    open_at = Instant(metadata={"description": "open_share at this moment instead of now"})
    as_of = Instant(metadata={"description": "as it was at this moment"})
    since = Instant(metadata={"description": "and what has changed since this moment"})

    @ma.validates_schema
    def some_area(self, data: dict[str, Any], **kwargs: Any) -> None:
        if not any(name in data for name in ("district", "bbox", "within")):
            raise ValidationError("give one of district, bbox and within", "district")
        if "open_at" in data and "as_of" in data:
            raise ValidationError("opening hours of the past are not kept", "open_at")
        if "since" in data and "as_of" in data and data["since"] >= data["as_of"]:
            raise ValidationError("since lies before as_of", "since")


class DemandRequest(HeatRequest):
    class Meta(HeatRequest.Meta):
        pass

    city = Text(longest=40, metadata={"description": "name of the heat area; may be left out where there is one"})
    period = Text(longest=10, metadata={"description": "a week (2026-W47) or a month (2026-11); without it the newest", "example": "2026-W47"})


class Heat(ma.Schema):
    """A layer as columns of one length."""

    layer = ma.fields.String()
    columns = ma.fields.Dict(
        keys=ma.fields.String(), values=ma.fields.List(ma.fields.Raw()), metadata={"description": "name to values, a value for each cell"}
    )
    attribution = ma.fields.List(ma.fields.Nested(AttributionSchema))
    resolution = ma.fields.Integer(metadata={"description": "supply: of the cells"})
    at = Moment(metadata={"description": "supply: the moment that is shown"})
    open_at = Moment(allow_none=True, metadata={"description": "supply: the moment of open_share"})
    since = Moment(allow_none=True, metadata={"description": "supply: what the changes are counted from"})
    city = ma.fields.String(metadata={"description": "demand: the heat area"})
    period = ma.fields.String(metadata={"description": "demand: the week or month"})
    hidden = ma.fields.List(ma.fields.String(), metadata={"description": "demand: cells that are not shown, fewer than 20 people or too few to tell"})
    terms = ma.fields.Dict(metadata={"description": "demand: the guarantee of the release"})
    sample = ma.fields.Boolean(metadata={"description": "demand: made from invented visits"})
    sha256 = ma.fields.String(metadata={"description": "demand: of the release, as the log holds it"})
    released_at = Moment(metadata={"description": "demand: when it was released"})


class ReleasesAsked(Schema):
    city = Text(longest=40)
    product = ma.fields.String(validate=ma.validate.OneOf(list(PRODUCTS)))


class ReleaseSchema(ma.Schema):
    city = ma.fields.String()
    product = ma.fields.String()
    period = ma.fields.String()
    epsilon = ma.fields.Float()
    delta = ma.fields.Float()
    sample = ma.fields.Boolean()
    sha256 = ma.fields.String()
    released_at = Moment()
    shown = ma.fields.Integer(metadata={"description": "how many counts it shows"})
    total = ma.fields.Integer(metadata={"description": "their sum"})


class SpentSchema(ma.Schema):
    year = ma.fields.Integer()
    epsilon = ma.fields.Float(metadata={"description": "of all releases of the year together"})
    delta = ma.fields.Float()
    releases = ma.fields.Integer()
    limit = ma.fields.Integer()


class CitySchema(ma.Schema):
    name = ma.fields.String()
    title = ma.fields.String()
    time_zone = ma.fields.String()
    cells = ma.fields.List(ma.fields.String(), metadata={"description": "the grid, H3 cells of resolution 7"})
    bbox = ma.fields.List(ma.fields.Float(), metadata={"description": "west, south, east, north"})
    spent = ma.fields.List(ma.fields.Nested(SpentSchema))


class Releases(ma.Schema):
    items = ma.fields.List(ma.fields.Nested(ReleaseSchema))
    next = ma.fields.String(allow_none=True)
    cities = ma.fields.List(ma.fields.Nested(CitySchema))
