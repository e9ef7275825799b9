"""The key of a page (role web) is known to everybody who opens it: what was sent with it is shown to the device that signed it, and to nobody else."""

from __future__ import annotations

from typing import Any

import pytest

from geo_o2o.client import Device

from ..conftest import Api
from ..test_http import problem_of
from ..visiting import House, position, refusal, send, visitor


@pytest.fixture
def web(as_role: Any) -> Api:
    return as_role("web")


def test_a_device_reads_what_it_has_sent(house: House, web: Api) -> None:
    anna = visitor(web)
    visit = anna.check_in(house.store.id, [position()], code=house.till.code())
    assert (visit["level"], visit["visitor"]) == (2, None)
    assert visit["scan"].startswith("XCV1:")
    house.till.confirm(visit["scan"])
    seen = anna.calls.json("GET", f"/v1/check-ins/{visit['id']}", prove=anna.device.prove)
    assert (seen["level"], seen["scan"]) == (3, visit["scan"])
    issued = anna.calls.json("POST", f"/v1/check-ins/{visit['id']}/receipts", {}, prove=anna.device.prove)
    house.publish()
    assert anna.receipt(visit, patience_s=1)
    assert anna.calls.json("GET", f"/v1/receipts/{issued['receipt_id']}", prove=anna.device.prove)["audience"] == "holder"
    assert anna.calls.json("POST", f"/v1/check-ins/{visit['id']}/dispute", prove=anna.device.prove)["disputed"]


@pytest.mark.parametrize("proven", [True, False])
def test_nobody_else_does_who_has_the_same_key(house: House, web: Api, proven: bool) -> None:
    anna, eve = visitor(web), visitor(web)
    visit = anna.check_in(house.store.id, [position()], code=house.till.code())
    house.till.confirm(visit["scan"])
    receipt = anna.calls.json("POST", f"/v1/check-ins/{visit['id']}/receipts", {}, prove=anna.device.prove)["receipt_id"]
    copy = house.shop.post(f"/v1/check-ins/{visit['id']}/receipts", {"audience": f"merchant:{house.shop.merchant_id}"}).get_json()["receipt_id"]
    prove = eve.device.prove if proven else None
    expected = (404, "not_found") if proven else (401, "proof_invalid")
    for method, path, body in (
        ("GET", f"/v1/check-ins/{visit['id']}", None), ("POST", f"/v1/check-ins/{visit['id']}/receipts", {}),
        ("POST", f"/v1/check-ins/{visit['id']}/dispute", None), ("GET", f"/v1/receipts/{receipt}", None), ("GET", f"/v1/receipts/{receipt}/visit", None),
        ("GET", f"/v1/receipts/{copy}", None), ("POST", f"/v1/devices/{anna.device.id}/revoke", None),
    ):  # fmt: skip
        assert refusal(eve.calls.json, method, path, body, prove=prove) == expected, path
    # Not even with the proof of another's request, which is used up.
    header = anna.device.prove("GET", f"http://localhost/v1/check-ins/{visit['id']}", anna.calls.nonce)
    assert web("GET", f"/v1/check-ins/{visit['id']}", headers={"DPoP": header}).status_code == 200
    problem_of(web("GET", f"/v1/check-ins/{visit['id']}", headers={"DPoP": header}), 401, "proof_invalid")


def test_a_repeated_check_in_is_answered_to_its_device_alone(house: House, web: Api) -> None:
    anna, eve = visitor(web), visitor(web)
    sent = anna.sign(house.store.id, [position()])
    first, again = send(anna, sent), send(anna, sent)
    assert first.status_code == again.status_code == 201
    assert first.get_json()["scan"] == again.get_json()["scan"] is not None
    proof = eve.device.prove("POST", "http://localhost/v1/check-ins", eve.calls.nonce)
    problem_of(web.post("/v1/check-ins", sent, Idempotency_Key="a", DPoP=proof), 404, "not_found")


def test_a_page_has_no_accounts(house: House, web: Api) -> None:
    """Or anybody could visit in another's name."""
    anna = visitor(web, account="vis_1")
    problem_of(send(anna, anna.sign(house.store.id, [position()])), 403, "forbidden")


def test_a_page_asks_for_the_holders_receipt_alone(house: House, web: Api) -> None:
    """Each audience is another entry of the log, for ever."""
    anna = visitor(web)
    visit = anna.check_in(house.store.id, [position()])
    for audience in ("platform", "brand:x", "merchant:x"):
        assert refusal(anna.calls.json, "POST", f"/v1/check-ins/{visit['id']}/receipts", {"audience": audience}, prove=anna.device.prove) == (
            403,
            "forbidden",
        )


def test_a_device_revokes_itself(web: Api) -> None:
    anna = visitor(web)
    assert anna.calls.json("POST", f"/v1/devices/{anna.device.id}/revoke", prove=anna.device.prove)["revoked_at"]
    assert refusal(anna.enrol) == (403, "device_revoked")
    for name in ("%00", "x" * 300, "nobody"):
        proof = anna.device.prove("POST", f"http://localhost/v1/devices/{name}/revoke", anna.calls.nonce)
        assert web.post(f"/v1/devices/{name}/revoke", {}, DPoP=proof).status_code in (401, 404)


def test_an_app_needs_no_proof_for_what_it_has_sent(house: House) -> None:
    anna = house.visitor("vis_1")
    visit = house.visit(anna)
    assert house.app.get(f"/v1/check-ins/{visit['id']}").status_code == 200


def test_the_nonce_comes_without_a_refusal(web: Api, planner_api: Api) -> None:
    anna = visitor(web, enrolled=False, device=Device.make())
    response = web.get("/v1/devices/nonce")
    assert (response.status_code, response.data) == (204, b"")
    anna.calls.nonce = response.headers["DPoP-Nonce"]
    proof = anna.device.prove("POST", "http://localhost/v1/devices", anna.calls.nonce)
    assert web.post("/v1/devices", {"jwk": anna.device.jwk, "platform": "web"}, DPoP=proof).status_code == 201
    problem_of(planner_api.get("/v1/devices/nonce"), 403, "forbidden")
