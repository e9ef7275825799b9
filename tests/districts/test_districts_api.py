from __future__ import annotations

import math
import random
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from shapely.geometry import MultiPolygon, box
from sqlalchemy.orm import Session

from geo_o2o.districts.cover import cover_of
from geo_o2o.districts.hierarchy import relate
from geo_o2o.districts.schemas import CoverCell
from geo_o2o.geo.cells import area_km2
from geo_o2o.geo.distance import area_m2
from geo_o2o.geo.point import Point
from geo_o2o.http import utcnow
from geo_o2o.stores.queries import districts_of
from geo_o2o.stores.service import turn_districts

from ..conftest import Api
from ..factories import make_district, make_store
from ..test_http import problem_of

AREA = {"type": "Polygon", "coordinates": [[[24.93, 60.16], [24.95, 60.16], [24.95, 60.18], [24.93, 60.18], [24.93, 60.16]]]}


def test_a_district_is_added_read_changed_and_removed(admin_api: Api) -> None:
    added = admin_api.post("/v1/districts", {"name": "Kamppi", "names": {"sv": "Kampen"}, "area": AREA}, Idempotency_Key="k")
    body = added.get_json()
    assert added.status_code == 201
    assert body["area"]["type"] == "MultiPolygon"
    assert body["area_m2"] == pytest.approx(1_108_000 * 2.231, rel=0.01)
    assert (
        admin_api.post("/v1/districts", {"name": "Kamppi", "names": {"sv": "Kampen"}, "area": AREA}, Idempotency_Key="k").get_json()["id"]
        == body["id"]
    )

    read = admin_api.get(f"/v1/districts/{body['id']}")
    assert read.headers["ETag"] == '"v1"'
    assert admin_api("GET", f"/v1/districts/{body['id']}", headers={"If-None-Match": '"v1"'}).status_code == 304

    problem_of(admin_api.patch(f"/v1/districts/{body['id']}", {"name": "x"}, version=2), 412, "precondition_failed")
    assert admin_api.patch(f"/v1/districts/{body['id']}", {"name": "Kampinkeskus"}, version=1).get_json()["name"] == "Kampinkeskus"
    problem_of(admin_api("DELETE", f"/v1/districts/{body['id']}"), 428, "precondition_required")
    assert admin_api.delete(f"/v1/districts/{body['id']}", version=2).status_code == 204
    problem_of(admin_api.get(f"/v1/districts/{body['id']}"), 410, "gone")


@pytest.mark.parametrize(
    ("area", "code"),
    [
        ({"type": "Polygon", "coordinates": [[[0, 0], [1, 1], [1, 0], [0, 1], [0, 0]]]}, "area_invalid"),
        ({"type": "Polygon", "coordinates": [[[0, 0], [1, 0], [0, 0]]]}, "ring_not_closed"),
        ({"type": "Polygon", "coordinates": [[[179, 0], [-179, 0], [-179, 1], [179, 1], [179, 0]]]}, "area_crosses_date_line"),
        ({"type": "Polygon", "coordinates": [[[-180, 70], [180, 70], [180, 80], [-180, 80], [-180, 70]]]}, "area_crosses_date_line"),
        ({"type": "Polygon", "coordinates": [[[0, 0], [100, 0], [100, 80], [0, 80], [0, 0]]]}, "too large"),
        ({"type": "Point", "coordinates": [0, 0]}, "not_an_area"),
        ("POLYGON((0 0, 1 0, 1 1, 0 0))", "not_an_area"),
    ],
)  # fmt: skip
def test_a_broken_area_is_refused_with_the_reason(admin_api: Api, area: Any, code: str) -> None:
    body = problem_of(admin_api.post("/v1/districts", {"name": "x", "area": area}), 422, "invalid_input")
    assert body["errors"][0]["field"] == "area"
    assert code in body["errors"][0]["message"]


