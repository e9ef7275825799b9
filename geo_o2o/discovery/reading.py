"""From what a caller sent to a question: shapes made into areas, words into grams, moments into minutes. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, time, timedelta
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
from shapely.geometry import MultiPolygon, Polygon

from ..errors import InvalidInput
from ..geo.bounds import WHOLE_EARTH_M
from ..geo.cells import CELL_RADIUS_EDGES, centre_of, edge_m, resolution_of
from ..geo.corridors import corridor
from ..geo.crs import Crs, to_wgs84
from ..geo.distance import LONGEST_CHORD_M, distance_m, distances_m
from ..geo.point import Point
from ..geo.shapes import area_of, bounds_of, read_area
from ..stores.categories import tree, with_descendants
from ..stores.words import asked_grams, grams, is_match
from ..stores.zones import time_zone_at
from .question import After, Filters, Kind, Question, Where, Words
from .ranking import Profile

LARGEST_RADIUS_M = 50_000.0
# Where nobody says how far: from here on, doubled until something is found.
USUAL_RADIUS_M = 2_000.0
# 4.8 km an hour.
WALKING_M_PER_MIN = 80
MEALS = {"breakfast": time(8, 30), "lunch": time(12, 30), "dinner": time(19, 0)}


class AreaTooLarge(InvalidInput):
    code = "area_too_large"


# Names that say how far to look.
_HOW_FAR = frozenset({"radius_m", "walk_min", "bbox", "within", "district", "cells"})


def read_question(
    asked: Mapping[str, Any],
    *,
    kind: Kind,
    at: datetime,
    profile: Profile,
    district: MultiPolygon | None,
    radius_m: float | None,
    after: After | None,
    notes: dict[Any, Any] | None = None,
) -> Question:
    """asked: as NearbyRequest loads it. at: a whole minute. district: the outline of asked["district"]. radius_m: of the page before.

    notes: what was made of the same question when it was asked from another place; filled here.

    Raises InvalidInput: a shape wider than LARGEST_RADIUS_M around its middle or too far from the point, an order that the kind has not.
    """
    _check_order(asked, kind)
    where = read_where(asked, district=district, radius_m=radius_m)
    return Question(
        kind=kind, where=where, filters=_known_filters(asked, at, where.origin, notes), profile=profile, words=read_words(asked.get("q")),
        sort=asked["sort"], limit=asked["limit"] + 1, after=after, exclude=frozenset(asked.get("exclude_", ())),
    )  # fmt: skip


def read_wide_question(asked: Mapping[str, Any], *, at: datetime, profile: Profile, district: MultiPolygon | None) -> Question:
    """The same for shapes of any size: for counting alone. Without a radius nothing is too far."""
    crs: Crs = asked["crs"]
    area, cells = _area(asked, district, crs), tuple(asked.get("cells", ()))
    around = circle_of(area, cells)
    origin = to_wgs84(Point(asked["lng"], asked["lat"]), crs) if "lat" in asked else around[0]
    where = Where(
        origin, _radius(asked) or WHOLE_EARTH_M, min_radius_m=asked["min_radius_m"], area=area, cells=cells, serves=asked["serves"], around=around
    )  # fmt: skip
    return Question(
        kind="stores", where=where, filters=read_filters(asked, at=at, origin=origin), profile=profile, words=read_words(asked.get("q")),
        exclude=frozenset(asked.get("exclude_", ())),
    )  # fmt: skip


def widens(asked: Mapping[str, Any]) -> bool:
    """Whether a question that finds nothing looks farther: nobody said how far."""
    return _HOW_FAR.isdisjoint(asked)


def _known_filters(asked: Mapping[str, Any], at: datetime, origin: Point, notes: dict[Any, Any] | None) -> Filters:
    # When the next meal is depends on the place.
    if notes is None or "meal" in asked:
        return read_filters(asked, at=at, origin=origin)
    known: tuple[datetime, Filters] | None = notes.get("filters")
    if known is None or known[0] != at:
        known = notes["filters"] = at, read_filters(asked, at=at, origin=origin)
    return known[1]


def read_filters(asked: Mapping[str, Any], *, at: datetime, origin: Point) -> Filters:
    categories = asked.get("category")
    # Whoever asks for another moment asks as if it were that one: what is open is meant then, and what the answer says of it too.
    at = whole_minute(asked["valid_at"]) if "valid_at" in asked else at
    since, until = _open_between(asked, at=at, origin=origin)
    return Filters(
        at=at,
        open_from=since,
        open_until=until,
        category_ids=tuple(sorted({id_ for code in categories for id_ in with_descendants(code)})) if categories else None,
        brands=tuple(asked.get("brand", ())),
        chains=tuple(asked.get("chain", ())),
        merchant_id=asked.get("merchant_id"),
        tags_any=tuple(asked.get("tags", ())),
        tags_all=tuple(asked.get("tags_all", ())),
        tags_none=tuple(asked.get("tags_none", ())),
        price_bands=tuple(asked.get("price_band", ())),
        min_rating_milli=round(asked["min_rating"] * 1000) if "min_rating" in asked else None,
        min_rating_count=asked.get("min_rating_count"),
        price_max=asked.get("price_max"),
        currency=asked.get("currency"),
        offer_kinds=tuple(asked.get("offer_kind", ())),
        discount_min=asked.get("discount_min"),
        sample=asked.get("sample"),
    )


def whole_minute(moment: datetime) -> datetime:
    return moment.replace(second=0, microsecond=0)


@lru_cache(maxsize=1_024)
def read_words(text: str | None, *, unfinished: bool = False) -> Words | None:
    """What is looked for, and which categories are called so."""
    if text is None:
        return None
    wanted = asked_grams(text, unfinished=unfinished)
    found = ((node.id, len(_grams_of_category(code).intersection(wanted))) for code, node in tree().items())
    return Words(wanted, tuple((id_, number) for id_, number in found if wanted and is_match(number, len(wanted))))


def read_where(asked: Mapping[str, Any], *, district: MultiPolygon | None, radius_m: float | None) -> Where:
    crs: Crs = asked["crs"]
    area = _area(asked, district, crs)
    cells = tuple(asked.get("cells", ()))
    origin = to_wgs84(Point(asked["lng"], asked["lat"]), crs) if "lat" in asked else None
    farthest_m, around = LARGEST_RADIUS_M, None
    if area is not None or cells:
        middle, around_m = around = circle_of(area, cells)
        if around_m > LARGEST_RADIUS_M:
            message = f"the shape reaches {around_m / 1000:.0f} km from its middle; ask for at most {LARGEST_RADIUS_M / 1000:.0f}"
            raise AreaTooLarge(message, errors={"within": [message]})
        origin = origin or middle
        farthest_m = distance_m(origin, middle) + around_m
        if farthest_m > LONGEST_CHORD_M:
            message = f"the shape lies {farthest_m / 1000:.0f} km from the point; ask for at most {LONGEST_CHORD_M / 1000:.0f}"
            raise AreaTooLarge(message, code="area_too_far", errors={"within": [message]})
    assert origin is not None  # the schema asks for a point or a shape
    wanted_m = _radius(asked)
    if wanted_m is not None:
        reach_m = min(wanted_m, farthest_m)
    else:
        # Whoever serves a place may come from far.
        usual_m = LARGEST_RADIUS_M if asked["serves"] else USUAL_RADIUS_M
        reach_m = radius_m or (farthest_m if area is not None or cells else usual_m)
    return Where(origin, reach_m, min_radius_m=asked["min_radius_m"], area=area, cells=cells, serves=asked["serves"], around=around)


def _radius(asked: Mapping[str, Any]) -> float | None:
    """How far to look in metres, where somebody said so."""
    if "radius_m" in asked:
        return float(asked["radius_m"])
    return float(asked["walk_min"] * WALKING_M_PER_MIN) if "walk_min" in asked else None


def _check_order(asked: Mapping[str, Any], kind: Kind) -> None:
    if asked["sort"] == "ending_soon" and kind == "stores":
        raise InvalidInput("stores do not end; offers do", errors={"sort": ["ending_soon orders offers"]})
    if asked["sort"] == "price" and kind == "offers" and "currency" not in asked:
        raise InvalidInput("prices can be compared in one currency only: send currency", errors={"currency": ["needed to order by price"]})


def _open_between(asked: Mapping[str, Any], *, at: datetime, origin: Point) -> tuple[datetime | None, datetime | None]:
    """From when until when a hit must be open; the same moment twice for one moment."""
    since = at if asked["open_now"] else whole_minute(asked["open_at"]) if "open_at" in asked else None
    if "meal" in asked:
        since = _next_meal(asked["meal"], after=at, zone=ZoneInfo(time_zone_at(origin)))
    if "open_until" not in asked:
        return since, since
    since, until = since or at, whole_minute(asked["open_until"])
    if until <= since:
        message = "open_until must lie after the moment from which on it is asked"
        raise InvalidInput(message, errors={"open_until": [message]})
    return since, until


def _next_meal(meal: str, *, after: datetime, zone: ZoneInfo) -> datetime:
    local = after.astimezone(zone)
    today = datetime.combine(local.date(), MEALS[meal], zone)
    # An hour of grace: at ten to one lunch is still that of today.
    if today + timedelta(hours=1) < local:
        today = datetime.combine(local.date() + timedelta(days=1), MEALS[meal], zone)
    return max(whole_minute(today.astimezone(UTC)), after)


@lru_cache(maxsize=1)
def _all_category_grams() -> dict[str, frozenset[int]]:
    return {code: frozenset(grams(node.names.values())) for code, node in tree().items()}


def _grams_of_category(code: str) -> frozenset[int]:
    return _all_category_grams()[code]


# --- shapes ------------------------------------------------------------------------------------------------------------------


def _area(asked: Mapping[str, Any], district: MultiPolygon | None, crs: Crs) -> MultiPolygon | None:
    """The part of the earth that lies in every shape that was sent."""
    parts: list[Any] = [] if district is None else [district]
    if "bbox" in asked:
        parts.append(read_area(area_of(asked["bbox"]), crs))
    within = asked.get("within")
    if isinstance(within, list):
        parts.append(corridor([to_wgs84(point, crs) for point in within], half_width_m=asked["width_m"] / 2))
    elif within is not None:
        parts.append(read_area(within, crs))
    if not parts:
        return None
    area = parts[0]
    for part in parts[1:]:
        area = area.intersection(part)
    polygons = [one for one in getattr(area, "geoms", [area]) if isinstance(one, Polygon) and not one.is_empty]
    if not polygons:
        raise InvalidInput("the shapes have nothing in common", errors={"within": ["the shapes have nothing in common"]})
    return MultiPolygon(polygons)


def circle_of(area: MultiPolygon | None, cells: Sequence[int]) -> tuple[Point, float]:
    """A middle and a radius in metres that hold the area, or where there is none the cells."""
    if area is not None:
        circles = [one.circle() for one in bounds_of(area)]
    else:
        circles = [(centre_of(cell), CELL_RADIUS_EDGES * edge_m(resolution_of(cell))) for cell in cells]
    if len(circles) == 1:
        return circles[0]
    # The middle of all middles, as directions from the centre of the earth: right across the date line too.
    lon, lat = np.radians([point.lon for point, _ in circles]), np.radians([point.lat for point, _ in circles])
    x, y, z = (np.cos(lat) * np.cos(lon)).mean(), (np.cos(lat) * np.sin(lon)).mean(), np.sin(lat).mean()
    middle = Point(math.degrees(math.atan2(y, x)), math.degrees(math.atan2(z, math.hypot(x, y))))
    away = distances_m(middle, np.array([(point.lon, point.lat) for point, _ in circles]))
    return middle, float((away + np.array([radius for _, radius in circles])).max())
