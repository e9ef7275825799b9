from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, get_args

import marshmallow as ma
from marshmallow import ValidationError

from ..fields import BoundsField, CellField, CommaList, CrsField, Id, Instant, Latitude, Longitude, Moment, Number, Schema, Shape, Text, WholeNumber
from ..offers.lifecycle import KINDS
from ..offers.models import Offer
from ..offers.schemas import HIGHEST_PRICE_MINOR, CurrencyField, PlacedOffer
from ..stores.schemas import AttributionSchema, CategoryCodes, ChainField, RatingSchema, StoreResponse
from ..stores.words import LONGEST_QUERY, asked_grams
from .counting import FACETS
from .question import Sort
from .reading import LARGEST_RADIUS_M, MEALS, USUAL_RADIUS_M, WALKING_M_PER_MIN
from .service import WhyNot

WIDEST_M = 20_000
MOST_EXCLUDED = 200
MOST_CELLS = 500
SORTS: tuple[str, ...] = get_args(Sort)


class NearbyRequest(Schema):
    """Where, which, in what order. Without a point the middle of the given shape is it."""

    # What differs from one request to the next; see parsing.StrictParser.
    VARYING = frozenset({"lat", "lng", "cursor"})

    lat = Latitude()
    lng = Longitude()
    radius_m = Number(
        low=1,
        high=LARGEST_RADIUS_M,
        unit="metres",
        metadata={"description": f"metres; without it {USUAL_RADIUS_M:.0f}, and more where nothing is there"},
    )
    walk_min = WholeNumber(low=1, high=240, unit=f"minutes on foot, at {WALKING_M_PER_MIN} m a minute as the crow flies; instead of radius_m")
    min_radius_m = Number(low=0, high=LARGEST_RADIUS_M, unit="metres", load_default=0.0)
    bbox = BoundsField()
    within = Shape()
    width_m = Number(low=1, high=WIDEST_M, unit="metres, of the corridor along a line")
    district = Id(metadata={"description": "inside the outline of this district"})
    cells = CommaList(CellField(), longest=MOST_CELLS)
    serves = ma.fields.Boolean(load_default=False, metadata={"description": "only stores whose service area holds the point"})
    category = CategoryCodes()
    brand = CommaList(Text(longest=200), longest=50)
    chain = CommaList(ChainField(), longest=50, metadata={"description": "each includes what lies below it"})
    merchant_id = Id()
    tags = CommaList(Text(longest=100), longest=50, metadata={"description": "at least one of them"})
    tags_all = CommaList(Text(longest=100), longest=50, metadata={"description": "every one of them"})
    tags_none = CommaList(Text(longest=100), longest=50, metadata={"description": "none of them"})
    price_band = CommaList(WholeNumber(low=1, high=4), longest=4)
    min_rating = Number(low=1, high=5, unit="stars", metadata={"description": "lowest mean rating; unrated places are left out"})
    min_rating_count = WholeNumber(low=1, high=1_000_000, unit="ratings")
    open_now = ma.fields.Boolean(load_default=False, metadata={"description": "only what is open at this moment"})
    open_at = Instant(metadata={"description": "only what is open at that moment, in the store's own time"})
    open_until = Instant(metadata={"description": "only what stays open until then, from now or from open_at on"})
    meal = ma.fields.String(
        validate=ma.validate.OneOf(list(MEALS)), metadata={"description": "open at the next 08:30, 12:30 or 19:00 of the asking place"}
    )
    price_max = WholeNumber(low=0, high=HIGHEST_PRICE_MINOR, unit="smallest unit of the currency")
    currency = CurrencyField()
    discount_min = WholeNumber(low=1, high=100, unit="per cent off the list price")
    offer_kind = CommaList(ma.fields.String(validate=ma.validate.OneOf(KINDS)), longest=len(KINDS))
    valid_at = Instant(metadata={"description": "offers that hold at that moment instead of now"})
    sample = ma.fields.Boolean(metadata={"description": "only what was, or was not, invented for the demonstration"})
    exclude_ = CommaList(Id(), longest=MOST_EXCLUDED, data_key="exclude", metadata={"description": "ids that are not to be shown again"})
    q = Text(
        longest=LONGEST_QUERY,
        metadata={"description": "words in names, brands, titles, categories; any script, typing errors allowed"},
    )
    sort = ma.fields.String(validate=ma.validate.OneOf(SORTS), load_default="points")
    facets = CommaList(ma.fields.String(validate=ma.validate.OneOf(FACETS)), longest=len(FACETS))
    fields_ = CommaList(Text(longest=40), longest=30, data_key="fields", metadata={"description": "only these members of each hit"})
    profile = Text(longest=60, load_default=None, metadata={"description": "rank profile; without it the one that the operator has put to use"})
    limit = WholeNumber(low=1, high=100, load_default=20)
    cursor = ma.fields.String(validate=ma.validate.Length(min=1, error="expected what an answer said as `next`"))
    explain = ma.fields.Boolean(load_default=False, metadata={"description": "with the profile and every input of each score"})
    crs = CrsField()

    @ma.validates_schema
    def one_thing_said_once(self, data: dict[str, Any], **kwargs: Any) -> None:
        if ("lat" in data) != ("lng" in data):
            missing = "lng" if "lat" in data else "lat"
            raise ValidationError("Missing data for required field.", missing)
        has_shape = any(name in data for name in ("bbox", "within", "district", "cells"))
        if "lat" not in data and not has_shape:
            raise ValidationError("Missing data for required field.", "lat")
        moments = [name for name in ("open_at", "meal") if name in data] + (["open_now"] if data.get("open_now") else [])
        if len(moments) > 1:
            raise ValidationError(f"{' and '.join(sorted(moments))} exclude each other", moments[0])
        if "radius_m" in data and "walk_min" in data:
            raise ValidationError("radius_m and walk_min exclude each other", "walk_min")
        if data.get("serves") and "lat" not in data:
            raise ValidationError("serves asks for a point: send lat and lng", "serves")
        if isinstance(data.get("within"), list) != ("width_m" in data):
            raise ValidationError("a line has a width_m, and nothing else has", "width_m")
        if data.get("q") is not None and not asked_grams(data["q"]):
            raise ValidationError("expected at least one letter or digit", "q")
        if data["min_radius_m"] and data["min_radius_m"] >= data.get("radius_m", LARGEST_RADIUS_M):
            raise ValidationError("min_radius_m must be smaller than radius_m", "min_radius_m")
        unknown = set(data.get("fields_", ())) - self.members()
        if unknown:
            raise ValidationError(f"a hit has no {', '.join(sorted(unknown))}; it has {', '.join(sorted(self.members()))}", "fields")

    def members(self) -> set[str]:
        """What a hit may have."""
        return set(StoreHit._declared_fields)


