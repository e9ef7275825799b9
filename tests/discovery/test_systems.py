"""`crs` in and out on every route: what is said in one system comes back in it, and finds what lies there."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from shapely.geometry import box
from sqlalchemy.orm import Session

from geo_o2o.geo.bounds import Bounds
from geo_o2o.geo.crs import Crs, from_wgs84, to_wgs84
from geo_o2o.geo.point import Point
from geo_o2o.geo.shapes import area_of, read_area, read_bounds, written_area

from ..conftest import Api
from ..factories import make_store

BEIJING = Point(116.397, 39.908)
SYSTEMS: list[Crs] = ["wgs84", "gcj02", "bd09"]


def square(west: float, south: float, size: float) -> dict[str, Any]:
    corners = [[west, south], [west + size, south], [west + size, south + size], [west, south + size], [west, south]]
    return {"type": "Polygon", "coordinates": [corners]}


@pytest.mark.parametrize("crs", SYSTEMS)
def test_a_store_is_answered_as_it_was_sent(admin_api: Api, crs: Crs) -> None:
    at = from_wgs84(BEIJING, crs)
    area, fence = square(at.lon - 0.005, at.lat - 0.005, 0.01), square(at.lon - 0.0005, at.lat - 0.0005, 0.001)
    body = {"name": "Teahouse", "category": "food.cafe", "lat": at.lat, "lng": at.lon, "crs": crs, "service_area": area, "footprint": fence}
    made = admin_api.post("/v1/stores", body)
    assert made.status_code == 201, made.text
    found = made.get_json()
    assert (found["lat"], found["lng"]) == pytest.approx((at.lat, at.lon), abs=2e-7)
    for name, sent in (("service_area", area), ("footprint", fence)):
        corners = np.array([corner for polygon in found[name]["coordinates"] for corner in polygon[0]])
        for corner in sent["coordinates"][0]:
            assert np.abs(corners - corner).max(axis=1).min() < 3e-7
    for inside in (-0.0049, 0.0, 0.0049):
        asked = {"lat": at.lat, "lng": at.lon + inside, "crs": crs, "serves": "true"}
        assert len(admin_api.get("/v1/stores/nearby", **asked).get_json()["items"]) == 1
    for outside in (-0.0051, 0.0051):
        asked = {"lat": at.lat, "lng": at.lon + outside, "crs": crs, "serves": "true"}
        assert admin_api.get("/v1/stores/nearby", **asked).get_json()["items"] == []
    changed = admin_api.patch(f"/v1/stores/{found['id']}", {"lat": at.lat + 0.001, "lng": at.lon, "crs": crs}, version=1)
    assert changed.get_json()["lat"] == pytest.approx(at.lat + 0.001, abs=2e-7)


@pytest.mark.parametrize("crs", SYSTEMS)
def test_a_district_is_answered_as_it_was_sent(admin_api: Api, crs: Crs) -> None:
    at = from_wgs84(BEIJING, crs)
    sent = {"name": "Old town", "area": square(at.lon, at.lat, 0.02), "crs": crs}
    made = admin_api.post("/v1/districts", sent)
    assert made.status_code == 201, made.text
    assert made.get_json()["bbox"] == pytest.approx([at.lon, at.lat, at.lon + 0.02, at.lat + 0.02], abs=3e-7)
    path = f"/v1/districts/{made.get_json()['id']}"
    shown = admin_api.get(path, crs=crs).get_json()
    assert shown["area"] == made.get_json()["area"]
    assert admin_api.get(path).get_json()["bbox"] == pytest.approx([BEIJING.lon, BEIJING.lat, BEIJING.lon + 0.02, BEIJING.lat + 0.02], abs=4e-4)
    for aside, expected in ((0.0001, 1), (-0.0001, 0)):
        found = admin_api.get("/v1/districts", contains=f"{at.lon + aside},{at.lat + 0.01}", crs=crs).get_json()["items"]
        assert len(found) == expected
    box_ = f"{at.lon},{at.lat},{at.lon + 0.02},{at.lat + 0.02}"
    assert admin_api.get("/v1/districts", bbox=box_, crs=crs).get_json()["items"][0]["bbox"] == made.get_json()["bbox"]
    moved = admin_api.patch(path, {"area": square(at.lon, at.lat, 0.01), "crs": crs}, version=1).get_json()
    assert moved["bbox"][2] == pytest.approx(at.lon + 0.01, abs=3e-7)


@pytest.mark.parametrize("crs", SYSTEMS)
def test_heat_lies_where_the_stores_are(admin_api: Api, planner_api: Api, session: Session, crs: Crs) -> None:
    make_store(session, at=BEIJING)
    session.commit()
    at = from_wgs84(BEIJING, crs)
    asked = {"bbox": f"{at.lon - 0.002},{at.lat - 0.002},{at.lon + 0.002},{at.lat + 0.002}", "crs": crs, "resolution": 11}
    columns = planner_api.get("/v1/heat/supply", **asked).get_json()["columns"]
    cell = {name: values[0] for name, values in columns.items()}
    assert (cell["lat"], cell["lng"]) == pytest.approx((at.lat, at.lon), abs=6e-4)
    (feature,) = planner_api.get("/v1/heat/supply", **asked, format="geojson").get_json()["features"]
    corners = np.array(
        feature["geometry"]["coordinates"][0][0] if feature["geometry"]["type"] == "MultiPolygon" else feature["geometry"]["coordinates"][0]
    )
    assert np.abs(corners - [at.lon, at.lat]).max() < 1e-3


@pytest.mark.parametrize("crs", SYSTEMS)
def test_a_box_holds_what_lies_in_it_to_the_edge(app_api: Api, session: Session, crs: Crs) -> None:
    """Its edges are straight where they were drawn: stores a metre inside and a metre outside, along all of them."""
    west, south, size, metre = 116.1, 39.6, 0.6, 1.2e-5
    inside, outside = set(), set()
    for share in (0.01, 0.25, 0.5, 0.75, 0.99):
        for x, y, dx, dy in ((share, 0, 0, -1), (share, 1, 0, 1), (0, share, -1, 0), (1, share, 1, 0)):
            for sign, kept in ((-1, inside), (1, outside)):
                place = Point(west + x * size + sign * dx * metre, south + y * size + sign * dy * metre)
                kept.add(str(make_store(session, at=to_wgs84(place, crs)).id))
    session.commit()
    asked = {"bbox": f"{west},{south},{west + size},{south + size}", "crs": crs, "limit": 100}
    assert {hit["id"] for hit in app_api.get("/v1/stores/nearby", **asked).get_json()["items"]} == inside
    assert sum(one["count"] for one in app_api.get("/v1/clusters", bbox=asked["bbox"], crs=crs).get_json()["items"]) == len(inside)


def test_an_area_comes_back_as_it_was() -> None:
    area = area_of(Bounds(116.0, 39.5, 116.7, 40.1))
    for crs in SYSTEMS:
        there = written_area(read_area(area, crs), crs)
        assert there.symmetric_difference(area).area < 1e-6  # two centimetres along the edges
        assert Bounds(*read_area(area, crs).bounds) == read_bounds(Bounds(116.0, 39.5, 116.7, 40.1), crs)
    assert read_area(area, "wgs84") is area
    assert box(0, 0, 1, 1).equals(read_area(area_of(Bounds(0, 0, 1, 1)), "gcj02"))
