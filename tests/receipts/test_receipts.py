"""Keys that come and go, receipts that are taken back, and what a verifier makes of both."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from geo_o2o.checkins.service import issue_due
from geo_o2o.client import Refused, Visitor
from geo_o2o.http import utcnow
from geo_o2o.ledger.receipt import sign_receipt
from geo_o2o.receipts import service
from geo_o2o.receipts.keys import operator_seed, seal, unseal
from visit_verify.file import format_visit, parse_visit
from visit_verify.jws import parse_json
from visit_verify.policy import parse_policy
from visit_verify.proof import Proof
from visit_verify.receipt import BadReceipt, entry_of, verify

from ..test_http import problem_of
from ..visiting import House


def confirmed(house: House, someone: Visitor | None = None) -> tuple[Visitor, bytes]:
    anna = someone or house.visitor()
    visit = house.visit(anna)
    house.till.confirm(visit["scan"])
    house.publish()
    return anna, anna.receipt(visit, patience_s=1)


def rotate(house: House, deed: Any = service.rotate_key) -> str:
    with house.database.write() as session:
        return str(deed(session, house.settings, now=utcnow()).id)


def test_a_new_key_signs_and_the_old_ones_are_listed_for_ever(house: House) -> None:
    _, old = confirmed(house)
    (first,) = house.app.get("/.well-known/jwks.json").get_json()["keys"]
    second = rotate(house)
    _, new = confirmed(house)
    keys = house.app.get("/.well-known/jwks.json").get_json()["keys"]
    assert [(one["kid"], one["status"]) for one in keys] == [(first["kid"], "retired"), (second, "signing")]
    assert all(one.keys() == {"kty", "crv", "x", "kid", "use", "alg", "status"} for one in keys)
    for receipt in (old, new):
        assert verify(*parse_visit(receipt), house.policy()).level == 3


def test_a_stolen_key_cannot_sign_for_the_past(house: House) -> None:
    _, receipt = confirmed(house)
    (key,) = house.app.get("/.well-known/jwks.json").get_json()["keys"]
    stolen = operator_seed(house.settings.data_dir / "keys", key["kid"]) or b""
    with house.database.write() as session:
        service.revoke_key(session, key["kid"], now=utcnow())
        with pytest.raises(service.Conflict, match="revoked before"):
            service.revoke_key(session, key["kid"], now=utcnow())
        with pytest.raises(service.NotFound):
            service.revoke_key(session, "nobody", now=utcnow())
    _, later = confirmed(house)
    assert verify(*parse_visit(receipt), house.policy()).level == 3, "what was logged before stays good"
    assert verify(*parse_visit(later), house.policy()).level == 3
    # The thief signs what an honest receipt says, and the log takes it in.
    said = json.loads(parse_json(_raw(parse_visit(receipt)[0])) and _raw(parse_visit(receipt)[0]))
    forged = sign_receipt({**said, "lvl": 3}, seed=stolen)
    with house.database.write() as session:
        from uuid import uuid4

        from geo_o2o.ledger import service as ledger

        id_ = uuid4()
        ledger.append(session, shard=ledger.shard_at(utcnow()), id_=id_, entry=entry_of(forged, b"s" * 32))
    house.publish()
    with house.database.read() as session:
        proof = ledger.proof_of(session, ledger.log_of(house.settings, ledger.shard_at(utcnow())), id_, extra=b"s" * 32)
    assert isinstance(proof, Proof)
    with pytest.raises(BadReceipt, match="operator's key was not good"):
        verify(forged, proof, house.policy())
    assert parse_visit(format_visit(forged, proof))[0] == forged


def _raw(jws: str) -> bytes:
    from visit_verify.jws import from_base64url

    return from_base64url(jws.split(".")[1])


def test_a_receipt_can_be_taken_back_by_the_store_and_by_nobody_else(house: House, as_role: Any, session: Session) -> None:
    anna = house.visitor()
    visit = house.visit(anna)
    house.till.confirm(visit["scan"])
    own = {"audience": f"merchant:{house.shop.merchant_id}"}
    copy = house.shop.post(f"/v1/check-ins/{visit['id']}/receipts", own).get_json()
    house.publish()
    data = house.shop.get(f"/v1/receipts/{copy['receipt_id']}/visit").data
    path = f"/v1/receipts/{copy['receipt_id']}/void"
    problem_of(as_role("store", "Other").post(path, {"reason": "x"}), 404, "not_found")
    problem_of(house.app.post(path, {"reason": "x"}), 403, "forbidden")
    problem_of(house.shop.post(path, {}), 422, "invalid_input")
    first = house.shop.post(path, {"reason": "the sale was returned"}).get_json()
    assert (first["void_reason"], first["voided_at"] is not None) == ("the sale was returned", True)
    assert house.shop.post(path, {"reason": "another"}).get_json()["void_reason"] == "the sale was returned"
    house.publish()
    voids = house.app.get("/v1/receipts/voids").text.strip()
    with pytest.raises(BadReceipt, match="was taken back"):
        verify(*parse_visit(data), house.policy(), voids=voids)
    assert verify(*parse_visit(data), house.policy()).level == 3, "without the list nobody can know, and the verdict says so"
    assert any("taken back since" in one for one in verify(*parse_visit(data), house.policy()).not_checked)
    shown = house.shop.get(f"/v1/receipts/{copy['receipt_id']}").get_json()
    answer = house.app.post("/v1/receipts/verify", {"receipt": shown["receipt"], "proof": shown["proof"]}).get_json()
    assert (answer["result"], "taken back" in answer["reason"]) == ("refused", True)
    problem_of(house.shop.post(f"/v1/check-ins/{visit['id']}/receipts", own), 409, "receipt_voided")
    kinds = [bytes(one)[1] for one in session.scalars(sa.text("SELECT entry FROM log_entries ORDER BY index"))]
    assert kinds == [3, 3, 1, 1, 2], "a till, a key, the holder's receipt, the merchant's, and its end"


def test_the_list_of_voids_is_signed_and_logged_once_a_week(house: House) -> None:
    problem_of(house.app.get("/v1/receipts/voids"), 404, "not_found")
    now = utcnow()

    def log_voids(days: int) -> int:
        with house.database.write() as session:
            return service.log_voids(session, house.settings, now=now + timedelta(days=days))

    assert log_voids(0) == 0, "nothing was issued yet"
    confirmed(house)
    assert [log_voids(days) for days in (0, 0, 6, 8, 9)] == [1, 0, 0, 1, 0]
    house.publish(at=now + timedelta(days=9))


def test_salts_are_in_no_dump_and_end_with_their_month(house: House, session: Session) -> None:
    anna = house.visitor()
    visit = house.visit(anna)
    issued = anna.calls.json("POST", f"/v1/check-ins/{visit['id']}/receipts", {})
    house.publish()
    shown = anna.calls.json("GET", f"/v1/receipts/{issued['receipt_id']}")
    from visit_verify.jws import from_base64url

    salt = from_base64url(shown["salt"])
    _month, sealed = session.execute(sa.text("SELECT month, sealed FROM receipt_salts")).one()
    keys = house.settings.data_dir / "keys"
    assert salt not in bytes(sealed)
    assert session.scalar(sa.text("SELECT id FROM receipts")) is not None
    for path in keys.glob("salts-*.key"):
        path.unlink()
    problem_of(house.app.get(f"/v1/receipts/{issued['receipt_id']}"), 410, "receipt_erased")
    other = seal(keys, "2026-11", b"s" * 32, name=b"n")
    assert unseal(keys, "2026-11", other, name=b"n") == b"s" * 32
    for name, data in ((b"m", other), (b"n", other[:-1] + bytes([other[-1] ^ 1]))):
        with pytest.raises(Exception, match="another key"):
            unseal(keys, "2026-11", data, name=name)
    with house.database.write() as session_:
        assert service.forget(session_, house.settings, now=utcnow() + timedelta(days=395)) == 0
        assert service.forget(session_, house.settings, now=utcnow() + timedelta(days=397)) == 1
    problem_of(house.app.get(f"/v1/receipts/{issued['receipt_id']}"), 404, "not_found")


def test_a_key_that_is_not_on_this_machine(house: House) -> None:
    _, _ = confirmed(house)
    for path in (house.settings.data_dir / "keys").glob("operator-*.key"):
        path.unlink()
    visit = house.visit()
    response = house.app.post(f"/v1/check-ins/{visit['id']}/receipts", {})
    assert "rotate-key" in problem_of(response, 503, "signing_key_missing")["detail"]
    rotate(house)
    assert house.app.post(f"/v1/check-ins/{visit['id']}/receipts", {}).status_code == 201


def test_a_policy_for_another_half_year(house: House) -> None:
    problem_of(house.app.get("/v1/receipts/policy", log="1999h1"), 404, "not_found")
    problem_of(house.app.get("/v1/receipts/policy", log="x" * 50), 422, "invalid_input")
    _, receipt = confirmed(house)
    text = house.app.get("/v1/receipts/policy").text
    assert "till" not in text
    with pytest.raises(BadReceipt, match="by a till that the policy does not name"):
        verify(*parse_visit(receipt), parse_policy(text))
    revoked = house.visitor()
    house.app("POST", f"/v1/devices/{revoked.device.id}/revoke")
    assert f"revoked {revoked.device.id}\n" in house.app.get("/v1/receipts/policy").text, "before the log says so"
    house.publish()
    assert f"revoked {revoked.device.id} before=" in house.app.get("/v1/receipts/policy").text


def test_a_phone_that_is_lost_takes_nothing_back(house: House) -> None:
    anna, receipt = confirmed(house)
    later = house.visit(anna)
    house.app("POST", f"/v1/devices/{anna.device.id}/revoke")
    house.publish()
    assert verify(*parse_visit(receipt), house.policy()).level == 3, "what was logged before stays good"
    house.till.confirm(later["scan"])
    house.publish()
    with pytest.raises(BadReceipt, match="device was revoked"):
        verify(*parse_visit(anna.receipt(later, patience_s=1)), house.policy())


def test_a_visit_that_is_taken_back_is_taken_back_for_good_and_counts_no_more(house: House, as_role: Any) -> None:
    anna, receipt = confirmed(house)
    id_ = verify(*parse_visit(receipt), house.policy()).id
    path = f"/v1/check-ins/{house.shop.get('/v1/check-ins').get_json()['items'][0]['id']}"
    own = {"audience": f"merchant:{house.shop.merchant_id}"}
    copy = house.shop.post(f"{path}/receipts", own).get_json()["receipt_id"]
    assert house.shop.get("/v1/check-ins/counts").get_json()["headline"] == {"visits": 1}
    problem_of(house.operator.post(f"/v1/receipts/{id_}/void", {"reason": "fraud"}), 409, "holders_receipt")
    problem_of(house.app.post(f"{path}/void", {"reason": "fraud"}), 403, "forbidden")
    problem_of(as_role("store", "Other").post(f"{path}/void", {"reason": "fraud"}), 404, "not_found")
    problem_of(house.shop.post(f"{path}/void", {}), 422, "invalid_input")
    for _ in range(2):
        voided = house.shop.post(f"{path}/void", {"reason": "fraud"}).get_json()
        assert (voided["state"], voided["level"], voided["next"]) == ("voided", 3, [])
    counts = house.shop.get("/v1/check-ins/counts").get_json()
    assert (counts["headline"], counts["apart"]) == ({"visits": 0}, {"unproven": 0, "under_review": 0, "voided": 1, "sample": 0})
    for api, audience in ((house.app, "holder"), (house.shop, own["audience"]), (house.app, "brand:cola")):
        problem_of(api.post(f"{path}/receipts", {"audience": audience}), 409, "voided")
    problem_of(house.shop.post(f"{path}/redemptions", {"pos": "A" * 43}), 409, "voided")
    house.publish()
    voids = house.app.get("/v1/receipts/voids").text.strip()
    for data in (receipt, house.shop.get(f"/v1/receipts/{copy}/visit").data):
        with pytest.raises(BadReceipt, match="was taken back"):
            verify(*parse_visit(data), house.policy(), voids=voids)
    # Taken back before anybody asked for a receipt: there is none, and none comes.
    early = house.visit(anna)
    assert house.shop.post(f"/v1/check-ins/{early['id']}/void", {"reason": "a mistake"}).get_json()["state"] == "voided"
    problem_of(house.app.post(f"/v1/check-ins/{early['id']}/receipts", {}), 409, "voided")
    with pytest.raises(Refused, match="voided"):
        house.till.confirm(early["scan"])
    with house.database.write() as session:
        assert issue_due(session, house.settings, now=utcnow() + timedelta(hours=1)) == 0