class OffersRequest(NearbyRequest):
    sponsored = WholeNumber(
        low=0, high=10, load_default=0, metadata={"description": "at most so many paid hits, in a list of their own; `items` does not change by it"}
    )

    def members(self) -> set[str]:
        return set(OfferHit._declared_fields)


class AlongRequest(OffersRequest):
    """Along a line: the way out of the way and back counts as the distance."""

    class Meta(OffersRequest.Meta):
        exclude = ("lat", "lng", "radius_m", "walk_min", "min_radius_m", "bbox", "within", "width_m", "district", "cells", "serves", "facets")

    line = Shape(required=True, metadata={"description": "GeoJSON LineString, at most 100 km"})
    detour_m = Number(low=10, high=10_000, unit="metres of detour, there and back", load_default=500.0)

    @ma.validates_schema
    def one_thing_said_once(self, data: dict[str, Any], **kwargs: Any) -> None:
        if not isinstance(data.get("line"), list):
            raise ValidationError("expected a GeoJSON LineString", "line")
        super().one_thing_said_once({**data, "lat": 0.0, "lng": 0.0, "min_radius_m": 0.0})


class ClustersRequest(NearbyRequest):
    class Meta(NearbyRequest.Meta):
        exclude = ("limit", "cursor", "explain", "fields_", "facets", "sort", "profile")

    zoom = WholeNumber(low=0, high=22, unit="zoom of the map", load_default=12)


class SuggestRequest(Schema):
    q = Text(longest=LONGEST_QUERY, required=True, metadata={"description": "what has been typed so far"})
    lat = Latitude(required=True)
    lng = Longitude(required=True)
    radius_m = Number(low=100, high=LARGEST_RADIUS_M, unit="metres", load_default=5_000.0)
    limit = WholeNumber(low=1, high=20, load_default=8)
    crs = CrsField()


