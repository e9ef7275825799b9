"""How it is answered: counts, orders, pages, tags, reasons, paid places. Both paths give the same bytes."""

from __future__ import annotations

import gzip
from datetime import timedelta
from typing import Any

import brotli
import pytest
from sqlalchemy.orm import Session

from geo_o2o.http import utcnow

from ..conftest import Api
from ..factories import HELSINKI, make_district, make_offer, make_store
from ..test_http import problem_of
from .places import HERE, at, names

# --- order -------------------------------------------------------------------------------------------------------------------


def test_every_order_walks_whole_and_in_order(ask: Any, session: Session) -> None:
    now = utcnow()
    for n in range(25):
        store = make_store(session, name=str(n), at=at(90 * (n % 7), 80 * (n % 5)), rating=((n % 4 + 1) * 9, 9), price_band=n % 4 + 1)
        make_offer(
            session, store, title=str(n), price_minor=100 * (n % 6) if n % 6 else None, valid_until=now + timedelta(days=n % 3 + 1) if n % 4 else None
        )
    session.commit()
    keys = {
        "distance": lambda hit: hit["distance_m"],
        "rating": lambda hit: -hit["rating"]["bayes"],
        "points": lambda hit: -hit["score"]["total"],
        "price": lambda hit: hit["price_minor"] if hit["price_minor"] is not None else 10**15,
        "ending_soon": lambda hit: hit["valid_until"] or "9",
    }
    for sort, key in keys.items():
        seen: list[Any] = []
        params: dict[str, Any] = {"sort": sort, "limit": 7, **({"currency": "EUR"} if sort == "price" else {})}
        found = ask("offers/nearby", **HERE, **params)
        seen += found["items"]
        while found["next"]:
            found = ask("offers/nearby", **HERE, **params, cursor=found["next"])
            seen += found["items"]
        assert len(seen) == len({hit["id"] for hit in seen}) == (20 if sort == "price" else 25)
        assert [(key(hit), hit["distance_m"], hit["id"]) for hit in seen] == sorted((key(hit), hit["distance_m"], hit["id"]) for hit in seen)
    assert [hit["price_band"] for hit in ask("stores/nearby", **HERE, sort="price", limit=100)["items"]] == sorted(n % 4 + 1 for n in range(25))


def test_an_offer_of_many_stores_walks_by_once(ask: Any, session: Session) -> None:
    stores = [make_store(session, name=str(n), at=at(60 * n, 0), rating=(5 * (n % 3), n % 3)) for n in range(20)]
    for n in range(15):
        make_offer(session, *stores[n % 7 :: 3], title=str(n))
    session.commit()
    seen: list[Any] = []
    cursor: dict[str, Any] = {}
    while True:
        found = ask("offers/nearby", **HERE, limit=4, **cursor)
        seen += found["items"]
        if not found["next"]:
            break
        cursor = {"cursor": found["next"]}
    assert sorted(hit["title"] for hit in seen) == sorted(str(n) for n in range(15))
    assert seen == ask("offers/nearby", **HERE, limit=100)["items"]
    assert {hit["title"]: hit["store_count"] for hit in seen}["0"] == len(stores[0::3])


# --- walking on --------------------------------------------------------------------------------------------------------------


def test_fields_tags_and_compression(app_api: Api, session: Session) -> None:
    for n in range(30):
        make_store(session, name=f"Store number {n}", at=at(10 * n, 0))
    session.commit()
    whole = app_api.get("/v1/stores/nearby", **HERE)
    short = app_api.get("/v1/stores/nearby", **HERE, fields="id,name,distance_m")
    assert set(short.get_json()["items"][0]) == {"id", "name", "distance_m"}
    assert len(short.data) < len(whole.data) / 3
    tag = whole.headers["ETag"]
    again = app_api("GET", "/v1/stores/nearby", query_string=HERE, headers={"If-None-Match": tag})
    assert (again.status_code, again.data, again.headers["ETag"]) == (304, b"", tag)
    for name, unpack in (("br", brotli.decompress), ("gzip", gzip.decompress)):
        packed = app_api("GET", "/v1/stores/nearby", query_string=HERE, headers={"Accept-Encoding": name})
        assert packed.headers["Content-Encoding"] == name
        assert unpack(packed.data) == whole.data
        assert len(packed.data) < len(whole.data) / 3
        known = app_api("GET", "/v1/stores/nearby", query_string=HERE, headers={"Accept-Encoding": name, "If-None-Match": packed.headers["ETag"]})
        assert known.status_code == 304


