from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from geo_o2o.discovery import profiles
from geo_o2o.discovery.schemas import NearbyOffers, NearbyStores, OfferHit, StoreHit, StoreOfHit
from geo_o2o.errors import Conflict, InvalidInput
from geo_o2o.geo.crs import from_wgs84
from geo_o2o.geo.point import Point
from geo_o2o.http import utcnow
from script.recompute import recompute

from ..conftest import Api
from ..factories import HELSINKI, make_offer, make_store, north_of
from ..test_http import problem_of

HERE = {"lat": HELSINKI.lat, "lng": HELSINKI.lon}


def names(response: Any) -> list[str]:
    assert response.status_code == 200, response.text
    return [hit.get("title", hit.get("name", None)) for hit in response.get_json()["items"]]


def test_the_nearer_and_the_better_comes_first(app_api: Api, session: Session) -> None:
    make_store(session, name="near", at=north_of(HELSINKI, 50), rating=(60, 20))
    make_store(session, name="near and good", at=north_of(HELSINKI, 60), rating=(500, 100))
    make_store(session, name="far and good", at=north_of(HELSINKI, 900), rating=(500, 100))
    make_store(session, name="too far", at=north_of(HELSINKI, 2_100))
    make_store(session, name="gone", status="closed")
    session.commit()
    assert names(app_api.get("/v1/stores/nearby", **HERE)) == ["near and good", "near", "far and good"]
    assert names(app_api.get("/v1/stores/nearby", **HERE, profile="nearest-1")) == ["near", "near and good", "far and good"]
    assert names(app_api.get("/v1/stores/nearby", **HERE, radius_m=100, min_rating=4)) == ["near and good"]


def test_answers_have_the_shape_of_their_schemas(app_api: Api, session: Session) -> None:
    make_offer(session, make_store(session, rating=(9, 2)))
    session.commit()
    stores = app_api.get("/v1/stores/nearby", **HERE, explain="true").get_json()
    offers = app_api.get("/v1/offers/nearby", **HERE, explain="true").get_json()
    sometimes = {"origin", "facets", "count", "stale_since", "sponsored"}
    assert set(stores) == set(NearbyStores().fields) - sometimes
    assert set(offers) == set(NearbyOffers().fields) - sometimes
    assert set(stores["items"][0]) == set(StoreHit().fields)
    assert set(offers["items"][0]) == set(OfferHit().fields)
    assert set(offers["items"][0]["store"]) == set(StoreOfHit().fields)
    assert NearbyStores().validate({**stores, "items": []}) == {}
    assert "explain" not in app_api.get("/v1/stores/nearby", **HERE).get_json()["items"][0]


def test_a_public_script_recomputes_the_order_from_the_answer_alone(app_api: Api, session: Session) -> None:
    for number in range(40):
        store = make_store(session, name=f"Store {number}", at=north_of(HELSINKI, 37 * number), rating=(number * 4, number))
        make_offer(session, store, title=f"Offer {number}")
    session.commit()
    for kind in ("stores", "offers"):
        for profile in ("balanced-1", "nearest-1", "top-rated-1"):
            answer = app_api.get(f"/v1/{kind}/nearby", **HERE, profile=profile, explain="true", limit=30).get_json()
            assert recompute(answer) == []
            for sort in ("distance", "rating", "price", *(["ending_soon"] if kind == "offers" else [])):
                ordered = app_api.get(f"/v1/{kind}/nearby", **HERE, profile=profile, explain="true", limit=30, sort=sort, currency="EUR").get_json()
                assert recompute(ordered) == []
            worded = app_api.get(f"/v1/{kind}/nearby", **HERE, profile=profile, explain="true", limit=30, q="stor").get_json()
            assert worded["items"][0]["score"]["text"] > 0
            assert recompute(worded) == []
            answer["items"][3], answer["items"][4] = answer["items"][4], answer["items"][3]
            answer["items"][7]["score"]["rating"] += 1
            assert len(recompute(answer)) == 2