class ShelfRequest(Schema):
    lat = Latitude()
    lng = Longitude()
    crs = CrsField()

    @ma.validates_schema
    def both_coordinates(self, data: dict[str, Any], **kwargs: Any) -> None:
        if ("lat" in data) != ("lng" in data):
            raise ValidationError("lat and lng come together", "lng" if "lat" in data else "lat")


class HitRating(RatingSchema):
    bayes = ma.fields.Float(metadata={"description": "stars after the prior, in thousandths; this is what is scored"})


class HitScore(ma.Schema):
    total = ma.fields.Integer(metadata={"description": "points"})
    distance = ma.fields.Integer()
    rating = ma.fields.Integer()
    text = ma.fields.Integer(metadata={"description": "with q"})
    profile = ma.fields.String()


class HitExplanation(ma.Schema):
    distance_points = ma.fields.String()
    bayes = ma.fields.String()
    rating_points = ma.fields.String()
    text_points = ma.fields.String(metadata={"description": "with q"})
    order = ma.fields.String()


class StoreOfHit(ma.Schema):
    id = ma.fields.UUID()
    name = ma.fields.String()
    names = ma.fields.Dict(keys=ma.fields.String(), values=ma.fields.String())
    category = ma.fields.String()
    brand = ma.fields.String(allow_none=True)
    chain = ma.fields.String(allow_none=True)
    tags = ma.fields.List(ma.fields.String())
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


_STALE = "only while the database is away: the moment until which the answer is surely right"


class FacetCount(ma.Schema):
    value = ma.fields.Raw(allow_none=True)
    count = ma.fields.Integer()


class NearbyStores(ma.Schema):
    items = ma.fields.List(ma.fields.Nested(StoreHit))
    next = ma.fields.String(allow_none=True)
    at = Moment(metadata={"description": "the minute for which open and valid are meant"})
    radius_used_m = ma.fields.Float(metadata={"description": "how far was looked: where nobody asked, 2000 and more if that is empty"})
    attribution = ma.fields.List(ma.fields.Nested(AttributionSchema))
    origin = ma.fields.Dict(metadata={"description": "without lat and lng: the middle of the shape, from where distances are measured"})
    facets = ma.fields.Dict(
        keys=ma.fields.String(), values=ma.fields.List(ma.fields.Nested(FacetCount)),
        metadata={"description": "with facets: how many of all hits, over all pages, have each value; most first"},
    )  # fmt: skip
    count = ma.fields.Integer(metadata={"description": "with facets: how many hits there are over all pages"})
    profile = ma.fields.Dict(metadata={"description": "with explain=true: the weights of the profile"})
    sort = ma.fields.String(metadata={"description": "with explain=true: what the list is ordered by"})
    stale_since = Moment(metadata={"description": _STALE})


class SponsoredHit(OfferHit):
    label = ma.fields.String(metadata={"description": "always `sponsored`"})


class NearbyOffers(NearbyStores):
    items = ma.fields.List(ma.fields.Nested(OfferHit))
    sponsored = ma.fields.List(ma.fields.Nested(SponsoredHit), metadata={"description": "with sponsored: paid hits, which the list knows nothing of"})


class Cluster(ma.Schema):
    cell = ma.fields.String()
    count = ma.fields.Integer()
    lat = ma.fields.Float()
    lng = ma.fields.Float()


class ClusterList(ma.Schema):
    items = ma.fields.List(ma.fields.Nested(Cluster))
    next = ma.fields.String(allow_none=True)
    resolution = ma.fields.Integer()
    stale_since = Moment(metadata={"description": _STALE})


class Suggestion(ma.Schema):
    kind = ma.fields.String(metadata={"description": "`category`, `brand` or `store`"})
    text = ma.fields.String()
    code = ma.fields.String(metadata={"description": "of a category"})
    id = ma.fields.UUID(metadata={"description": "of a store"})
    distance_m = ma.fields.Integer(metadata={"description": "of a store"})


