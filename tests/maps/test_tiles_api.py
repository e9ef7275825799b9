"""Vector tiles: what they hold, and when their tags change."""

from __future__ import annotations

import gzip
import math
import random
import time
from dataclasses import replace
from typing import Any

import mapbox_vector_tile
import pytest
import sqlalchemy as sa
from geoalchemy2.shape import to_shape
from shapely.geometry import MultiPolygon, box, shape
from sqlalchemy.orm import Session

from geo_o2o.app import create_app
from geo_o2o.auth import service as auth
from geo_o2o.changes.service import note_change
from geo_o2o.db import Database
from geo_o2o.districts.service import add_district, new_district_id
from geo_o2o.geo.cells import cell_of, centre_of, parent
from geo_o2o.geo.point import Point
from geo_o2o.geo.tiles import Tile, resolution_of_zoom
from geo_o2o.http import utcnow
from geo_o2o.maps import keeping
from geo_o2o.maps.outlines import outline
from geo_o2o.maps.tiles import reach
from geo_o2o.stores.models import Store
from geo_o2o.supply.service import roll_due

from ..conftest import NOW, Api
from ..factories import HELSINKI, make_district, make_store


def tile_of(point: Point, z: int) -> tuple[int, int, int]:
    side = 2**z
    return z, int((point.lon + 180) / 360 * side), int((1 - math.asinh(math.tan(math.radians(point.lat))) / math.pi) / 2 * side)


def test_tiles_of_stores_hold_the_stores_of_the_tile(planner_api: Api, session: Session) -> None:
    make_store(session, name="Kahvila", rating=(9, 2))
    make_store(session, name="elsewhere", at=Point(25.5, 60.4))
    session.commit()
    z, x, y = tile_of(HELSINKI, 14)
    response = planner_api.get(f"/v1/tiles/stores/{z}/{x}/{y}.mvt")
    assert response.mimetype == "application/vnd.mapbox-vector-tile"
    layer = mapbox_vector_tile.decode(response.data)["stores"]
    assert [one["properties"]["name"] for one in layer["features"]] == ["Kahvila"]
    assert layer["features"][0]["properties"]["category"] == "food.cafe"
    assert layer["features"][0]["properties"]["rating"] == 4.5
    again = planner_api("GET", f"/v1/tiles/stores/{z}/{x}/{y}.mvt", headers={"If-None-Match": response.headers["ETag"]})
    assert again.status_code == 304
    assert planner_api.get(f"/v1/tiles/stores/{z}/{x + 3}/{y}.mvt").status_code == 204
    assert planner_api.get("/v1/tiles/stores/5/18/9.mvt").status_code == 204


def test_tiles_of_districts_hold_their_outline(planner_api: Api, session: Session) -> None:
    make_district(session, name="Kamppi")
    session.commit()
    z, x, y = tile_of(HELSINKI, 12)
    (found,) = mapbox_vector_tile.decode(planner_api.get(f"/v1/tiles/districts/{z}/{x}/{y}.mvt").data)["districts"]["features"]
    assert found["properties"]["name"] == "Kamppi"
    assert found["geometry"]["type"] in ("Polygon", "MultiPolygon")


def test_tiles_of_the_basemap_hold_its_layers(planner_api: Api, session: Session) -> None:
    rows = {
        "landuse": ("park", "POLYGON((24.94 60.168,24.943 60.168,24.943 60.17,24.94 60.168))"),
        "water": ("water", "POLYGON((24.941 60.168,24.943 60.168,24.943 60.169,24.941 60.168))"),
        "roads": ("minor_road", "LINESTRING(24.94 60.168,24.942 60.17)"),
        "buildings": ("building", "POLYGON((24.941 60.169,24.942 60.169,24.942 60.17,24.941 60.169))"),
    }
    for layer, (kind, wkt) in rows.items():
        session.execute(
            sa.text(
                "INSERT INTO basemap_features VALUES ('test', :layer, :layer, :kind, 'Nimi', '{\"en\": \"Name\"}', ST_GeomFromText(:wkt, 4326), 1)"
            ),
            {"layer": layer, "kind": kind, "wkt": wkt},
        )
    session.execute(
        sa.text(
            "INSERT INTO basemap_features VALUES ('test', 'roads2', 'roads', 'minor_road', 'Nimi', '{}', ST_GeomFromText('LINESTRING(24.942 60.17,24.944 60.172)', 4326), 1)"
        )
    )
    session.commit()
    z, x, y = tile_of(HELSINKI, 14)
    found = mapbox_vector_tile.decode(planner_api.get(f"/v1/tiles/basemap/{z}/{x}/{y}.mvt").data)
    assert set(found) == {"landuse", "water", "roads", "buildings"}
    (road,) = found["roads"]["features"]
    assert road["geometry"]["type"] == "LineString"  # two pieces of one street became one line
    assert road["properties"]["name:en"] == "Name"
    z, x, y = tile_of(HELSINKI, 11)
    assert "buildings" not in mapbox_vector_tile.decode(planner_api.get(f"/v1/tiles/basemap/{z}/{x}/{y}.mvt").data)