def test_districts_are_found_by_point_box_and_layer(app_api: Api, session: Session) -> None:
    make_district(session, name="B")
    make_district(session, name="A", layer="administrative")
    session.commit()

    def names(**params: Any) -> list[str]:
        return [one["name"] for one in app_api.get("/v1/districts", **params).get_json()["items"]]

    assert names() == ["A", "B"]
    assert names(layer="business") == ["B"]
    assert names(contains="24.9414,60.169") == ["A", "B"]
    assert names(contains="25.9,60.169") == []
    assert names(bbox="24.9,60.1,25,60.2") == ["A", "B"]
    assert names(bbox="179,60,-179,61") == []
    first = app_api.get("/v1/districts", limit=1).get_json()
    assert [one["name"] for one in app_api.get("/v1/districts", limit=1, cursor=first["next"]).get_json()["items"]] == ["B"]


@pytest.mark.parametrize(
    "params",
    [
        {"contains": "60.169"},
        {"contains": "24.9,91"},
        {"contains": "nan,1"},
        {"bbox": "1,2,3"},
        {"bbox": "1,5,3,4"},
        {"bbox": "a,b,c,d"},
        {"layer": "x y"},
    ],
)
def test_nonsense_is_refused_by_name(app_api: Api, params: dict[str, str]) -> None:
    body = problem_of(app_api.get("/v1/districts", **params), 422, "invalid_input")
    assert body["errors"][0]["field"] == next(iter(params))


def square(west: float, south: float, east: float, north: float) -> dict[str, Any]:
    return {"type": "Polygon", "coordinates": [[[west, south], [east, south], [east, north], [west, north], [west, south]]]}


def post(api: Api, name: str, area: dict[str, Any], **fields: Any) -> Any:
    return api.post("/v1/districts", {"name": name, "area": area, **fields})


# --- layers and hierarchy ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("share", "other_share", "relation"),
    [(0.0, 0.0, "apart"), (0.05, 0.01, "apart"), (1.0, 0.2, "inside"), (0.96, 0.9, "inside"), (0.2, 1.0, "around"), (0.5, 0.5, "overlap"),
     (1.0, 1.0, "overlap"), (0.06, 0.01, "overlap"), (0.94, 0.2, "overlap")],
)  # fmt: skip
def test_districts_lie_apart_or_inside_each_other(share: float, other_share: float, relation: str) -> None:
    assert relate(share=share, other_share=other_share) == relation


def test_a_district_that_crosses_another_of_its_layer_is_refused_and_named(admin_api: Api) -> None:
    assert post(admin_api, "One", square(24.90, 60.10, 24.92, 60.12)).status_code == 201
    crossing = square(24.91, 60.10, 24.93, 60.12)
    body = problem_of(post(admin_api, "Two", crossing), 409, "district_overlaps")
    assert "One" in body["errors"][0]["message"]
    assert "50%" in body["errors"][0]["message"]
    assert post(admin_api, "Two", crossing, layer="catchment").status_code == 201
    # A sliver, as maps drawn by hand have them, is not the end of the world.
    beside = post(admin_api, "Three", square(24.9195, 60.10, 24.94, 60.12)).get_json()
    problem_of(admin_api.patch(f"/v1/districts/{beside['id']}", {"area": crossing}, version=1), 409, "district_overlaps")
    assert admin_api.get(f"/v1/districts/{beside['id']}").get_json()["version"] == 1
    problem_of(post(admin_api, "One again", square(24.90, 60.10, 24.92, 60.12)), 409, "district_overlaps")


