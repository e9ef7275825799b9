from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from geo_o2o.geo.crs import from_wgs84
from geo_o2o.geo.point import Point
from geo_o2o.stores.models import StoreDistrict
from geo_o2o.stores.schemas import StoreResponse

from ..conftest import Api
from ..factories import HELSINKI, make_district, make_offer, make_store, north_of
from ..test_http import problem_of

CAFE: dict[str, Any] = {
    "name": "Kahvila", "names": {"fi": "Kahvila", "zh-Hans": "咖啡馆"}, "category": "food.cafe", "lat": 60.169, "lng": 24.9414,
    "opening_hours": "Mo-Fr 08:00-18:00", "address": {"street": "Aleksanterinkatu", "housenumber": "1"}, "tags": ["wheelchair:yes"],
}  # fmt: skip


def test_a_store_is_added_read_changed_and_removed(store_api: Api) -> None:
    added = store_api.post("/v1/stores", CAFE)
    assert added.status_code == 201
    body = added.get_json()
    assert added.headers["Location"] == f"/v1/stores/{body['id']}"
    assert added.headers["ETag"] == '"v1"'
    assert (body["time_zone"], body["country"], body["merchant_id"]) == ("Europe/Helsinki", "FI", str(store_api.merchant_id))

    read = store_api.get(f"/v1/stores/{body['id']}").get_json()
    assert {name: read[name] for name in ("name", "names", "lat", "lng", "address", "tags")} == {
        name: CAFE[name] for name in ("name", "names", "lat", "lng", "address", "tags")
    }

    changed = store_api.patch(f"/v1/stores/{body['id']}", {"name": "Uusi kahvila", "opening_hours": None}, version=1)
    assert changed.status_code == 200
    assert changed.headers["ETag"] == '"v2"'
    assert (changed.get_json()["name"], changed.get_json()["opening_hours"]) == ("Uusi kahvila", None)
    assert changed.get_json()["address"] == CAFE["address"]

    assert store_api.delete(f"/v1/stores/{body['id']}", version=2).status_code == 204
    problem_of(store_api.get(f"/v1/stores/{body['id']}"), 410, "gone")
    problem_of(store_api.patch(f"/v1/stores/{body['id']}", {"name": "x"}, version=3), 410, "gone")


def test_the_answer_has_the_shape_of_its_schema(store_api: Api) -> None:
    assert set(store_api.post("/v1/stores", CAFE).get_json()) == set(StoreResponse().fields)


def test_a_change_needs_the_present_version(store_api: Api) -> None:
    id_ = store_api.post("/v1/stores", CAFE).get_json()["id"]
    problem_of(store_api("PATCH", f"/v1/stores/{id_}", json={"name": "x"}), 428, "precondition_required")
    problem_of(store_api.patch(f"/v1/stores/{id_}", {"name": "x"}, version=7), 412, "precondition_failed")
    problem_of(store_api("PATCH", f"/v1/stores/{id_}", json={"name": "x"}, headers={"If-Match": "*"}), 412, "precondition_failed")
    problem_of(store_api("DELETE", f"/v1/stores/{id_}"), 428, "precondition_required")
    assert store_api.get(f"/v1/stores/{id_}").get_json()["name"] == "Kahvila"


def test_a_merchant_changes_only_its_own_stores(as_role: Any) -> None:
    mine, other = as_role("store", "Mine"), as_role("store", "Other")
    id_ = mine.post("/v1/stores", CAFE).get_json()["id"]
    problem_of(other.patch(f"/v1/stores/{id_}", {"name": "x"}, version=1), 403, "forbidden")
    problem_of(other.delete(f"/v1/stores/{id_}", version=1), 403, "forbidden")
    problem_of(mine.post("/v1/stores", {**CAFE, "merchant_id": str(other.merchant_id)}), 403, "forbidden")
    assert as_role("admin").patch(f"/v1/stores/{id_}", {"merchant_id": str(other.merchant_id)}, version=1).status_code == 200
    problem_of(mine.patch(f"/v1/stores/{id_}", {"name": "x"}, version=2), 403, "forbidden")


