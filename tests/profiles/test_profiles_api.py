"""Rank profiles over the API: added without a deployment, and tried before that."""

from __future__ import annotations

import time
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import Session

from geo_o2o.discovery import service as discovery_service
from geo_o2o.discovery.ranking import built_in_profiles
from geo_o2o.discovery.selection import Views
from geo_o2o.discovery.service import Finder
from geo_o2o.profiles.comparing import compare

from ..conftest import Api
from ..factories import HELSINKI, make_offer, make_store, north_of
from ..test_http import problem_of

WEIGHTS = {
    "distance_weight": 100,
    "half_distance_m": 400,
    "rating_weight": 900,
    "text_weight": 500,
    "prior_count": 10,
    "prior_mean": {"default": 3.5},
}
HERE = {"lat": 60.169, "lng": 24.9414}


@pytest.fixture
def town(session: Session) -> None:
    """The farther, the better: the two weights disagree about each pair."""
    for number in range(30):
        store = make_store(session, at=north_of(HELSINKI, 30 * number), name=f"Store {number}", rating=((2 * number) + 40, 40))
        make_offer(session, store, title=f"Offer {number}")
    session.commit()


def preview(api: Api, **more: Any) -> Any:
    return api.post("/v1/profiles/preview", {"profile": WEIGHTS, "places": [HERE], **more})


@pytest.mark.parametrize("kind", ["stores", "offers"])
def test_what_is_previewed_is_what_comes(admin_api: Api, app_api: Api, town: None, kind: str) -> None:
    [found] = preview(admin_api, kind=kind).get_json()["items"]
    added = admin_api.post("/v1/profiles", {**WEIGHTS, "name": "ratings-1"})
    assert added.status_code == 201
    assert {name: added.get_json()[name] for name in WEIGHTS} == WEIGHTS
    asked = {**HERE, "radius_m": 2_000, "limit": 20}
    before, after = (app_api.get(f"/v1/{kind}/nearby", **asked, profile=name).get_json()["items"] for name in ("balanced-1", "ratings-1"))
    placed = {one["id"]: (one["before"], one["after"]) for one in found["hits"]}
    for number, hit in enumerate(before, 1):
        assert placed[hit["id"]][0] == number
    assert [(one["id"], one["total"], one["distance_m"]) for one in found["hits"] if one["after"]] == [
        (hit["id"], hit["score"]["total"], hit["distance_m"]) for hit in after
    ]
    kept = {hit["id"] for hit in before} & {hit["id"] for hit in after}
    assert (found["kept"], found["lat"]) == (len(kept), HERE["lat"])
    assert found["moved"] > 1
    assert len(found["hits"]) == 40 - len(kept)


def test_the_profile_in_use_changes_nothing(admin_api: Api, town: None) -> None:
    own = {name: value for name, value in built_in_profiles()["balanced-1"].as_json().items() if name != "name"}
    [found] = preview(admin_api, profile=own).get_json()["items"]
    assert (found["kept"], found["moved"]) == (20, 0.0)
    assert all(one["before"] == one["after"] for one in found["hits"])


def test_two_drafts_are_not_taken_for_each_other(admin_api: Api, town: None) -> None:
    first = preview(admin_api).get_json()
    other = preview(admin_api, profile={**WEIGHTS, "rating_weight": 0}).get_json()
    assert first["items"] != other["items"]
    assert preview(admin_api).get_json() == first


def test_a_sample_of_places_is_answered_in_its_order(admin_api: Api, town: None) -> None:
    places = [HERE, {"lat": -33.0, "lng": 151.0}]
    found = preview(admin_api, places=places, limit=5, category="food.cafe", against="balanced-1").get_json()
    assert [(one["lat"], one["lng"]) for one in found["items"]] == [(60.169, 24.9414), (-33.0, 151.0)]
    assert found["items"][1]["hits"] == []
    assert (found["items"][1]["kept"], found["items"][1]["moved"]) == (0, 0.0)


def test_profiles_are_listed_and_a_name_is_used_once(admin_api: Api) -> None:
    assert [one["built_in"] for one in admin_api.get("/v1/profiles").get_json()["items"]] == [True] * len(built_in_profiles())
    assert admin_api.post("/v1/profiles", {**WEIGHTS, "name": "ratings-1"}).status_code == 201
    last = admin_api.get("/v1/profiles").get_json()["items"][-1]
    assert (last["name"], last["built_in"], last["prior_mean"]) == ("ratings-1", False, {"default": 3.5})
    for name in ("ratings-1", "balanced-1"):
        problem_of(admin_api.post("/v1/profiles", {**WEIGHTS, "name": name}), 409, "conflict")


@pytest.mark.parametrize(
    "changes",
    [{"distance_weight": -1}, {"distance_weight": 10**9}, {"distance_weight": "x"}, {"distance_weight": True}, {"half_distance_m": 10}, {"rating_weight": None}, {"prior_count": 0},
     {"prior_mean": {}}, {"prior_mean": {"food": 3}}, {"prior_mean": {"default": 6}}, {"prior_mean": {"default": "nan"}}, {"prior_mean": []}, {"prior_mean": {str(n): 3 for n in range(300)}},
     {"name": "no spaces"}, {"name": ""}, {"name": "x" * 61}, {"name": "<script>"}, {"unknown": 1}],
)  # fmt: skip
def test_what_cannot_rank_is_refused_and_not_kept(admin_api: Api, changes: dict[str, Any]) -> None:
    problem_of(admin_api.post("/v1/profiles", {**WEIGHTS, "name": "ratings-1", **changes}), 422, "invalid_input")
    assert len(admin_api.get("/v1/profiles").get_json()["items"]) == len(built_in_profiles())
    if "name" not in changes:
        problem_of(preview(admin_api, profile={**WEIGHTS, **changes}), 422, "invalid_input")


