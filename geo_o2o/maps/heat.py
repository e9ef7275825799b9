"""Supply per cell, ready to be answered: rates, true areas, outlines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import shapely
from shapely.geometry import MultiPolygon, Polygon, box, shape
from shapely.geometry.polygon import orient

from ..geo.cells import area_km2, boundary, cell_of, centre_of, resolution_of, to_hex
from ..geo.crs import Crs, written_point
from ..geo.point import Point
from ..geo.shapes import to_geojson, written_area

_NORTH_POLE, _SOUTH_POLE = Point(0.0, 90.0), Point(0.0, -90.0)


@dataclass(frozen=True)
class CellSupply:
    """What one H3 cell holds. stores_timed: those whose hours are known; stores_open: those of them that are open.

    sample: some of its ratings or offers were invented for the demonstration.
    """

    cell: int
    stores: int
    offers: int
    rating_sum: int
    rating_count: int
    stores_timed: int
    stores_open: int
    sample: bool


def describe(supply: CellSupply, crs: Crs) -> dict[str, Any]:
    """The figures of a cell. Densities are by the cell's own true area: cells of one resolution differ by up to a factor of two."""
    area = area_km2(supply.cell)
    centre = centre_of(supply.cell)
    return {
        "cell": to_hex(supply.cell),
        **written_point(centre, crs),
        "area_km2": round(area, 9),
        "stores": supply.stores,
        "stores_per_km2": round(supply.stores / area, 3),
        "offers": supply.offers,
        "rating_mean": round(supply.rating_sum / supply.rating_count, 3) if supply.rating_count else None,
        "rating_count": supply.rating_count,
        "sample": supply.sample,
        "open_share": round(supply.stores_open / supply.stores_timed, 3) if supply.stores_timed else None,
    }


def feature(supply: CellSupply, crs: Crs) -> dict[str, Any]:
    """The same as a GeoJSON feature with the cell's outline."""
    properties = describe(supply, crs)
    return {"type": "Feature", "id": properties["cell"], "geometry": _moved(outline(supply.cell), crs), "properties": properties}


def _moved(geojson: dict[str, Any], crs: Crs) -> dict[str, Any]:
    """An outline in the caller's system of coordinates."""
    if crs == "wgs84":
        return geojson
    area = shape(geojson)
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