def test_a_write_changes_the_tag_of_what_shows_it_and_of_nothing_else(app_api: Api, admin_api: Api, session: Session) -> None:
    store = make_store(session, name="here", at=at(20, 0))
    make_store(session, name="there", at=at(40_000, 0))
    session.commit()
    there = at(40_000, 0)
    before = app_api.get("/v1/stores/nearby", **HERE).headers["ETag"], app_api.get("/v1/stores/nearby", lat=there.lat, lng=there.lon).headers["ETag"]
    assert admin_api.patch(f"/v1/stores/{store.id}", {"name": "renamed"}, version=1).status_code == 200
    after = app_api.get("/v1/stores/nearby", **HERE), app_api.get("/v1/stores/nearby", lat=there.lat, lng=there.lon)
    assert names(after[0].get_json()) == ["renamed"]
    assert (after[0].headers["ETag"] == before[0], after[1].headers["ETag"] == before[1]) == (False, True)


# --- why ---------------------------------------------------------------------------------------------------------------------


def test_why_an_offer_is_not_there(ask: Any, app_api: Api, admin_api: Api, session: Session) -> None:
    near, far = make_store(session, name="near", opening_hours="off", now=utcnow()), make_store(session, name="far", at=at(3_000, 0))
    offer = make_offer(session, near, far, title="asked for", price_minor=900)
    for n in range(5):
        make_offer(session, near, title=f"cheap {n}", price_minor=100)
    session.commit()

    def why(**params: Any) -> Any:
        response = app_api.get(f"/v1/offers/{offer.id}/why-not", **HERE, **params)
        assert response.status_code == 200, response.text
        return response.get_json()

    assert (why()["reason"], why()["shown"]) == ("shown", True)
    filtered = why(price_max=500, open_now="true", radius_m=2_000)
    assert filtered["reason"] == "filtered"
    assert {one["name"]: set(one["failed"]) for one in filtered["stores"]} == {
        "near": {"price_max", "open_now"},
        "far": {"price_max", "open_now", "radius_m"},
    }
    lacking = why(radius_m=5_000, limit=3, min_radius_m=10)
    assert lacking["reason"] in ("shown", "excluded_by_page")
    best = next(hit for hit in ask("offers/nearby", **HERE, limit=3)["items"][2:])
    found = why(limit=3)
    assert found["needed"] == best["score"]["total"]
    assert admin_api.patch(f"/v1/offers/{offer.id}", {"status": "paused"}, version=1).status_code == 200
    assert why()["reason"] == "not_live"
    problem_of(app_api.get("/v1/offers/00000000-0000-8000-8000-000000000000/why-not", **HERE), 404, "not_found")


@pytest.mark.parametrize("sort", ["points", "distance", "rating", "price", "ending_soon"])
def test_why_not_knows_the_page_in_every_order(ask: Any, app_api: Api, session: Session, sort: str) -> None:
    now = utcnow()
    for n in range(24):
        stores = [make_store(session, at=at(60 * (n % 6) + 900 * m, 50 * (n % 5)), rating=(9 * (n % 5 + 1), 9)) for m in range(1 + n % 2)]
        make_offer(session, *stores, title=str(n), price_minor=100 * (n % 7 + 1), valid_until=now + timedelta(days=n % 4 + 1))
    session.commit()
    asked = {**HERE, "sort": sort, "currency": "EUR"}
    everything = ask("offers/nearby", **asked, limit=100)["items"]
    assert len(everything) == 24
    shown = {hit["id"] for hit in ask("offers/nearby", **asked, limit=9)["items"]}
    for hit in everything:
        found = app_api.get(f"/v1/offers/{hit['id']}/why-not", **asked, limit=9).get_json()
        assert found["shown"] == (hit["id"] in shown)
        assert found["reason"] == ("shown" if hit["id"] in shown else "excluded_by_page")
        assert (found["needed"] is None) == (sort != "points")


