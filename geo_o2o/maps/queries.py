"""Vector tiles made by PostGIS."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from ..geo.cells import shard_cells_of_bounds
from ..geo.tiles import Tile
from ..stores.categories import codes_by_id

# Below these zooms a layer would be too dense to read and too large to send.
STORES_FROM_ZOOM, DISTRICTS_FROM_ZOOM, BASEMAP_FROM_ZOOM = 12, 4, 8
_BUILDINGS_FROM_ZOOM, _MINOR_ROADS_FROM_ZOOM = 14, 13
_MAJOR_ROADS = ["highway", "major_road"]
_MOST_STORES = 20_000

_STORES = """
SELECT ST_AsMVT(tile, 'stores', 4096, 'geom') FROM (
    SELECT s.id::text AS id, s.name, (CAST(:codes AS text[]))[s.category_id] AS category, s.rating_count,
           CASE WHEN s.rating_count > 0 THEN round(s.rating_sum::numeric / s.rating_count, 2)::float8 END AS rating, s.rating_sample AS sample,
           ST_AsMVTGeom(mercator.point, ST_TileEnvelope(:z, :x, :y), 4096, 64, false) AS geom
      -- OFFSET keeps the planner from writing the transformation out wherever its result is used.
      FROM stores s CROSS JOIN LATERAL (SELECT ST_Transform(s.location::geometry, 3857) AS point OFFSET 0) mercator
     WHERE s.shard_cell = ANY(:shard_cells) AND s.status = 'live'
       -- What the index finds, a little more than the tile: edges of a geography are arcs, those of a tile are not.
       AND s.location && ST_Transform(ST_TileEnvelope(:z, :x, :y, margin => 0.02), 4326)::geography
       -- Each store in exactly one tile of a zoom: a map draws points over the edge of their tile by itself.
       AND ST_X(mercator.point) >= ST_XMin(ST_TileEnvelope(:z, :x, :y)) AND ST_X(mercator.point) < ST_XMax(ST_TileEnvelope(:z, :x, :y))
       AND ST_Y(mercator.point) > ST_YMin(ST_TileEnvelope(:z, :x, :y)) AND ST_Y(mercator.point) <= ST_YMax(ST_TileEnvelope(:z, :x, :y))
     ORDER BY s.rating_count DESC, s.id LIMIT :most
) tile WHERE geom IS NOT NULL
"""
_DISTRICTS = """
SELECT ST_AsMVT(tile, 'districts', 4096, 'geom') FROM (
    SELECT d.id::text AS id, d.layer, d.name, d.names->>'en' AS "name:en",
           ST_AsMVTGeom(ST_Transform(d.area, 3857), ST_TileEnvelope(:z, :x, :y), 4096, 64, true) AS geom
      FROM districts d
     WHERE d.in_force AND d.area && ST_Transform(ST_TileEnvelope(:z, :x, :y, margin => 64.0 / 4096), 4326)
     ORDER BY d.area_m2 DESC, d.id
) tile WHERE geom IS NOT NULL
"""
_AREAS = """
SELECT ST_AsMVT(tile, :layer, 4096, 'geom') FROM (
    SELECT b.kind, b.name, b.names->>'en' AS "name:en", b.names->>'zh' AS "name:zh",
           ST_AsMVTGeom(ST_Transform(b.shape, 3857), ST_TileEnvelope(:z, :x, :y), 4096, 64, true) AS geom
      FROM basemap_features b
     WHERE b.layer = :layer AND b.shape && ST_Transform(ST_TileEnvelope(:z, :x, :y, margin => 64.0 / 4096), 4326)
     ORDER BY b.source, b.source_id
) tile WHERE geom IS NOT NULL
"""
# Pieces of one street become one line, or its name would be chopped at every crossing.
_ROADS = """
SELECT ST_AsMVT(tile, 'roads', 4096, 'geom') FROM (
    SELECT b.kind, b.name, max(b.names->>'en') AS "name:en", max(b.names->>'zh') AS "name:zh",
           ST_AsMVTGeom(ST_Transform(ST_LineMerge(ST_Collect(b.shape ORDER BY b.source_id)), 3857),
                        ST_TileEnvelope(:z, :x, :y), 4096, 64, true) AS geom
      FROM basemap_features b
     WHERE b.layer = 'roads' AND (:all_roads OR b.kind = ANY(:major_roads))
       AND b.shape && ST_Transform(ST_TileEnvelope(:z, :x, :y, margin => 64.0 / 4096), 4326)
     GROUP BY b.kind, b.name, CASE WHEN b.name IS NULL THEN b.source_id END
     ORDER BY b.kind, b.name
) tile WHERE geom IS NOT NULL
"""


def stores_tile(session: Session, tile: Tile) -> bytes:
    if tile.z < STORES_FROM_ZOOM:
        return b""
    codes = codes_by_id()
    parameters = {
        **_address(tile), "most": _MOST_STORES, "shard_cells": shard_cells_of_bounds(tile.bounds()),
        "codes": [codes.get(number, "") for number in range(1, max(codes) + 1)],
    }  # fmt: skip
    return _bytes(session, _STORES, parameters)


_HEXAGONS = """
SELECT ST_AsMVT(tile, 'hexagons', 4096, 'geom') FROM (
    SELECT h.h3, h.stores, h.rating, h.sample,
           -- Whole hexagons: a map cuts them at the tile's edge by itself, and a cut one would have a line there.
           ST_AsMVTGeom(ST_Transform(ST_GeomFromWKB(h.outline, 4326), 3857), ST_TileEnvelope(:z, :x, :y), 4096, 0, false) AS geom
      FROM unnest(CAST(:h3 AS text[]), CAST(:stores AS integer[]), CAST(:rating AS float8[]), CAST(:sample AS boolean[]),
                  CAST(:outlines AS bytea[])) AS h (h3, stores, rating, sample, outline)
) tile WHERE geom IS NOT NULL
"""
_CLUSTERS = """
SELECT ST_AsMVT(tile, 'clusters', 4096, 'geom') FROM (
    SELECT h.h3, h.stores, h.rating, h.sample,
           ST_AsMVTGeom(ST_Transform(ST_GeomFromWKB(h.outline, 4326), 3857), ST_TileEnvelope(:z, :x, :y), 4096, 0, false) AS geom
      FROM unnest(CAST(:h3 AS text[]), CAST(:stores AS integer[]), CAST(:rating AS float8[]), CAST(:sample AS boolean[]),
                  CAST(:outlines AS bytea[])) AS h (h3, stores, rating, sample, outline)
) tile WHERE geom IS NOT NULL
"""


def cells_tile(session: Session, tile: Tile, *, layer: str, columns: dict[str, list[Any]]) -> bytes:
    """A tile of `hexagons` or `clusters`. columns: h3, stores, rating, sample, and outlines as WKB, points for clusters."""
    return _bytes(session, _HEXAGONS if layer == "hexagons" else _CLUSTERS, {**_address(tile), **columns})


def districts_tile(session: Session, tile: Tile) -> bytes:
    return b"" if tile.z < DISTRICTS_FROM_ZOOM else _bytes(session, _DISTRICTS, _address(tile))


def basemap_tile(session: Session, tile: Tile) -> bytes:
    """Layers landuse, water, roads and buildings in one tile, from below to above."""
    if tile.z < BASEMAP_FROM_ZOOM:
        return b""
    roads = {"all_roads": tile.z >= _MINOR_ROADS_FROM_ZOOM, "major_roads": _MAJOR_ROADS}
    layers = ["landuse", "water", *(["buildings"] if tile.z >= _BUILDINGS_FROM_ZOOM else [])]
    return b"".join(_bytes(session, _AREAS, {**_address(tile), "layer": layer}) for layer in layers) + _bytes(
        session, _ROADS, {**_address(tile), **roads}
    )


def _address(tile: Tile) -> dict[str, Any]:
    return {"z": tile.z, "x": tile.x, "y": tile.y}


def _bytes(session: Session, text: str, parameters: dict[str, Any]) -> bytes:
    return bytes(session.scalar(sa.text(text), parameters) or b"")