def test_the_same_request_twice_makes_one_store(store_api: Api) -> None:
    first = store_api.post("/v1/stores", CAFE, Idempotency_Key="once")
    again = store_api.post("/v1/stores", CAFE, Idempotency_Key="once")
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.get_json()["id"] == again.get_json()["id"]
    problem_of(store_api.post("/v1/stores", {**CAFE, "name": "Other"}, Idempotency_Key="once"), 422, "idempotency_key_reused")
    problem_of(store_api.post("/v1/stores", CAFE, Idempotency_Key="x" * 101), 422, "invalid_input")
    assert store_api.post("/v1/stores", CAFE).get_json()["id"] != first.get_json()["id"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("lat", 91), ("lat", "abc"), ("lat", None), ("lat", True), ("lng", 181), ("lng", -1e400), ("name", ""), ("name", "   "), ("name", "x" * 301),
        ("name", "a\u0000b"), ("name", 5), ("name", "\ud800"), ("category", "food.spaceship"), ("category", 3), ("opening_hours", "whenever"),
        ("time_zone", "Mars/Base"), ("price_band", 5), ("price_band", 1.5), ("website", "javascript:alert(1)"), ("fence_radius_m", 5), ("tags", ["x"] * 51),
        ("names", {"english": "x"}), ("names", {"en": ""}), ("address", {"planet": "x"}), ("merchant_id", "1"), ("status", "moved"), ("crs", "utm"),
        ("footprint", {"type": "Polygon", "coordinates": [[[0, 0], [1, 1], [0, 1], [1, 0], [0, 0]]]}), ("shoe_size", 43),
    ],
)  # fmt: skip
def test_a_bad_field_is_refused_by_its_name(store_api: Api, session: Session, field: str, value: Any) -> None:
    import json

    text = json.dumps({**CAFE, field: value})
    response = store_api("POST", "/v1/stores", data=text, content_type="application/json")
    body = problem_of(response, 422, "invalid_input")
    assert body["errors"][0]["field"].split(".")[0] == field
    assert session.scalar(sa.text("SELECT count(*) FROM stores")) == 0


@pytest.mark.parametrize("field", ["name", "category", "lat", "lng"])
def test_a_missing_field_is_named(store_api: Api, field: str) -> None:
    body = problem_of(store_api.post("/v1/stores", {name: value for name, value in CAFE.items() if name != field}), 422, "invalid_input")
    assert field in [one["field"] for one in body["errors"]]


def test_one_coordinate_alone_cannot_change(store_api: Api) -> None:
    id_ = store_api.post("/v1/stores", CAFE).get_json()["id"]
    problem_of(store_api.patch(f"/v1/stores/{id_}", {"lat": 60.2}, version=1), 422, "invalid_input")


def test_positions_are_sent_and_answered_in_the_callers_system(admin_api: Api) -> None:
    place = Point(116.397389, 39.908722)
    gcj = from_wgs84(place, "gcj02")
    id_ = admin_api.post("/v1/stores", {**CAFE, "lat": gcj.lat, "lng": gcj.lon, "crs": "gcj02"}).get_json()["id"]
    plain = admin_api.get(f"/v1/stores/{id_}").get_json()
    assert (plain["lat"], plain["lng"]) == (pytest.approx(place.lat, abs=1e-7), pytest.approx(place.lon, abs=1e-7))
    shifted = admin_api.get(f"/v1/stores/{id_}", crs="gcj02").get_json()
    assert (shifted["lat"], shifted["lng"]) == (pytest.approx(gcj.lat, abs=1e-7), pytest.approx(gcj.lon, abs=1e-7))


def test_a_store_that_moves_far_gets_a_new_id_and_the_old_one_points_to_it(store_api: Api, session: Session) -> None:
    old = store_api.post("/v1/stores", CAFE).get_json()["id"]
    near = store_api.patch(f"/v1/stores/{old}", {"lat": 60.17, "lng": 24.95}, version=1).get_json()
    assert near["id"] == old
    far = store_api.patch(f"/v1/stores/{old}", {"lat": 61.5, "lng": 23.76}, version=2)
    new = far.get_json()["id"]
    assert new != old
    assert far.headers["Location"] == f"/v1/stores/{new}"
    moved = store_api.get(f"/v1/stores/{old}")
    problem_of(moved, 308, "moved")
    assert moved.headers["Location"] == f"/v1/stores/{new}"
    assert store_api.get(f"/v1/stores/{new}").get_json()["name"] == "Kahvila"
    assert session.scalar(sa.text("SELECT count(*) FROM store_moves")) == 1


def test_a_store_knows_its_districts_per_layer(admin_api: Api, session: Session) -> None:
    make_district(session, name="Wide", half_deg=0.05)
    small = make_district(session, name="Small", half_deg=0.01)
    make_district(session, name="City", half_deg=0.05, layer="administrative")
    session.commit()
    body = admin_api.post("/v1/stores", CAFE).get_json()
    assert [(one["layer"], one["name"]) for one in body["districts"]] == [("administrative", "City"), ("business", "Small")]
    moved = admin_api.patch(f"/v1/stores/{body['id']}", {"lat": 60.195, "lng": 24.9414}, version=1).get_json()
    assert [one["name"] for one in moved["districts"]] == ["City", "Wide"]
    assert [one["id"] for one in admin_api.get("/v1/stores", district=str(small.id)).get_json()["items"]] == []