def test_why_not_looks_as_far_as_nearby_does(ask: Any, app_api: Api, session: Session) -> None:
    offer = make_offer(session, make_store(session, at=at(3_000, 0)))
    session.commit()
    asked = {"lat": HELSINKI.lat, "lng": HELSINKI.lon}
    assert ask("offers/nearby", **asked)["radius_used_m"] == 4_000
    assert app_api.get(f"/v1/offers/{offer.id}/why-not", **asked).get_json()["shown"]


def test_why_not_names_the_parameters_that_were_sent(app_api: Api, session: Session) -> None:
    store = make_store(session, opening_hours="off", now=utcnow(), brand="Other")
    offer = make_offer(session, store, valid_until=utcnow() + timedelta(days=1))
    session.commit()
    low, high = at(500, 500), at(900, 900)
    for name, value in {
        "tags": "wifi", "tags_all": "wifi", "min_rating": 4.9, "brand": "Kotipizza", "chain": "kesko", "price_band": 4, "offer_kind": "group",
        "open_now": "true", "open_at": (utcnow() + timedelta(days=1)).isoformat(), "meal": "lunch", "valid_at": (utcnow() + timedelta(days=3)).isoformat(),
        "open_until": (utcnow() + timedelta(hours=2)).isoformat(), "bbox": f"{low.lon},{low.lat},{high.lon},{high.lat}", "category": "shop",
        "exclude": str(offer.id), "discount_min": 50, "min_rating_count": 10_000, "serves": "true",
    }.items():  # fmt: skip
        response = app_api.get(f"/v1/offers/{offer.id}/why-not", **HERE, **{name: value})
        assert response.status_code == 200, response.text
        assert response.get_json()["stores"][0]["failed"] == [name], response.text


@pytest.mark.parametrize("name", ["open_at", "open_until", "valid_at"])
def test_a_moment_that_nobody_knows_is_refused_everywhere(app_api: Api, session: Session, name: str) -> None:
    offer = make_offer(session, make_store(session))
    session.commit()
    far = {name: "2040-01-01T00:00Z"}
    low, high = at(-500, -500), at(500, 500)
    line = [[HELSINKI.lon, HELSINKI.lat], [HELSINKI.lon + 0.01, HELSINKI.lat]]
    answers = [
        app_api.get("/v1/offers/nearby", **HERE, **far), app_api.get("/v1/stores/nearby", **HERE, **far),
        app_api.get(f"/v1/offers/{offer.id}/why-not", **HERE, **far), app_api.get("/v1/clusters", bbox=f"{low.lon},{low.lat},{high.lon},{high.lat}", **far),
        app_api("POST", "/v1/offers/along", json={"line": {"type": "LineString", "coordinates": line}, "detour_m": 300, **far}),
    ]  # fmt: skip
    for response in answers:
        problem_of(response, 422, "open_at_out_of_range")


