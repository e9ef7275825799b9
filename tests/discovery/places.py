"""Where tests of discovery ask from, and what they look for in an answer."""

from __future__ import annotations

from typing import Any

from geo_o2o.geo.distance import GEOD
from geo_o2o.geo.point import Point

from ..factories import HELSINKI

HERE: dict[str, Any] = {"lat": HELSINKI.lat, "lng": HELSINKI.lon}


def names(answer: Any) -> list[str]:
    return [hit.get("name") or hit["title"] for hit in answer["items"]]


def at(east_m: float, north_m: float, origin: Point = HELSINKI) -> Point:
    lon, lat, _ = GEOD.fwd(origin.lon, origin.lat, 90, east_m)
    lon, lat, _ = GEOD.fwd(lon, lat, 0, north_m)
    return Point(lon, lat)


def square(half_m: float, origin: Point = HELSINKI) -> dict[str, Any]:
    low, high = at(-half_m, -half_m, origin), at(half_m, half_m, origin)
    return {
        "type": "Polygon",
        "coordinates": [[[low.lon, low.lat], [high.lon, low.lat], [high.lon, high.lat], [low.lon, high.lat], [low.lon, low.lat]]],
    }