def test_an_offer_of_many_stores_appears_once_at_its_best_store(app_api: Api, session: Session) -> None:
    stores = [make_store(session, name=f"branch {number}", at=north_of(HELSINKI, 100 * number)) for number in range(1, 6)]
    make_offer(session, *stores[::-1], title="everywhere")
    make_offer(session, stores[2], title="one place")
    session.commit()
    hits = app_api.get("/v1/offers/nearby", **HERE).get_json()["items"]
    assert [(hit["title"], hit["store"]["name"]) for hit in hits] == [("everywhere", "branch 1"), ("one place", "branch 3")]


def test_only_what_holds_now_is_shown(app_api: Api, session: Session) -> None:
    now = utcnow()
    store = make_store(session)
    make_offer(session, store, title="over", valid_from=now - timedelta(days=9), valid_until=now - timedelta(minutes=1))
    make_offer(session, store, title="not yet", valid_from=now + timedelta(hours=1))
    make_offer(session, store, title="holds", valid_from=now - timedelta(days=1), valid_until=now + timedelta(days=1))
    make_offer(session, store, title="draft", status="draft")
    session.commit()
    assert names(app_api.get("/v1/offers/nearby", **HERE)) == ["holds"]


def test_price_and_currency(app_api: Api, session: Session) -> None:
    cheap, dear = make_store(session, name="cheap"), make_store(session, name="dear", at=north_of(HELSINKI, 5))
    make_offer(session, cheap, title="five", price_minor=500)
    make_offer(session, dear, title="fifty", price_minor=5_000)
    make_offer(session, dear, title="no price", price_minor=None)
    session.commit()
    assert sorted(names(app_api.get("/v1/offers/nearby", **HERE))) == ["fifty", "five", "no price"]
    assert names(app_api.get("/v1/offers/nearby", **HERE, price_max=500)) == ["five"]
    assert names(app_api.get("/v1/offers/nearby", **HERE, price_max=500, currency="SEK")) == []
    assert names(app_api.get("/v1/stores/nearby", **HERE, price_max=499)) == []
    assert names(app_api.get("/v1/stores/nearby", **HERE, price_max=500)) == ["cheap"]


def test_open_now_and_open_at(app_api: Api, session: Session) -> None:
    make_store(session, name="always", opening_hours="24/7", now=utcnow())
    make_store(session, name="never", opening_hours="off", now=utcnow(), at=north_of(HELSINKI, 5))
    make_store(session, name="unknown", at=north_of(HELSINKI, 10))
    saturday_night = utcnow() + timedelta(days=(5 - utcnow().weekday()) % 7 + 7)
    make_store(session, name="saturday night", opening_hours="Sa 23:00-26:00", now=utcnow(), at=north_of(HELSINKI, 15))
    session.commit()
    everywhere = app_api.get("/v1/stores/nearby", **HERE).get_json()["items"]
    assert {hit["name"]: hit["open"] for hit in everywhere if hit["name"] != "saturday night"} == {"always": True, "never": False, "unknown": None}
    assert "always" in names(app_api.get("/v1/stores/nearby", **HERE, open_now="true"))
    assert not {"never", "unknown"} & set(names(app_api.get("/v1/stores/nearby", **HERE, open_now="true")))
    late = saturday_night.date().isoformat() + "T23:30:00+02:00"
    assert names(app_api.get("/v1/stores/nearby", **HERE, open_at=late)) == ["always", "saturday night"]
    after_midnight = (saturday_night.date() + timedelta(days=1)).isoformat() + "T01:30:00+02:00"
    assert names(app_api.get("/v1/stores/nearby", **HERE, open_at=after_midnight)) == ["always", "saturday night"]


def test_a_moment_beyond_the_expanded_hours_is_refused_and_not_guessed(app_api: Api) -> None:
    problem_of(app_api.get("/v1/stores/nearby", **HERE, open_at="2099-01-01T00:00:00Z"), 422, "open_at_out_of_range")
    problem_of(app_api.get("/v1/stores/nearby", **HERE, open_at="2001-01-01T00:00:00Z"), 422, "open_at_out_of_range")


def test_categories_include_what_lies_below(app_api: Api, session: Session) -> None:
    for number, category in enumerate(("food.cafe", "food", "shop.books")):
        make_store(session, name=category, category=category, at=north_of(HELSINKI, number))
    session.commit()
    assert names(app_api.get("/v1/stores/nearby", **HERE, category="food")) == ["food.cafe", "food"]
    assert names(app_api.get("/v1/stores/nearby", **HERE, category="food.cafe,shop")) == ["food.cafe", "shop.books"]


