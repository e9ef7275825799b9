from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from geo_o2o.errors import Conflict
from geo_o2o.offers.lifecycle import STATUSES, step
from geo_o2o.offers.schemas import OfferResponse
from geo_o2o.offers.service import follow_moved_stores

from ..conftest import NOW, Api
from ..factories import HELSINKI, make_store, north_of
from ..stores.test_stores_api import CAFE
from ..test_http import problem_of


@pytest.fixture
def shop(store_api: Api) -> str:
    return str(store_api.post("/v1/stores", CAFE).get_json()["id"])


def offer(*store_ids: str, **fields: Any) -> dict[str, Any]:
    return {"title": "Lounas", "price_minor": 1290, "currency": "EUR", "store_ids": list(store_ids), **fields}


def test_an_offer_is_added_read_changed_and_removed(store_api: Api, shop: str, session: Session) -> None:
    added = store_api.post("/v1/offers", offer(shop), Idempotency_Key="k")
    body = added.get_json()
    assert added.status_code == 201
    assert set(body) == set(OfferResponse().fields)
    assert (body["status"], body["kind"], body["sample"], body["merchant_id"]) == ("live", "standing", False, str(store_api.merchant_id))
    assert store_api.post("/v1/offers", offer(shop), Idempotency_Key="k").get_json()["id"] == body["id"]
    assert session.scalar(sa.text("SELECT count(*) FROM offer_store")) == 1

    changed = store_api.patch(f"/v1/offers/{body['id']}", {"price_minor": 990, "currency": "EUR"}, version=1)
    assert changed.get_json()["price_minor"] == 990
    assert session.scalar(sa.text("SELECT price_minor FROM offer_store")) == 990

    assert store_api.patch(f"/v1/offers/{body['id']}", {"status": "paused"}, version=2).status_code == 200
    assert session.scalar(sa.text("SELECT count(*) FROM offer_store")) == 0
    assert store_api.patch(f"/v1/offers/{body['id']}", {"status": "live"}, version=3).status_code == 200
    assert session.scalar(sa.text("SELECT count(*) FROM offer_store")) == 1

    assert store_api.delete(f"/v1/offers/{body['id']}", version=4).status_code == 204
    problem_of(store_api.get(f"/v1/offers/{body['id']}"), 410, "gone")
    assert session.scalar(sa.text("SELECT count(*) FROM offer_store")) == 0


@pytest.mark.parametrize("present", STATUSES)
@pytest.mark.parametrize("wanted", STATUSES)
def test_steps_are_those_of_the_published_machine(present: str, wanted: str) -> None:
    allowed = {"draft": "live removed", "live": "paused ended removed", "paused": "live ended removed", "ended": "removed", "removed": ""}
    if wanted == present or wanted in allowed[present].split():
        assert step(present, wanted) == wanted
    else:
        with pytest.raises(Conflict, match=f"from {present} to {wanted}"):
            step(present, wanted)


def test_an_illegal_step_is_told_with_both_states(store_api: Api, shop: str) -> None:
    id_ = store_api.post("/v1/offers", offer(shop)).get_json()["id"]
    store_api.patch(f"/v1/offers/{id_}", {"status": "ended"}, version=1)
    body = problem_of(store_api.patch(f"/v1/offers/{id_}", {"status": "live"}, version=2), 409, "illegal_transition")
    assert "ended" in body["detail"]
    assert "live" in body["detail"]


def test_a_draft_is_its_owners_alone(store_api: Api, app_api: Api, shop: str) -> None:
    id_ = store_api.post("/v1/offers", offer(shop, status="draft")).get_json()["id"]
    problem_of(app_api.get(f"/v1/offers/{id_}"), 404, "not_found")
    assert store_api.get(f"/v1/offers/{id_}").status_code == 200
    assert app_api.get("/v1/offers").get_json()["items"] == []
    assert app_api.get("/v1/offers", merchant_id=store_api.merchant_id).get_json()["items"] == []
    assert [one["id"] for one in store_api.get("/v1/offers", merchant_id=store_api.merchant_id).get_json()["items"]] == [id_]


