from __future__ import annotations

from datetime import datetime
from typing import Any

import marshmallow as ma
from marshmallow import ValidationError
from sqlalchemy import RowMapping

from ..fields import CrsField, Instant, Latitude, Longitude, Moment, Number, Schema, Text, WholeNumber
from ..geo.crs import Crs
from ..geo.point import Point
from ..offers.schemas import HIGHEST_PRICE_MINOR, CurrencyField, PlacedOffer
from ..stores.categories import codes_by_id
from ..stores.schemas import AttributionSchema, CategoryCodes, RatingSchema, StoreResponse, dump_rating, read_point, written_point
from .ranking import MILLI, Candidate, Profile, Score

LARGEST_RADIUS_M = 50_000


class NearbyRequest(Schema):
    lat = Latitude(required=True)
    lng = Longitude(required=True)
    radius_m = Number(low=1, high=LARGEST_RADIUS_M, unit="metres", load_default=2_000.0)
    category = CategoryCodes()
    min_rating = Number(low=1, high=5, unit="stars", metadata={"description": "lowest mean rating; unrated places are left out"})
    open_now = ma.fields.Boolean(load_default=False, metadata={"description": "only what is open at this moment"})
    open_at = Instant(metadata={"description": "only what is open at that moment, in the store's own time"})
    price_max = WholeNumber(low=0, high=HIGHEST_PRICE_MINOR, unit="smallest unit of the currency")
    currency = CurrencyField()
    profile = Text(longest=60, load_default="balanced-1", metadata={"description": "rank profile"})
    limit = WholeNumber(low=1, high=100, load_default=20)
    cursor = ma.fields.String()
    explain = ma.fields.Boolean(load_default=False, metadata={"description": "with the profile and every input of each score"})
    crs = CrsField()

    @ma.validates_schema
    def one_moment(self, data: dict[str, Any], **kwargs: Any) -> None:
        if data.get("open_now") and "open_at" in data:
            raise ValidationError("open_now and open_at exclude each other", "open_at")

    @ma.post_load
    def as_point(self, data: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        return {**data, "origin": read_point(data["lng"], data["lat"], data["crs"])}


class HitRating(RatingSchema):
    bayes = ma.fields.Float(metadata={"description": "stars after the prior, in thousandths; this is what is scored"})


class HitScore(ma.Schema):
    total = ma.fields.Integer(metadata={"description": "points"})
    distance = ma.fields.Integer()
    rating = ma.fields.Integer()
    profile = ma.fields.String()


class HitExplanation(ma.Schema):
    distance_points = ma.fields.String()
    bayes = ma.fields.String()
    rating_points = ma.fields.String()
    order = ma.fields.String()


class StoreOfHit(ma.Schema):
    id = ma.fields.UUID()
    name = ma.fields.String()
    names = ma.fields.Dict(keys=ma.fields.String(), values=ma.fields.String())
    category = ma.fields.String()
    brand = ma.fields.String(allow_none=True)
    lat = ma.fields.Float()
    lng = ma.fields.Float()
    address = ma.fields.Dict(keys=ma.fields.String(), values=ma.fields.String())
    opening_hours = ma.fields.String(allow_none=True)
    time_zone = ma.fields.String()
    open = ma.fields.Boolean(allow_none=True, metadata={"description": "at the moment of the question; null where the hours are not known"})
    price_band = ma.fields.Integer(allow_none=True)
    source = ma.fields.String()


class StoreHit(StoreOfHit):
    distance_m = ma.fields.Integer(metadata={"description": "on the ellipsoid, whole metres"})
    rating = ma.fields.Nested(HitRating)
    score = ma.fields.Nested(HitScore)
    explain = ma.fields.Nested(HitExplanation, metadata={"description": "with explain=true"})


class OfferHit(PlacedOffer):
    distance_m = ma.fields.Integer(metadata={"description": "to its best store, on the ellipsoid, whole metres"})
    rating = ma.fields.Nested(HitRating, metadata={"description": "the store's"})
    score = ma.fields.Nested(HitScore)
    store = ma.fields.Nested(StoreOfHit)
    explain = ma.fields.Nested(HitExplanation, metadata={"description": "with explain=true"})


class NearbyStores(ma.Schema):
    items = ma.fields.List(ma.fields.Nested(StoreHit))
    next = ma.fields.String(allow_none=True)
    at = Moment(metadata={"description": "the moment for which open and valid are meant"})
    attribution = ma.fields.List(ma.fields.Nested(AttributionSchema))
    profile = ma.fields.Dict(metadata={"description": "with explain=true: the weights of the profile"})


class NearbyOffers(NearbyStores):
    items = ma.fields.List(ma.fields.Nested(OfferHit))


class Interval(ma.Schema):
    start = Moment()
    end = Moment()


class StorePage(StoreResponse):
    """One store with all that a visitor wants to know."""

    open = ma.fields.Boolean(allow_none=True)
    open_intervals = ma.fields.List(ma.fields.Nested(Interval), metadata={"description": "of the next seven days, UTC"})
    offers = ma.fields.List(ma.fields.Nested(PlacedOffer))
    attribution = ma.fields.List(ma.fields.Nested(AttributionSchema))


def candidate_of(row: RowMapping, *, id_column: str) -> Candidate:
    return Candidate(row[id_column], row["distance_m"], codes_by_id()[row["category_id"]], row["rating_sum"], row["rating_count"])


def dump_store_hit(row: RowMapping, score: Score, *, profile: Profile, crs: Crs, explain: bool) -> dict[str, Any]:
    return {**_dump_store(row, crs), **_dump_rank(row, score, profile, explain)}


def dump_offer_hit(row: RowMapping, score: Score, *, profile: Profile, crs: Crs, explain: bool) -> dict[str, Any]:
    plain = ("title", "titles", "kind", "price_minor", "currency", "valid_from", "valid_until", "sample")
    offer = {"id": row["offer_id"], "category": codes_by_id()[row["offer_category_id"]], **{name: row[name] for name in plain}}
    return {**offer, **_dump_rank(row, score, profile, explain), "store": _dump_store(row, crs)}


def dump_intervals(intervals: list[tuple[datetime, datetime]]) -> list[dict[str, datetime]]:
    return [{"start": start, "end": end} for start, end in intervals]


def _dump_store(row: RowMapping, crs: Crs) -> dict[str, Any]:
    plain = ("name", "names", "brand", "address", "opening_hours", "time_zone", "price_band", "source")
    return {
        "id": row["store_id"],
        **{name: row[name] for name in plain},
        **written_point(Point(row["lon"], row["lat"]), crs),
        "category": codes_by_id()[row["category_id"]],
        "open": row["is_open"],
    }


def _dump_rank(row: RowMapping, score: Score, profile: Profile, explain: bool) -> dict[str, Any]:
    bayes = score.bayes_milli / MILLI
    ranked: dict[str, Any] = {
        "distance_m": row["distance_m"],
        "rating": {**dump_rating(row["rating_sum"], row["rating_count"], row["rating_sample"]), "bayes": bayes},
        "score": {"total": score.total, "distance": score.distance, "rating": score.rating, "profile": profile.name},
    }
    if explain:
        prior = profile.prior_of(codes_by_id()[row["category_id"]]) / MILLI
        ranked["explain"] = {
            "distance_points": f"round({profile.distance_weight} * 2^(-{row['distance_m']} / {profile.half_distance_m})) = {score.distance}",
            "bayes": f"({profile.prior_count} * {prior} + {row['rating_sum']}) / ({profile.prior_count} + {row['rating_count']}) = {bayes}",
            "rating_points": f"round({profile.rating_weight} * ({bayes} - 1) / 4) = {score.rating}",
            "order": f"{score.distance} + {score.rating} = {score.total} points; ties by distance, then id",
        }
    return ranked
