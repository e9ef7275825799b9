"""Coordinate systems used in China: WGS 84, GCJ-02 and BD-09.

The shifts are the commonly published ones. Their inverses have no closed form; here they are iterated until a further step
moves the point by less than a tenth of a millimetre. Outside the box below GCJ-02 equals WGS 84.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal, get_args

from .point import Point

Crs = Literal["wgs84", "gcj02", "bd09"]
CRS_NAMES: tuple[str, ...] = get_args(Crs)

# The box in which the published GCJ-02 shift applies, degrees.
_WEST, _EAST, _SOUTH, _NORTH = 72.004, 137.8347, 0.8293, 55.8271
# Krasovsky 1940, on which the shift is defined: semi-major axis in metres, first eccentricity squared.
_AXIS_M = 6_378_245.0
_ECCENTRICITY2 = 0.00669342162296594323
_BD_TURN = math.pi * 3000.0 / 180.0
_BD_OFFSET_LON, _BD_OFFSET_LAT = 0.0065, 0.006
# 1e-9 degrees are about 0.1 mm.
_CLOSE_ENOUGH_DEG = 1e-9
_MAX_STEPS = 30


def to_wgs84(point: Point, crs: Crs) -> Point:
    """The same place in WGS 84, to under a millimetre."""
    if crs == "wgs84":
        return point
    gcj = point if crs == "gcj02" else _invert(_gcj_to_bd, point, _bd_to_gcj_guess(point))
    return _invert(_wgs_to_gcj, gcj, gcj) if _in_china(gcj) else gcj


def from_wgs84(point: Point, crs: Crs) -> Point:
    """The same place in another system."""
    if crs == "wgs84":
        return point
    gcj = _wgs_to_gcj(point)
    return gcj if crs == "gcj02" else _gcj_to_bd(gcj)


def read_point(lon: float, lat: float, crs: Crs) -> Point:
    """A position as sent, in WGS 84."""
    return to_wgs84(Point(lon, lat), crs)


def written_point(point: Point, crs: Crs) -> dict[str, float]:
    """A position as answered, in the caller's system; 1e-7 degree is about 1 cm."""
    shown = from_wgs84(point, crs)
    return {"lat": round(shown.lat, 7), "lng": round(shown.lon, 7)}


def _in_china(point: Point) -> bool:
    return _WEST <= point.lon <= _EAST and _SOUTH <= point.lat <= _NORTH


def _wgs_to_gcj(point: Point) -> Point:
    if not _in_china(point):
        return point
    x, y = point.lon - 105.0, point.lat - 35.0
    wave = (20.0 * math.sin(6.0 * x * math.pi) + 20.0 * math.sin(2.0 * x * math.pi)) * 2.0 / 3.0
    north = -100.0 + 2.0 * x + 3.0 * y + 0.2 * y * y + 0.1 * x * y + 0.2 * math.sqrt(abs(x)) + wave
    north += (20.0 * math.sin(y * math.pi) + 40.0 * math.sin(y / 3.0 * math.pi)) * 2.0 / 3.0
    north += (160.0 * math.sin(y / 12.0 * math.pi) + 320.0 * math.sin(y * math.pi / 30.0)) * 2.0 / 3.0
    east = 300.0 + x + 2.0 * y + 0.1 * x * x + 0.1 * x * y + 0.1 * math.sqrt(abs(x)) + wave
    east += (20.0 * math.sin(x * math.pi) + 40.0 * math.sin(x / 3.0 * math.pi)) * 2.0 / 3.0
    east += (150.0 * math.sin(x / 12.0 * math.pi) + 300.0 * math.sin(x / 30.0 * math.pi)) * 2.0 / 3.0
    phi = math.radians(point.lat)
    magic = 1.0 - _ECCENTRICITY2 * math.sin(phi) ** 2
    north_deg = math.degrees(north / (_AXIS_M * (1.0 - _ECCENTRICITY2) / (magic * math.sqrt(magic))))
    east_deg = math.degrees(east / (_AXIS_M / math.sqrt(magic) * math.cos(phi)))
    return Point(point.lon + east_deg, point.lat + north_deg)


def _gcj_to_bd(point: Point) -> Point:
    if not _in_china(point):
        return point
    radius = math.hypot(point.lon, point.lat) + 0.00002 * math.sin(point.lat * _BD_TURN)
    angle = math.atan2(point.lat, point.lon) + 0.000003 * math.cos(point.lon * _BD_TURN)
    return Point(radius * math.cos(angle) + _BD_OFFSET_LON, radius * math.sin(angle) + _BD_OFFSET_LAT)


def _bd_to_gcj_guess(point: Point) -> Point:
    return Point(point.lon - _BD_OFFSET_LON, point.lat - _BD_OFFSET_LAT) if _in_china(point) else point


def _invert(forward: Callable[[Point], Point], target: Point, guess: Point) -> Point:
    """The point that forward maps to target, by fixed-point iteration: the shifts vary so slowly that each step gains two digits."""
    for _ in range(_MAX_STEPS):
        image = forward(guess)
        lon_miss, lat_miss = target.lon - image.lon, target.lat - image.lat
        guess = Point(guess.lon + lon_miss, guess.lat + lat_miss)
        if abs(lon_miss) < _CLOSE_ENOUGH_DEG and abs(lat_miss) < _CLOSE_ENOUGH_DEG:
            break
    return guess
