"""A whole story through the API: a store opens, an app finds its offer, a visitor checks in, the planner sees the district."""

from __future__ import annotations

from typing import Any

from geo_o2o.client import Position

from .. import visiting
from ..test_http import problem_of

PLACE = {"lat": 60.1690, "lng": 24.9414}
AREA = {"type": "Polygon", "coordinates": [[[24.93, 60.16], [24.95, 60.16], [24.95, 60.18], [24.93, 60.18], [24.93, 60.16]]]}


def test_a_day_in_the_city(as_role: Any) -> None:
    operator, store, app, planner = (as_role(role) for role in ("admin", "store", "app", "planner"))

    district = operator.post("/v1/districts", {"name": "Keskusta", "area": AREA}).get_json()
    shop = store.post("/v1/stores", {"name": "Kahvila", "category": "food.cafe", "opening_hours": "24/7", **PLACE}).get_json()
    assert [one["name"] for one in shop["districts"]] == ["Keskusta"]
    offer = store.post("/v1/offers", {"title": "Lounas", "price_minor": 1290, "currency": "EUR", "store_ids": [shop["id"]]}).get_json()

    (hit,) = app.get("/v1/offers/nearby", lat=60.170, lng=24.9414, open_now="true", price_max=1300).get_json()["items"]
    assert (hit["id"], hit["store"]["id"], hit["distance_m"]) == (offer["id"], shop["id"], 111)

    till, anna = visiting.till(store, shop["id"]), visiting.visitor(app)
    visit = anna.check_in(shop["id"], [Position(hit["store"]["lat"], hit["store"]["lng"], 15, kind="rms2d")])
    assert visit["level_name"] == "located"
    assert till.confirm(visit["scan"])["level_name"] == "confirmed"
    counts = store.get("/v1/check-ins/counts").get_json()
    assert [(one["level_name"], one["count"]) for one in counts["items"]] == [("confirmed", 1)]
    assert counts["headline"] == {"visits": 1}

    columns = planner.get("/v1/heat/supply", district=district["id"]).get_json()["columns"]
    cell = {name: value for name, (value,) in columns.items()}
    assert (cell["stores"], cell["offers"]) == (1, 1)
    problem_of(planner.get("/v1/check-ins"), 403, "forbidden")

    assert store.patch(f"/v1/offers/{offer['id']}", {"status": "paused"}, version=1).status_code == 200
    assert app.get("/v1/offers/nearby", lat=60.170, lng=24.9414).get_json()["items"] == []
    assert store.delete(f"/v1/stores/{shop['id']}", version=1).status_code == 204
    assert planner.get("/v1/heat/supply", district=district["id"]).get_json()["columns"]["cell"] == []
    assert app.get("/v1/stores/nearby", **PLACE).get_json()["items"] == []
    assert store.get(f"/v1/check-ins/{visit['id']}").get_json()["level"] == 3
