"""What an attacker found once, so that it is not found again."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from geo_o2o.app import create_app
from geo_o2o.auth import service as auth
from geo_o2o.config import Settings
from geo_o2o.db import Database
from geo_o2o.geo.cells import cell_of
from geo_o2o.geo.point import Point
from geo_o2o.stores.hours import expand, hours_of

from .conftest import NOW, Api
from .factories import HELSINKI, make_offer, make_store, north_of
from .stores.test_stores_api import CAFE
from .test_http import problem_of

HERE = {"lat": 60.169, "lng": 24.9414}
SQUARE = [[24.94, 60.16], [24.95, 60.16], [24.95, 60.17], [24.94, 60.17], [24.94, 60.16]]


def send(api: Api, path: str, text: str, **headers: str) -> Any:
    return api("POST", path, data=text, content_type="application/json", headers={name.replace("_", "-"): value for name, value in headers.items()})


@pytest.mark.parametrize("value", ["--5", "-", "1_0", "+5", " 5", "٥", "0x10", "5\n"])
@pytest.mark.parametrize("name", ["limit", "price_max"])
def test_what_is_almost_a_whole_number(app_api: Api, name: str, value: str) -> None:
    problem_of(app_api.get("/v1/stores/nearby", **HERE, **{name: value}), 422, "invalid_input")


@pytest.mark.parametrize("value", ["1_0", "٦٠", "0x10", "1e", "--5", "1e99999"])
def test_what_is_almost_a_number(app_api: Api, value: str) -> None:
    problem_of(app_api.get("/v1/stores/nearby", lat=60, lng=24, radius_m=value), 422, "invalid_input")
    problem_of(app_api.get("/v1/districts", contains=f"{value},1"), 422, "invalid_input")


@pytest.mark.parametrize("value", [[], {}, 5, None, "Factory", "localtime", "../etc/passwd"])
def test_a_time_zone_that_is_none(store_api: Api, value: Any) -> None:
    body = problem_of(store_api.post("/v1/stores", {**CAFE, "time_zone": value}), 422, "invalid_input")
    assert body["errors"][0]["field"] == "time_zone"


@pytest.mark.parametrize("website", ["http://a.com/\x00", "http://a.com/\ud800", "ftp://a.com", "javascript:alert(1)", "http://" + "a" * 600])
def test_a_website_that_is_none(store_api: Api, website: str) -> None:
    body = problem_of(send(store_api, "/v1/stores", json.dumps({**CAFE, "website": website})), 422, "invalid_input")
    assert body["errors"][0]["field"] == "website"


@pytest.mark.parametrize("text", ['{"\\ud800": 1}', '{"names": {"\\ud800": "x"}}', '{"address": {"\\ud800": 1}}'])
def test_half_a_character_as_a_name(store_api: Api, text: str) -> None:
    problem_of(send(store_api, "/v1/stores", text), 400, "malformed")


def test_a_profile_with_a_nul(app_api: Api) -> None:
    problem_of(app_api("GET", "/v1/stores/nearby?lat=60&lng=24&profile=%00"), 422, "invalid_input")


def test_a_trailing_newline_is_part_of_the_text(store_api: Api, admin_api: Api) -> None:
    shop = store_api.post("/v1/stores", CAFE).get_json()["id"]
    problem_of(store_api.post("/v1/offers", {"title": "x", "price_minor": 1, "currency": "EUR\n", "store_ids": [shop]}), 422, "invalid_input")
    problem_of(
        admin_api.post("/v1/districts", {"name": "x", "layer": "x\n", "area": {"type": "Polygon", "coordinates": [SQUARE]}}), 422, "invalid_input"
    )
    problem_of(store_api.post("/v1/stores", {**CAFE, "names": {"en\n": "x"}}), 422, "invalid_input")


def test_a_merchant_that_is_not_there(admin_api: Api) -> None:
    wrong = {**CAFE, "merchant_id": "01a1fff2-6630-8112-9b5c-a9272055c5ec"}
    body = problem_of(admin_api.post("/v1/stores", wrong), 422, "invalid_input")
    assert body["errors"][0]["field"] == "merchant_id"
    id_ = admin_api.post("/v1/stores", CAFE).get_json()["id"]
    problem_of(admin_api.patch(f"/v1/stores/{id_}", {"merchant_id": wrong["merchant_id"]}, version=1), 422, "invalid_input")


def test_half_a_million_fixes_are_counted_and_not_read(app_api: Api) -> None:
    body = send(app_api, "/v1/check-ins", '{"claim":"x","evidence_salt":"x","evidence":{"fixes":[' + "{}," * 500_000 + "{}]}}", Idempotency_Key="a")
    assert "expected 1 to 5 elements, found 500001" in problem_of(body, 422, "invalid_input")["detail"]
    assert len(body.data) < 5_000
    many = send(app_api, "/v1/check-ins", json.dumps({f"x{number}": 1 for number in range(50_000)}), Idempotency_Key="a")
    assert len(problem_of(many, 422, "invalid_input")["errors"]) == 20


def test_a_chunked_body_over_the_limit_is_not_cut_in_silence(settings: Settings, database: Any, app_api: Api) -> None:
    response = app_api(
        "POST", "/v1/check-ins", data=b" " * 3_000_000, content_type="application/json", headers={"Idempotency-Key": "a"},
        environ_overrides={"CONTENT_LENGTH": "", "wsgi.input_terminated": True},
    )  # fmt: skip
    problem_of(response, 413, "body_too_large")


@pytest.mark.parametrize(
    "ring",
    [
        [[24.0, 60.0], [24.00000000000001, 60.0], [24.00000000000001, 60.00000000000001], [24.0, 60.00000000000001], [24.0, 60.0]],
        [[-90, 0], [90, 0], [90, 1e-7], [-90, 1e-7], [-90, 0]],
        [[*position, 10**400] for position in SQUARE],
        [[*position, float("nan")] for position in SQUARE],
    ],
    ids=["a hair", "a thread", "higher than anything", "no height"],
)
def test_an_area_that_is_none(admin_api: Api, ring: Any) -> None:
    text = json.dumps({"name": "x", "area": {"type": "Polygon", "coordinates": [ring]}})
    body = problem_of(send(admin_api, "/v1/districts", text), 422, "invalid_input")
    assert body["errors"][0]["field"] == "area"


@pytest.mark.parametrize("bbox", ["0,90,0,90", "0,-90,0,-90", "-180,89.9999999,180,90", "-180,-90,180,-89.95"])
def test_a_heat_map_of_a_pole(planner_api: Api, session: Session, bbox: str) -> None:
    make_store(session, at=Point(0, -90), time_zone="UTC")
    make_store(session, at=Point(10, 90), time_zone="UTC")
    session.commit()
    for resolution in (6, 11):
        response = planner_api.get("/v1/heat/supply", bbox=bbox, resolution=resolution, format="geojson")
        assert response.status_code == 200, response.text


def test_the_cell_of_a_pole_is_drawn_up_to_the_pole() -> None:
    from shapely.geometry import shape

    from geo_o2o.maps.outlines import outline

    for lat in (90, -90):
        cap = shape(outline(cell_of(Point(0, lat), 6)))
        assert cap.is_valid
        assert lat in (cap.bounds[1], cap.bounds[3])


@pytest.mark.parametrize(("at", "ask"), [(180.0, -180.0), (-180.0, 180.0), (179.9999999, -180.0), (-179.9999999, 180.0), (180.0, 179.9999999)])
def test_nearby_a_hair_across_the_date_line(app_api: Api, session: Session, at: float, ask: float) -> None:
    for number in range(5):
        make_store(session, at=Point(at, -20 + number / 1e7), time_zone="UTC")
        make_store(session, at=Point(-at, -20 - number / 1e7), time_zone="UTC")
    session.commit()
    response = app_api.get("/v1/stores/nearby", lat=-20, lng=ask)
    assert response.status_code == 200, response.text
    assert len(response.get_json()["items"]) == 10


def test_a_list_given_twice_is_refused_and_not_halved(app_api: Api) -> None:
    body = problem_of(app_api("GET", "/v1/stores/nearby?lat=60&lng=24&category=food&category=shop"), 422, "invalid_input")
    assert body["errors"][0]["field"] == "category"


def test_a_currency_alone_filters_stores_too(app_api: Api, session: Session) -> None:
    make_offer(session, make_store(session))
    session.commit()
    assert app_api.get("/v1/stores/nearby", **HERE, currency="JPY").get_json()["items"] == []
    assert len(app_api.get("/v1/stores/nearby", **HERE, currency="EUR").get_json()["items"]) == 1


def test_a_footprint_lies_at_the_store(store_api: Api) -> None:
    france = {"type": "Polygon", "coordinates": [[[2.0, 48.0], [2.001, 48.0], [2.001, 48.001], [2.0, 48.001], [2.0, 48.0]]]}
    continent = {"type": "Polygon", "coordinates": [[[-60, 0], [80, 0], [80, 80], [-60, 80], [-60, 0]]]}
    own = {"type": "Polygon", "coordinates": [[[24.941, 60.1689], [24.942, 60.1689], [24.942, 60.1692], [24.941, 60.1692], [24.941, 60.1689]]]}
    for footprint in (france, continent):
        body = problem_of(store_api.post("/v1/stores", {**CAFE, "footprint": footprint}), 422, "invalid_input")
        assert body["errors"][0]["field"] == "footprint"
    id_ = store_api.post("/v1/stores", {**CAFE, "footprint": own}).get_json()["id"]
    problem_of(store_api.patch(f"/v1/stores/{id_}", {"lat": 61.5, "lng": 23.7}, version=1), 422, "invalid_input")
    assert store_api.patch(f"/v1/stores/{id_}", {"lat": 61.5, "lng": 23.7, "footprint": None}, version=1).status_code == 200


def test_a_zone_that_somebody_named_stays_when_the_door_is_moved(store_api: Api) -> None:
    id_ = store_api.post("/v1/stores", {**CAFE, "time_zone": "Asia/Tokyo"}).get_json()["id"]
    body = store_api.patch(f"/v1/stores/{id_}", {"lat": 60.16901, "lng": 24.9414}, version=1).get_json()
    assert body["time_zone"] == "Asia/Tokyo"
    assert store_api.patch(f"/v1/stores/{id_}", {"lat": 59.43, "lng": 24.75}, version=2).get_json()["time_zone"] == "Europe/Tallinn"


def test_hours_that_are_only_a_comment_are_not_open() -> None:
    for text in ('"by appointment"', 'Mo-Su "by appointment"', 'Mo-Su 10:00-17:00 "ring the bell"'):
        hours = hours_of(text, time_zone="Europe/Helsinki", country="FI", at=HELSINKI)
        assert expand(hours, start=NOW, until=NOW.replace(day=28)) == []
    hours = hours_of('Mo-Su 10:00-17:00 open "ring the bell"', time_zone="Europe/Helsinki", country="FI", at=HELSINKI)
    assert len(expand(hours, start=NOW, until=NOW.replace(day=28))) == 8


def test_a_long_name_in_a_cursor_comes_back(admin_api: Api) -> None:
    for number in range(3):
        assert (
            admin_api.post(
                "/v1/districts", {"name": "漢" * 298 + str(number), "layer": f"layer{number}", "area": {"type": "Polygon", "coordinates": [SQUARE]}}
            ).status_code
            == 201
        )
    first = admin_api.get("/v1/districts", limit=1).get_json()
    assert admin_api.get("/v1/districts", limit=1, cursor=first["next"]).status_code == 200


def test_a_replayed_creation_finds_its_store_where_it_is_now(store_api: Api) -> None:
    first = store_api.post("/v1/stores", CAFE, Idempotency_Key="once").get_json()
    moved = store_api.patch(f"/v1/stores/{first['id']}", {"lat": 61.5, "lng": 23.7}, version=1).get_json()
    again = store_api.post("/v1/stores", CAFE, Idempotency_Key="once")
    assert (again.status_code, again.get_json()["id"]) == (201, moved["id"])


def test_a_precondition_on_a_get_is_no_reason_to_refuse(admin_api: Api) -> None:
    id_ = admin_api.post("/v1/stores", CAFE).get_json()["id"]
    assert admin_api("GET", f"/v1/stores/{id_}", headers={"If-Match": '"zz"'}).status_code == 200


def test_two_slashes_are_another_address(client: Any) -> None:
    response = client.get("/v1//stores", headers={"Host": "evil.example"})
    problem_of(response, 404, "no_such_route")


def test_one_new_merchant_asked_for_ten_times_at_once_is_one(settings: Settings) -> None:
    database = Database(settings)
    with database.write() as session:
        _, key = auth.create_key(session, role="admin", name="", merchant=None, now=NOW)
    app = create_app(settings, database=database)
    statuses: list[int] = []

    def ask() -> None:
        statuses.append(Api(app.test_client(), key).post("/v1/merchants", {"name": "Concurrent"}).status_code)

    threads = [threading.Thread(target=ask) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with database.write() as session:
        assert session.scalar(sa.text("SELECT count(*) FROM merchants WHERE name = 'Concurrent'")) == 1
        session.execute(sa.text("DELETE FROM merchants"))
        session.execute(sa.text("DELETE FROM api_keys"))
    database.close()
    assert statuses == [201] * 10


@pytest.mark.parametrize("field", ["name", "names", "category", "tags", "address", "status", "time_zone", "lat"])
def test_null_for_what_cannot_be_absent(store_api: Api, field: str) -> None:
    id_ = store_api.post("/v1/stores", CAFE).get_json()["id"]
    body = problem_of(store_api.patch(f"/v1/stores/{id_}", {field: None}, version=1), 422, "invalid_input")
    assert field in {one["field"].split(".")[0] for one in body["errors"]}


def test_one_of_two_changes_of_one_version_wins(settings: Settings) -> None:
    database = Database(settings)
    with database.write() as session:
        _, key = auth.create_key(session, role="admin", name="", merchant=None, now=NOW)
    app = create_app(settings, database=database)
    id_ = Api(app.test_client(), key).post("/v1/stores", CAFE).get_json()["id"]
    statuses: list[int] = []
    threads = [
        threading.Thread(
            target=lambda number=number: statuses.append(
                Api(app.test_client(), key).patch(f"/v1/stores/{id_}", {"name": f"n{number}"}, 1).status_code
            )
        )
        for number in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with database.write() as session:
        session.execute(sa.text("DELETE FROM stores"))
        session.execute(sa.text("DELETE FROM api_keys"))
        session.execute(sa.text("DELETE FROM opening_hours"))
    database.close()
    assert sorted(statuses) == [200, 412, 412, 412, 412, 412]


def test_a_neighbour_of_many_stores_at_one_point(app_api: Api, session: Session) -> None:
    for number in range(70):
        make_store(session, name=f"{number:02}", category="shop" if number < 69 else "food")
    make_store(session, name="far", category="food", at=north_of(HELSINKI, 1_900))
    session.commit()
    hits = app_api.get("/v1/stores/nearby", **HERE, category="food").get_json()["items"]
    assert [hit["name"] for hit in hits] == ["69", "far"]
