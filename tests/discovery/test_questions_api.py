"""What can be asked: where, which and in what words. Both paths answer each question with the same bytes."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from shapely.geometry import MultiPolygon, box
from sqlalchemy.orm import Session

from geo_o2o.geo.cells import parent, to_hex
from geo_o2o.geo.crs import from_wgs84
from geo_o2o.geo.point import Point
from geo_o2o.http import utcnow

from ..conftest import Api
from ..factories import HELSINKI, make_district, make_offer, make_store, north_of
from ..test_http import problem_of
from .places import HERE, at, names, square

# --- where -------------------------------------------------------------------------------------------------------------------


def test_a_ring_is_the_difference_of_two_circles(ask: Any, session: Session) -> None:
    for metres in (0, 100, 300, 500, 900):
        make_store(session, name=str(metres), at=north_of(HELSINKI, metres))
    session.commit()
    whole, inner = names(ask("stores/nearby", **HERE, radius_m=600)), names(ask("stores/nearby", **HERE, radius_m=250))
    assert names(ask("stores/nearby", **HERE, radius_m=600, min_radius_m=250)) == [name for name in whole if name not in inner] == ["300", "500"]


def test_nearest_inside_a_shape(ask: Any, session: Session) -> None:
    for east in (-800, -300, -50, 250, 700, 1_500):
        make_store(session, name=str(east), at=at(east, 0))
    session.commit()
    shape = square(600, at(600, 0))
    text = json.dumps(shape)
    assert names(ask("stores/nearby", **HERE, within=text)) == ["250", "700"]
    assert names(ask("stores/nearby", body={**HERE, "within": shape})) == ["250", "700"]
    assert names(ask("stores/nearby", **HERE, within=text, radius_m=400)) == ["250"]
    low, high = at(-400, -100), at(300, 100)
    bbox = f"{low.lon},{low.lat},{high.lon},{high.lat}"
    assert sorted(names(ask("stores/nearby", **HERE, bbox=bbox))) == ["-300", "-50", "250"]
    assert names(ask("stores/nearby", **HERE, bbox=bbox, within=text)) == ["250"]
    alone = ask("stores/nearby", bbox=bbox)
    assert sorted(names(alone)) == ["-300", "-50", "250"]
    assert alone["origin"]["lat"] == pytest.approx((low.lat + high.lat) / 2, abs=1e-6)


def test_a_shape_far_from_the_point(ask: Any, session: Session) -> None:
    far = at(0, 185_000)
    make_store(session, name="far", at=far)
    session.commit()
    shape = json.dumps(square(500, far))
    found = ask("stores/nearby", **HERE, within=shape)
    assert [(hit["name"], hit["distance_m"]) for hit in found["items"]] == [("far", 185_000)]


def test_districts_and_cells(ask: Any, session: Session) -> None:
    inside, outside = make_store(session, name="inside", at=at(50, 0)), make_store(session, name="outside", at=at(2_500, 0))
    district = make_district(session, half_deg=0.01)
    session.commit()
    assert names(ask("stores/nearby", **HERE, district=str(district.id))) == ["inside"]
    assert names(ask("stores/nearby", district=str(district.id))) == ["inside"]
    assert names(ask("stores/nearby", cells=to_hex(parent(outside.cell, 9)))) == ["outside"]
    both = f"{to_hex(parent(outside.cell, 10))},{to_hex(parent(inside.cell, 7))}"
    assert names(ask("stores/nearby", **HERE, cells=both)) == ["inside", "outside"]


def test_a_corridor_along_a_line_with_a_width(ask: Any, session: Session) -> None:
    for east, north in ((0, 40), (500, -45), (1_000, 60), (1_030, 0), (1_060, 0), (-60, 0)):
        make_store(session, name=f"{east},{north}", at=at(east, north))
    session.commit()
    end = at(1_000, 0)
    line = {"type": "LineString", "coordinates": [[HELSINKI.lon, HELSINKI.lat], [end.lon, end.lat]]}
    assert sorted(names(ask("stores/nearby", within=json.dumps(line), width_m=100))) == ["0,40", "1030,0", "500,-45"]


@pytest.mark.parametrize("centre", [Point(180.0, -17.0), Point(-179.9999, 65.0)])
def test_shapes_at_the_date_line(ask: Any, session: Session, centre: Point) -> None:
    for east in (-300, 0, 300):
        make_store(session, name=str(east), at=at(east, 0, centre), time_zone="UTC")
    session.commit()
    west, east = at(-350, -100, centre), at(100, 100, centre)
    assert sorted(names(ask("stores/nearby", bbox=f"{west.lon},{west.lat},{east.lon},{east.lat}"))) == ["-300", "0"]
    line = {"type": "LineString", "coordinates": [[at(-400, 0, centre).lon, centre.lat], [at(100, 0, centre).lon, centre.lat]]}
    assert sorted(names(ask("stores/nearby", within=json.dumps(line), width_m=50))) == ["-300", "0"]


def test_a_box_around_the_pole(ask: Any, session: Session) -> None:
    for lon in (0, 120, -120):
        make_store(session, name=str(lon), at=Point(lon, 89.99), time_zone="UTC")
    session.commit()
    assert len(names(ask("stores/nearby", bbox="-180,89.9,180,90"))) == 3


def test_stores_that_serve_the_asking_point(ask: Any, session: Session) -> None:
    from geoalchemy2.shape import from_shape

    far = at(5_000, 0)
    corner = MultiPolygon([box(HELSINKI.lon - 0.001, HELSINKI.lat - 0.001, HELSINKI.lon + 0.001, HELSINKI.lat + 0.001)])
    make_store(session, name="delivers this far", at=far, service_radius_m=5_100)
    make_store(session, name="not so far", at=far, service_radius_m=4_900)
    make_store(session, name="by outline", at=far, service_area=from_shape(corner, srid=4326))
    make_store(session, name="does not", at=at(10, 0))
    session.commit()
    assert sorted(names(ask("stores/nearby", **HERE, serves="true", radius_m=10_000))) == ["by outline", "delivers this far"]
    elsewhere = at(0, 1_000)
    assert names(ask("stores/nearby", lat=elsewhere.lat, lng=elsewhere.lon, serves="true", radius_m=10_000)) == ["delivers this far"]


def test_every_route_reads_and_writes_the_callers_coordinates(ask: Any, session: Session) -> None:
    place = Point(121.0104, 24.7866)
    make_store(session, name="here", at=place)
    session.commit()
    for crs in ("gcj02", "bd09"):
        low, high = (from_wgs84(at(d, d, place), crs) for d in (-50, 50))
        asked = from_wgs84(place, crs)
        shape = {
            "type": "Polygon",
            "coordinates": [[[low.lon, low.lat], [high.lon, low.lat], [high.lon, high.lat], [low.lon, high.lat], [low.lon, low.lat]]],
        }
        hit = ask("stores/nearby", lat=asked.lat, lng=asked.lon, crs=crs, within=json.dumps(shape))["items"][0]
        assert (hit["lat"], hit["lng"], hit["distance_m"]) == (pytest.approx(asked.lat, abs=1e-6), pytest.approx(asked.lon, abs=1e-6), 0)
        found = ask("clusters", lat=asked.lat, lng=asked.lon, crs=crs)["items"][0]
        assert (found["lat"], found["lng"]) == (pytest.approx(asked.lat, abs=0.01), pytest.approx(asked.lon, abs=0.01))


# --- which -------------------------------------------------------------------------------------------------------------------


def test_brand_chain_merchant_tags_price_band_and_ratings(ask: Any, session: Session, as_role: Any) -> None:
    merchant = as_role("store", "Owner").merchant_id
    make_store(session, name="a", brand="Prisma", chain="sok.prisma", tags=["wifi", "parking"], price_band=1, rating=(45, 10))
    make_store(
        session, name="b", brand="S-market", chain="sok.smarket", tags=["wifi"], price_band=2, rating=(3, 1), at=at(10, 0), merchant_id=merchant
    )
    make_store(session, name="c", brand=None, chain="sokos", tags=[], rating=(0, 0), at=at(20, 0))
    session.commit()

    def found(**params: Any) -> str:
        return "".join(sorted(names(ask("stores/nearby", **HERE, **params))))

    assert found(brand="Prisma,S-market") == "ab"
    assert found(brand="prisma") == ""
    assert found(chain="sok") == "ab"
    assert found(chain="sok.prisma,sokos") == "ac"
    assert found(merchant_id=str(merchant)) == "b"
    assert found(tags="parking,terrace") == "a"
    assert found(tags_all="wifi,parking") == "a"
    assert found(tags_none="parking") == "bc"
    assert found(price_band="1,2") == "ab"
    assert found(min_rating_count=2) == "a"
    assert found(min_rating=3) == "ab"
    assert found(sample="true") == ""


def test_offers_by_kind_discount_validity_and_sample(ask: Any, session: Session) -> None:
    now = utcnow()
    store = make_store(session)
    make_offer(session, store, title="half", price_minor=500, list_price_minor=1_000)
    make_offer(session, store, title="tenth", price_minor=901, list_price_minor=1_000, kind="temporary")
    make_offer(session, store, title="tomorrow", valid_from=now + timedelta(hours=20))
    make_offer(session, store, title="sold out", stock=0)
    session.commit()

    def found(**params: Any) -> list[str]:
        return sorted(names(ask("offers/nearby", **HERE, **params)))

    assert found() == ["half", "tenth"]
    assert found(discount_min=9) == ["half", "tenth"]
    assert found(discount_min=10) == ["half"]
    assert found(offer_kind="temporary,trial") == ["tenth"]
    assert found(valid_at=(now + timedelta(days=1)).isoformat()) == ["half", "tenth", "tomorrow"]
    assert found(sample="true") == []
    hits = ask("offers/nearby", **HERE)["items"]
    assert names(ask("offers/nearby", **HERE, exclude=hits[0]["id"])) == [hits[1]["title"]]
    assert len(ask("stores/nearby", **HERE, discount_min=50)["items"]) == 1
    assert len(ask("stores/nearby", **HERE, discount_min=51)["items"]) == 0


def test_open_until_and_meals(ask: Any, session: Session) -> None:
    now = utcnow()
    make_store(session, name="all day", opening_hours="24/7", now=now)
    make_store(session, name="lunch", opening_hours="Mo-Su 11:00-14:00", now=now, at=at(10, 0))
    make_store(session, name="evening", opening_hours="Mo-Su 17:00-01:00", now=now, at=at(20, 0))
    session.commit()
    day = (now + timedelta(days=2)).date().isoformat()

    def found(**params: Any) -> list[str]:
        return sorted(names(ask("stores/nearby", **HERE, **params)))

    assert found(open_at=f"{day}T12:00:00+02:00") == ["all day", "lunch"]
    assert found(open_at=f"{day}T12:00:00+02:00", open_until=f"{day}T14:00:00+02:00") == ["all day", "lunch"]
    assert found(open_at=f"{day}T12:00:00+02:00", open_until=f"{day}T14:01:00+02:00") == ["all day"]
    assert found(open_at=f"{day}T22:00:00+02:00", open_until=f"{day}T23:30:00+02:00") == ["all day", "evening"]
    assert found(meal="lunch") == ["all day", "lunch"]
    assert found(meal="dinner") == ["all day", "evening"]
    assert found(meal="breakfast") == ["all day"]


# --- words -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("q", "expected"),
    [
        ("新竹", ["新竹米粉"]), ("米粉", ["新竹米粉"]), ("xinzhu", ["新竹米粉"]), ("xin zhu mi fen", ["新竹米粉"]), ("xzmf", ["新竹米粉"]),
        ("ラーメン", ["らーめん太郎"]), ("太郎", ["らーめん太郎"]), ("café kämp", ["Cafe Kamp"]), ("cafe kamp", ["Cafe Kamp"]), ("caffe kamp", ["Cafe Kamp"]),
        ("stockmann", ["Stockmann"]), ("stokmann", ["Stockmann"]), ("STOCKMANN", ["Stockmann"]), ("ｓｔｏｃｋｍａｎｎ", ["Stockmann"]), ("academic bookshop", ["Akateeminen"]),
        ("Книги", ["Akateeminen"]), ("qqqq", []), ("%_\\a", []),
    ],
)  # fmt: skip
def test_words_in_any_script_with_typing_errors(ask: Any, session: Session, q: str, expected: list[str]) -> None:
    make_store(session, name="新竹米粉", category="food.restaurant")
    make_store(session, name="らーめん太郎", category="food.restaurant", at=at(10, 0))
    make_store(session, name="Cafe Kamp", category="other", at=at(20, 0))
    make_store(session, name="Stockmann", category="shop", brand="Stockmann", at=at(30, 0))
    make_store(session, name="Akateeminen", category="shop.books", names={"en": "Academic Bookshop", "ru": "Книги"}, at=at(40, 0))
    session.commit()
    assert names(ask("stores/nearby", **HERE, q=q)) == expected


def test_words_are_points_beside_distance_and_rating(ask: Any, session: Session) -> None:
    make_store(session, name="Coffee", at=at(900, 0), category="other")
    make_store(session, name="Coffey", category="other")
    make_store(session, name="unnamed", category="food.cafe", at=at(5, 0))
    session.commit()
    found = ask("stores/nearby", **HERE, q="coffee", explain="true")
    assert {hit["name"]: hit["score"]["text"] for hit in found["items"]} == {"Coffee": 500, "Coffey": pytest.approx(150, abs=150)}
    for hit in found["items"]:
        score = hit["score"]
        assert score["total"] == score["distance"] + score["rating"] + score["text"]
    assert names(ask("stores/nearby", **HERE, q="café")) == ["unnamed"], "the name of its category"


def test_an_offers_title_counts_as_well_as_its_store(ask: Any, session: Session) -> None:
    store = make_store(session, name="Bakery Nord", category="other")
    make_offer(session, store, title="Cinnamon bun")
    make_offer(session, store, title="Rye bread", titles={"fi": "Ruisleipä"})
    session.commit()
    assert names(ask("offers/nearby", **HERE, q="cinnamon")) == ["Cinnamon bun"]
    assert names(ask("offers/nearby", **HERE, q="ruisleipa")) == ["Rye bread"]
    assert sorted(names(ask("offers/nearby", **HERE, q="nord"))) == ["Cinnamon bun", "Rye bread"]


def test_suggestions_as_one_types(ask: Any, session: Session) -> None:
    make_store(session, name="Stockmann Herkku", brand="Stockmann", category="shop")
    make_store(session, name="Stadin Kahvila", category="food.cafe", at=at(20, 0))
    make_store(session, name="大安咖啡", category="food.cafe", at=at(30, 0))
    session.commit()
    for typed in ("st", "sto", "stockm", "stockmann h"):
        found = ask("suggest", **HERE, q=typed)["items"]
        assert "Stockmann Herkku" in [one["text"] for one in found if one["kind"] == "store"], typed
    assert {"kind": "brand", "text": "Stockmann"} in ask("suggest", **HERE, q="stoc")["items"]
    assert ("category", "food.cafe") in [(one["kind"], one.get("code")) for one in ask("suggest", **HERE, q="kahvil")["items"]]
    # A category is shown by the name that was being typed, not by another language's.
    assert "Matkatoimisto" in [one["text"] for one in ask("suggest", **HERE, q="sto", limit=20)["items"]]
    assert "大安咖啡" in [one["text"] for one in ask("suggest", **HERE, q="daan")["items"]]
    assert ask("suggest", **HERE, q="☕")["items"] == []


# --- bad input ---------------------------------------------------------------------------------------------------------------

_ID = "01a1fff2-6630-8112-9b5c-a9272055c5ec"


@pytest.mark.parametrize(
    ("params", "field"),
    [
        ({"q": "x" * 10_000}, "q"), ({"q": "☕"}, "q"), ({"q": "%_\\"}, "q"), ({"q": ""}, "q"), ({"facets": "colour"}, "facets"), ({"sort": "best"}, "sort"),
        ({"exclude": ",".join([_ID] * 300)}, "exclude"), ({"exclude": "abc"}, "exclude"), ({"crs": "epsg:4326"}, "crs"), ({"radius_m": 50_001}, "radius_m"),
        ({"within": "{"}, "within"), ({"within": "[]"}, "within"), ({"within": json.dumps({"type": "Point", "coordinates": [1, 2]})}, "within"),
        ({"within": json.dumps({"type": "LineString", "coordinates": [[24, 60]]}), "width_m": 50}, "within"),
        ({"within": json.dumps({"type": "LineString", "coordinates": [[24, 60], [24, 60]]}), "width_m": 50}, "within"),
        ({"within": json.dumps({"type": "LineString", "coordinates": [[24, 60], [24.1, 60]]})}, "width_m"), ({"width_m": 50}, "width_m"),
        ({"within": json.dumps({"type": "LineString", "coordinates": [[24, 60], [44.1, 60]]}), "width_m": 50}, "within"),
        ({"within": json.dumps({"type": "Polygon", "coordinates": [[[0, 0], [1, 1], [1, 0], [0, 1], [0, 0]]]})}, "within"),
        ({"within": json.dumps({"type": "Polygon", "coordinates": [[[0, 0], [9, 0], [9, 9], [0, 0]]]})}, "within"), ({"bbox": "1,2,3"}, "bbox"),
        ({"cells": "zzz"}, "cells"), ({"cells": ",".join(["89089969a83ffff"] * 501)}, "cells"), ({"district": "abc"}, "district"), ({"serves": "x"}, "serves"),
        ({"min_radius_m": 3_000, "radius_m": 2_000}, "min_radius_m"), ({"walk_min": 0}, "walk_min"), ({"walk_min": 5, "radius_m": 50}, "walk_min"),
        ({"open_now": "true", "meal": "lunch"}, "meal"), ({"meal": "brunch"}, "meal"), ({"open_until": "2020-01-01T00:00:00Z"}, "open_until"),
        ({"price_band": "5"}, "price_band"), ({"tags": ""}, "tags"), ({"chain": "A B"}, "chain"), ({"discount_min": 101}, "discount_min"),
        ({"min_rating_count": 0}, "min_rating_count"), ({"offer_kind": "gift"}, "offer_kind"), ({"merchant_id": "1"}, "merchant_id"), ({"fields": ""}, "fields"),
    ],
)  # fmt: skip
def test_nonsense_is_refused_by_the_fields_name(app_api: Api, params: dict[str, Any], field: str) -> None:
    response = app_api.get("/v1/stores/nearby", **{**HERE, **params})
    assert response.status_code == 422, response.text
    assert response.get_json()["errors"][0]["field"].split(".")[0] == field


def test_a_shape_of_100_000_corners_is_refused(app_api: Api) -> None:
    ring = [[24.9 + n * 1e-7, 60.1 + (n % 2) * 1e-5] for n in range(100_000)]
    response = app_api("POST", "/v1/stores/nearby", json={**HERE, "within": {"type": "Polygon", "coordinates": [[*ring, ring[0]]]}})
    assert response.status_code in (413, 422)
    body = app_api("POST", "/v1/stores/nearby", data=b'{"lat":60,"lng":24,"within":' + b"[" * 50_000, headers={"Content-Type": "application/json"})
    assert body.status_code == 400


def test_a_point_or_a_shape_is_needed_and_orders_know_their_kind(app_api: Api) -> None:
    assert app_api.get("/v1/stores/nearby").get_json()["errors"][0]["field"] == "lat"
    problem_of(app_api.get("/v1/stores/nearby", **HERE, sort="ending_soon"), 422, "invalid_input")
    problem_of(app_api.get("/v1/offers/nearby", **HERE, sort="price"), 422, "invalid_input")
    problem_of(app_api.get("/v1/stores/nearby", **HERE, district=_ID), 404, "not_found")
    problem_of(app_api.get("/v1/stores/nearby", **HERE, bbox="100,10,100.1,10.1"), 422, "area_too_far")
    problem_of(app_api.get("/v1/stores/nearby", bbox="0,0,9,9"), 422, "area_too_large")


@pytest.mark.parametrize("pole", [90, -90])
def test_ways_over_a_pole(ask: Any, session: Session, pole: int) -> None:
    lat = pole * 89.999 / 90
    made = [make_store(session, name=str(lon), at=Point(lon, lat)) for lon in (0, 90, 179, -90)]
    make_offer(session, *made)
    session.commit()
    for width_m, line, found in (
        (500, [[0, pole * 0.9999], [180, pole * 0.9999]], 4), (100, [[80, lat], [100, lat]], 1), (500, [[80, lat], [100, lat]], 4),
        (500, [[0, pole * 0.999], [0, pole]], 4), (100, [[0, pole * 0.999], [0, pole]], 1),
    ):  # fmt: skip
        within = f'{{"type":"LineString","coordinates":{line}}}'
        assert len(ask("stores/nearby", within=within, width_m=width_m)["items"]) == found, line
        assert sum(one["count"] for one in ask("clusters", within=within, width_m=width_m)["items"]) == found
    way = {"type": "LineString", "coordinates": [[0, pole * 0.9999], [180, pole * 0.9999]]}
    assert len(ask("offers/along", body={"line": way, "detour_m": 600})["items"]) == 1


@pytest.mark.parametrize("pole", [90, -90])
def test_a_polygon_around_a_pole(ask: Any, admin_api: Api, session: Session, pole: int) -> None:
    for n, lon in enumerate((0, 90, 180, -90, -179.9)):
        make_store(session, name=str(n), at=Point(lon, pole * (0.9995 + n * 0.0001)))
    make_store(session, name="outside", at=Point(20, pole * 0.998))
    session.commit()
    rim = pole * 0.999
    edge = f"[-180,{rim}],[180,{rim}]"
    within = f'{{"type":"Polygon","coordinates":[[{edge},[180,{pole}],[-180,{pole}],[-180,{rim}]]]}}'
    assert sorted(names(ask("stores/nearby", within=within))) == ["0", "1", "2", "3", "4"]
    assert sum(one["count"] for one in ask("clusters", within=within)["items"]) == 5
    made = admin_api.post("/v1/districts", {"name": "Polar", "area": json.loads(within)})
    assert made.status_code == 201, made.text
    # A cap of 0.09 degrees: a little more than 10 km.
    assert made.get_json()["area_m2"] == pytest.approx(3.14159 * 10_052**2, rel=1e-3)
    assert len(ask("stores/nearby", district=made.get_json()["id"])["items"]) == 5
    assert [one["name"] for one in admin_api.get("/v1/districts", contains=f"45,{pole * 0.9999}").get_json()["items"]] == ["Polar"]
    half = f'{{"type":"Polygon","coordinates":[[[-180,{rim}],[180,{rim}],[180,{pole * 0.9995}],[-180,{pole * 0.9995}],[-180,{rim}]]]}}'
    problem = admin_api.get("/v1/stores/nearby", within=half)
    assert problem.status_code == 422
    assert "around a pole" in problem.get_json()["detail"]
