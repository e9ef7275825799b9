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
# Nearer to a pole than this (some 100 km, as long as a line may be) an area is drawn around the pole itself, in sectors, and in finer steps.
_POLAR_LAT = 89.0
_SECTOR_DEG = 45
_STEPS_OF_WIDTH = 40
_AT_POLE_M = 1e-6
_HAIR_DEG = 1e-8


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
    pole = _pole_near(dense)
    middle = pole or dense[len(dense) // 2]
    local = to_local_m(middle, np.array([(point.lon, point.lat) for point in dense]))
    # Each step by itself and then all together: a line that goes to and fro over itself costs no more than one that leads on.
    steps = shapely.linestrings(np.stack([local[:-1], local[1:]], axis=1))
    around = shapely.union_all(shapely.buffer(steps, half_width_m, quad_segs=_QUARTER_SEGMENTS))
    if pole is not None:
        return _around_pole(pole, shapely.segmentize(around, max(half_width_m / _STEPS_OF_WIDTH, 1.0)))
    return _on_the_globe(middle, shapely.segmentize(around, _STEP_M))


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


def _pole_near(line: list[Point]) -> Point | None:
    """The pole that a line comes so near to that longitudes turn within it; a line is too short to come near both."""
    farthest = max(line, key=lambda point: abs(point.lat))
    return Point(0.0, math.copysign(90.0, farthest.lat)) if abs(farthest.lat) > _POLAR_LAT else None


def _around_pole(pole: Point, local: Any) -> MultiPolygon:
    """An area in metres around a pole as one in degrees: cut into sectors, in each of which longitudes run on and the pole is an edge."""
    reach_m = 2.0 * float(np.abs(shapely.get_coordinates(local)).max()) + 1.0
    pieces: list[Any] = []
    for sector in range(0, 360, _SECTOR_DEG):
        turn = np.radians([sector, sector + _SECTOR_DEG])
        wedge = Polygon([(0.0, 0.0), *zip(reach_m * np.sin(turn), reach_m * np.cos(turn), strict=True)])
        found = local.intersection(wedge)
        # East of the middle of a sector is east of its meridian at the north pole and west of it at the south pole; either way it is whole.
        lon = round(2.0 * float(GEOD.fwd(pole.lon, pole.lat, sector + _SECTOR_DEG / 2, 1_000.0)[0])) / 2.0
        pieces += [_sector(pole, lon, one) for one in getattr(found, "geoms", [found]) if isinstance(one, Polygon) and not one.is_empty]
    area = shapely.make_valid(shapely.union_all(pieces))
    return MultiPolygon([one for one in getattr(area, "geoms", [area]) if isinstance(one, Polygon)])


def _sector(pole: Point, middle_lon: float, piece: Polygon) -> Polygon:
    """A piece of one sector in degrees. middle_lon: of the sector."""

    def ring(metres: NDArray[np.float64]) -> list[tuple[float, float]]:
        away = np.hypot(metres[:, 0], metres[:, 1])
        count = len(metres)
        lon, lat, _ = GEOD.fwd(np.full(count, pole.lon), np.full(count, pole.lat), np.degrees(np.arctan2(metres[:, 0], metres[:, 1])), away)
        aside = (np.asarray(lon) - middle_lon + 180.0) % 360.0 - 180.0
        # What lies on the edge of a sector lies on it exactly, or a hair would be missing between two of them.
        lon = middle_lon + np.where(np.abs(aside) > _SECTOR_DEG / 2 - _HAIR_DEG, np.copysign(_SECTOR_DEG / 2, aside), aside)
        found: list[tuple[float, float]] = []
        for at in range(count - 1):
            if away[at] < _AT_POLE_M:
                # The pole has every longitude: from that of the point before to that of the point behind.
                found += [(float(lon[at - 1 if at else count - 2]), pole.lat), (float(lon[at + 1]), pole.lat)]
            else:
                found.append((float(lon[at]), float(lat[at])))
        return found

    return Polygon(ring(shapely.get_coordinates(piece.exterior)), [ring(shapely.get_coordinates(one)) for one in piece.interiors])


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
