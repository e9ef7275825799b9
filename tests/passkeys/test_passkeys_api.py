"""Passkeys over the API: made by a store, signed in with by its staff, and everything that must not work."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.orm import Session

from geo_o2o.config import Settings
from geo_o2o.http import utcnow
from geo_o2o.ops.jobs import run_jobs
from geo_o2o.passkeys.challenges import LIFE_S, BadChallenge, check_challenge, make_challenge
from geo_o2o.passkeys.service import party_of
from visit_verify.jws import to_base64url

from ..conftest import Api
from ..test_http import problem_of
from .authenticator import PRESENT, VERIFIED, Authenticator


def made(api: Api, phone: Authenticator, name: str = "Mei's phone") -> Any:
    options = api.post("/v1/passkeys/options", {}).get_json()
    return api.post("/v1/passkeys", {"name": name, "credential": phone.create(options)})


def signed_in(client: FlaskClient, phone: Authenticator) -> Any:
    options = client.post("/v1/sign-ins/options", json={}).get_json()
    return client.post("/v1/sign-ins", json={"credential": phone.get(options)})


def works(client: FlaskClient, key: str) -> bool:
    return client.get("/v1/check-ins?limit=1", headers={"Authorization": f"Bearer {key}"}).status_code == 200


@pytest.fixture
def phone(store_api: Api) -> Authenticator:
    found = Authenticator()
    assert made(store_api, found).status_code == 201
    return found


# --- the way it is meant ---------------------------------------------------------------------------------------------------------


def test_staff_sign_in_as_the_store(client: FlaskClient, store_api: Api, phone: Authenticator) -> None:
    answer = signed_in(client, phone)
    assert answer.status_code == 201
    assert answer.headers["Cache-Control"] == "no-store"
    said = answer.get_json()
    assert works(client, said["key"])
    mine = client.get("/v1/passkeys", headers={"Authorization": f"Bearer {said['key']}"}).get_json()["items"]
    assert [(one["name"], one["id"], one["merchant_id"]) for one in mine] == [("Mei's phone", said["passkey_id"], said["merchant_id"])]
    assert mine[0]["used_at"] is not None
    # The same account: what the store's key has begun is theirs to go on with.
    assert signed_in(client, phone).status_code == 201


def test_a_browser_is_told_what_it_needs(client: FlaskClient, store_api: Api, phone: Authenticator) -> None:
    options = store_api.post("/v1/passkeys/options", {}).get_json()
    assert options["rp"]["id"] == "localhost"
    assert options["authenticatorSelection"]["userVerification"] == "required"
    assert options["authenticatorSelection"]["residentKey"] == "required"
    assert [one["id"] for one in options["excludeCredentials"]] == [to_base64url(phone.id)]
    asked = client.post("/v1/sign-ins/options", json={}).get_json()
    assert (asked["rpId"], asked["userVerification"], asked.get("allowCredentials", [])) == ("localhost", "required", [])
    assert asked["challenge"] != client.post("/v1/sign-ins/options", json={}).get_json()["challenge"]


def test_a_sign_in_is_not_listed_as_a_key_and_ends_by_itself(
    client: FlaskClient, app: Flask, admin_api: Api, phone: Authenticator, session: Session, database: Any, settings: Settings
) -> None:
    key = signed_in(client, phone).get_json()["key"]
    prefix = key.split("_")[2]
    assert prefix not in [one["prefix"] for one in admin_api.get("/v1/keys").get_json()["items"]]
    assert works(client, key)
    session.execute(sa.text("/* test */ UPDATE api_keys SET expires_at = now() - interval '1 second' WHERE prefix = :prefix"), {"prefix": prefix})
    session.commit()
    app.extensions["known_callers"].clear()
    assert not works(client, key)
    run_jobs(database, settings, clock=utcnow)
    assert session.scalar(sa.text("/* test */ SELECT count(*) FROM api_keys WHERE passkey_id IS NOT NULL")) == 0


# --- what must not work ----------------------------------------------------------------------------------------------------------


def test_an_answer_counts_once(client: FlaskClient, store_api: Api, phone: Authenticator) -> None:
    options = client.post("/v1/sign-ins/options", json={}).get_json()
    credential = phone.get(options)
    assert client.post("/v1/sign-ins", json={"credential": credential}).status_code == 201
    problem_of(client.post("/v1/sign-ins", json={"credential": credential}), 401, "passkey_invalid")
    # Nor another answer to the same challenge.
    problem_of(client.post("/v1/sign-ins", json={"credential": phone.get(options)}), 401, "passkey_invalid")
    options = store_api.post("/v1/passkeys/options", {}).get_json()
    assert store_api.post("/v1/passkeys", {"credential": Authenticator().create(options)}).status_code == 201
    problem_of(store_api.post("/v1/passkeys", {"credential": Authenticator().create(options)}), 409, "passkey_known")


def test_a_passkey_is_kept_once(store_api: Api, phone: Authenticator) -> None:
    problem_of(made(store_api, phone), 409, "passkey_known")


FORGERIES: dict[str, Callable[[Authenticator], Authenticator]] = {
    "another key": lambda phone: replace(phone, key=Authenticator().key),
    "another credential": lambda phone: replace(phone, id=Authenticator().id),
    "another origin": lambda phone: replace(phone, origin="https://evil.example"),
    "another port": lambda phone: replace(phone, origin="http://localhost:8001"),
    "nobody there": lambda phone: replace(phone, flags=VERIFIED),
    "nobody verified": lambda phone: replace(phone, flags=PRESENT),
}


@pytest.mark.parametrize("how", FORGERIES)
def test_a_forged_answer_signs_nobody_in(client: FlaskClient, store_api: Api, phone: Authenticator, how: str) -> None:
    forger = FORGERIES[how](phone)
    problem_of(signed_in(client, forger), 401, "passkey_invalid")
    assert signed_in(client, phone).status_code == 201
    if how in ("another origin", "another port", "nobody there", "nobody verified"):
        problem_of(made(store_api, replace(forger, id=Authenticator().id)), 422, "invalid_input")


def test_a_copied_passkey_is_noticed(client: FlaskClient, phone: Authenticator) -> None:
    """The counter of an authenticator only grows: two that count apart are two."""
    copied = copy.copy(phone)
    for _ in range(3):
        assert signed_in(client, phone).status_code == 201
    problem_of(signed_in(client, copied), 401, "passkey_invalid")


def test_a_challenge_is_for_what_it_was_made_for(client: FlaskClient, store_api: Api, phone: Authenticator) -> None:
    adding = store_api.post("/v1/passkeys/options", {}).get_json()
    problem_of(
        client.post("/v1/sign-ins", json={"credential": phone.get({"rpId": "localhost", "challenge": adding["challenge"]})}), 401, "passkey_invalid"
    )
    signing = client.post("/v1/sign-ins/options", json={}).get_json()
    new = Authenticator().create({"rp": {"id": "localhost"}, "challenge": signing["challenge"]})
    problem_of(store_api.post("/v1/passkeys", {"credential": new}), 422, "invalid_input")
    made_up = Authenticator().create({"rp": {"id": "localhost"}, "challenge": to_base64url(bytes(40))})
    problem_of(store_api.post("/v1/passkeys", {"credential": made_up}), 422, "invalid_input")


def test_a_challenge_is_of_its_maker_and_time() -> None:
    made_at = make_challenge("a", secret="s", at_s=1_000, chance=bytes(16))
    assert check_challenge(made_at, "a", secret="s", at_s=1_000 + LIFE_S - 1) == 1_000 + LIFE_S
    for purpose, secret, at_s, text in (
        ("b", "s", 1_000, made_at), ("a", "t", 1_000, made_at), ("a", "s", 1_000 + LIFE_S, made_at), ("a", "s", 1_000, made_at[:-1]), ("a", "s", 1_000, b""),
        ("a", "s", 1_000, (2**62).to_bytes(8) + made_at[8:]),
    ):  # fmt: skip
        with pytest.raises(BadChallenge):
            check_challenge(text, purpose, secret=secret, at_s=at_s)


def test_a_passkey_that_is_revoked_signs_nobody_in_and_signs_out(client: FlaskClient, app: Flask, store_api: Api, phone: Authenticator) -> None:
    said = signed_in(client, phone).get_json()
    gone = store_api.post(f"/v1/passkeys/{said['passkey_id']}/revoke", {})
    assert gone.status_code == 200
    assert gone.get_json()["revoked_at"] is not None
    app.extensions["known_callers"].clear()
    assert not works(client, said["key"])
    problem_of(signed_in(client, phone), 401, "passkey_invalid")
    assert store_api.get("/v1/passkeys").get_json()["items"] == []
    # Twice is once; and what was revoked is not made again.
    assert store_api.post(f"/v1/passkeys/{said['passkey_id']}/revoke", {}).get_json()["revoked_at"] == gone.get_json()["revoked_at"]
    problem_of(made(store_api, phone), 409, "passkey_known")


def test_a_store_whose_last_key_is_revoked_is_signed_out(
    client: FlaskClient, app: Flask, store_api: Api, admin_api: Api, phone: Authenticator
) -> None:
    key = signed_in(client, phone).get_json()["key"]
    prefix = store_api.key.split("_")[2]
    new = admin_api.post(f"/v1/keys/{prefix}/replace", {}).get_json()
    assert admin_api.post(f"/v1/keys/{prefix}/revoke", {}).status_code == 200
    app.extensions["known_callers"].clear()
    assert works(client, key), "its key was replaced, and the passkey is the store's still"
    assert signed_in(client, phone).status_code == 201
    assert admin_api.post(f"/v1/keys/{new['prefix']}/revoke", {}).status_code == 200
    app.extensions["known_callers"].clear()
    assert not works(client, key)
    problem_of(signed_in(client, phone), 401, "passkey_invalid")


def test_each_merchant_has_its_own(admin_api: Api, store_api: Api, phone: Authenticator, as_role: Any) -> None:
    [mine] = store_api.get("/v1/passkeys").get_json()["items"]
    merchant = admin_api.post("/v1/merchants", {"name": "Somebody else"}).get_json()
    key = admin_api.post("/v1/keys", {"role": "store", "merchant_id": merchant["id"]}).get_json()["key"]
    other = Api(store_api.client, key)
    assert other.get("/v1/passkeys").get_json()["items"] == []
    problem_of(other.post(f"/v1/passkeys/{mine['id']}/revoke", {}), 404, "not_found")
    # The operator sees all of them and may end them, and has none.
    assert [one["id"] for one in admin_api.get("/v1/passkeys").get_json()["items"]] == [mine["id"]]
    problem_of(admin_api.post("/v1/passkeys/options", {}), 403, "forbidden")
    assert admin_api.post(f"/v1/passkeys/{mine['id']}/revoke", {}).status_code == 200
    # A challenge that one store was given is not answered by another.
    options = store_api.post("/v1/passkeys/options", {}).get_json()
    problem_of(other.post("/v1/passkeys", {"credential": Authenticator().create(options)}), 422, "invalid_input")


def test_what_ends_by_itself_gives_nothing_that_does_not(client: FlaskClient, store_api: Api, phone: Authenticator) -> None:
    signed = Api(store_api.client, signed_in(client, phone).get_json()["key"])
    problem_of(signed.post("/v1/passkeys/options", {}), 403, "key_needed")
    options = store_api.post("/v1/passkeys/options", {}).get_json()
    problem_of(signed.post("/v1/passkeys", {"credential": Authenticator().create(options)}), 403, "key_needed")


def test_another_store_of_the_merchant_may_be_on_the_same_device(store_api: Api, admin_api: Api, phone: Authenticator) -> None:
    merchant = store_api.get("/v1/passkeys").get_json()["items"][0]["merchant_id"]
    other = Api(store_api.client, admin_api.post("/v1/keys", {"role": "store", "merchant_id": merchant}).get_json()["key"])
    first, second = (one.post("/v1/passkeys/options", {}).get_json() for one in (store_api, other))
    assert (len(first["excludeCredentials"]), len(second["excludeCredentials"])) == (1, 0)
    assert first["user"]["id"] != second["user"]["id"]


@pytest.mark.parametrize(
    ("url", "origin"),
    [("https://Shop.Example", "https://shop.example"), ("https://shop.example:443/", "https://shop.example"), ("http://localhost:80", "http://localhost"),
     ("https://shop.example:8443", "https://shop.example:8443"), ("http://localhost:8000", "http://localhost:8000")],
)  # fmt: skip
def test_an_origin_is_written_as_browsers_write_it(url: str, origin: str) -> None:
    assert party_of(Settings(public_url=url)) == (origin.split("//")[1].split(":")[0], origin)


@pytest.mark.parametrize("url", ["http://127.0.0.1:8000", "http://[::1]:8000", "http://shop.example", "https://10.0.0.1"])
def test_where_browsers_have_no_passkeys_it_is_said(app: Flask, client: FlaskClient, store_api: Api, url: str) -> None:
    before: Settings = app.extensions["settings"]
    app.extensions["settings"] = replace(before, public_url=url)
    try:
        problem_of(client.post("/v1/sign-ins/options", json={}), 409, "passkeys_unavailable")
        problem_of(store_api.post("/v1/passkeys/options", {}), 409, "passkeys_unavailable")
    finally:
        app.extensions["settings"] = before


JSON = st.recursive(st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=40), lambda one: st.lists(one, max_size=3) | st.dictionaries(st.text(max_size=12), one, max_size=4), max_leaves=8)  # fmt: skip


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_whatever_is_sent_is_a_clear_refusal(client: FlaskClient, store_api: Api, phone: Authenticator, data: st.DataObject) -> None:
    """A good answer with any part of it replaced, or nothing like one."""
    good = phone.get(client.post("/v1/sign-ins/options", json={}).get_json())
    target: Any = good if data.draw(st.booleans()) else good["response"]
    name = data.draw(st.sampled_from(sorted(target)))
    old = target[name]
    target[name] = data.draw(JSON | st.binary(max_size=200).map(to_base64url))
    answer = client.post("/v1/sign-ins", json={"credential": data.draw(st.sampled_from([good, {}, {"response": {}}, target]))})
    # What is not looked at may be anything.
    assert answer.status_code in (401, 422) or name in ("clientExtensionResults", "userHandle", "type") or target[name] == old, (name, answer.text)
    new = data.draw(JSON)
    assert store_api.post("/v1/passkeys", {"credential": {"id": new, "rawId": new, "response": new, "type": "public-key"}}).status_code == 422


@pytest.mark.parametrize(
    "body", [{}, {"credential": None}, {"credential": "x"}, {"credential": []}, {"credential": {"a": "\x00"}}, {"credential": {}, "more": 1}]
)
def test_bad_bodies_are_told(client: FlaskClient, body: Any) -> None:
    answer = client.post("/v1/sign-ins", json=body)
    assert answer.status_code in (401, 422)
    assert answer.mimetype == "application/problem+json"


def test_client_data_of_a_hostile_shape_is_refused(client: FlaskClient, phone: Authenticator) -> None:
    for said in (b"", b"[]", b"null", b'{"challenge": 5}', b'{"challenge": "' + b"A" * 100_000 + b'"}', b"[" * 5_000, b"\xff\xfe"):
        credential = phone.get(client.post("/v1/sign-ins/options", json={}).get_json())
        credential["response"]["clientDataJSON"] = to_base64url(said)
        problem_of(client.post("/v1/sign-ins", json={"credential": credential}), 401, "passkey_invalid")


def test_a_sign_in_says_until_when_it_lasts(client: FlaskClient, phone: Authenticator) -> None:
    said = signed_in(client, phone).get_json()
    left = datetime.fromisoformat(said["expires_at"]) - utcnow()
    assert timedelta(hours=11, minutes=59) < left <= timedelta(hours=12)