@pytest.mark.parametrize("kind", ["stores", "offers"])
@pytest.mark.parametrize(
    ("params", "field"),
    [
        ({"lat": 91}, "lat"), ({"lat": "NaN"}, "lat"), ({"lat": "Infinity"}, "lat"), ({"lat": "1e400"}, "lat"), ({"lat": ""}, "lat"), ({"lat": "60,1"}, "lat"),
        ({"lat": 116.4, "lng": 39.9}, "lat"), ({"lng": -180.5}, "lng"), ({"lng": "nan"}, "lng"), ({"lat": "1" * 500}, "lat"), ({"lat": "٦٠"}, None),
        ({"radius_m": 0}, "radius_m"), ({"radius_m": -1}, "radius_m"), ({"radius_m": 1e9}, "radius_m"), ({"radius_m": "abc"}, "radius_m"),
        ({"limit": 0}, "limit"), ({"limit": 101}, "limit"), ({"limit": "abc"}, "limit"), ({"limit": "1.5"}, "limit"), ({"limit": "1e1"}, "limit"),
        ({"category": "food.spaceship"}, "category"), ({"category": ""}, "category"), ({"profile": "best-1"}, "profile"), ({"profile": "x" * 99}, "profile"),
        ({"crs": "epsg:3857"}, "crs"), ({"min_rating": 6}, "min_rating"), ({"min_rating": "NaN"}, "min_rating"), ({"open_now": "perhaps"}, "open_now"),
        ({"open_at": "17:00"}, "open_at"), ({"open_now": "true", "open_at": "2026-11-21T17:00:00Z"}, "open_at"), ({"price_max": -1}, "price_max"),
        ({"price_max": "1.50"}, "price_max"), ({"currency": "euro"}, "currency"), ({"cursor": "abc"}, "cursor"), ({"explain": "maybe"}, "explain"),
    ],
)  # fmt: skip
def test_nonsense_is_refused_by_the_fields_name(app_api: Api, kind: str, params: dict[str, Any], field: str | None) -> None:
    response = app_api.get(f"/v1/{kind}/nearby", **{**HERE, **params})
    if field is None:
        assert response.status_code in (200, 422)
        return
    assert response.status_code == 422, response.text
    assert response.mimetype == "application/problem+json"
    assert response.get_json()["errors"][0]["field"].split(".")[0] == field


@pytest.mark.parametrize("field", ["lat", "lng"])
def test_a_missing_coordinate_is_named(app_api: Api, field: str) -> None:
    body = problem_of(app_api.get("/v1/offers/nearby", **{name: value for name, value in HERE.items() if name != field}), 422, "invalid_input")
    assert body["errors"] == [{"field": field, "message": "Missing data for required field."}]


def test_pages_follow_one_another_and_keep_their_moment(app_api: Api, session: Session) -> None:
    for number in range(23):
        make_store(session, name=f"{number:02}", at=north_of(HELSINKI, 10 * number))
    session.commit()
    first = app_api.get("/v1/stores/nearby", **HERE, limit=10).get_json()
    second = app_api.get("/v1/stores/nearby", **HERE, limit=10, cursor=first["next"]).get_json()
    third = app_api.get("/v1/stores/nearby", **HERE, limit=10, cursor=second["next"]).get_json()
    assert [hit["name"] for page in (first, second, third) for hit in page["items"]] == [f"{number:02}" for number in range(23)]
    assert third["next"] is None
    assert first["at"] == second["at"] == third["at"]
    assert names(app_api.get("/v1/stores/nearby", **HERE, limit=5, cursor=first["next"])) == ["10", "11", "12", "13", "14"]