@pytest.mark.parametrize(
    "changes",
    [{"places": []}, {"places": [HERE] * 21}, {"places": [{"lat": 91, "lng": 0}]}, {"places": [{"lat": 1}]}, {"places": "here"}, {"kind": "cats"}, {"limit": 0}, {"limit": 51},
     {"against": "no-such"}, {"radius_m": 1e9}, {"category": "no.such"}],
)  # fmt: skip
def test_what_is_no_preview_is_refused(admin_api: Api, changes: dict[str, Any]) -> None:
    problem_of(preview(admin_api, **changes), 422, "invalid_input")


def test_profiles_are_the_operators(app_api: Api, store_api: Api, planner_api: Api) -> None:
    for api in (app_api, store_api, planner_api):
        problem_of(api.get("/v1/profiles"), 403, "forbidden")
        problem_of(preview(api), 403, "forbidden")
        problem_of(api.post("/v1/profiles", {**WEIGHTS, "name": "x"}), 403, "forbidden")


def test_two_pages_are_compared_hit_by_hit() -> None:
    before, after = ([{"id": id_} for id_ in ids] for ids in ("abcd", "bae"))
    found = compare(before, after)
    assert [(one.hit["id"], one.before, one.after) for one in found.placed] == [
        ("b", 2, 1),
        ("a", 1, 2),
        ("e", None, 3),
        ("c", 3, None),
        ("d", 4, None),
    ]
    assert (found.kept, found.moved) == (2, 1.0)
    assert compare([], []).moved == 0.0


# --- the profile in use ------------------------------------------------------------------------------------------------------------


def in_use(api: Api) -> list[str]:
    return [one["name"] for one in api.get("/v1/profiles").get_json()["items"] if one["in_use"]]


def test_a_profile_that_is_put_to_use_answers_whoever_names_none(admin_api: Api, app_api: Api, town: None) -> None:
    assert in_use(admin_api) == ["balanced-1"]
    admin_api.post("/v1/profiles", {**WEIGHTS, "name": "ratings-1"})
    for name in ("ratings-1", "balanced-1", "top-rated-1"):
        used = admin_api.post(f"/v1/profiles/{name}/use", {})
        assert (used.status_code, used.get_json()["in_use"]) == (200, True)
        assert in_use(admin_api) == [name]
        for path in ("/v1/offers/nearby", "/v1/stores/nearby"):
            usual, named = (app_api.get(path, **HERE, **more).get_json() for more in ({}, {"profile": name}))
            assert usual["items"] == named["items"]
            assert usual["items"][0]["score"]["profile"] == name
        assert preview(admin_api).get_json()["against"] == name


def test_a_walk_over_pages_keeps_its_profile(admin_api: Api, app_api: Api, town: None) -> None:
    admin_api.post("/v1/profiles", {**WEIGHTS, "name": "ratings-1"})
    first = app_api.get("/v1/stores/nearby", **HERE, limit=10).get_json()
    admin_api.post("/v1/profiles/ratings-1/use", {})
    second = app_api.get("/v1/stores/nearby", **HERE, limit=10, cursor=first["next"]).get_json()
    assert {one["score"]["profile"] for one in second["items"]} == {"balanced-1"}
    whole = app_api.get("/v1/stores/nearby", **HERE, limit=20, profile="balanced-1").get_json()
    assert first["items"] + second["items"] == whole["items"]


def test_a_database_that_cannot_say_leaves_the_one_that_was_in_use(app: Flask, admin_api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    found = Finder(lambda: app.extensions["database"], None, Views(1_000))
    admin_api.post("/v1/profiles/nearest-1/use", {})
    assert found.profile().name == "nearest-1"

    def fail(*_: Any) -> Any:
        raise PoolTimeout("no connection is free")

    monkeypatch.setattr(discovery_service, "profile_in_use", fail)
    found.look_again()
    assert found.profile().name == "nearest-1"
    assert Finder(lambda: app.extensions["database"], None, Views(1_000)).profile().name == "balanced-1"


def test_the_same_profile_twice_is_one_beginning(admin_api: Api, session: Session) -> None:
    first, second = (admin_api.post("/v1/profiles/nearest-1/use", {}).get_json()["in_use_since"] for _ in range(2))
    assert first == second
    assert session.scalar(sa.text("/* test */ SELECT count(*) FROM profile_uses")) == 1


@pytest.mark.parametrize("name", ["nothing-1", "%00", "x" * 500, "..", "balanced-1%20"])
def test_what_is_no_profile_is_not_put_to_use(admin_api: Api, name: str) -> None:
    assert admin_api.post(f"/v1/profiles/{name}/use", {}).status_code == 404
    assert in_use(admin_api) == ["balanced-1"]


def test_other_processes_hear_of_it(admin_api: Api, app: Flask, town: None, monkeypatch: pytest.MonkeyPatch) -> None:
    other = Finder(lambda: app.extensions["database"], None, Views(1_000))
    assert other.profile().name == "balanced-1"
    admin_api.post("/v1/profiles/nearest-1/use", {})
    began = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: began + 6)
    assert other.profile().name == "nearest-1"