@pytest.mark.parametrize("path", ["people/14/1/1", "stores/23/1/1", "stores/2/4/0", "stores/-1/0/0", "stores/a/0/0"])
def test_a_tile_that_is_not_there(planner_api: Api, path: str) -> None:
    assert planner_api.get(f"/v1/tiles/{path}.mvt").status_code == 404


# --- tags --------------------------------------------------------------------------------------------------------------------------

AROUND = box(24.925, 60.160, 24.958, 60.179)
ZOOMS = {"stores": (12, 13, 15), "clusters": (6, 12, 14), "hexagons": (6, 9, 12, 15)}


def tiles_of(zoom: int) -> list[tuple[int, int]]:
    """Every tile of a zoom around the city, and one more on each side."""
    (_, west, north), (_, east, south) = tile_of(Point(24.925, 60.179), zoom), tile_of(Point(24.958, 60.160), zoom)
    return [(x, y) for x in range(west - 1, east + 2) for y in range(north - 1, south + 2)]


def tags(api: Api) -> dict[tuple[str, int, int, int], str]:
    return {
        (layer, zoom, x, y): api.get(f"/v1/tiles/{layer}/{zoom}/{x}/{y}.mvt").headers["ETag"]
        for layer, zooms in ZOOMS.items()
        for zoom in zooms
        for x, y in tiles_of(zoom)
    }


def shows(layer: str, zoom: int, x: int, y: int, point: Point) -> bool:
    """Whether a tile shows a store at a point: itself, the hexagon that counts it, or the number at that cell's middle."""
    if layer == "stores":
        return tile_of(point, zoom) == (zoom, x, y)
    fine = resolution_of_zoom(zoom + 1, coarsest=4, finest=11)
    if layer == "clusters":
        fine = resolution_of_zoom(zoom + 1, coarsest=5, finest=11)
        return tile_of(centre_of(parent(cell_of(point), fine - 1)), zoom) == (zoom, x, y)
    bounds = Tile(zoom, x, y).bounds()
    return shape(outline(parent(cell_of(point), fine))).intersects(box(bounds.west, bounds.south, bounds.east, bounds.north))


def test_one_edited_store_changes_the_tags_of_the_tiles_that_show_it_and_of_no_other(planner_api: Api, session: Session) -> None:
    chance = random.Random(6)
    stores = [make_store(session, at=Point(chance.uniform(24.93, 24.955), chance.uniform(60.162, 60.178)), rating=(8, 2)) for _ in range(40)]
    session.commit()
    before = tags(planner_api)
    for turn in range(5):
        point = Point(chance.uniform(24.93, 24.955), chance.uniform(60.162, 60.178))
        if turn % 3 == 0:
            make_store(session, at=point)
        else:
            store = chance.choice(stores)
            where = to_shape(store.location)
            point = Point(where.x, where.y)
            # What every layer shows of it: a rating that lies apart from the others'.
            store.rating_sum, store.rating_count = store.rating_sum + 997, store.rating_count + 997
            session.flush()
            note_change(session, [store.cell])
        session.commit()
        if turn % 2:
            roll_due(session, now=utcnow())
            session.commit()
        after = tags(planner_api)
        changed = {key for key in before if before[key] != after[key]}
        assert changed == {key for key in before if shows(*key, point)}, turn
        before = after


def test_hexagons_and_clusters_hold_the_stores_of_their_cells(planner_api: Api, session: Session) -> None:
    for number in range(5):
        make_store(session, at=Point(24.9414 + number / 1e5, 60.1690), rating=(9, 2))
    session.commit()
    for layer, kind in (("hexagons", "Polygon"), ("clusters", "Point")):
        found = {}
        for x, y in tiles_of(14):
            answer = planner_api.get(f"/v1/tiles/{layer}/14/{x}/{y}.mvt")
            if answer.status_code == 200:
                for one in mapbox_vector_tile.decode(answer.data)[layer]["features"]:
                    assert one["geometry"]["type"] == kind
                    found[one["properties"]["h3"]] = one["properties"]
        assert sum(one["stores"] for one in found.values()) == 5
        assert {one["rating"] for one in found.values()} == {4.5}
    assert planner_api.get("/v1/tiles/hexagons/4/9/4.mvt").status_code == 204


def test_tiles_come_packed_for_whoever_takes_them_so(planner_api: Api, session: Session) -> None:
    make_store(session)
    session.commit()
    z, x, y = tile_of(HELSINKI, 14)
    path = f"/v1/tiles/stores/{z}/{x}/{y}.mvt"
    plain, packed = planner_api.get(path), planner_api("GET", path, headers={"Accept-Encoding": "gzip, br"})
    assert packed.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(packed.data) == plain.data
    assert packed.headers["ETag"] == plain.headers["ETag"]
    empty = planner_api.get(f"/v1/tiles/stores/{z}/{x + 3}/{y}.mvt")
    assert planner_api("GET", f"/v1/tiles/stores/{z}/{x + 3}/{y}.mvt", headers={"If-None-Match": empty.headers["ETag"]}).status_code == 304