def test_paid_places_stand_apart(ask: Any, app_api: Api, admin_api: Api, session: Session) -> None:
    offers = [make_offer(session, make_store(session, at=at(100 * n, 0)), title=str(n)) for n in range(12)]
    session.commit()
    organic = app_api.get("/v1/offers/nearby", **HERE, limit=5).data
    ends = (utcnow() + timedelta(days=1)).isoformat()
    made = admin_api.post("/v1/sponsorships", {"offer_id": str(offers[11].id), "sponsor": "Somebody", "ends_at": ends})
    assert made.status_code == 201, made.text
    assert (
        admin_api.post("/v1/sponsorships", {"offer_id": str(offers[0].id), "sponsor": "Too late", "ends_at": "2020-01-01T00:00:00Z"}).status_code
        == 422
    )
    problem_of(app_api.post("/v1/sponsorships", {"offer_id": str(offers[1].id), "sponsor": "x", "ends_at": ends}), 403, "forbidden")
    assert app_api.get("/v1/offers/nearby", **HERE, limit=5).data == organic
    with_paid = app_api.get("/v1/offers/nearby", **HERE, limit=5, sponsored=3)
    assert with_paid.data.startswith(organic[: organic.index(b'],"next"')])
    assert [(hit["title"], hit["label"]) for hit in with_paid.get_json()["sponsored"]] == [("11", "sponsored")]
    assert app_api.get("/v1/offers/nearby", **HERE, radius_m=500, sponsored=3).get_json()["sponsored"] == [], "filters act on paid places too"
    assert admin_api("DELETE", f"/v1/sponsorships/{made.get_json()['id']}").status_code == 204
    assert app_api.get("/v1/offers/nearby", **HERE, limit=5, sponsored=3).get_json()["sponsored"] == []


def test_offers_along_a_way(ask: Any, session: Session) -> None:
    for east, north, name in (
        (500, 0, "on it"),
        (700, 150, "150 m aside"),
        (300, 400, "too far aside"),
        (1_200, 0, "behind the end"),
        (-100, 0, "before"),
    ):
        make_offer(session, make_store(session, name=name, at=at(east, north)), title=name)
    session.commit()
    end = at(1_000, 0)
    line = {"type": "LineString", "coordinates": [[HELSINKI.lon, HELSINKI.lat], [end.lon, end.lat]]}
    found = ask("offers/along", body={"line": line, "detour_m": 410})
    assert names(found) == ["on it", "before", "150 m aside", "behind the end"]
    away = {hit["title"]: hit["distance_m"] for hit in found["items"]}
    assert away == {"on it": 0, "before": 200, "150 m aside": 300, "behind the end": 400}
    assert names(ask("offers/along", body={"line": line, "detour_m": 410, "limit": 2})) == ["on it", "before"]
    rest = ask(
        "offers/along",
        body={"line": line, "detour_m": 410, "limit": 2, "cursor": ask("offers/along", body={"line": line, "detour_m": 410, "limit": 2})["next"]},
    )
    assert names(rest) == ["150 m aside", "behind the end"]


def test_paid_places_along_a_way_are_measured_by_the_detour_too(ask: Any, app_api: Api, admin_api: Api, session: Session) -> None:
    offers = [make_offer(session, make_store(session, at=at(200 * n, 60 + 10 * n)), title=str(n)) for n in range(5)]
    session.commit()
    for offer in offers[1:4]:
        body = {"offer_id": str(offer.id), "sponsor": "somebody", "starts_at": "2020-01-01T00:00Z", "ends_at": "2040-01-01T00:00Z"}
        assert admin_api.post("/v1/sponsorships", body).status_code == 201
    line = [[HELSINKI.lon, HELSINKI.lat], [at(1_000, 0).lon, at(1_000, 0).lat]]
    asked = {"line": {"type": "LineString", "coordinates": line}, "detour_m": 400, "sponsored": 5}
    found = app_api("POST", "/v1/offers/along", json=asked).get_json()
    organic = {hit["id"]: (hit["distance_m"], hit["score"]) for hit in found["items"]}
    assert len(organic) == 5
    assert {hit["id"] for hit in found["sponsored"]} == {str(offer.id) for offer in offers[1:4]}
    assert all((hit["distance_m"], hit["score"]) == organic[hit["id"]] for hit in found["sponsored"])


