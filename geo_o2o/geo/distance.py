"""Distances on the WGS 84 ellipsoid, the same that PostGIS measures on geography."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from pyproj import Geod

from .point import Point

GEOD = Geod(ellps="WGS84")


def distance_m(a: Point, b: Point) -> float:
    """Geodesic distance in metres; right across the date line and at the poles."""
    return float(GEOD.inv(a.lon, a.lat, b.lon, b.lat)[2])


def distances_m(origin: Point, lonlat: NDArray[np.float64]) -> NDArray[np.float64]:
    """Geodesic distance from one point to many.

    lonlat: float array (n, 2), degrees, WGS 84, longitude first; n may be 0.
    Returns metres, shape (n,).
    Raises ValueError where a coordinate is not finite or out of range.
    Source: Karney, Algorithms for geodesics, J. Geodesy 87, 2013 (through pyproj).
    """
    points = np.asarray(lonlat, dtype=np.float64).reshape(-1, 2)
    # Negated, so that NaN fails.
    if not (np.all(np.abs(points[:, 0]) <= 180.0) and np.all(np.abs(points[:, 1]) <= 90.0)):
        raise ValueError("coordinates must be finite, longitude in -180..180 and latitude in -90..90 degrees")
    count = len(points)
    lons, lats = np.full(count, origin.lon), np.full(count, origin.lat)
    return np.asarray(GEOD.inv(lons, lats, points[:, 0], points[:, 1])[2], dtype=np.float64)


def area_m2(shape: object) -> float:
    """Area of a shapely polygon or multipolygon on the ellipsoid, square metres, never negative."""
    return abs(float(GEOD.geometry_area_perimeter(shape)[0]))


# --- by straight lines through the earth -------------------------------------------------------------------------------------

_AXIS_M, _ECCENTRICITY2 = float(GEOD.a), float(GEOD.es)
# Farther than this the straight line says too little of the way around.
LONGEST_CHORD_M = 200_000.0


def to_ecef(lonlat: NDArray[np.float64]) -> NDArray[np.float64]:
    """Earth-centred coordinates in metres of points on the ellipsoid.

    lonlat: float array (n, 2), degrees. Returns shape (n, 3).
    """
    points = np.asarray(lonlat, dtype=np.float64).reshape(-1, 2)
    lon, lat = np.radians(points[:, 0]), np.radians(points[:, 1])
    normal = _AXIS_M / np.sqrt(1.0 - _ECCENTRICITY2 * np.sin(lat) ** 2)
    across = normal * np.cos(lat)
    return np.column_stack([across * np.cos(lon), across * np.sin(lon), normal * (1.0 - _ECCENTRICITY2) * np.sin(lat)])


def ecef_of(point: Point) -> tuple[float, float, float]:
    """to_ecef of one point."""
    lon, lat = math.radians(point.lon), math.radians(point.lat)
    normal = _AXIS_M / math.sqrt(1.0 - _ECCENTRICITY2 * math.sin(lat) ** 2)
    across = normal * math.cos(lat)
    return across * math.cos(lon), across * math.sin(lon), normal * (1.0 - _ECCENTRICITY2) * math.sin(lat)
