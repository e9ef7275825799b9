from __future__ import annotations

from typing import Any

import pytest
from flask import Flask
from sqlalchemy.orm import Session

from geo_o2o.auth import queries, service
from geo_o2o.auth.access import ROLES, access
from geo_o2o.auth.keys import format_key, parse_key
from geo_o2o.caller import Caller
from geo_o2o.errors import InvalidInput, NotFound, Unauthenticated

from ..conftest import NOW, Api
from ..test_http import problem_of


def test_a_key_is_shown_once_and_kept_as_a_hash(session: Session) -> None:
    key, text = service.create_key(session, role="app", name="", merchant=None, now=NOW)
    secret = text.split("_")[3]
    assert text.startswith("go_app_")
    assert key.prefix in text
    assert secret.encode() not in key.secret_hash
    assert bytes.fromhex(secret) not in key.secret_hash
    assert service.identify(session, text).role == "app"


def test_a_key_with_another_secret_is_nobodys(session: Session) -> None:
    key, _ = service.create_key(session, role="app", name="", merchant=None, now=NOW)
    with pytest.raises(Unauthenticated):
        service.identify(session, format_key("app", prefix=bytes.fromhex(key.prefix), secret=bytes(32)))


def test_a_revoked_key_is_nobodys(session: Session) -> None:
    key, text = service.create_key(session, role="planner", name="", merchant=None, now=NOW)
    service.revoke_key(session, prefix=key.prefix, now=NOW)
    with pytest.raises(Unauthenticated):
        service.identify(session, text)
    with pytest.raises(NotFound):
        service.revoke_key(session, prefix=key.prefix, now=NOW)


@pytest.mark.parametrize("text", ["", "go_app_12345678_abc", "go_APP_" + "0" * 8 + "_" + "0" * 64, "go_app_0000000g_" + "0" * 64])
def test_text_that_is_no_key(text: str) -> None:
    assert parse_key(text) is None


def test_a_store_key_belongs_to_a_merchant_and_no_other_does(session: Session) -> None:
    merchant = service.add_merchant(session, name="Kirjakauppa", now=NOW)
    assert service.add_merchant(session, name="Kirjakauppa", now=NOW).id == merchant.id
    for role, owner in (("store", None), ("app", merchant), ("clerk", None)):
        with pytest.raises(InvalidInput):
            service.create_key(session, role=role, name="", merchant=owner, now=NOW)
    assert queries.list_keys(session) == []


def test_a_misspelt_scope_fails_at_import() -> None:
    with pytest.raises(ValueError, match="stores:raed"):
        access("stores:raed")


def test_a_view_without_a_mark_is_refused(settings: Any, database: Any, as_role: Any) -> None:
    from geo_o2o.app import create_app

    app: Flask = create_app(settings, database=database)
    app.add_url_rule("/forgotten", "forgotten", lambda: "secret")
    api = as_role("admin")
    response = Api(app.test_client(), api.key).get("/forgotten")
    problem_of(response, 403, "forbidden")


# One route of each scope; every role is tried on every one.
ROUTES = {
    "discovery:read": ("GET", "/v1/stores/nearby?lat=60&lng=24"),
    "catalogue:read": ("GET", "/v1/stores"),
    "catalogue:write": ("POST", "/v1/stores"),
    "check-ins:write": ("POST", "/v1/check-ins"),
    "check-ins:read": ("GET", "/v1/check-ins"),
    "confirmations:write": ("POST", "/v1/check-ins/01a1fff2-6630-8112-9b5c-a9272055c5ec/confirmations"),
    "districts:write": ("POST", "/v1/districts"),
    "visits:read": ("GET", "/v1/check-ins/01a1fff2-6630-8112-9b5c-a9272055c5ec"),
    "heat:read": ("GET", "/v1/heat/supply?bbox=24,60,25,61"),
    "tiles:read": ("GET", "/v1/tiles/stores/14/9327/4742.mvt"),
    "merchants:write": ("GET", "/v1/merchants"),
    "keys:write": ("GET", "/v1/keys"),
    "profiles:write": ("GET", "/v1/profiles"),
    "status:read": ("GET", "/v1/status"),
    "passkeys:write": ("GET", "/v1/passkeys"),
}


@pytest.mark.parametrize("role", list(ROLES))
def test_each_role_has_its_scopes_and_no_others(as_role: Any, role: str) -> None:
    api = as_role(role)
    for scope, (method, path) in ROUTES.items():
        response = api(method, path, json={} if method == "POST" else None)
        if scope in ROLES[role]:
            # Who has a page's key says with which device, too.
            unproven = role == "web" and response.get_json(silent=True) and response.get_json().get("code") == "proof_invalid"
            assert response.status_code not in (401, 403) or unproven, f"{role} should have {scope}"
        else:
            problem_of(response, 403, "forbidden")


def test_the_table_above_knows_every_scope() -> None:
    assert set(ROUTES) == frozenset().union(*ROLES.values())


def test_only_the_operator_changes_what_is_nobodys() -> None:
    admin = Caller(key_id=NOW, role="admin", merchant_id=None)  # type: ignore[arg-type]
    store = Caller(key_id=NOW, role="store", merchant_id=NOW)  # type: ignore[arg-type]
    assert admin.may_change(None)
    assert not store.may_change(None)
    assert store.may_change(NOW)  # type: ignore[arg-type]


def test_a_merchant_is_made_by_the_api_once(admin_api: Api) -> None:
    first = admin_api.post("/v1/merchants", {"name": "Stockmann"})
    again = admin_api.post("/v1/merchants", {"name": "Stockmann"})
    assert first.status_code == 201
    assert first.get_json()["id"] == again.get_json()["id"]
    assert "Stockmann" in [one["name"] for one in admin_api.get("/v1/merchants").get_json()["items"]]
