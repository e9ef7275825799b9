"""Vector tiles by layer: which zooms they have, and what is drawn."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import shapely
from shapely.geometry import Point as ShapelyPoint
from shapely.geometry import Polygon
from sqlalchemy.orm import Session

from ..geo.cells import SHARD_RESOLUTION, VERSIONED_RESOLUTION, boundary, centre_of, to_hex
from ..geo.shapes import area_of
from ..geo.tiles import Tile, resolution_of_zoom
from ..supply.rolling import FINEST, Rolled
from ..supply.service import supply_in
from . import queries

# Below it a tile is wider than what is indexed together.
_CELLS_FROM_ZOOM = 5
# At the zooms of clusters and hexagons cells are sums of those of resolution 7; none is larger than what is stored together.
_COARSEST = SHARD_RESOLUTION
# A tile of vectors is drawn 512 pixels wide: as wide as four tiles of the next zoom.
_ZOOM_SHIFT = 1
# Clusters are that much coarser than hexagons: their numbers want room.
_CLUSTER_STEPS = 1


def _hexagons(session: Session, tile: Tile, now: datetime) -> bytes:
    found = _supply(session, tile, now, coarser=0)
    outlines = [_on_this_side(Polygon(boundary(cell)), tile) for cell in found.cell.tolist()]
    return queries.cells_tile(session, tile, layer="hexagons", columns=_columns(found, outlines)) if len(found) else b""


def _clusters(session: Session, tile: Tile, now: datetime) -> bytes:
    found = _supply(session, tile, now, coarser=_CLUSTER_STEPS)
    middles = [centre_of(cell) for cell in found.cell.tolist()]
    inside = [number for number, middle in enumerate(middles) if _tile_at(middle.lon, middle.lat, tile.z) == tile]
    columns = _columns(found, [ShapelyPoint(middle.lon, middle.lat) for middle in middles])
    kept = {name: [values[number] for number in inside] for name, values in columns.items()}
    return queries.cells_tile(session, tile, layer="clusters", columns=kept) if inside else b""


def _supply(session: Session, tile: Tile, now: datetime, *, coarser: int) -> Rolled:
    return supply_in(session, area_of(tile.bounds()), resolution=_resolution(tile, coarser), category=None, now=now)


def _resolution(tile: Tile, coarser: int) -> int:
    return resolution_of_zoom(tile.z + _ZOOM_SHIFT, coarsest=_COARSEST + coarser, finest=FINEST) - coarser


def reach(key: tuple[str, Tile]) -> int:
    """The resolution of the cells that a tile shows, or of those in which its stores are."""
    layer, tile = key
    return _resolution(tile, 0 if layer == "hexagons" else _CLUSTER_STEPS) if layer in ("hexagons", "clusters") else VERSIONED_RESOLUTION


def _columns(found: Rolled, outlines: list[Any]) -> dict[str, list[Any]]:
    pairs = zip(found.rating_sum.tolist(), found.rating_count.tolist(), strict=True)
    return {
        "h3": [to_hex(cell) for cell in found.cell.tolist()],
        "stores": found.stores.tolist(),
        "rating": [round(total / count, 2) if count else None for total, count in pairs],
        "sample": [bool(number) for number in found.sample.tolist()],
        "outlines": [shapely.to_wkb(outline) for outline in outlines],
    }


def _on_this_side(outline: Polygon, tile: Tile) -> Polygon:
    """A hexagon that crosses the date line, where the tile lies."""
    if outline.bounds[2] > 180.0 and tile.bounds().east <= 0.0:
        return shapely.transform(outline, lambda lonlat: lonlat - [360.0, 0.0])
    return outline


def _tile_at(lon: float, lat: float, zoom: int) -> Tile:
    side = 1 << zoom
    y = (1.0 - math.asinh(math.tan(math.radians(min(max(lat, -85.05), 85.05)))) / math.pi) / 2.0
    return Tile(zoom, min(int((lon + 180.0) / 360.0 * side), side - 1), min(int(y * side), side - 1))


LAYERS: Mapping[str, Callable[[Session, Tile, datetime], bytes]] = {
    "stores": lambda session, tile, now: queries.stores_tile(session, tile),
    "clusters": lambda session, tile, now: _clusters(session, tile, now) if tile.z >= _CELLS_FROM_ZOOM else b"",
    "hexagons": lambda session, tile, now: _hexagons(session, tile, now) if tile.z >= _CELLS_FROM_ZOOM else b"",
    "districts": lambda session, tile, now: queries.districts_tile(session, tile),
    "basemap": lambda session, tile, now: queries.basemap_tile(session, tile),
}


def draw(session: Session, layer: str, tile: Tile, *, now: datetime) -> bytes:
    """A tile of one of LAYERS; empty where it shows nothing."""
    return LAYERS[layer](session, tile, now)
