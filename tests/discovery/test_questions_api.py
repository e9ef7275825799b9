"""Every question of discovery through HTTP, asked of the shelf and of the database: the same bytes, and the right ones."""

from __future__ import annotations

import gzip
import json
from datetime import timedelta
from typing import Any

import brotli
import pytest
from flask import Flask
from shapely.geometry import MultiPolygon, box
from sqlalchemy.orm import Session

from geo_o2o.geo.cells import cell_of, parent, to_hex
from geo_o2o.geo.crs import from_wgs84
from geo_o2o.geo.distance import GEOD
from geo_o2o.geo.point import Point
from geo_o2o.http import utcnow

from ..conftest import Api
from ..factories import HELSINKI, make_district, make_offer, make_store, north_of
from ..test_http import problem_of

HERE: dict[str, Any] = {"lat": HELSINKI.lat, "lng": HELSINKI.lon}


@pytest.fixture
def ask(app: Flask, app_api: Api) -> Any:
    """Asks both paths and compares their bytes; gives the answer."""

    def both(path: str, *, body: dict[str, Any] | None = None, **params: Any) -> Any:
        finder = app.extensions["finder"]

        def once() -> Any:
            return app_api("POST", f"/v1/{path}", json=body) if body is not None else app_api.get(f"/v1/{path}", **params)

        shelf, found = finder.shelf, once()
        assert found.status_code == 200, found.text
        finder.shelf = None
        try:
            other = once()
        finally:
            finder.shelf = shelf
        if found.get_json().get("at") != other.get_json().get("at"):
            return both(path, body=body, **params)  # a minute ended between the two
        assert found.data == other.data, f"shelf and database differ:\n{found.text}\n{other.text}"
        return found.get_json()

    return both


def names(answer: Any) -> list[str]:
    return [hit.get("name") or hit["title"] for hit in answer["items"]]


def at(east_m: float, north_m: float, origin: Point = HELSINKI) -> Point:
    lon, lat, _ = GEOD.fwd(origin.lon, origin.lat, 90, east_m)
    lon, lat, _ = GEOD.fwd(lon, lat, 0, north_m)
    return Point(lon, lat)


def square(half_m: float, origin: Point = HELSINKI) -> dict[str, Any]:
    low, high = at(-half_m, -half_m, origin), at(half_m, half_m, origin)
    return {
        "type": "Polygon",
        "coordinates": [[[low.lon, low.lat], [high.lon, low.lat], [high.lon, high.lat], [low.lon, high.lat], [low.lon, low.lat]]],
    }


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
    assert "大安咖啡" in [one["text"] for one in ask("suggest", **HERE, q="daan")["items"]]
    assert ask("suggest", **HERE, q="☕")["items"] == []


# --- how many ----------------------------------------------------------------------------------------------------------------


def test_facets_count_every_hit_once(ask: Any, session: Session) -> None:
    stores = [
        make_store(
            session, name=str(n), at=at(10 * n, 0), category=("food.cafe", "shop.books")[n % 2], brand=("A", None)[n % 2], price_band=n % 3 + 1
        )
        for n in range(30)
    ]
    make_offer(session, *stores[:5], title="everywhere")
    make_offer(session, stores[7], title="one")
    session.commit()
    found = ask("stores/nearby", **HERE, facets="category,brand,price_band,open", limit=5)
    assert found["count"] == 30
    assert found["facets"]["category"] == [{"value": "food.cafe", "count": 15}, {"value": "shop.books", "count": 15}]
    assert found["facets"]["brand"] == [{"value": "A", "count": 15}, {"value": None, "count": 15}]
    assert found["facets"]["price_band"] == [{"value": band, "count": 10} for band in (1, 2, 3)]
    assert found["facets"]["open"] == [{"value": None, "count": 30}]
    assert ask("stores/nearby", **HERE, facets="category", category="food")["facets"]["category"] == [{"value": "food.cafe", "count": 15}]
    offers = ask("offers/nearby", **HERE, facets="category")
    assert (offers["count"], len(offers["items"])) == (2, 2)


def test_clusters_for_a_map_at_any_zoom(ask: Any, session: Session) -> None:
    for n in range(40):
        make_store(session, name=str(n), at=at(37 * n, 11 * n), category=("food.cafe", "shop.books")[n % 2])
    session.commit()
    low, high = at(-500, -500), at(3_000, 3_000)
    bbox = f"{low.lon},{low.lat},{high.lon},{high.lat}"
    for zoom in (4, 10, 14, 18, 22):
        found = ask("clusters", bbox=bbox, zoom=zoom)
        assert sum(one["count"] for one in found["items"]) == 40
        assert sum(one["count"] for one in ask("clusters", bbox=bbox, zoom=zoom, category="food")["items"]) == 20
    cells = {one["cell"]: one["count"] for one in ask("clusters", bbox=bbox, zoom=12)["items"]}
    expected: dict[str, int] = {}
    for n in range(40):
        cell = to_hex(parent(cell_of(at(37 * n, 11 * n)), found_resolution := ask("clusters", bbox=bbox, zoom=12)["resolution"]))
        expected[cell] = expected.get(cell, 0) + 1
    assert (cells, found_resolution) == (expected, 8)
    wide = ask("clusters", bbox="20,59,32,66", zoom=5, category="food")
    assert sum(one["count"] for one in wide["items"]) == 20


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
    filtered = why(price_max=500, open_now="true")
    assert filtered["reason"] == "filtered"
    assert {one["name"]: set(one["failed"]) for one in filtered["stores"]} == {
        "near": {"price_max", "open"},
        "far": {"price_max", "open", "radius_m"},
    }
    lacking = why(radius_m=5_000, limit=3, min_radius_m=10)
    assert lacking["reason"] in ("shown", "excluded_by_page")
    best = next(hit for hit in ask("offers/nearby", **HERE, limit=3)["items"][2:])
    found = why(limit=3)
    assert found["needed"] == best["score"]["total"]
    assert admin_api.patch(f"/v1/offers/{offer.id}", {"status": "paused"}, version=1).status_code == 200
    assert why()["reason"] == "not_live"
    problem_of(app_api.get("/v1/offers/00000000-0000-8000-8000-000000000000/why-not", **HERE), 404, "not_found")


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
