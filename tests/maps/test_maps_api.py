from __future__ import annotations

import math
import random
from typing import Any

import h3.api.basic_int as h3
import mapbox_vector_tile
import pytest
import sqlalchemy as sa
from shapely.geometry import shape
from sqlalchemy.orm import Session

from geo_o2o.geo.cells import area_km2, cell_of, parse_hex
from geo_o2o.geo.point import Point
from geo_o2o.http import utcnow
from geo_o2o.maps.heat import CellSupply, feature, outline
from geo_o2o.maps.schemas import Supply, SupplyCell

from ..conftest import Api
from ..factories import HELSINKI, make_district, make_offer, make_store
from ..test_http import problem_of

BOX = "24.93,60.16,24.96,60.18"


def tile_of(point: Point, z: int) -> tuple[int, int, int]:
    side = 2**z
    return z, int((point.lon + 180) / 360 * side), int((1 - math.asinh(math.tan(math.radians(point.lat))) / math.pi) / 2 * side)


def scatter(session: Session, count: int) -> list[Point]:
    chance = random.Random(9)
    points = [Point(chance.uniform(24.935, 24.955), chance.uniform(60.162, 60.178)) for _ in range(count)]
    for number, point in enumerate(points):
        make_store(
            session,
            name=f"Store {number}",
            at=point,
            rating=(4 * (number % 3), number % 3),
            category="shop.books" if number % 4 == 0 else "food.cafe",
        )
    return points


@pytest.mark.parametrize("resolution", [6, 8, 9, 11])
def test_supply_counts_every_store_once_in_the_cell_that_holds_its_index(planner_api: Api, session: Session, resolution: int) -> None:
    points = scatter(session, 60)
    make_store(session, name="outside the box", at=Point(24.97, 60.17))
    make_store(session, name="closed", status="closed")
    session.commit()
    body = planner_api.get("/v1/heat/supply", bbox=BOX, resolution=resolution).get_json()
    expected: dict[int, int] = {}
    for point in points:
        cell = h3.cell_to_parent(cell_of(point), resolution)
        expected[cell] = expected.get(cell, 0) + 1
    assert {parse_hex(one["cell"]): one["stores"] for one in body["items"]} == expected
    assert set(body) == set(Supply().fields)
    assert set(body["items"][0]) == set(SupplyCell().fields)
    for one in body["items"]:
        assert one["area_km2"] == pytest.approx(h3.cell_area(parse_hex(one["cell"]), unit="km^2"), abs=1e-9)
        assert one["stores_per_km2"] == pytest.approx(one["stores"] / one["area_km2"], abs=0.001)


def test_offers_ratings_and_open_share_are_the_cells(planner_api: Api, session: Session) -> None:
    always = make_store(session, opening_hours="24/7", rating=(9, 2), now=utcnow())
    make_store(session, opening_hours="off", rating=(3, 1), now=utcnow())
    make_store(session)
    make_offer(session, always)
    make_offer(session, always, status="draft")
    session.commit()
    (cell,) = planner_api.get("/v1/heat/supply", bbox=BOX, resolution=9).get_json()["items"]
    assert cell["sample"] is False
    assert (cell["stores"], cell["offers"], cell["rating_mean"], cell["rating_count"], cell["open_share"]) == (3, 1, 4.0, 3, 0.5)


def test_figures_made_from_samples_say_so(planner_api: Api, session: Session) -> None:
    make_store(session, rating=(9, 2), rating_sample=True)
    session.commit()
    assert [one["sample"] for one in planner_api.get("/v1/heat/supply", bbox=BOX).get_json()["items"]] == [True]


def test_a_districts_supply_is_that_of_its_stores_and_sums_to_them(planner_api: Api, session: Session) -> None:
    district = make_district(session, half_deg=0.005)
    inside = sum(abs(point.lon - HELSINKI.lon) <= 0.005 and abs(point.lat - HELSINKI.lat) <= 0.005 for point in scatter(session, 80))
    session.commit()
    sums = {
        resolution: sum(
            one["stores"] for one in planner_api.get("/v1/heat/supply", district=str(district.id), resolution=resolution).get_json()["items"]
        )
        for resolution in (6, 9, 11)
    }
    assert set(sums.values()) == {inside}
    assert 0 < inside < 80
    books = planner_api.get("/v1/heat/supply", district=str(district.id), category="shop").get_json()["items"]
    assert 0 < sum(one["stores"] for one in books) < inside


def test_supply_as_geojson_has_outlines(planner_api: Api, session: Session) -> None:
    scatter(session, 20)
    session.commit()
    response = planner_api.get("/v1/heat/supply", bbox=BOX, resolution=10, format="geojson")
    assert response.mimetype == "application/geo+json"
    body = response.get_json()
    assert body["type"] == "FeatureCollection"
    for one in body["features"]:
        hexagon = shape(one["geometry"])
        assert hexagon.is_valid
        assert hexagon.exterior.is_ccw
        assert hexagon.contains(shape({"type": "Point", "coordinates": [one["properties"]["lng"], one["properties"]["lat"]]}))


def test_a_box_across_the_date_line_counts_both_sides(planner_api: Api, session: Session) -> None:
    make_store(session, at=Point(179.99, -17), time_zone="UTC")
    make_store(session, at=Point(-179.99, -17), time_zone="UTC")
    make_store(session, at=Point(179.0, -17), time_zone="UTC")
    session.commit()
    items = planner_api.get("/v1/heat/supply", bbox="179.9,-17.1,-179.9,-16.9", resolution=8).get_json()["items"]
    assert sum(one["stores"] for one in items) == 2


def test_an_outline_across_the_date_line_is_cut_in_two() -> None:
    cell = cell_of(Point(180, 10), 5)
    geometry = shape(outline(cell))
    assert geometry.geom_type == "MultiPolygon"
    west, _, east, _ = geometry.bounds
    assert (west, east) == (-180.0, 180.0)
    assert feature(CellSupply(cell, 1, 0, 0, 0, 0, 0, False), "wgs84")["properties"]["area_km2"] == pytest.approx(area_km2(cell))


@pytest.mark.parametrize(
    ("params", "field"),
    [
        ({}, "district"), ({"bbox": BOX, "district": "01a1fff2-6630-8112-9b5c-a9272055c5ec"}, "district"), ({"bbox": "24,60,25"}, "bbox"), ({"bbox": "24,61,25,60"}, "bbox"),
        ({"bbox": "nan,60,25,61"}, "bbox"), ({"bbox": "60,24,61,125"}, "bbox"), ({"bbox": BOX, "resolution": 5}, "resolution"), ({"bbox": BOX, "resolution": 12}, "resolution"),
        ({"bbox": BOX, "category": "x"}, "category"), ({"bbox": BOX, "format": "xml"}, "format"), ({"bbox": "-180,-90,180,90"}, "bbox"),
    ],
)  # fmt: skip
def test_supply_refuses_nonsense_by_name(planner_api: Api, params: dict[str, Any], field: str) -> None:
    response = planner_api.get("/v1/heat/supply", **params)
    assert response.status_code == 422, response.text
    assert response.get_json()["errors"][0]["field"] == field


def test_supply_of_a_district_that_is_not_there(planner_api: Api) -> None:
    problem_of(planner_api.get("/v1/heat/supply", district="01a1fff2-6630-8112-9b5c-a9272055c5ec"), 404, "not_found")


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
