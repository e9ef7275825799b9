"""API keys over the API: made, listed, replaced and revoked by the operator; the text of one is said once."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy.orm import Session

from geo_o2o.auth.access import ROLES

from ..conftest import Api
from ..factories import make_store
from ..test_http import problem_of


def use(api: Api, key: str) -> int:
    return int(Api(api.client, key).get("/v1/categories").status_code)


@pytest.mark.parametrize("role", [role for role in ROLES if role != "store"])
def test_a_key_is_made_said_once_and_revoked(admin_api: Api, role: str) -> None:
    made = admin_api.post("/v1/keys", {"role": role, "name": "our shop window"})
    assert (made.status_code, made.headers["Cache-Control"]) == (201, "no-store")
    body = made.get_json()
    assert body["key"].startswith(f"go_{role}_{body['prefix']}_")
    assert use(admin_api, body["key"]) == 200
    listed = next(one for one in admin_api.get("/v1/keys").get_json()["items"] if one["prefix"] == body["prefix"])
    assert listed == {name: value for name, value in body.items() if name != "key"}
    assert "key" not in listed
    revoked = admin_api.post(f"/v1/keys/{body['prefix']}/revoke", {})
    assert revoked.get_json()["revoked_at"] is not None
    problem_of(admin_api.post(f"/v1/keys/{body['prefix']}/revoke", {}), 404, "not_found")
    admin_api.client.application.extensions["known_callers"].clear()
    assert use(admin_api, body["key"]) == 401


def test_a_stores_key_belongs_to_a_merchant(admin_api: Api, session: Session) -> None:
    merchant = admin_api.post("/v1/merchants", {"name": "Kahvila Oy"}).get_json()["id"]
    made = admin_api.post("/v1/keys", {"role": "store", "merchant_id": merchant, "name": "till"}).get_json()
    assert (made["merchant"], made["role"]) == ("Kahvila Oy", "store")
    store = make_store(session, merchant_id=merchant)
    session.commit()
    shop = Api(admin_api.client, made["key"])
    assert [one["id"] for one in shop.get("/v1/stores").get_json()["items"]] == [str(store.id)]
    replaced = admin_api.post(f"/v1/keys/{made['prefix']}/replace", {}).get_json()
    assert (replaced["merchant"], replaced["name"]) == ("Kahvila Oy", "till")
    assert replaced["prefix"] != made["prefix"]
    assert [one["id"] for one in Api(admin_api.client, replaced["key"]).get("/v1/stores").get_json()["items"]] == [str(store.id)]


@pytest.mark.parametrize(
    "body",
    [{}, {"role": "king"}, {"role": None}, {"role": "store"}, {"role": "app", "merchant_id": "01a20573-538d-8112-9b65-7d52302ae626"},
     {"role": "store", "merchant_id": "01a20573-538d-8112-9b65-7d52302ae626"}, {"role": "store", "merchant_id": "x"}, {"role": "app", "name": "x" * 101}, {"role": "app", "key": "mine"}],
)  # fmt: skip
def test_what_is_no_key_is_refused(admin_api: Api, body: dict[str, Any]) -> None:
    before = admin_api.get("/v1/keys").get_json()
    problem_of(admin_api.post("/v1/keys", body), 422, "invalid_input")
    assert admin_api.get("/v1/keys").get_json() == before


def test_the_last_key_of_the_operator_stays(admin_api: Api) -> None:
    own = admin_api.key.split("_")[2]
    problem_of(admin_api.post(f"/v1/keys/{own}/revoke", {}), 409, "last_operator_key")
    other = admin_api.post("/v1/keys", {"role": "admin"}).get_json()
    assert admin_api.post(f"/v1/keys/{own}/revoke", {}).status_code == 200
    problem_of(Api(admin_api.client, other["key"]).post(f"/v1/keys/{other['prefix']}/revoke", {}), 409, "last_operator_key")


@pytest.mark.parametrize("prefix", ["00000000", "x" * 300, "%00", "go_admin"])
def test_an_unknown_key_is_not_found(admin_api: Api, prefix: str) -> None:
    for deed in ("revoke", "replace"):
        assert admin_api.post(f"/v1/keys/{prefix}/{deed}", {}).status_code == 404


def test_keys_are_the_operators(app_api: Api, store_api: Api, planner_api: Api) -> None:
    for api in (app_api, store_api, planner_api):
        problem_of(api.get("/v1/keys"), 403, "forbidden")
        problem_of(api.post("/v1/keys", {"role": "admin"}), 403, "forbidden")
        problem_of(api.post("/v1/keys/00000000/revoke", {}), 403, "forbidden")