def test_a_district_that_comes_later_takes_its_stores_and_gives_them_back(admin_api: Api, session: Session) -> None:
    inside, outside = make_store(session), make_store(session, at=Point(25.2, 60.2))
    make_district(session, name="Wide", half_deg=0.05)
    session.commit()
    area = {"type": "Polygon", "coordinates": [[[24.93, 60.16], [24.95, 60.16], [24.95, 60.18], [24.93, 60.18], [24.93, 60.16]]]}
    added = admin_api.post("/v1/districts", {"name": "Kamppi", "area": area})
    assert added.status_code == 201

    def districts(store: Any) -> list[str]:
        return [one["name"] for one in admin_api.get(f"/v1/stores/{store.id}").get_json()["districts"]]

    assert districts(inside) == ["Kamppi"]
    assert districts(outside) == []
    away = {"type": "Polygon", "coordinates": [[[25.19, 60.19], [25.21, 60.19], [25.21, 60.21], [25.19, 60.21], [25.19, 60.19]]]}
    assert admin_api.patch(f"/v1/districts/{added.get_json()['id']}", {"area": away}, version=1).status_code == 200
    assert districts(outside) == ["Kamppi"]
    assert districts(inside) == ["Wide"]
    assert admin_api.delete(f"/v1/districts/{added.get_json()['id']}", version=2).status_code == 204
    assert districts(outside) == []
    assert session.scalar(sa.select(sa.func.count()).select_from(StoreDistrict)) == 1


def test_the_whole_catalogue_can_be_walked(admin_api: Api, session: Session) -> None:
    made = {str(make_store(session, name=f"Store {number}", at=north_of(HELSINKI, number * 3_000)).id) for number in range(25)}
    removed = make_store(session, status="removed")
    session.commit()
    seen: list[str] = []
    cursor = None
    while True:
        page = admin_api.get("/v1/stores", limit=7, **({"cursor": cursor} if cursor else {})).get_json()
        seen += [one["id"] for one in page["items"]]
        cursor = page["next"]
        if cursor is None:
            break
    assert len(seen) == len(set(seen)) == 25
    assert set(seen) == made
    assert str(removed.id) not in seen


def test_the_walk_filters(admin_api: Api, as_role: Any, session: Session) -> None:
    mine = as_role("store", "Mine")
    mine.post("/v1/stores", CAFE)
    make_store(session, category="shop.books", source="osm")
    session.commit()
    for params, names in (
        ({"merchant_id": mine.merchant_id}, ["Kahvila"]), ({"source": "osm"}, ["Store"]), ({"category": "shop"}, ["Store"]), ({"category": "food"}, ["Kahvila"]),
        ({"changed_since": "2026-11-20T00:00:00Z"}, ["Kahvila", "Store"]), ({"changed_since": "2099-01-01T00:00:00+02:00"}, []),
    ):  # fmt: skip
        assert sorted(one["name"] for one in admin_api.get("/v1/stores", **params).get_json()["items"]) == names, params


@pytest.mark.parametrize(
    "params",
    [{"limit": 0}, {"limit": 1001}, {"limit": "abc"}, {"cursor": "abc"}, {"category": "x"}, {"changed_since": "yesterday"}, {"district": "1"}],
)
def test_the_walk_refuses_nonsense(admin_api: Api, params: dict[str, Any]) -> None:
    response = admin_api.get("/v1/stores", **params)
    assert response.status_code == 422
    assert response.get_json()["errors"][0]["field"] == next(iter(params))


def test_a_cursor_of_another_list_is_refused(admin_api: Api, session: Session) -> None:
    for number in range(3):
        make_store(session, at=north_of(HELSINKI, number))
    session.commit()
    cursor = admin_api.get("/v1/stores", limit=1).get_json()["next"]
    problem_of(admin_api.get("/v1/stores", limit=1, source="osm", cursor=cursor), 422, "cursor_of_other_question")
    problem_of(admin_api.get("/v1/offers", limit=1, cursor=cursor), 422, "cursor_of_other_question")


def test_categories_are_listed_parents_first(app_api: Api) -> None:
    items = app_api.get("/v1/categories").get_json()["items"]
    seen: set[str] = set()
    for one in items:
        assert one["parent"] is None or one["parent"] in seen
        assert set(one["names"]) == {"en", "fi", "zh-Hans", "zh-Hant"}
        seen.add(one["code"])


def test_the_store_page_shows_hours_offers_and_credit(app_api: Api, session: Session) -> None:
    store = make_store(session, opening_hours="24/7", source="osm")
    make_offer(session, store, title="Lounas")
    session.execute(sa.text("INSERT INTO attributions VALUES ('osm', '© OpenStreetMap contributors', 'ODbL-1.0', now())"))
    session.commit()
    page = app_api.get(f"/v1/stores/{store.id}")
    body = page.get_json()
    assert page.headers["ETag"] == '"v1"'
    assert page.headers["Cache-Control"] == "no-store"
    assert body["open"] is True
    assert len(body["open_intervals"]) == 1
    assert [offer["title"] for offer in body["offers"]] == ["Lounas"]
    assert body["attribution"][0]["attribution"] == "© OpenStreetMap contributors"