@pytest.mark.parametrize("path", ["roads/1/1/1", "stores/23/1/1", "stores/3/8/1", "hexagons/-1/0/0", "hexagons/1/0/x"])
def test_there_is_no_such_tile(planner_api: Api, path: str) -> None:
    assert planner_api.get(f"/v1/tiles/{path}.mvt").status_code == 404


# --- kept by a process ---------------------------------------------------------------------------------------------------------------


def test_a_kept_tile_is_given_until_something_in_it_changes(fresh_database: Any) -> None:
    """Real commits and a real listener: what is heard decides, and a change elsewhere costs nothing."""
    settings = replace(fresh_database(), shelf=0)
    database = Database(settings)
    app = create_app(settings, database=database)
    with database.write() as session:
        _, key = auth.create_key(session, role="planner", name="", merchant=None, now=NOW)
        here = make_store(session, rating=(8, 2))
        far = make_store(session, at=Point(24.99, 60.20), rating=(8, 2))
    client, kept = app.test_client(), app.extensions["tiles"]
    z, x, y = tile_of(HELSINKI, 15)
    draws: list[str] = []
    real = keeping.drawn

    def get(tag: str = "") -> Any:
        return client.get(f"/v1/tiles/hexagons/{z}/{x}/{y}.mvt", headers={"Authorization": f"Bearer {key}", "If-None-Match": tag})

    def counted(body: bytes, **more: Any) -> Any:
        draws.append("")
        return real(body, **more)

    def change(store: Any, stars: int) -> None:
        with database.write() as session:
            found = session.get(Store, (store.shard_cell, store.id))
            assert found is not None
            found.rating_sum, found.rating_count = found.rating_sum + stars, found.rating_count + 1
            note_change(session, [found.cell])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("geo_o2o.maps.views.drawn", counted)
        first = get()
        kept._listener.wait_until_heard(time.monotonic(), patience_s=5)
        get()
        count = len(draws)
        for _ in range(5):
            assert get(first.headers["ETag"]).status_code == 304
        change(far, 5)
        kept._listener.wait_until_heard(time.monotonic(), patience_s=5)
        assert get(first.headers["ETag"]).status_code == 304
        assert len(draws) == count
        change(here, 1)
        kept._listener.wait_until_heard(time.monotonic(), patience_s=5)
        assert get(first.headers["ETag"]).status_code == 200
        assert len(draws) == count + 1
        second = get()
        # Too many changes to name: everything is drawn again, and has the tag that it had.
        kept._forget()
        assert get(second.headers["ETag"]).status_code == 304
        assert len(draws) == count + 2
        with database.write() as session:
            add_district(
                session, fields={"layer": "business", "name": "x", "area": MultiPolygon([AROUND])}, district_id=new_district_id(now=NOW), now=NOW
            )
        kept._layers_known = (float("-inf"), 0)
        assert get(second.headers["ETag"]).status_code == 304
        assert len(draws) == count + 3
    kept._listener.stop()
    database.close()


@pytest.mark.parametrize("zoom", [7, 8, 9, 10, 12, 14])
@pytest.mark.parametrize("layer", ["hexagons", "clusters", "stores"])
def test_every_tile_that_shows_a_store_hears_of_its_change(layer: str, zoom: int) -> None:
    """Also where its hexagon is far larger than the cell that changed."""
    tiles = keeping.Tiles(url="postgresql://nobody@127.0.0.1:1/x", layers=lambda: 1, reach=reach, staleness_s=1, most_bytes=1_000)
    chance, seen = random.Random(zoom), 0
    for _ in range(40):
        point = Point(chance.uniform(20, 28), chance.uniform(59, 63))
        tiles._hear(f"{parent(cell_of(point), 7)}:1")
        _, x, y = tile_of(point, zoom)
        for column, row in ((x + dx, y + dy) for dx in range(-2, 3) for dy in range(-2, 3)):
            if (layer != "stores" or zoom >= 12) and shows(layer, zoom, column, row, point):
                assert tiles._is_touched((layer, Tile(zoom, column, row)), 0), (column, row)
                seen += 1
        tiles._changes.clear()
    assert seen >= 40 or layer == "stores"


def test_no_more_is_kept_than_allowed() -> None:
    tiles = keeping.Tiles(url="postgresql://nobody@127.0.0.1:1/x", layers=lambda: 1, reach=reach, staleness_s=1, most_bytes=1_000)
    for number in range(20):
        tiles.keep(("stores", Tile(14, number, 0)), keeping.drawn(str(number).encode() * 50, since=0, layers=1))
    assert 0 < len(tiles._kept) < 6
    assert tiles._bytes == sum(keeping._size(one) for one in tiles._kept.values()) <= 1_000
