"""A visit from a challenge to a receipt, what its store says of it, and a log that cannot hold it."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from geo_o2o.checkins import service
from geo_o2o.checkins.tillcode import make_scan, parse_scan
from geo_o2o.client import Device, Refused, TillKey, Visitor
from geo_o2o.client.signing import now_ms
from geo_o2o.http import utcnow
from geo_o2o.ledger.receipt import sign_confirmation
from visit_verify.file import parse_visit
from visit_verify.jws import to_base64url
from visit_verify.receipt import verify

from ..factories import HELSINKI, make_store, north_of
from ..test_http import problem_of
from ..visiting import House, age, payload_of, position, refusal, send, till

# --- a visit as it should be ---------------------------------------------------------------------------------------------------


def test_a_visit_rises_level_by_level_to_a_receipt_that_stands_by_itself(house: House) -> None:
    anna = house.visitor("anna")
    visit = house.visit(anna, code=house.till.code())
    assert (visit["level_name"], visit["methods"], visit["next"]) == ("coded", ["geo", "till"], ["have staff scan your code"])
    confirmed = house.till.confirm(visit["scan"])
    assert (confirmed["level_name"], confirmed["methods"]) == ("confirmed", ["geo", "till", "staff"])
    first = house.verified(anna, visit)
    assert (first.level, first.methods, first.store, first.audience) == (3, ("geo", "till", "staff"), str(house.store.id), "holder")
    assert {one.who for one in first.signers} == {"operator", "device", "till", "log"}
    assert first.window_ms[0] <= now_ms() <= first.window_ms[1] + 1_000
    redeemed = house.till.redeem(visit["id"], pos=b"p" * 32)
    assert (redeemed["check_in"]["level_name"], redeemed["reward"]) == ("redeemed", "granted")
    second = house.verified(anna, visit)
    assert any("no till has signed its ticket" in one for one in second.not_checked)
    assert (second.level, second.methods) == (4, ("geo", "till", "staff", "pos"))
    assert second.id != first.id
    voids = house.app.get("/v1/receipts/voids").text.strip()
    with pytest.raises(ValueError, match="was taken back"):
        verify(*parse_visit(receipt_file(house, anna, str(first.id))), house.policy(), voids=voids)
    assert any("taken back after" in one for one in verify(*parse_visit(anna.receipt(visit)), house.policy(), voids=voids).not_checked)


def receipt_file(house: House, someone: Visitor, receipt_id: str) -> bytes:
    return someone.calls.bytes("GET", f"/v1/receipts/{receipt_id}/visit")[1]


def test_a_receipt_waits_for_its_proof_and_says_so(house: House, session: Session) -> None:
    anna = house.visitor()
    visit = house.visit(anna)
    issued = anna.calls.json("POST", f"/v1/check-ins/{visit['id']}/receipts", {})
    waiting = house.app.get(f"/v1/receipts/{issued['receipt_id']}")
    assert (waiting.status_code, waiting.headers["Retry-After"], waiting.get_json()["proof"]) == (202, "2", None)
    assert house.app.get(f"/v1/receipts/{issued['receipt_id']}/visit").status_code == 202
    again = anna.calls.json("POST", f"/v1/check-ins/{visit['id']}/receipts", {})
    assert again["receipt_id"] == issued["receipt_id"], "nothing has changed, so there is nothing to issue"
    age(session, "log_queue", "queued_at", 61)
    behind = house.app.get(f"/v1/receipts/{issued['receipt_id']}")
    assert problem_of(behind, 503, "log_behind")
    house.publish()
    shown = house.app.get(f"/v1/receipts/{issued['receipt_id']}").get_json()
    assert shown["proof"].startswith("c2sp.org/tlog-proof@v1\n")
    checked = house.app.post("/v1/receipts/verify", {"receipt": shown["receipt"], "proof": shown["proof"]}).get_json()
    assert (checked["result"], checked["verdict"]["level"]) == ("believed", 1)
    other = shown["receipt"][:-3] + ("AAA" if not shown["receipt"].endswith("AAA") else "BBB")
    assert house.app.post("/v1/receipts/verify", {"receipt": other, "proof": shown["proof"]}).get_json()["result"] == "refused"
    for receipt, proof in (("x", shown["proof"]), (shown["receipt"], "x"), (shown["receipt"], shown["proof"].replace("index ", "index 1"))):
        assert house.app.post("/v1/receipts/verify", {"receipt": receipt, "proof": proof}).get_json()["result"] == "refused"


def test_each_audience_knows_the_visitor_by_another_name(house: House) -> None:
    anna = house.visitor("anna")
    visits = [house.visit(anna), house.visit(anna)]
    for visit in visits:
        house.till.confirm(visit["scan"])
    house.publish()
    holder = [verify(*parse_visit(anna.receipt(visit)), house.policy()) for visit in visits]
    copies = []
    own = f"merchant:{house.shop.merchant_id}"
    for audience, api in ((own, house.shop), ("brand:cola", house.app)):
        for visit in visits:
            made = api.post(f"/v1/check-ins/{visit['id']}/receipts", {"audience": audience}).get_json()
            again = api.post(f"/v1/check-ins/{visit['id']}/receipts", {"audience": audience}).get_json()
            assert again["receipt_id"] == made["receipt_id"]
            copies.append(made["receipt_id"])
    house.publish()
    shown = [house.shop.get(f"/v1/receipts/{one}/visit").data for one in copies]
    sealed = [verify(*parse_visit(data), house.policy()) for data in shown]
    assert len({one.subject for one in holder}) == 1
    assert [one.subject for one in sealed[:2]] == [sealed[0].subject] * 2
    assert len({holder[0].subject, sealed[0].subject, sealed[2].subject}) == 3
    assert all("device" not in {signer.who for signer in one.signers} for one in sealed)
    # Whoever pays for one visit twice can see it: the same claim stands behind both.
    hashes = [json.loads(payload_of(parse_visit(data)[0]))["clh"] for data in shown]
    assert hashes[0] == hashes[2] != hashes[1] == hashes[3]
    assert json.loads(payload_of(parse_visit(shown[0])[0]))["copy_of"] == str(holder[0].id)
    problem_of(house.app.get(f"/v1/receipts/{copies[0]}"), 404, "not_found")
    problem_of(house.shop.get(f"/v1/receipts/{holder[0].id}"), 404, "not_found")
    problem_of(house.app.post(f"/v1/check-ins/{visits[0]['id']}/receipts", {"audience": "everybody"}), 422, "invalid_input")
    for audience in ("holder", "brand:cola", "platform", "merchant:another"):
        problem_of(house.shop.post(f"/v1/check-ins/{visits[0]['id']}/receipts", {"audience": audience}), 403, "forbidden")
    # Nor does the store learn from us what the visitor has to show it.
    seen = house.shop.get(f"/v1/check-ins/{visits[0]['id']}").get_json()
    assert (seen["visitor"], seen["scan"]) == (None, None)
    assert all(one["scan"] is None for one in house.shop.get("/v1/check-ins").get_json()["items"])


def test_a_store_is_told_nothing_that_its_till_could_sign_instead_of_what_the_visitor_shows(house: House, session: Session) -> None:
    visit = house.visit()
    path, own = f"/v1/check-ins/{visit['id']}", {"audience": f"merchant:{house.shop.merchant_id}"}
    problem_of(house.shop.post(f"{path}/receipts", own), 409, "not_confirmed")
    seen = house.shop.get(path).text + house.shop.get("/v1/check-ins").text
    assert visit["scan"] not in seen
    assert to_base64url(parse_scan(visit["scan"]).claim_hash) not in seen
    house.till.confirm(visit["scan"])
    assert house.shop.post(f"{path}/receipts", own).status_code == 201
    old = house.visit()
    age(session, "check_ins", "checked_in_at", 86_701)
    assert house.shop.post(f"/v1/check-ins/{old['id']}/receipts", own).status_code == 201, "too late to be confirmed"


def test_a_visit_that_nobody_confirms_has_its_receipt_after_half_an_hour(house: House, session: Session) -> None:
    anna = house.visitor()
    visit = house.visit(anna)
    now = utcnow()
    assert service.issue_due(session, house.settings, now=now + timedelta(minutes=29)) == 0
    assert service.issue_due(session, house.settings, now=now + timedelta(minutes=31)) == 1
    session.commit()
    assert anna.calls.json("GET", f"/v1/check-ins/{visit['id']}")["receipt_id"] is not None
    assert service.issue_due(session, house.settings, now=now + timedelta(minutes=32)) == 0
    house.publish()
    assert verify(*parse_visit(anna.receipt(visit)), house.policy()).level == 1


# --- the store's word ----------------------------------------------------------------------------------------------------------


def test_a_confirmation_counts_once(house: House) -> None:
    visit = house.visit()
    path = f"/v1/check-ins/{visit['id']}/confirmations"
    said = {"confirmation": house.till.till.confirmation(visit["scan"], store_id=house.store.id)}
    first, again = house.shop.post(path, said), house.shop.post(path, said)
    assert (first.status_code, first.get_json()) == (201, again.get_json())
    problem_of(
        house.shop.post(path, {"confirmation": house.till.till.confirmation(visit["scan"], store_id=house.store.id)}), 409, "already_confirmed"
    )


def test_a_till_that_may_not_confirm(house: House, session: Session, as_role: Any) -> None:
    visit = house.visit()
    path = f"/v1/check-ins/{visit['id']}/confirmations"
    scan = visit["scan"]
    stranger = TillKey.make()
    problem_of(house.shop.post(path, {"confirmation": stranger.confirmation(scan, store_id=house.store.id)}), 403, "till_not_of_store")
    other = make_store(session, at=north_of(HELSINKI, 30), merchant_id=house.shop.merchant_id)
    session.commit()
    elsewhere = till(house.shop, other.id)
    problem_of(house.shop.post(path, {"confirmation": elsewhere.till.confirmation(scan, store_id=other.id)}), 403, "till_not_of_store")
    problem_of(house.shop.post(path, {"confirmation": elsewhere.till.confirmation(scan, store_id=house.store.id)}), 403, "till_not_of_store")
    # One till's name under another's signature.
    body = {
        "jti": str(uuid4()),
        "clh": to_base64url(parse_scan(scan).claim_hash),
        "st": str(house.store.id),
        "till": house.till.till.id,
        "iat": now_ms(),
    }
    forged = sign_confirmation(body, seed=stranger.seed)
    problem_of(house.shop.post(path, {"confirmation": forged}), 400, "malformed")
    forged = "".join([house.till.till.confirmation(scan, store_id=house.store.id).rpartition(".")[0], ".", forged.rpartition(".")[2]])
    problem_of(house.shop.post(path, {"confirmation": forged}), 400, "malformed")
    problem_of(as_role("store", "Other").post(path, {"confirmation": house.till.till.confirmation(scan, store_id=house.store.id)}), 404, "not_found")
    problem_of(house.app.post(path, {"confirmation": house.till.till.confirmation(scan, store_id=house.store.id)}), 403, "forbidden")
    another = make_scan(parse_scan(scan).check_in_id, b"h" * 32)
    problem_of(house.shop.post(path, {"confirmation": house.till.till.confirmation(another, store_id=house.store.id)}), 422, "claim_mismatch")
    assert house.shop.get(f"/v1/check-ins/{visit['id']}").get_json()["level"] == 1
    house.shop("POST", f"/v1/stores/{house.store.id}/tills/{house.till.till.id}/revoke")
    problem_of(house.shop.post(path, {"confirmation": house.till.till.confirmation(scan, store_id=house.store.id)}), 403, "till_revoked")


def test_a_scan_is_of_the_moment_or_late_by_a_day_at_most(house: House, session: Session) -> None:
    def confirm(visit: dict[str, Any], **more: Any) -> Any:
        said = house.till.till.confirmation(visit["scan"], store_id=house.store.id, **more)
        return house.shop.post(f"/v1/check-ins/{visit['id']}/confirmations", {"confirmation": said})

    visit = house.visit()
    problem_of(confirm(visit, at_ms=now_ms() - 301_000), 410, "checkin_expired")
    problem_of(confirm(visit, at_ms=now_ms() + 301_000), 422, "clock_skew")
    problem_of(confirm(visit, at_ms=now_ms() + 301_000, late=True), 422, "clock_skew")
    problem_of(confirm(visit, at_ms=now_ms() + 601_000), 410, "checkin_expired")
    age(session, "check_ins", "checked_in_at", 3_600)
    problem_of(confirm(visit), 410, "checkin_expired")
    problem_of(confirm(visit, at_ms=now_ms() - 3_500_000), 422, "clock_skew")
    assert confirm(visit, at_ms=now_ms() - 3_500_000, late=True).get_json()["level"] == 3
    old = house.visit()
    age(session, "check_ins", "checked_in_at", 86_500)
    problem_of(confirm(old, at_ms=now_ms() - 86_450_000, late=True), 410, "checkin_expired")


def test_a_scan_that_was_sent_to_a_friend_waits_for_somebody_to_look(house: House) -> None:
    far = house.visit(at=north_of(HELSINKI, 3_000))
    assert (far["level"], far["band"]) == (0, "clean")
    confirmed = house.till.confirm(far["scan"])
    assert (confirmed["level"], confirmed["reasons"], confirmed["band"]) == (3, ["p_in_low", "R10"], "review")
    counts = house.shop.get("/v1/check-ins/counts").get_json()
    assert (counts["headline"], counts["apart"]) == ({"visits": 0}, {"unproven": 0, "under_review": 1, "voided": 0, "sample": 0})


def test_a_ticket_belongs_to_one_visit_and_a_visit_to_one_ticket(house: House) -> None:
    first, second = house.visit(house.visitor()), house.visit(house.visitor())
    confirmed = house.till.confirm(first["scan"], pos=b"a" * 32)
    assert (confirmed["level"], confirmed["methods"]) == (4, ["geo", "staff", "pos"])
    assert refusal(house.till.redeem, first["id"], pos=b"b" * 32) == (409, "ticket_used")
    assert house.till.redeem(first["id"], pos=b"a" * 32)["check_in"]["level"] == 4
    assert refusal(house.till.confirm, second["scan"], pos=b"a" * 32) == (409, "ticket_used")
    house.till.confirm(second["scan"])
    assert refusal(house.till.redeem, second["id"], pos=b"a" * 32) == (409, "ticket_used")


def test_whoever_the_rules_have_refused_stays_at_level_0_whoever_signs(house: House) -> None:
    anna = house.visitor()
    visit = anna.check_in(house.store.id, [position(mock=True)])
    confirmed = house.till.confirm(visit["scan"])
    assert (confirmed["level"], confirmed["state"]) == (0, "rejected")
    found = house.verified(anna, visit)
    assert (found.level, found.risk, found.reasons) == (0, 100, ("R01",))


def test_tills_are_enrolled_by_their_own_merchant_once(house: House, session: Session, as_role: Any) -> None:
    path = f"/v1/stores/{house.store.id}/tills"
    key = TillKey.make()
    problem_of(as_role("store", "Other").post(path, {"jwk": key.jwk}), 403, "forbidden")
    problem_of(house.app.post(path, {"jwk": key.jwk}), 403, "forbidden")
    made = house.shop.post(path, {"jwk": key.jwk, "name": "bar"}).get_json()
    assert (made["till_id"], made["name"]) == (key.id, "bar")
    assert made["totp"].startswith("otpauth://totp/")
    assert "algorithm=SHA256" in made["totp"]
    problem_of(house.shop.post(path, {"jwk": key.jwk}), 409, "till_enrolled_already")
    for jwk in ({**key.jwk, "crv": "X25519"}, {**key.jwk, "d": "AAAA"}, {**key.jwk, "x": "AAAA"}, Device.make().jwk, {}):
        problem_of(house.shop.post(path, {"jwk": jwk}), 422, "invalid_input")
    listed = house.shop.get(path).get_json()["items"]
    assert {one["till_id"] for one in listed} == {key.id, house.till.till.id}
    assert all("totp" not in one for one in listed)
    problem_of(house.shop("POST", f"{path}/nobody/revoke"), 404, "not_found")
    assert [bytes(one)[1] for one in session.scalars(sa.text("SELECT entry FROM log_queue ORDER BY queued_at"))] == [3, 3]


# --- a log that cannot grow ----------------------------------------------------------------------------------------------------


def test_while_the_log_is_frozen_nothing_is_promised(house: House, session: Session) -> None:
    anna = house.visitor()
    visit, sent = house.visit(anna), anna.sign(house.store.id, [position()])
    house.publish()
    session.execute(sa.text("UPDATE log_state SET frozen = true"))
    session.commit()
    for response in (
        send(anna, sent, key="frozen"),
        house.app.post(f"/v1/check-ins/{visit['id']}/receipts", {}),
        house.shop.post(
            f"/v1/check-ins/{visit['id']}/confirmations", {"confirmation": house.till.till.confirmation(visit["scan"], store_id=house.store.id)}
        ),
    ):
        assert "geo-o2o log recover" in problem_of(response, 503, "log_frozen")["detail"]
    with pytest.raises(Refused, match="log_frozen"):
        anna.sign(house.store.id, [position()])
    assert anna.calls.json("GET", f"/v1/check-ins/{visit['id']}")["level"] == 1
