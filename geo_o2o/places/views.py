from __future__ import annotations

from typing import Any

from flask import Response

from ..auth.access import access
from ..geo.crs import read_point, written_point
from ..geo.point import Point
from ..http import answer, database
from ..parsing import Blueprint
from .queries import places_named
from .schemas import PlaceList, PlacesRequest

blueprint = Blueprint("places", __name__, url_prefix="/v1", description="Where a typed place is")


@blueprint.get("/places")
@access("discovery:read")
@blueprint.arguments(PlacesRequest, location="query")
@blueprint.answers(200, PlaceList)
def named_places(asked: dict[str, Any]) -> Response:
    """Streets, waters, parks, buildings and districts by the beginning of their names, the nearest first: where a typed place is."""
    origin = read_point(asked["lng"], asked["lat"], asked["crs"])
    with database().read() as session:
        rows = places_named(session, asked["q"], origin=origin, radius_m=asked["radius_m"], limit=asked["limit"])
    items = [
        {"kind": "place", "text": row.text, "of": row.layer, "distance_m": round(row.metres)} | written_point(Point(row.lng, row.lat), asked["crs"])
        for row in rows
    ]
    return answer({"items": items, "next": None})