def test_an_offer_holds_only_in_the_merchants_own_stores(as_role: Any, shop: str) -> None:
    other = as_role("store", "Other")
    problem_of(other.post("/v1/offers", offer(shop)), 403, "forbidden")
    mine = other.post("/v1/stores", CAFE).get_json()["id"]
    id_ = other.post("/v1/offers", offer(mine)).get_json()["id"]
    problem_of(other.patch(f"/v1/offers/{id_}", {"store_ids": [mine, shop]}, version=1), 403, "forbidden")
    problem_of(as_role("store", "Third").patch(f"/v1/offers/{id_}", {"title": "x"}, version=1), 403, "forbidden")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("title", ""), ("title", None), ("price_minor", -1), ("price_minor", 1.5), ("price_minor", 10**13), ("price_minor", "12e3"), ("currency", "euro"),
        ("currency", None), ("kind", "gift"), ("status", "ended"), ("valid_from", "2026-11-21"), ("valid_from", "2026-11-21T10:00:00"), ("valid_until", "never"),
        ("category", "x"), ("store_ids", []), ("store_ids", ["1"]), ("store_ids", "01a1fff2-6630-8112-9b5c-a9272055c5ec"), ("titles", {"en": 5}),
        ("store_ids", ["01a1fff2-6630-8112-9b5c-a9272055c5ec"]), ("valid_until", "2020-01-01T00:00:00Z"),
    ],
)  # fmt: skip
def test_a_bad_field_is_refused_by_its_name(store_api: Api, shop: str, session: Session, field: str, value: Any) -> None:
    body = problem_of(store_api.post("/v1/offers", offer(shop, **{field: value})), 422, "invalid_input")
    assert field in {one["field"].split(".")[0] for one in body["errors"]} or (field, value) == ("currency", None)
    assert session.scalar(sa.text("SELECT count(*) FROM offers")) == 0


def shown(api: Api, lat: float, lng: float) -> list[str]:
    return [hit["title"] for hit in api.get("/v1/offers/nearby", lat=lat, lng=lng).get_json()["items"]]


@pytest.mark.parametrize("status", ["live", "paused", "draft"])
def test_offers_follow_a_store_that_moves_twice_and_back(store_api: Api, app_api: Api, shop: str, session: Session, status: str) -> None:
    id_ = store_api.post("/v1/offers", offer(shop, status="draft" if status == "draft" else "live")).get_json()["id"]
    version = 1
    if status == "paused":
        version = store_api.patch(f"/v1/offers/{id_}", {"status": "paused"}, version=1).get_json()["version"]
    tampere = store_api.patch(f"/v1/stores/{shop}", {"lat": 61.5, "lng": 23.76}, version=1).get_json()
    # A change between the move and the worker must not lose the store either.
    version = store_api.patch(f"/v1/offers/{id_}", {"description": "x"}, version=version).get_json()["version"]
    oulu = store_api.patch(f"/v1/stores/{tampere['id']}", {"lat": 65.0, "lng": 25.5}, version=tampere["version"]).get_json()
    home = store_api.patch(f"/v1/stores/{oulu['id']}", {"lat": 60.169, "lng": 24.9414}, version=oulu["version"])
    assert home.status_code == 200, home.text
    session.commit()
    assert follow_moved_stores(session, now=NOW) == 3
    session.commit()
    assert follow_moved_stores(session, now=NOW) == 0
    body = store_api.get(f"/v1/offers/{id_}").get_json()
    assert body["store_ids"] == [home.get_json()["id"]]
    if status != "live":
        assert shown(app_api, 60.169, 24.9414) == []
        assert store_api.patch(f"/v1/offers/{id_}", {"status": "live"}, version=body["version"]).status_code == 200
    assert shown(app_api, 60.169, 24.9414) == ["Lounas"]
    for old in (shop, tampere["id"], oulu["id"]):
        problem_of(store_api.get(f"/v1/stores/{old}"), 308, "moved")


