from __future__ import annotations

from typing import Any

import marshmallow as ma
from marshmallow import ValidationError

from ..fields import BoundsField, CrsField, Id, Moment, Schema, WholeNumber
from ..geo.shapes import read_bounds
from ..stores.schemas import AttributionSchema, CategoryField

COARSEST, FINEST = 6, 11


class SupplyRequest(Schema):
    district = Id()
    bbox = BoundsField()
    resolution = WholeNumber(low=COARSEST, high=FINEST, unit="H3 resolution", load_default=9)
    category = CategoryField()
    format = ma.fields.String(load_default="json", validate=ma.validate.OneOf(["json", "geojson"]))
    crs = CrsField()

    @ma.post_load
    def in_wgs84(self, data: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        if "bbox" in data:
            data["bbox"] = read_bounds(data["bbox"], data["crs"])
        return data

    @ma.validates_schema
    def one_area(self, data: dict[str, Any], **kwargs: Any) -> None:
        if ("district" in data) == ("bbox" in data):
            raise ValidationError("give either district or bbox", "district")


class SupplyCell(ma.Schema):
    cell = ma.fields.String(metadata={"description": "H3 cell in hexadecimal"})
    lat = ma.fields.Float()
    lng = ma.fields.Float()
    area_km2 = ma.fields.Float(metadata={"description": "true area of this very cell"})
    stores = ma.fields.Integer()
    stores_per_km2 = ma.fields.Float()
    offers = ma.fields.Integer()
    rating_mean = ma.fields.Float(allow_none=True)
    rating_count = ma.fields.Integer()
    sample = ma.fields.Boolean(metadata={"description": "true where some ratings or offers were invented for the demonstration"})
    open_share = ma.fields.Float(allow_none=True, metadata={"description": "of the stores whose hours are known, the share open now"})


class Supply(ma.Schema):
    layer = ma.fields.String()
    resolution = ma.fields.Integer()
    at = Moment()
    items = ma.fields.List(ma.fields.Nested(SupplyCell))
    next = ma.fields.String(allow_none=True)
    attribution = ma.fields.List(ma.fields.Nested(AttributionSchema))
