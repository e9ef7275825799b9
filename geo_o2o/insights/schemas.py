from __future__ import annotations

from typing import Any

import marshmallow as ma
from marshmallow import ValidationError

from ..districts.schemas import DistrictSummary
from ..fields import Area, BoundsField, CommaList, CrsField, Id, Moment, Number, Schema, WholeNumber
from ..geo.shapes import area_of, read_area, read_bounds
from ..stores.schemas import CategoryField

MOST_COMPARED = 8


class ProfileAsked(Schema):
    crs = CrsField()


class CompareAsked(Schema):
    ids = CommaList(Id(), longest=MOST_COMPARED, required=True)
    crs = CrsField()


class EstimateSchema(ma.Schema):
    value = ma.fields.Float()
    low = ma.fields.Float(metadata={"description": "the interval holds it with about 95 %"})
    high = ma.fields.Float()


class PeriodEstimate(EstimateSchema):
    period = ma.fields.String()


class PartEstimate(EstimateSchema):
    part = ma.fields.String()


class CellEstimate(EstimateSchema):
    cell = ma.fields.String()


class CategoryCount(ma.Schema):
    category = ma.fields.String()
    stores = ma.fields.Integer()
    rating_mean = ma.fields.Float(allow_none=True)
    rating_count = ma.fields.Integer()


class StoresOf(ma.Schema):
    count = ma.fields.Integer()
    per_km2 = ma.fields.Float()
    by_category = ma.fields.List(ma.fields.Nested(CategoryCount))


class RatingsOf(ma.Schema):
    mean = ma.fields.Float(allow_none=True)
    count = ma.fields.Integer()
    sample = ma.fields.Boolean()


class OffersOf(ma.Schema):
    count = ma.fields.Integer()
    per_store = ma.fields.Float(allow_none=True)
    sample = ma.fields.Boolean()


class OpenHours(ma.Schema):
    timed = ma.fields.Integer(metadata={"description": "stores whose hours are known"})
    share = ma.fields.List(
        ma.fields.Float(), allow_none=True, metadata={"description": "of them, open in the middle of each of the 168 hours of a week, Monday first"}
    )


class ChangeOf(ma.Schema):
    since = Moment(metadata={"description": "four weeks ago, or when the past of supply began to be known"})
    opened = ma.fields.Integer(metadata={"description": "stores that came into the catalogue"})
    closed = ma.fields.Integer()


class DayParts(ma.Schema):
    period = ma.fields.String()
    resolution = ma.fields.Integer(metadata={"description": "of the cells around, whose shares these are"})
    shares = ma.fields.List(ma.fields.Nested(PartEstimate))


class Returns(PeriodEstimate):
    resolution = ma.fields.Integer()


class Origins(ma.Schema):
    period = ma.fields.String()
    resolution = ma.fields.Integer()
    items = ma.fields.List(ma.fields.Nested(CellEstimate))


class DemandOf(ma.Schema):
    """From releases alone, each figure with its interval."""

    city = ma.fields.String()
    period = ma.fields.String(allow_none=True)
    visits = ma.fields.Nested(EstimateSchema, allow_none=True, metadata={"description": "people of a week, each in two cells at most"})
    per_store = ma.fields.Nested(EstimateSchema, allow_none=True)
    change = ma.fields.Nested(EstimateSchema, allow_none=True, metadata={"description": "against the week before, 0.05 is 5 % more"})
    series = ma.fields.List(ma.fields.Nested(PeriodEstimate))
    day_parts = ma.fields.Nested(DayParts, allow_none=True)
    returns = ma.fields.Nested(Returns, allow_none=True, metadata={"description": "of those seen in a month, who came on two days or more"})
    origins = ma.fields.Nested(Origins, allow_none=True, metadata={"description": "catchment: the cells that visitors are otherwise seen in most"})
    shown_share = ma.fields.Float(metadata={"description": "of the district's ground, that whose cells the newest week shows"})
    sample = ma.fields.Boolean()


class Peer(ma.Schema):
    id = ma.fields.UUID()
    name = ma.fields.String()
    stores = ma.fields.Integer()
    likeness = ma.fields.Float(metadata={"description": "0 to 1, by the kinds of stores and their number"})


class ProfileResponse(ma.Schema):
    district = ma.fields.Nested(DistrictSummary)
    at = Moment()
    stores = ma.fields.Nested(StoresOf)
    ratings = ma.fields.Nested(RatingsOf)
    offers = ma.fields.Nested(OffersOf)
    open_hours = ma.fields.Nested(OpenHours)
    change = ma.fields.Nested(ChangeOf)
    demand = ma.fields.Nested(DemandOf, allow_none=True)
    peers = ma.fields.List(ma.fields.Nested(Peer))


class ProfileList(ma.Schema):
    items = ma.fields.List(ma.fields.Nested(ProfileResponse))
    next = ma.fields.String(allow_none=True)


class SiteRequest(Schema):
    """Where to look for a site, and for what kind of store."""

    category = CategoryField(required=True)
    district = Id()
    bbox = BoundsField()
    within = Area()
    resolution = WholeNumber(low=8, high=11, unit="H3 resolution of the candidates", load_default=10)
    limit = WholeNumber(low=1, high=200, load_default=20)
    distance_exponent = Number(low=0.5, high=5, unit="without unit")
    reach_m = Number(low=100, high=5_000, unit="metres")
    rating_exponent = Number(low=0, high=2, unit="without unit")
    half_visits = Number(low=1, high=1_000_000, unit="visits a week")
    half_rivals = Number(low=0.1, high=1_000, unit="stores")
    half_company = Number(low=0.1, high=10_000, unit="stores")
    crs = CrsField()

    @ma.validates_schema
    def one_area(self, data: dict[str, Any], **kwargs: Any) -> None:
        if sum(name in data for name in ("district", "bbox", "within")) != 1:
            raise ValidationError("give one of district, bbox and within", "district")

    @ma.post_load
    def in_wgs84(self, data: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        if "bbox" in data:
            data["area"] = area_of(read_bounds(data["bbox"], data["crs"]))
        elif "within" in data:
            data["area"] = read_area(data["within"], data["crs"])
        return data


class SitePoints(ma.Schema):
    total = ma.fields.Integer()
    demand = ma.fields.Integer()
    rivalry = ma.fields.Integer()
    company = ma.fields.Integer()
    model = ma.fields.String()


class SiteSchema(ma.Schema):
    cell = ma.fields.String()
    lat = ma.fields.Float()
    lng = ma.fields.Float()
    score = ma.fields.Nested(SitePoints)
    visits = ma.fields.Float(metadata={"description": "that it would draw in a week, by Huff's rule"})
    visits_around = ma.fields.Float(metadata={"description": "of so many within reach"})
    rivals = ma.fields.Float(metadata={"description": "stores of its kind, those nearer counting more"})
    nearest_rival_m = ma.fields.Integer(allow_none=True)
    company = ma.fields.Float(metadata={"description": "stores of other kinds, those nearer counting more"})


class SiteList(ma.Schema):
    items = ma.fields.List(ma.fields.Nested(SiteSchema))
    next = ma.fields.String(allow_none=True)
    candidates = ma.fields.Integer()
    model = ma.fields.Dict(metadata={"description": "every parameter by its name"})
    demand_from = ma.fields.Dict(metadata={"description": "the release whose visits were taken; or that stores stand for them"})