class SuggestionList(ma.Schema):
    items = ma.fields.List(ma.fields.Nested(Suggestion))
    next = ma.fields.String(allow_none=True)
    stale_since = Moment(metadata={"description": _STALE})


class JudgedStore(ma.Schema):
    id = ma.fields.UUID()
    name = ma.fields.String()
    distance_m = ma.fields.Integer()
    total = ma.fields.Integer()
    failed = ma.fields.List(
        ma.fields.String(), metadata={"description": "what it does not pass, by the names of the parameters; `valid`: it does not hold now"}
    )


class WhyNotResponse(ma.Schema):
    offer_id = ma.fields.UUID()
    status = ma.fields.String(metadata={"description": "of the offer; only `live` ones are shown, and those that are not sold out"})
    shown = ma.fields.Boolean(metadata={"description": "whether it is on this page"})
    reason = ma.fields.String(
        metadata={"description": "`shown`, `not_live`, `sold_out`, `filtered`, `excluded_by_page` (points lacked) or `no_live_store`"}
    )
    lacking = ma.fields.Integer(allow_none=True, metadata={"description": "with sort=points: points that it lacks to reach the page"})
    needed = ma.fields.Integer(allow_none=True, metadata={"description": "with sort=points: those of the last hit of a full page"})
    stores = ma.fields.List(ma.fields.Nested(JudgedStore))


class StoreShelf(ma.Schema):
    """What a store has to offer at this moment."""

    items = ma.fields.List(ma.fields.Nested(PlacedOffer))
    next = ma.fields.String(allow_none=True)
    open = ma.fields.Boolean(allow_none=True, metadata={"description": "while it is not open, nothing is on the shelf"})
    at = Moment()
    distance_m = ma.fields.Integer(metadata={"description": "with lat and lng"})


class Interval(ma.Schema):
    start = Moment()
    end = Moment()


class StorePage(StoreResponse):
    """One store with all that a visitor wants to know."""

    open = ma.fields.Boolean(allow_none=True)
    open_intervals = ma.fields.List(ma.fields.Nested(Interval), metadata={"description": "of the next seven days, UTC"})
    offers = ma.fields.List(ma.fields.Nested(PlacedOffer))
    attribution = ma.fields.List(ma.fields.Nested(AttributionSchema))


def dump_intervals(intervals: list[tuple[datetime, datetime]]) -> list[dict[str, datetime]]:
    return [{"start": start, "end": end} for start, end in intervals]


# What filters are called inside where that is not the name of one parameter.
_PARAMETERS = {
    "tags_any": ("tags",), "min_rating_milli": ("min_rating",), "brands": ("brand",), "chains": ("chain",), "price_bands": ("price_band",),
    "offer_kinds": ("offer_kind",), "open": ("open_now", "open_at", "open_until", "meal"), "valid": ("valid_at",),
    "within": ("bbox", "within", "district"), "radius_m": ("radius_m", "walk_min"),
}  # fmt: skip


def _parameters_of(failed: Sequence[str], asked: Mapping[str, Any]) -> list[str]:
    """The parameters behind filters; what nobody asked for by name (that an offer holds now) keeps its own."""
    found = []
    for name in failed:
        found += [one for one in _PARAMETERS.get(name, (name,)) if asked.get(one)] or [name]
    return found


def dump_why_not(offer: Offer, found: WhyNot, *, asked: Mapping[str, Any]) -> dict[str, Any]:
    best, needed = found.best, found.needed
    lacking = None if best is None or needed is None else max(needed - best.score.total, 0)
    if offer.status != "live" or offer.stock == 0:
        reason = "sold_out" if offer.status == "live" else "not_live"
    elif not found.stores:
        reason = "no_live_store"
    elif best is None:
        reason = "filtered"
    else:
        reason = "shown" if found.shown else "excluded_by_page"
    judged = sorted(found.stores, key=lambda one: (len(one.failed), one.key, one.candidate.distance_m))
    return {
        "offer_id": offer.id, "status": offer.status, "shown": reason == "shown", "reason": reason, "lacking": lacking, "needed": needed,
        "stores": [
            {
                "id": one.store_id, "name": one.store_name, "distance_m": one.candidate.distance_m, "total": one.score.total,
                "failed": _parameters_of(one.failed, asked),
            }
            for one in judged
        ],
    }  # fmt: skip
