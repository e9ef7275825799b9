from __future__ import annotations

import math

import mapbox_vector_tile
import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from geo_o2o.geo.point import Point

from ..conftest import Api
from ..factories import HELSINKI, make_district, make_store

BOX = "24.93,60.16,24.96,60.18"


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
