"""Areas from GeoJSON: checked when they come in, so that nothing behind this file meets a broken one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry import MultiPolygon, Polygon, box, shape
from shapely.geometry.base import BaseGeometry
from shapely.validation import explain_validity, make_valid

from .bounds import Bounds
from .crs import Crs, from_wgs84, to_wgs84
from .point import Point

MAX_VERTICES = 20_000
# A part wider than half the world is nearly always one that was meant to cross the date line.
_WIDEST_DEG = 180.0
_POLAR_STEP_DEG = 1.0


class InvalidShape(ValueError):
    """The area cannot be taken as it is; `code` says why."""

    def __init__(self, code: str, message: str):
        super().__init__(message)
        self.code = code


def parse_area(geojson: Any, *, repair: bool = False) -> MultiPolygon:
    """A GeoJSON Polygon or MultiPolygon, WGS 84, longitude first, as a valid multipolygon with rings turned as RFC 7946 asks.

    repair: mend self-crossings (for files made by others) instead of refusing them.
    Raises InvalidShape.
    """
    if not isinstance(geojson, Mapping) or geojson.get("type") not in ("Polygon", "MultiPolygon"):
        raise InvalidShape("not_an_area", "expected a GeoJSON Polygon or MultiPolygon")
    try:
        _check_positions(geojson.get("coordinates"), depth=3 if geojson["type"] == "MultiPolygon" else 2)
        area = shapely.force_2d(shape(geojson))
    except InvalidShape:
        raise
    except (ValueError, TypeError, IndexError, KeyError, AttributeError, RecursionError) as failure:
        raise InvalidShape("not_an_area", f"the coordinates do not form an area: {failure}") from failure
    if not area.is_valid:
        if not repair:
            raise InvalidShape("area_invalid", f"the area is not simple: {explain_validity(area)}")
        area = make_valid(area)
    return _finish(area)


def _finish(area: BaseGeometry) -> MultiPolygon:
    polygons = [part for part in _polygons(area) if part.area > 0.0]
    if not polygons:
        raise InvalidShape("area_empty", "the area encloses nothing")
    for place, polygon in enumerate(polygons):
        west, south, east, north = polygon.bounds
        if east - west <= _WIDEST_DEG:
            continue
        # Around a pole an area has all longitudes, and the pole for an edge. PostGIS would draw its rim right across the pole.
        if (west, east) == (-180.0, 180.0) and (north == 90.0 or south == -90.0):
            polygons[place] = shapely.segmentize(polygon, _POLAR_STEP_DEG)
        else:
            raise InvalidShape(
                "area_crosses_date_line",
                "a part spans more than 180 degrees of longitude: split it at the date line (RFC 7946, 3.1.9);"
                " one around a pole goes from -180 to 180 and up to the pole",
            )
    return MultiPolygon([shapely.geometry.polygon.orient(polygon) for polygon in polygons])


def _polygons(area: BaseGeometry) -> Iterator[Polygon]:
    if isinstance(area, Polygon):
        yield area
    elif hasattr(area, "geoms"):
        for part in area.geoms:
            yield from _polygons(part)


def _check_positions(rings: Any, *, depth: int) -> int:
    """Counts the vertices of nested coordinate arrays, refusing what shapely would take in silence."""
    if not isinstance(rings, list) or not rings:
        raise InvalidShape("not_an_area", "expected arrays of rings of positions")
    if depth > 1:
        vertices = sum(_check_positions(ring, depth=depth - 1) for ring in rings)
        if vertices > MAX_VERTICES:
            raise InvalidShape("too_many_vertices", f"an area may have {MAX_VERTICES} vertices, found {vertices}")
        return vertices
    if len(rings) < 4 or rings[0] != rings[-1]:
        raise InvalidShape("ring_not_closed", f"a ring needs 4 or more positions and ends where it starts, found {len(rings)}")
    for position in rings:
        if not isinstance(position, list) or len(position) not in (2, 3):
            raise InvalidShape("not_an_area", "a position is [longitude, latitude]")
        lon, lat = position[0], position[1]
        if any(isinstance(value, bool) or not isinstance(value, int | float) for value in (lon, lat)):
            raise InvalidShape("not_an_area", "a position holds numbers")
        if not (-180.0 <= lon <= 180.0 and -90.0 <= lat <= 90.0) or not all(_is_height(value) for value in position[2:]):
            raise InvalidShape("position_out_of_range", f"longitude -180..180, latitude -90..90 expected, found {lon}, {lat}")
    return len(rings)


def _is_height(value: Any) -> bool:
    """Whether a third coordinate, which is dropped, is at least a number that can be read."""
    return isinstance(value, int | float) and not isinstance(value, bool) and -1e6 <= value <= 1e6


def bounds_of(area: BaseGeometry) -> list[Bounds]:
    """One box per part, so that two parts at either side of the date line do not make one box around the world."""
    return [Bounds(*part.bounds) for part in _polygons(area)]


def to_geojson(area: BaseGeometry) -> dict[str, Any]:
    return dict(shapely.geometry.mapping(area))


# --- other systems of coordinates ----------------------------------------------------------------------------------------------

# What is straight in one system is bent in another: by a few millimetres between points this close, and more points than these cost more
# than they are worth.
_STEP_DEG = 0.002
_MOST_STEPS = 200


def read_area(area: MultiPolygon, crs: Crs) -> MultiPolygon:
    """An area as sent, in WGS 84: its edges are straight in the system that it was sent in."""
    return _moved(area, crs, to_wgs84)


def written_area(area: MultiPolygon, crs: Crs) -> MultiPolygon:
    """An area as answered, in the caller's system."""
    return _moved(area, crs, from_wgs84)


def area_of(bounds: Bounds) -> MultiPolygon:
    return MultiPolygon([box(part.west, part.south, part.east, part.north) for part in bounds.parts()])


def read_bounds(bounds: Bounds, crs: Crs) -> Bounds:
    """The smallest box in WGS 84 that holds a box as sent."""
    if crs == "wgs84" or bounds.crosses_date_line:
        return bounds
    return Bounds(*read_area(area_of(bounds), crs).bounds)


def _moved(area: MultiPolygon, crs: Crs, move: Callable[[Point, Crs], Point]) -> MultiPolygon:
    if crs == "wgs84":
        return area
    west, south, east, north = area.bounds
    dense = shapely.segmentize(area, max(_STEP_DEG, (east - west + north - south) / _MOST_STEPS))

    def each(lonlat: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.array([(point.lon, point.lat) for point in (move(Point(lon, lat), crs) for lon, lat in lonlat)]).reshape(-1, 2)

    return MultiPolygon(list(_polygons(shapely.transform(dense, each))))
