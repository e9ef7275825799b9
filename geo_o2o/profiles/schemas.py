from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import marshmallow as ma

from ..discovery.ranking import DEFAULT_TEXT_WEIGHT, Profile
from ..discovery.reading import LARGEST_RADIUS_M
from ..fields import BoundedList, Latitude, Longitude, Moment, Number, Schema, Text, WholeNumber
from ..stores.schemas import CategoryField
from .comparing import Difference

_MOST_POINTS, _MOST_PLACES, _MOST_MEANS = 1_000_000, 20, 200


class WeightsSchema(Schema):
    """What a profile is made of, but for its name."""

    distance_weight = WholeNumber(low=0, high=_MOST_POINTS, unit="points at no distance", required=True)
    half_distance_m = WholeNumber(low=50, high=1_000_000, unit="metres after which half of them are left", required=True)
    rating_weight = WholeNumber(low=0, high=_MOST_POINTS, unit="points for five stars", required=True)
    text_weight = WholeNumber(low=0, high=_MOST_POINTS, unit="points where every word is found", load_default=DEFAULT_TEXT_WEIGHT)
    prior_count = WholeNumber(low=1, high=1_000_000, unit="imagined ratings", required=True)
    prior_mean = ma.fields.Dict(
        keys=Text(longest=60), values=Number(low=1, high=5, unit="stars"), required=True, validate=ma.validate.Length(min=1, max=_MOST_MEANS),
        metadata={"description": "by category code, and `default` for the rest"},
    )  # fmt: skip


class RankProfileRequest(WeightsSchema):
    name = Text(longest=60, required=True, metadata={"description": "letters, digits and dashes; used once, because a profile never changes"})


class PlaceSchema(Schema):
    lat = Latitude(required=True)
    lng = Longitude(required=True)


class PreviewRequest(Schema):
    profile = ma.fields.Nested(WeightsSchema, required=True)
    against = Text(longest=60, load_default=None, metadata={"description": "the profile that it is compared with; without it the one in use"})
    places = BoundedList(ma.fields.Nested(PlaceSchema), shortest=1, longest=_MOST_PLACES, required=True)
    kind = ma.fields.String(validate=ma.validate.OneOf(["stores", "offers"]), load_default="offers")
    radius_m = Number(low=1, high=LARGEST_RADIUS_M, unit="metres", load_default=2_000.0)
    category = CategoryField()
    limit = WholeNumber(low=1, high=50, load_default=20)


class RankProfileResponse(ma.Schema):
    name = ma.fields.String()
    distance_weight = ma.fields.Integer()
    half_distance_m = ma.fields.Integer()
    rating_weight = ma.fields.Integer()
    text_weight = ma.fields.Integer()
    prior_count = ma.fields.Integer()
    prior_mean = ma.fields.Dict(keys=ma.fields.String(), values=ma.fields.Float())
    built_in = ma.fields.Boolean()
    created_at = Moment(allow_none=True, metadata={"description": "null for those that are built in"})
    in_use_since = Moment(allow_none=True, metadata={"description": "with the profile in use, where the operator has chosen it"})
    in_use = ma.fields.Boolean(metadata={"description": "whether it answers whoever names none"})


class RankProfileList(ma.Schema):
    items = ma.fields.List(ma.fields.Nested(RankProfileResponse))
    next = ma.fields.String(allow_none=True)


class PlacedHit(ma.Schema):
    id = ma.fields.UUID()
    name = ma.fields.String(metadata={"description": "of the offer, or of the store"})
    store = ma.fields.String()
    distance_m = ma.fields.Integer()
    total = ma.fields.Integer(metadata={"description": "points by the new profile; by the old one where it has left the page"})
    before = ma.fields.Integer(allow_none=True, metadata={"description": "place on the page by the profile in use, null where it is not on it"})
    after = ma.fields.Integer(allow_none=True)


class PlaceDifference(ma.Schema):
    lat = ma.fields.Float()
    lng = ma.fields.Float()
    hits = ma.fields.List(ma.fields.Nested(PlacedHit))
    kept = ma.fields.Integer(metadata={"description": "hits that are on both pages"})
    moved = ma.fields.Float(metadata={"description": "places that each of these moved, in the mean"})


class PreviewResponse(ma.Schema):
    items = ma.fields.List(ma.fields.Nested(PlaceDifference))
    next = ma.fields.String(allow_none=True)
    against = ma.fields.String()


def dump_profile(profile: Profile, *, created_at: datetime | None, in_use: tuple[str, datetime | None]) -> dict[str, Any]:
    """created_at: None for those that are built in. in_use: the name of the one in use, and since when."""
    used = profile.name == in_use[0]
    return {
        **profile.as_json(), "built_in": created_at is None, "created_at": created_at, "in_use": used, "in_use_since": in_use[1] if used else None,
    }  # fmt: skip


def dump_difference(place: Mapping[str, float], found: Difference) -> dict[str, Any]:
    hits = []
    for one in found.placed:
        store = one.hit.get("store", one.hit)
        hits.append({
            "id": one.hit["id"], "name": one.hit.get("title", store["name"]), "store": store["name"], "distance_m": one.hit["distance_m"],
            "total": one.hit["score"]["total"], "before": one.before, "after": one.after,
        })  # fmt: skip
    return {**place, "hits": hits, "kept": found.kept, "moved": round(found.moved, 2)}