def test_the_smallest_district_that_holds_another_is_its_parent(admin_api: Api, app_api: Api) -> None:
    def parent_of(district: dict[str, Any]) -> Any:
        return app_api.get(f"/v1/districts/{district['id']}").get_json()["parent_id"]

    small = post(admin_api, "Small", square(24.90, 60.10, 24.91, 60.11)).get_json()
    city = post(admin_api, "City", square(24.8, 60.0, 25.0, 60.2)).get_json()
    assert parent_of(small) == city["id"]
    middle = post(admin_api, "Middle", square(24.89, 60.09, 24.92, 60.12)).get_json()
    assert (parent_of(small), parent_of(middle), parent_of(city)) == (middle["id"], city["id"], None)
    assert [one["name"] for one in app_api.get("/v1/districts", parent=city["id"]).get_json()["items"]] == ["Middle"]
    assert admin_api.delete(f"/v1/districts/{middle['id']}", version=1).status_code == 204
    assert parent_of(small) == city["id"]
    assert admin_api.patch(f"/v1/districts/{city['id']}", {"layer": "administrative"}, version=1).status_code == 200
    assert parent_of(small) is None


def test_sums_of_parts_equal_the_whole(admin_api: Api, session: Session) -> None:
    """Every store has one place per layer: those of the parts and those of the whole alone are all of the whole."""
    chance = random.Random(3)
    points = [Point(chance.uniform(24.9, 25.0), chance.uniform(60.1, 60.2)) for _ in range(60)]
    for point in points:
        make_store(session, at=point)
    session.commit()
    whole = post(admin_api, "Whole", square(24.9, 60.1, 25.0, 60.2)).get_json()
    parts = [post(admin_api, f"Part {number}", square(24.9 + number / 40, 60.1, 24.92 + number / 40, 60.2)).get_json() for number in range(4)]
    placed = session.execute(sa.text("/* test */ SELECT district_id::text, count(*) FROM store_districts GROUP BY 1")).all()
    counts: dict[str, int] = {row[0]: row[1] for row in placed}
    inside = [sum(24.9 + number / 40 <= point.lon <= 24.92 + number / 40 for point in points) for number in range(4)]
    assert [counts.get(part["id"], 0) for part in parts] == inside
    assert counts[whole["id"]] == 60 - sum(inside)


# --- in time -----------------------------------------------------------------------------------------------------------------


def test_what_a_district_was_is_still_shown_as_of_then(admin_api: Api, app_api: Api) -> None:
    made = post(admin_api, "Old", square(24.90, 60.10, 24.92, 60.12), valid_from="2025-01-01T00:00:00Z").get_json()
    path = f"/v1/districts/{made['id']}"
    moved = {"name": "New", "area": square(24.92, 60.10, 24.94, 60.12), "valid_from": "2026-01-01T00:00:00Z"}
    assert admin_api.patch(path, moved, version=1).status_code == 200

    def at(moment: str) -> Any:
        return app_api.get(path, as_of=moment)

    assert at("2025-06-01T00:00:00Z").get_json()["name"] == "Old"
    assert at("2025-06-01T00:00:00Z").get_json()["valid_to"] == "2026-01-01T00:00:00Z"
    assert at("2026-06-01T00:00:00Z").get_json()["name"] == "New"
    problem_of(at("2024-06-01T00:00:00Z"), 404, "not_found")
    old = app_api.get("/v1/districts", contains="24.91,60.11", as_of="2025-12-31T23:59:59Z").get_json()["items"]
    assert [one["name"] for one in old] == ["Old"]
    assert app_api.get("/v1/districts", contains="24.91,60.11").get_json()["items"] == []
    assert admin_api.delete(path, version=2).status_code == 204
    problem_of(app_api.get(path), 410, "gone")
    assert app_api.get("/v1/districts").get_json()["items"] == []
    assert at("2026-06-01T00:00:00Z").get_json()["name"] == "New"
    # Where it was there is room again.
    assert post(admin_api, "Next", square(24.92, 60.10, 24.94, 60.12)).status_code == 201


