"""Outlines of H3 cells as GeoJSON, right across the date line and around the poles."""

from __future__ import annotations

from typing import Any

import shapely
from shapely.geometry import MultiPolygon, Polygon, box, shape
from shapely.geometry.polygon import orient

from ..geo.cells import boundary, cell_of, resolution_of
from ..geo.crs import Crs
from ..geo.point import Point
from ..geo.shapes import to_geojson, written_area

_NORTH_POLE, _SOUTH_POLE = Point(0.0, 90.0), Point(0.0, -90.0)


def written_outline(cell: int, crs: Crs) -> dict[str, Any]:
    """The outline of a cell in the caller's system of coordinates."""
    if crs == "wgs84":
        return outline(cell)
    area = shape(outline(cell))
    return to_geojson(written_area(area if isinstance(area, MultiPolygon) else MultiPolygon([area]), crs))


def outline(cell: int) -> dict[str, Any]:
    """GeoJSON outline of a cell, cut in two at the date line where it crosses it (RFC 7946, 3.1.9); around a pole up to the pole."""
    for pole in (_NORTH_POLE, _SOUTH_POLE):
        if cell == cell_of(pole, resolution_of(cell)):
            return _cap(cell, pole.lat)
    hexagon = Polygon(boundary(cell))
    if hexagon.bounds[2] <= 180.0:
        return to_geojson(hexagon)
    west = hexagon.intersection(box(-180.0, -90.0, 180.0, 90.0))
    east = shapely.transform(hexagon.intersection(box(180.0, -90.0, 540.0, 90.0)), lambda lonlat: lonlat - [360.0, 0.0])
    return to_geojson(shapely.union_all([west, east]))


def _cap(cell: int, pole_lat: float) -> dict[str, Any]:
    """The cell that holds a pole, as everything between its corners and the pole."""
    rim = sorted((lon - 360.0 if lon > 180.0 else lon, lat) for lon, lat in boundary(cell)[:-1])
    # Half-way between the last and the first corner stands the date line; their mean latitude is close enough for a drawing.
    edge = (rim[0][1] + rim[-1][1]) / 2
    return to_geojson(orient(Polygon([(-180.0, edge), *rim, (180.0, edge), (180.0, pole_lat), (-180.0, pole_lat)])))
