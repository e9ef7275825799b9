"""Local metres around a point: the azimuthal equidistant projection, from geodesics."""

from __future__ import annotations

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry import MultiPolygon

from .distance import GEOD
from .point import Point


def to_local_m(origin: Point, lonlat: NDArray[np.float64]) -> NDArray[np.float64]:
    """Metres east and north of the origin; distance and direction from it are exact.

    lonlat: float array (n, 2), degrees, longitude first. Returns shape (n, 2).
    """
    points = np.asarray(lonlat, dtype=np.float64).reshape(-1, 2)
    count = len(points)
    azimuth, _, distance = GEOD.inv(np.full(count, origin.lon), np.full(count, origin.lat), points[:, 0], points[:, 1])
    angle = np.radians(azimuth)
    return np.column_stack([distance * np.sin(angle), distance * np.cos(angle)])


def area_to_local_m(origin: Point, area: MultiPolygon) -> MultiPolygon:
    """The same area with its vertices in local metres."""
    return shapely.transform(area, lambda lonlat: to_local_m(origin, lonlat))