def test_a_district_begins_and_ends_by_itself(admin_api: Api, session: Session) -> None:
    store = make_store(session, at=Point(24.91, 60.11))
    session.commit()
    soon, later = utcnow() + timedelta(days=1), utcnow() + timedelta(days=2)
    post(admin_api, "Market", square(24.90, 60.10, 24.92, 60.12), valid_from=soon.isoformat(), valid_to=later.isoformat())
    # Another one may stand there before it.
    assert post(admin_api, "Works", square(24.90, 60.10, 24.93, 60.12), valid_to=soon.isoformat()).status_code == 201

    def districts() -> list[str]:
        return [name for _, _, name in districts_of(session, [store.id]).get(store.id, [])]

    assert districts() == ["Works"]
    for moment, expected in ((soon, ["Market"]), (later, [])):
        while turn_districts(session, now=moment):
            session.flush()
        assert districts() == expected


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"valid_from": "2026-01-02T00:00:00Z", "valid_to": "2026-01-01T00:00:00Z"}, "valid_to"),
        ({"valid_from": "yesterday"}, "valid_from"),
        ({"valid_to": 5}, "valid_to"),
    ],
)
def test_times_that_cannot_be_are_refused(admin_api: Api, fields: dict[str, Any], field: str) -> None:
    assert problem_of(post(admin_api, "x", AREA, **fields), 422, "invalid_input")["errors"][0]["field"] == field


def test_a_change_can_neither_come_before_the_last_one_nor_later_than_now(admin_api: Api) -> None:
    made = post(admin_api, "x", AREA, valid_from="2026-01-01T00:00:00Z").get_json()
    for moment in ("2025-12-31T00:00:00Z", "2999-01-01T00:00:00Z"):
        body = problem_of(admin_api.patch(f"/v1/districts/{made['id']}", {"name": "y", "valid_from": moment}, version=1), 422, "invalid_input")
        assert body["errors"][0]["field"] == "valid_from"


# --- cells -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "area",
    [box(24.93, 60.16, 24.95, 60.18), Point(24.94, 60.17), box(179.9, 10.0, 180.0, 10.1).union(box(-180.0, 10.0, -179.9, 10.1)),
     box(24.93, 60.16, 24.95, 60.18).difference(box(24.938, 60.165, 24.942, 60.172))],
    ids=["box", "tiny", "date line", "hole"],
)  # fmt: skip
@pytest.mark.parametrize("resolution", [8, 9, 10])
def test_the_cover_holds_exactly_the_area(area: Any, resolution: int) -> None:
    if isinstance(area, Point):
        area = box(area.lon, area.lat, area.lon + 1e-5, area.lat + 1e-5)
    area = area if isinstance(area, MultiPolygon) else MultiPolygon([area])
    shares = cover_of(area, resolution)
    assert all(0.0 < share <= 1.0 for share in shares.values())
    assert sum(share * area_km2(cell) for cell, share in shares.items()) == pytest.approx(area_m2(area) / 1e6, rel=0.006)


def test_a_district_tells_its_cells(admin_api: Api) -> None:
    made = post(admin_api, "x", AREA).get_json()
    body = admin_api.get(f"/v1/districts/{made['id']}/cells", resolution=9).get_json()
    assert set(body["items"][0]) == set(CoverCell().fields)
    assert {one["share"] == 1.0 for one in body["items"]} == {True, False}
    huge = post(admin_api, "y", square(10, 50, 20, 60), layer="administrative").get_json()
    problem_of(admin_api.get(f"/v1/districts/{huge['id']}/cells", resolution=11), 422, "too_many_cells")


def test_too_many_vertices_are_refused(admin_api: Api) -> None:
    ring = [[24.9 + 0.01 * math.cos(number / 31_830), 60.1 + 0.01 * math.sin(number / 31_830)] for number in range(200_000)]
    response = post(admin_api, "x", {"type": "Polygon", "coordinates": [[[round(x, 4), round(y, 4)] for x, y in ring] + [ring[0]]]})
    assert response.status_code in (413, 422)
    ring = ring[::8]
    body = problem_of(post(admin_api, "x", {"type": "Polygon", "coordinates": [[*ring, ring[0]]]}), 422, "invalid_input")
    assert "too_many_vertices" in body["errors"][0]["message"]
