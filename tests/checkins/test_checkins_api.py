"""A claim through the API: what level it gets by itself, what is refused, and what is kept."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from geo_o2o.checkins.claims import evidence_hash, parse_claim
from geo_o2o.checkins.schemas import CheckInResponse
from geo_o2o.checkins.service import erase_evidence, open_evidence
from geo_o2o.client import Position, Refused, Visitor
from geo_o2o.client.signing import now_ms
from geo_o2o.errors import Conflict, NotFound
from geo_o2o.geo.crs import from_wgs84
from geo_o2o.geo.point import Point
from geo_o2o.http import utcnow
from geo_o2o.stores.models import Store
from visit_verify.jws import from_base64url, to_base64url

from ..conftest import Api
from ..factories import HELSINKI, make_store, north_of
from ..test_http import problem_of
from ..visiting import position, send, visitor

SALT = b"s" * 32


@pytest.fixture
def store(session: Session) -> Store:
    made = make_store(session)
    session.commit()
    return made


@pytest.fixture
def anna(app_api: Api) -> Visitor:
    return visitor(app_api, account="vis_1")


def signed(someone: Visitor, store: Store, *fixes: dict[str, Any], claim: dict[str, Any] | None = None, **evidence: Any) -> dict[str, Any]:
    """The body of a check-in whose evidence has other fields than a client would send."""
    challenge = someone.calls.json("POST", "/v1/check-ins/challenge", {"store_id": str(store.id)}, prove=someone.device.prove)
    said = {"fixes": [{**position().as_evidence(), **one} for one in fixes or ({},)], **evidence}
    hashed = evidence_hash(said, SALT)
    return {
        "claim": someone.device.claim(challenge, store_id=store.id, evidence_hash=hashed, **(claim or {})),
        "evidence": said,
        "evidence_salt": to_base64url(SALT),
    }


def test_a_visitor_at_the_door_is_located(app_api: Api, anna: Visitor, store: Store) -> None:
    body = anna.check_in(store.id, [position()])
    assert set(body) == set(CheckInResponse().fields)
    assert (body["level"], body["level_name"], body["state"], body["reasons"], body["fence"]) == (1, "located", "located", [], "circle50")
    assert (body["methods"], body["risk"], body["band"], body["findings"], body["visitor"]) == (["geo"], 0, "clean", [], "vis_1")
    assert body["p_in"] > 900
    assert app_api.get(f"/v1/check-ins/{body['id']}").get_json() == body


def test_a_visitor_far_away_is_recorded_as_a_claim(anna: Visitor, store: Store) -> None:
    body = anna.check_in(store.id, [position(north_of(HELSINKI, 400))])
    assert (body["level"], body["state"], body["reasons"], body["p_in"]) == (0, "claimed", ["p_in_low"], 0)
    assert body["distance_mm"] == pytest.approx(400_000, rel=0.01)


def test_a_faked_position_is_rejected_and_the_visitor_is_told_why(anna: Visitor, store: Store) -> None:
    body = anna.check_in(store.id, [position(mock=True)])
    assert (body["level"], body["state"], body["reasons"], body["risk"], body["band"]) == (0, "rejected", ["R01"], 100, "refused")
    assert [(one["code"], one["value"], one["threshold"], one["hard"]) for one in body["findings"]] == [("R01", 1, 1, True)]


def test_the_same_check_in_twice_counts_once(anna: Visitor, store: Store, session: Session) -> None:
    sent = anna.sign(store.id, [position()])
    first, again = (send(anna, sent) for _ in range(2))
    assert (first.status_code, first.get_json()) == (201, again.get_json())
    assert session.scalar(sa.text("SELECT count(*) FROM check_ins")) == 1
    problem_of(send(anna, anna.sign(store.id, [position()])), 422, "idempotency_key_reused")
    proof = anna.device.prove("POST", "http://localhost/v1/check-ins", anna.calls.nonce)
    problem_of(anna.calls.api.post("/v1/check-ins", sent, DPoP=proof), 400, "idempotency_key_missing")  # type: ignore[attr-defined]
    problem_of(send(anna, sent, key="b"), 409, "challenge_used")


@pytest.mark.parametrize(
    ("fixes", "status", "code"),
    [
        ([{"t_ms": -61_000}], 422, "fix_stale"),
        ([{}, {"t_ms": -61_000}], 422, "fix_stale"),
        ([{"t_ms": 5_000}], 422, "fix_stale"),
        ([{"acc_mm": 340_000}], 422, "accuracy_too_poor"),
        ([{"acc_mm": 308_000}], 201, None),
        ([{"t_ms": -59_000}], 201, None),
    ],
)
def test_beyond_the_limits_of_the_protocol_nothing_is_recorded(
    anna: Visitor, store: Store, session: Session, fixes: list[dict[str, int]], status: int, code: str | None
) -> None:
    now = now_ms()
    sent = [{**one, **({"t_ms": now + one["t_ms"]} if "t_ms" in one else {})} for one in fixes]
    response = send(anna, signed(anna, store, *sent, claim={"at_ms": now}))
    assert (response.status_code, response.get_json().get("code")) == (status, code)
    assert session.scalar(sa.text("SELECT count(*) FROM check_ins")) == (status == 201)


def test_a_phone_whose_clock_is_wrong_is_told_so_but_a_minute_is_forgiven(anna: Visitor, store: Store) -> None:
    for seconds, expected in ((-600, "clock_skew"), (600, "clock_skew"), (-60, None), (60, None)):
        at = now_ms() + 1000 * seconds
        response = send(anna, signed(anna, store, {"t_ms": at}, claim={"at_ms": at}), key=str(seconds))
        assert response.get_json().get("code") == expected, response.get_json()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("lat_e7", 900_000_001), ("lat_e7", "x"), ("lat_e7", 1.5), ("lng_e7", -1_800_000_001), ("acc_mm", -1), ("acc_mm", 10**9), ("acc_mm", None),
        ("acc_kind", "p99"), ("t_ms", 10**13), ("t_ms", True), ("mono_ms", -1), ("src", "guess"), ("mock", "maybe"), ("mock", 1.0), ("mock", 1), ("speed_mmps", -1), ("more", 1),
    ],
)  # fmt: skip
def test_a_bad_fix_is_refused_by_its_field(anna: Visitor, store: Store, session: Session, field: str, value: Any) -> None:
    body = signed(anna, store)
    body["evidence"]["fixes"][0][field] = value
    errors = problem_of(send(anna, body), 422, "invalid_input")["errors"]
    assert [one["field"] for one in errors] == [f"evidence.fixes.0.{field}"]
    assert session.scalar(sa.text("SELECT count(*) FROM check_ins")) == 0


def test_a_fix_that_does_not_say_how_right_it_is(anna: Visitor, store: Store) -> None:
    for name, status, code in (("acc_mm", 422, "invalid_input"), ("acc_kind", 400, "acc_kind_missing")):
        fix = position().as_evidence()
        fix.pop(name)
        body = signed(anna, store)
        body["evidence"]["fixes"] = [fix]
        # Signed as it is sent, so that nothing else is wrong with it.
        challenge = anna.calls.json("POST", "/v1/check-ins/challenge", {"store_id": str(store.id)}, prove=anna.device.prove)
        body["claim"] = anna.device.claim(challenge, store_id=store.id, evidence_hash=evidence_hash(body["evidence"], SALT))
        problem_of(send(anna, body, key=name), status, code)


def test_an_accuracy_of_nothing_is_not_believed_and_no_error(anna: Visitor, store: Store) -> None:
    body = send(anna, signed(anna, store, {"acc_mm": 0})).get_json()
    assert (body["level"], body["r95_mm"]) == (1, 1_224)


@pytest.mark.parametrize("fixes", [[], [{}] * 6])
def test_one_to_five_fixes(anna: Visitor, store: Store, fixes: list[Any]) -> None:
    body = signed(anna, store)
    body["evidence"]["fixes"] = [position().as_evidence() for _ in fixes]
    errors = problem_of(send(anna, body), 422, "invalid_input")["errors"]
    assert errors == [{"field": "evidence.fixes", "message": f"expected 1 to 5 elements, found {len(fixes)}"}]


def test_five_fixes_that_agree_to_the_last_digit_over_half_a_minute_are_noted(anna: Visitor, store: Store) -> None:
    now = now_ms()
    same = [{"t_ms": now - 7_500 * number} for number in range(5)]
    same[-1]["t_ms"] += 1
    body = send(anna, signed(anna, store, *[{**one, "mono_ms": one["t_ms"] - now + 10**6} for one in same], claim={"at_ms": now})).get_json()
    assert "R04" not in body["reasons"], "29.999 s are not half a minute"
    same[-1]["t_ms"] -= 1
    body = send(anna, signed(anna, store, *[{**one, "mono_ms": one["t_ms"] - now + 10**6} for one in same], claim={"at_ms": now}), key="b").get_json()
    assert "R04" in body["reasons"]
    assert body["band"] == "review"


def test_a_store_that_is_not_there(anna: Visitor, store: Store, session: Session) -> None:
    with pytest.raises(Refused, match="store_unknown"):
        anna.check_in("01a1fff2-6630-8112-9b5c-a9272055c5ec", [position()])
    sent = anna.sign(store.id, [position()])
    for status, code, answer in (("closed", "store_closed_for_good", 409), ("removed", "gone", 410)):
        session.execute(sa.text("UPDATE stores SET status = :status"), {"status": status})
        session.commit()
        problem_of(send(anna, sent), answer, code)
        with pytest.raises(Refused, match=code):
            anna.check_in(store.id, [position()])
    assert session.scalar(sa.text("SELECT count(*) FROM check_ins")) == 0


def test_a_store_that_moved_is_no_redirect_for_a_claim(anna: Visitor, store: Store, session: Session) -> None:
    session.execute(sa.text("UPDATE stores SET status = 'moved', moved_to = :id"), {"id": store.id})
    session.commit()
    with pytest.raises(Refused) as refused:
        anna.check_in(store.id, [position()])
    assert (refused.value.status, refused.value.code) == (409, "store_moved")
    assert refused.value.problem["errors"][0]["field"] == "store_id"


def test_positions_may_come_in_another_system(anna: Visitor, session: Session) -> None:
    beijing = Point(116.3974, 39.9093)
    store = make_store(session, at=beijing, country="CN", time_zone="Asia/Shanghai")
    session.commit()
    told = from_wgs84(beijing, "gcj02")
    there = Position(told.lat, told.lon, 12).as_evidence()
    assert send(anna, signed(anna, store, there, crs="gcj02")).get_json()["level"] == 1
    assert send(anna, signed(anna, store, there), key="b").get_json()["level"] == 0


def test_a_merchant_sees_its_own_check_ins_and_exact_counts(as_role: Any, anna: Visitor, session: Session) -> None:
    mine, other = as_role("store", "Mine"), as_role("store", "Other")
    stores = [make_store(session, at=north_of(HELSINKI, 100 * number), merchant_id=mine.merchant_id) for number in range(2)]
    theirs = make_store(session, merchant_id=other.merchant_id)
    session.commit()
    visits = [anna.check_in(one.id, [position(north_of(HELSINKI, 100 * number))]) for number, one in enumerate(stores)]
    visits.append(anna.check_in(theirs.id, [position(north_of(HELSINKI, 1_000))]))
    page = mine.get("/v1/check-ins", limit=1).get_json()
    rest = mine.get("/v1/check-ins", limit=1, cursor=page["next"]).get_json()
    assert [one["id"] for one in page["items"] + rest["items"]] == [visits[1]["id"], visits[0]["id"]]
    assert rest["next"] is None
    assert [one["id"] for one in mine.get("/v1/check-ins", store_id=str(stores[0].id)).get_json()["items"]] == [visits[0]["id"]]
    assert mine.get("/v1/check-ins", level=0).get_json()["items"] == []
    counts = {one["store_id"]: (one["level_name"], one["count"]) for one in mine.get("/v1/check-ins/counts").get_json()["items"]}
    assert counts == {str(one.id): ("located", 1) for one in stores}
    assert mine.get("/v1/check-ins/counts").get_json()["apart"] == {"unproven": 2, "under_review": 0, "voided": 0, "sample": 0}
    assert other.get(f"/v1/check-ins/{visits[2]['id']}").status_code == 200
    problem_of(mine.get(f"/v1/check-ins/{visits[2]['id']}"), 404, "not_found")
    assert other.get("/v1/check-ins/counts", since="2030-01-01T00:00:00Z").get_json()["items"] == []


def test_raw_positions_are_erased_after_their_time_unless_they_are_disputed(anna: Visitor, store: Store, session: Session, as_role: Any) -> None:
    kept, gone = (anna.check_in(store.id, [position()])["id"] for _ in range(2))
    assert anna.calls.json("POST", f"/v1/check-ins/{kept}/dispute", {})["disputed"] is True
    assert session.scalar(sa.text("SELECT evidence -> 'fixes' -> 0 ->> 'acc_kind' FROM check_in_evidence LIMIT 1")) == "p68"
    assert erase_evidence(session, now=utcnow(), keep_days=30) == 0
    assert erase_evidence(session, now=utcnow() + timedelta(days=31), keep_days=30) == 3
    assert [str(one) for one in session.scalars(sa.text("SELECT check_in_id FROM check_in_evidence"))] == [kept]
    assert anna.calls.json("GET", f"/v1/check-ins/{gone}")["level"] == 1
    with pytest.raises(Refused, match="forbidden"):
        anna.calls.json("POST", f"/v1/check-ins/{kept}/dispute/close")
    assert as_role("admin")("POST", f"/v1/check-ins/{kept}/dispute/close").get_json()["disputed"] is False
    assert erase_evidence(session, now=utcnow() + timedelta(days=31), keep_days=30) == 1
    with pytest.raises(Refused, match="checkin_expired"):
        anna.calls.json("POST", f"/v1/check-ins/{gone}/receipts", {})


def test_positions_are_opened_in_a_dispute_and_are_what_the_device_signed(anna: Visitor, store: Store, session: Session) -> None:
    visit = anna.check_in(store.id, [position()])
    with pytest.raises(Conflict, match="nobody disputes"):
        open_evidence(session, UUID(visit["id"]))
    with pytest.raises(NotFound):
        open_evidence(session, UUID(int=0))
    anna.calls.json("POST", f"/v1/check-ins/{visit['id']}/dispute", {})
    session.expire_all()
    found = open_evidence(session, UUID(visit["id"]))
    assert evidence_hash(found["evidence"], from_base64url(found["evidence_salt"])) == parse_claim(found["claim"]).evidence_hash


def test_visits_in_a_stream_of_fixes(anna: Visitor, store: Store) -> None:
    def stream(*parts: tuple[int, float]) -> list[dict[str, Any]]:
        fixes, at_s = [], 1_700_000_000
        for seconds, metres in parts:
            for _ in range(seconds // 10):
                fixes.append(replace(position(north_of(HELSINKI, metres)), t_ms=at_s * 1000).as_evidence())
                at_s += 10
        return fixes

    def dwells(fixes: list[dict[str, Any]]) -> list[int]:
        return [one["dwell_ms"] for one in anna.calls.json("POST", "/v1/check-ins/stays", {"store_id": str(store.id), "fixes": fixes})["items"]]

    assert dwells(stream((300, 2_000), (10, 0), (300, 2_000))) == []
    assert dwells(stream((300, 500), (600, 5), (300, 500))) == [590_000]
    with pytest.raises(Refused, match="acc_kind_missing"):
        dwells([{name: value for name, value in position().as_evidence().items() if name != "acc_kind"}])
