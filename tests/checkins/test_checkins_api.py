from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from geo_o2o.checkins.schemas import CheckInResponse
from geo_o2o.checkins.service import erase_evidence
from geo_o2o.geo.crs import from_wgs84
from geo_o2o.geo.point import Point
from geo_o2o.http import utcnow
from geo_o2o.stores.models import Store

from ..conftest import Api
from ..factories import HELSINKI, make_store, north_of
from ..test_http import problem_of


@pytest.fixture
def store(session: Session) -> Store:
    made = make_store(session)
    session.commit()
    return made


def now_ms() -> int:
    return int(time.time() * 1000)


def fix(at: Point = HELSINKI, **fields: Any) -> dict[str, Any]:
    return {"lat_e7": round(at.lat * 1e7), "lng_e7": round(at.lon * 1e7), "acc_mm": 12_000, "acc_kind": "p68", "t_ms": now_ms(), **fields}


def claim(store: Store, *fixes: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"store_id": str(store.id), "sent_ms": now_ms(), "fixes": list(fixes) or [fix()], **fields}


def test_a_visitor_at_the_door_is_located(app_api: Api, store: Store) -> None:
    response = app_api.post("/v1/check-ins", claim(store, visitor="vis_1"), Idempotency_Key="a")
    body = response.get_json()
    assert response.status_code == 201
    assert set(body) == set(CheckInResponse().fields)
    assert (body["level"], body["level_name"], body["state"], body["reasons"], body["fence"]) == (1, "located", "located", [], "circle50")
    assert body["p_in"] > 900
    assert app_api.get(f"/v1/check-ins/{body['id']}").get_json() == body


def test_a_visitor_far_away_is_recorded_as_a_claim(app_api: Api, store: Store) -> None:
    body = app_api.post("/v1/check-ins", claim(store, fix(north_of(HELSINKI, 400))), Idempotency_Key="a").get_json()
    assert (body["level"], body["state"], body["reasons"], body["p_in"]) == (0, "claimed", ["p_in_low"], 0)
    assert body["distance_mm"] == pytest.approx(400_000, rel=0.01)


def test_a_faked_position_never_locates(app_api: Api, store: Store) -> None:
    body = app_api.post("/v1/check-ins", claim(store, fix(mock=True)), Idempotency_Key="a").get_json()
    assert (body["level"], body["reasons"]) == (0, ["R01"])


def test_the_same_check_in_twice_counts_once(app_api: Api, store: Store, session: Session) -> None:
    sent = claim(store)
    first, again = (app_api.post("/v1/check-ins", sent, Idempotency_Key="a") for _ in range(2))
    assert first.get_json() == again.get_json()
    assert session.scalar(sa.text("SELECT count(*) FROM check_ins")) == 1
    problem_of(app_api.post("/v1/check-ins", claim(store, fix(acc_mm=13_000)), Idempotency_Key="a"), 422, "idempotency_key_reused")
    problem_of(app_api.post("/v1/check-ins", sent), 400, "idempotency_key_missing")


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"t_ms": -61_000}, "fix_stale"), ({"t_ms": 5_000}, "fix_stale"), ({"acc_mm": 400_000}, "accuracy_too_poor"),
        ({"acc_mm": 600_000, "acc_kind": "p95"}, "accuracy_too_poor"),
    ],
)  # fmt: skip
def test_beyond_the_limits_of_the_protocol_nothing_is_recorded(
    app_api: Api, store: Store, session: Session, fields: dict[str, Any], code: str
) -> None:
    if "t_ms" in fields:
        fields = {**fields, "t_ms": now_ms() + fields["t_ms"]}
    problem_of(app_api.post("/v1/check-ins", claim(store, fix(**fields)), Idempotency_Key="a"), 422, code)
    assert session.scalar(sa.text("SELECT count(*) FROM check_ins")) == 0
    assert session.scalar(sa.text("SELECT count(*) FROM idempotency_keys")) == 0


def test_a_phone_whose_clock_is_wrong_is_told_so_but_a_minute_is_forgiven(app_api: Api, store: Store) -> None:
    wrong = now_ms() - 400_000
    problem_of(app_api.post("/v1/check-ins", claim(store, fix(t_ms=wrong), sent_ms=wrong), Idempotency_Key="a"), 422, "clock_skew")
    slow = now_ms() - 100_000
    assert app_api.post("/v1/check-ins", claim(store, fix(t_ms=slow), sent_ms=slow), Idempotency_Key="b").status_code == 201


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("lat_e7", 910_000_000), ("lng_e7", 1_800_000_001), ("lat_e7", 60.169), ("lat_e7", None), ("acc_mm", -1), ("acc_mm", 10**12), ("acc_kind", "best"),
        ("acc_kind", None), ("t_ms", 0), ("t_ms", "now"), ("mock", "perhaps"), ("src", "psychic"), ("colour", "red"),
    ],
)  # fmt: skip
def test_a_bad_fix_is_refused_by_its_field(app_api: Api, store: Store, field: str, value: Any) -> None:
    body = problem_of(app_api.post("/v1/check-ins", claim(store, fix(**{field: value})), Idempotency_Key="a"), 422, "invalid_input")
    assert body["errors"][0]["field"] == f"fixes.0.{field}"