@pytest.mark.parametrize("moves", [False, True], ids=["stays", "moves after the sale"])
def test_a_store_that_is_sold_takes_no_offer_of_the_seller_with_it(as_role: Any, app_api: Api, session: Session, moves: bool) -> None:
    seller, buyer, admin = as_role("store", "Seller"), as_role("store", "Buyer"), as_role("admin")
    kept, sold = (seller.post("/v1/stores", CAFE).get_json() for _ in range(2))
    id_ = seller.post("/v1/offers", offer(kept["id"], sold["id"])).get_json()["id"]
    assert admin.patch(f"/v1/stores/{sold['id']}", {"merchant_id": str(buyer.merchant_id)}, version=1).status_code == 200
    changed = seller.patch(f"/v1/offers/{id_}", {"title": "Foreign text"}, version=1)
    assert changed.status_code == 200
    assert app_api.get(f"/v1/stores/{sold['id']}").get_json()["offers"] == []
    if moves:
        sold = buyer.patch(f"/v1/stores/{sold['id']}", {"lat": 61.5, "lng": 23.76}, version=2).get_json()
    session.commit()
    follow_moved_stores(session, now=NOW)
    session.commit()
    assert seller.get(f"/v1/offers/{id_}").get_json()["store_ids"] == [kept["id"]]
    assert app_api.get(f"/v1/stores/{sold['id']}").get_json()["offers"] == []
    assert [one["title"] for one in app_api.get(f"/v1/stores/{kept['id']}").get_json()["offers"]] == ["Foreign text"]


def test_an_offer_without_a_category_has_its_stores_also_when_that_changes(store_api: Api, app_api: Api, shop: str) -> None:
    store_api.post("/v1/offers", offer(shop))
    store_api.patch(f"/v1/stores/{shop}", {"category": "shop.books"}, version=1)
    hits = app_api.get("/v1/offers/nearby", lat=60.169, lng=24.9414, category="shop").get_json()["items"]
    assert [hit["category"] for hit in hits] == ["shop.books"]
    assert app_api.get("/v1/offers/nearby", lat=60.169, lng=24.9414, category="food").get_json()["items"] == []


def test_a_store_key_sees_its_own_alone(as_role: Any) -> None:
    mine, other = as_role("store", "Mine"), as_role("store", "Other")
    shops = [api.post("/v1/stores", CAFE).get_json()["id"] for api in (mine, other)]
    offers = [api.post("/v1/offers", offer(shop)).get_json()["id"] for api, shop in zip((mine, other), shops, strict=True)]
    assert [one["id"] for one in mine.get("/v1/stores").get_json()["items"]] == shops[:1]
    assert [one["id"] for one in mine.get("/v1/stores", merchant_id=other.merchant_id).get_json()["items"]] == shops[:1]
    assert [one["id"] for one in mine.get("/v1/offers", merchant_id=other.merchant_id).get_json()["items"]] == offers[:1]
    problem_of(mine.get(f"/v1/stores/{shops[1]}"), 404, "not_found")
    problem_of(mine.get(f"/v1/offers/{offers[1]}"), 404, "not_found")
    assert mine.get(f"/v1/stores/{shops[0]}").status_code == 200


def test_the_walk_over_offers_misses_none(app_api: Api, session: Session, database: Any) -> None:
    from ..factories import make_offer

    made = {str(make_offer(session, make_store(session, at=north_of(HELSINKI, number)), title=f"Offer {number}").id) for number in range(12)}
    session.commit()
    seen: list[str] = []
    cursor: str | None = None
    while True:
        page = app_api.get("/v1/offers", limit=5, **({"cursor": cursor} if cursor else {})).get_json()
        seen += [one["id"] for one in page["items"]]
        cursor = page["next"]
        if not cursor:
            break
    assert sorted(seen) == sorted(made)


def test_money_and_dates_come_back_as_sent(store_api: Api, shop: str) -> None:
    until = (NOW + timedelta(days=30)).isoformat().replace("+00:00", "Z")
    body = store_api.post("/v1/offers", offer(shop, valid_from="2026-11-01T00:00:00+02:00", valid_until=until)).get_json()
    assert (body["valid_from"], body["valid_until"]) == ("2026-10-31T22:00:00Z", until)