def test_whoever_serves_a_place_is_found_from_far(ask: Any, session: Session) -> None:
    for metres, reach_m in ((500, 1_000), (20_000, 30_000), (3_000, 2_000)):
        make_store(session, name=str(metres), at=at(metres, 0)).service_radius_m = reach_m
    session.commit()
    found = ask("stores/nearby", lat=HELSINKI.lat, lng=HELSINKI.lon, serves="true", sort="distance")
    assert [hit["name"] for hit in found["items"]] == ["500", "20000"]
    assert found["radius_used_m"] == 50_000
    assert len(ask("stores/nearby", lat=HELSINKI.lat, lng=HELSINKI.lon, serves="true", radius_m=2_000)["items"]) == 1


@pytest.mark.parametrize("kind", ["stores", "offers"])
@pytest.mark.parametrize("q", ["kahvila", "kahvla", "cafe", "kahvila aamu", "lunch"])
def test_points_of_words_are_explained_by_what_the_hit_shows(ask: Any, session: Session, kind: str, q: str) -> None:
    names = ["Kahvila Aamu", "Kahvila", "Kahvi", "Aamukahvila Oy", "Café Kahvila", "Lunch & Lunch", "Books"]
    for n, name in enumerate(names):
        store = make_store(session, name=name, at=at(40 * n, 0), category=("food.cafe", "shop.books")[n % 2], names={"en": f"Coffee {n}"})
        make_offer(session, store, title=("Lunch", "Kahvila")[n % 2])
    session.commit()
    found = ask(f"{kind}/nearby", **HERE, q=q, explain="true")["items"]
    assert found
    for hit in found:
        formula, _, points = hit["explain"]["text_points"].partition(" = ")
        assert eval(formula, {"__builtins__": {"round": round}}) == int(points) == hit["score"]["text"], hit["explain"]


@pytest.mark.parametrize(
    ("params", "field"),
    [
        ({"fields": "nonsense"}, "fields"), ({"fields": "id,title"}, "fields"), ({"cursor": ""}, "cursor"),
        ({"fields": ","}, "fields"),
    ],
)  # fmt: skip
def test_what_would_be_passed_over_in_silence_is_refused(app_api: Api, params: dict[str, str], field: str) -> None:
    problem = problem_of(app_api.get("/v1/stores/nearby", **HERE, **params), 422, "invalid_input")
    assert problem["errors"][0]["field"].startswith(field)


def test_bytes_that_are_no_text_are_refused(client: Any, app_api: Api) -> None:
    response = client.get("/v1/stores/nearby?lat=60.17&lng=24.94&q=%FF", headers={"Authorization": f"Bearer {app_api.key}"})
    problem_of(response, 400, "malformed")


def test_every_answer_to_a_get_can_be_asked_for_again(app_api: Api, session: Session) -> None:
    store = make_store(session, opening_hours="24/7", now=utcnow())
    make_offer(session, store)
    make_district(session)
    session.commit()
    low, high = at(-500, -500), at(500, 500)
    bbox = f"{low.lon},{low.lat},{high.lon},{high.lat}"
    asked: dict[str, dict[str, Any]] = {
        "suggest": {"lat": HELSINKI.lat, "lng": HELSINKI.lon, "q": "ca"}, "clusters": {"bbox": bbox}, f"stores/{store.id}/shelf": {}, "stores": {},
        "offers": {}, "districts": {}, "stores/nearby": HERE, "offers/nearby": HERE,
    }  # fmt: skip

    def ask(path: str, **headers: str) -> Any:
        return app_api.client.get(f"/v1/{path}", query_string=asked[path], headers={"Authorization": f"Bearer {app_api.key}", **headers})

    for path in asked:
        for encoding in ("identity", "br", "gzip"):
            first = ask(path, **{"Accept-Encoding": encoding})
            assert first.status_code == 200, first.text
            again = ask(path, **{"Accept-Encoding": encoding, "If-None-Match": first.headers["ETag"]})
            assert (again.status_code, again.data) == (304, b""), path
            assert ask(path, **{"If-None-Match": '"another"'}).status_code == 200
