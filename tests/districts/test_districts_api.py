from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy.orm import Session

from ..conftest import Api
from ..factories import make_district
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
    problem_of(admin_api.get(f"/v1/districts/{body['id']}"), 404, "not_found")


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
