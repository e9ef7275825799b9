"""Corridors along a line, and how far out of the way a place lies. Pure."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry import LineString, MultiPolygon, Polygon, box

from .distance import GEOD
from .local import to_local_m
from .point import Point

MAX_LINE_POINTS = 5_000
LONGEST_LINE_M = 100_000.0
# Straight in degrees is not straight on the ground: between points this close the difference is a few centimetres.
_STEP_M = 1_000.0
_QUARTER_SEGMENTS = 16


class InvalidLine(ValueError):
    """The line cannot be taken as it is."""


def parse_line(geojson: Any) -> list[Point]:
    """The points of a GeoJSON LineString, WGS 84, longitude first, without repetitions. Raises InvalidLine."""
    if not isinstance(geojson, dict) or geojson.get("type") != "LineString":
        raise InvalidLine("expected a GeoJSON LineString")
    positions = geojson.get("coordinates")
    if not isinstance(positions, list) or not 2 <= len(positions) <= MAX_LINE_POINTS:
        found = len(positions) if isinstance(positions, list) else "none"
        raise InvalidLine(f"a line has 2 to {MAX_LINE_POINTS} positions, found {found}")
    points: list[Point] = []
    for position in positions:
        if not isinstance(position, list) or len(position) not in (2, 3) or not all(_is_number(value) for value in position):
            raise InvalidLine("a position is [longitude, latitude]")
        try:
            point = Point(float(position[0]), float(position[1]))
        except (ValueError, OverflowError) as failure:
            raise InvalidLine(str(failure)) from failure
        if not points or point != points[-1]:
            points.append(point)
    if len(points) < 2:
        raise InvalidLine("a line leads somewhere: all its positions are the same point")
    if length_m(points) > LONGEST_LINE_M:
        raise InvalidLine(f"a line may be {LONGEST_LINE_M / 1000:.0f} km long, found {length_m(points) / 1000:.0f}")
    return points


def length_m(line: list[Point]) -> float:
    return float(sum(_steps_m(line)))


def corridor(line: list[Point], *, half_width_m: float) -> MultiPolygon:
    """Everything within half_width_m of a line, to a few hundred-thousandths; cut at the date line.

    Made in metres around the middle of the line, so it is right at any latitude.
    """
    dense = _densified(line)
    middle = dense[len(dense) // 2]
    local = to_local_m(middle, np.array([(point.lon, point.lat) for point in dense]))
    # Each step by itself and then all together: a line that goes to and fro over itself costs no more than one that leads on.
    steps = shapely.linestrings(np.stack([local[:-1], local[1:]], axis=1))
    around = shapely.union_all(shapely.buffer(steps, half_width_m, quad_segs=_QUARTER_SEGMENTS))
    around = shapely.segmentize(around, _STEP_M)
    return _on_the_globe(middle, around)


def detours_m(line: list[Point], lonlat: NDArray[np.float64]) -> NDArray[np.float64]:
    """How much longer a way along a line becomes by each place: from the nearest point of the line there and back, as the crow flies.

    lonlat: float array (n, 2), degrees. Returns metres, shape (n,), to a few hundred-thousandths.
    """
    dense = _densified(line)
    middle = dense[len(dense) // 2]
    local = LineString(to_local_m(middle, np.array([(point.lon, point.lat) for point in dense])))
    return 2.0 * np.asarray(shapely.distance(local, shapely.points(to_local_m(middle, lonlat))), dtype=np.float64)


def _densified(line: list[Point]) -> list[Point]:
    points = [line[0]]
    for begin, end, step_m in zip(line, line[1:], _steps_m(line), strict=False):
        pieces = math.ceil(step_m / _STEP_M)
        if pieces > 1:
            points += [Point(lon, lat) for lon, lat in GEOD.npts(begin.lon, begin.lat, end.lon, end.lat, pieces - 1)]
        points.append(end)
    return points


def _steps_m(line: list[Point]) -> list[float]:
    lons, lats = [point.lon for point in line], [point.lat for point in line]
    return [float(one) for one in GEOD.inv(lons[:-1], lats[:-1], lons[1:], lats[1:])[2]]


def _on_the_globe(middle: Point, local: Any) -> MultiPolygon:
    """An area in metres around a point as one in degrees."""

    def to_lonlat(metres: NDArray[np.float64]) -> NDArray[np.float64]:
        azimuth = np.degrees(np.arctan2(metres[:, 0], metres[:, 1]))
        count = len(metres)
        lon, lat, _ = GEOD.fwd(np.full(count, middle.lon), np.full(count, middle.lat), azimuth, np.hypot(metres[:, 0], metres[:, 1]))
        lon = np.asarray(lon)
        # Longitudes run on past 180 here and are cut below.
        return np.column_stack([middle.lon + (lon - middle.lon + 180.0) % 360.0 - 180.0, lat])

    area = shapely.make_valid(shapely.transform(local, to_lonlat))
    parts = [area.intersection(box(-180, -90, 180, 90))]
    for west, shift in ((180.0, -360.0), (-540.0, 360.0)):
        beyond = area.intersection(box(west, -90, west + 360.0, 90))
        parts.append(shapely.transform(beyond, lambda lonlat, shift=shift: lonlat + np.array([shift, 0.0])))
    polygons = [piece for part in parts for piece in getattr(part, "geoms", [part]) if isinstance(piece, Polygon) and not piece.is_empty]
    return MultiPolygon(polygons)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