@pytest.mark.parametrize("fixes", [[], [fix()] * 6, "here", [1], [[]]])
def test_one_to_five_fixes(app_api: Api, store: Store, fixes: Any) -> None:
    body = problem_of(app_api.post("/v1/check-ins", {"store_id": str(store.id), "fixes": fixes}, Idempotency_Key="a"), 422, "invalid_input")
    assert body["errors"][0]["field"].startswith("fixes")


def test_a_store_that_is_not_there(app_api: Api, store: Store, session: Session) -> None:
    problem_of(
        app_api.post("/v1/check-ins", {**claim(store), "store_id": "01a1fff2-6630-8112-9b5c-a9272055c5ec"}, Idempotency_Key="a"), 404, "store_unknown"
    )
    store.status = "closed"
    session.commit()
    problem_of(app_api.post("/v1/check-ins", claim(store), Idempotency_Key="b"), 409, "store_closed_for_good")


def test_a_fix_that_does_not_say_what_its_accuracy_means(app_api: Api, store: Store) -> None:
    bare = {name: value for name, value in fix().items() if name != "acc_kind"}
    body = problem_of(app_api.post("/v1/check-ins", claim(store, bare), Idempotency_Key="a"), 400, "acc_kind_missing")
    assert body["errors"][0]["field"] == "fixes.0.acc_kind"


def test_a_claim_without_the_phones_clock_is_refused(app_api: Api, store: Store) -> None:
    body = problem_of(app_api.post("/v1/check-ins", {"store_id": str(store.id), "fixes": [fix()]}, Idempotency_Key="a"), 422, "invalid_input")
    assert body["errors"][0]["field"] == "sent_ms"


def test_a_store_that_moved_is_no_redirect_for_a_claim(app_api: Api, store: Store, session: Session) -> None:
    new = make_store(session, at=Point(23.76, 61.5))
    store.status, store.moved_to = "moved", new.id
    session.commit()
    body = problem_of(app_api.post("/v1/check-ins", claim(store), Idempotency_Key="a"), 409, "store_moved")
    assert str(new.id) in body["detail"]


def test_positions_may_come_in_another_system(app_api: Api, session: Session) -> None:
    place = Point(121.0104, 24.7866)
    store = make_store(session, at=place)
    session.commit()
    body = app_api.post("/v1/check-ins", claim(store, fix(from_wgs84(place, "gcj02")), crs="gcj02"), Idempotency_Key="a").get_json()
    assert body["level"] == 1
    assert body["distance_mm"] < 100
    assert session.scalar(sa.text("SELECT fixes->0->>'crs' FROM check_in_evidence")) == "gcj02"


def test_a_merchant_sees_its_own_check_ins_and_exact_counts(as_role: Any, app_api: Api, session: Session) -> None:
    mine, other = as_role("store", "Mine"), as_role("store", "Other")
    shops = [make_store(session, merchant_id=api.merchant_id) for api in (mine, other)]
    session.commit()
    ids = []
    for number in range(5):
        ids.append(app_api.post("/v1/check-ins", claim(shops[0]), Idempotency_Key=f"m{number}").get_json()["id"])
    far = app_api.post("/v1/check-ins", claim(shops[0], fix(north_of(HELSINKI, 900))), Idempotency_Key="far").get_json()["id"]
    foreign = app_api.post("/v1/check-ins", claim(shops[1]), Idempotency_Key="o").get_json()["id"]

    page = mine.get("/v1/check-ins", limit=4).get_json()
    rest = mine.get("/v1/check-ins", limit=4, cursor=page["next"]).get_json()
    assert {one["id"] for one in page["items"] + rest["items"]} == {*ids, far}
    assert rest["next"] is None
    assert [one["id"] for one in mine.get("/v1/check-ins", level=0).get_json()["items"]] == [far]
    assert mine.get("/v1/check-ins", store_id=str(shops[1].id)).get_json()["items"] == []
    counts = mine.get("/v1/check-ins/counts").get_json()["items"]
    assert [(one["level_name"], one["count"]) for one in counts] == [("claimed", 1), ("located", 5)]
    assert mine.get("/v1/check-ins/counts", until="2020-01-01T00:00:00Z").get_json()["items"] == []
    problem_of(mine.get(f"/v1/check-ins/{foreign}"), 404, "not_found")
    assert other.get(f"/v1/check-ins/{foreign}").status_code == 200
    problem_of(as_role("app").get(f"/v1/check-ins/{ids[0]}"), 404, "not_found")


def test_raw_positions_are_erased_after_their_time_and_the_check_in_stays(app_api: Api, store: Store, session: Session) -> None:
    id_ = app_api.post("/v1/check-ins", claim(store), Idempotency_Key="a").get_json()["id"]
    assert session.scalar(sa.text("SELECT fixes->0->>'acc_mm' FROM check_in_evidence")) == "12000"
    assert erase_evidence(session, now=utcnow() + timedelta(days=29), keep_days=30) == 0
    assert erase_evidence(session, now=utcnow() + timedelta(days=31), keep_days=30) == 1
    session.commit()
    assert app_api.get(f"/v1/check-ins/{id_}").status_code == 200