def test_a_cursor_that_was_cut_changed_or_belongs_to_another_question(app_api: Api, session: Session) -> None:
    for number in range(5):
        make_store(session, at=north_of(HELSINKI, number))
    session.commit()
    cursor = app_api.get("/v1/stores/nearby", **HERE, limit=2).get_json()["next"]
    other = {True: "B", False: "A"}
    for broken in (cursor[:-5], other[cursor[0] == "A"] + cursor[1:], cursor[:30] + other[cursor[30] == "A"] + cursor[31:], cursor + "x"):
        problem_of(app_api.get("/v1/stores/nearby", **HERE, cursor=broken), 422, "cursor_invalid")
    problem_of(app_api.get("/v1/stores/nearby", **{**HERE, "lat": 60.2}, cursor=cursor), 422, "cursor_of_other_question")
    problem_of(app_api.get("/v1/stores/nearby", **HERE, category="food", cursor=cursor), 422, "cursor_of_other_question")
    problem_of(app_api.get("/v1/offers/nearby", **HERE, cursor=cursor), 422, "cursor_of_other_question")


@pytest.mark.parametrize("centre", [Point(180.0, -17.0), Point(-179.9999, 65.0), Point(12.0, 89.999), Point(0.0, -90.0)])
def test_the_date_line_and_the_poles_are_places_like_others(app_api: Api, session: Session, centre: Point) -> None:
    from geo_o2o.geo.distance import GEOD

    for number, azimuth in enumerate((0, 90, 180, 270)):
        lon, lat, _ = GEOD.fwd(centre.lon, centre.lat, azimuth, 400)
        make_store(session, name=str(number), at=Point(lon, lat), time_zone="UTC")
    session.commit()
    response = app_api.get("/v1/stores/nearby", lat=centre.lat, lng=centre.lon, radius_m=500)
    assert sorted(names(response)) == ["0", "1", "2", "3"]
    assert {hit["distance_m"] for hit in response.get_json()["items"]} == {400}


def test_positions_in_and_out_in_the_callers_system(app_api: Api, session: Session) -> None:
    place = Point(121.0104, 24.7866)
    make_store(session, at=place)
    session.commit()
    asked = from_wgs84(place, "bd09")
    hit = app_api.get("/v1/stores/nearby", lat=asked.lat, lng=asked.lon, crs="bd09", radius_m=10).get_json()["items"][0]
    assert hit["distance_m"] == 0
    assert (hit["lat"], hit["lng"]) == (pytest.approx(asked.lat, abs=1e-6), pytest.approx(asked.lon, abs=1e-6))


def test_samples_say_so_and_sources_are_credited(app_api: Api, session: Session) -> None:
    make_store(session, rating=(9, 2), rating_sample=True, source="osm")
    session.execute(sa.text("INSERT INTO attributions VALUES ('osm', '© OpenStreetMap contributors', 'ODbL-1.0', now())"))
    session.commit()
    body = app_api.get("/v1/stores/nearby", **HERE).get_json()
    assert body["items"][0]["rating"]["sample"] is True
    assert body["attribution"] == [{"source": "osm", "attribution": "© OpenStreetMap contributors", "licence": "ODbL-1.0"}]


def test_an_empty_place_is_an_empty_answer(app_api: Api) -> None:
    body = app_api.get("/v1/offers/nearby", lat=0, lng=-150, radius_m=50_000).get_json()
    assert (body["items"], body["next"], body["attribution"]) == ([], None, [])


def test_a_profile_of_the_deployment_ranks_and_never_changes(app_api: Api, session: Session) -> None:
    make_store(session, name="bad and near", rating=(20, 20))
    make_store(session, name="good and far", rating=(100, 20), at=north_of(HELSINKI, 1_500), category="shop.books")
    refitted = profiles.refit_profile(session, "top-rated-1", now=utcnow())
    session.commit()
    assert refitted.name == "top-rated-2"
    assert refitted.prior_mean_milli == {"default": 3000, "food.cafe": 1000, "shop.books": 5000}
    assert names(app_api.get("/v1/stores/nearby", **HERE, profile="top-rated-2")) == ["good and far", "bad and near"]
    assert profiles.refit_profile(session, "top-rated-1", now=utcnow()).name == "top-rated-3"
    with pytest.raises(Conflict):
        profiles.add_profile(session, refitted, now=utcnow())
    with pytest.raises(InvalidInput, match="balanced-1"):
        profiles.get_profile(session, "nobody-1")


def test_nothing_rated_means_nothing_to_refit_to(session: Session) -> None:
    with pytest.raises(InvalidInput):
        profiles.refit_profile(session, "balanced-1", now=utcnow())
