"""Vouchers: each redeemed once, and never more than the budget, however many ask at the same moment."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa

from geo_o2o.caller import Caller
from geo_o2o.client import Device
from geo_o2o.db import Database
from geo_o2o.http import utcnow
from geo_o2o.stores.models import Store
from geo_o2o.vouchers import service
from geo_o2o.vouchers.models import Voucher

from ..factories import HELSINKI, make_store, north_of
from ..test_http import problem_of
from ..visiting import House, located_row

BUDGET, CLIENTS, RUNS = 10, 200, 20
DEVICE = Device.make()


def campaign(house: House, *, budget: int = 5, days: int = 1) -> dict[str, Any]:
    body = {"name": "Coffee", "budget": budget, "expires_at": (utcnow() + timedelta(days=days)).isoformat()}
    return dict(house.shop.post("/v1/campaigns", body).get_json())


def voucher(house: House, campaign_id: str) -> str:
    return str(house.shop("POST", f"/v1/campaigns/{campaign_id}/vouchers").get_json()["id"])


def confirmed(house: House, **more: Any) -> str:
    visit = house.visit(**more)
    house.till.confirm(visit["scan"])
    return str(visit["id"])


def redeem(house: House, check_in_id: str, **body: Any) -> Any:
    return house.shop.post(f"/v1/check-ins/{check_in_id}/redemptions", body)


def test_a_voucher_is_redeemed_once_by_a_confirmed_visit(house: House, session: Any) -> None:
    drive = campaign(house)
    one = voucher(house, drive["id"])
    visit = house.visit()
    problem_of(redeem(house, visit["id"], voucher=one), 409, "not_confirmed")
    house.till.confirm(visit["scan"])
    first, again = (redeem(house, visit["id"], voucher=one) for _ in range(2))
    assert (first.status_code, first.get_json()) == (201, again.get_json())
    found = first.get_json()
    assert (found["check_in"]["level"], found["check_in"]["methods"], found["reward"]) == (4, ["geo", "staff", "voucher"], "granted")
    problem_of(redeem(house, confirmed(house), voucher=one), 409, "voucher_not_redeemable")
    problem_of(redeem(house, visit["id"], voucher=voucher(house, drive["id"])), 409, "already_redeemed")
    problem_of(redeem(house, confirmed(house), voucher=str(uuid4())), 409, "voucher_not_redeemable")
    left = house.shop.get(f"/v1/campaigns/{drive['id']}").get_json()
    assert (left["budget"], left["granted"]) == (4, 1), "what was refused took nothing"


def test_a_campaign_ends(house: House, session: Any, as_role: Any) -> None:
    drive = campaign(house, budget=1)
    first, second = voucher(house, drive["id"]), voucher(house, drive["id"])
    assert redeem(house, confirmed(house), voucher=first).status_code == 201
    problem_of(redeem(house, confirmed(house), voucher=second), 409, "voucher_not_redeemable")
    assert session.scalar(sa.select(Voucher.state).where(Voucher.id == UUID(second))) == "issued"
    over = campaign(house)
    late = voucher(house, over["id"])
    session.execute(sa.text("UPDATE vouchers SET expires_at = now() - interval '1 s'"))
    session.execute(sa.text("UPDATE campaigns SET expires_at = now() - interval '1 s'"))
    session.commit()
    problem_of(redeem(house, confirmed(house), voucher=late), 409, "voucher_not_redeemable")
    problem_of(house.shop("POST", f"/v1/campaigns/{over['id']}/vouchers"), 409, "voucher_not_redeemable")
    problem_of(house.shop.post("/v1/campaigns", {"name": "x", "budget": 1, "expires_at": "2020-01-01T00:00:00Z"}), 422, "invalid_input")
    other = as_role("store", "Other")
    problem_of(other.get(f"/v1/campaigns/{over['id']}"), 404, "not_found")
    problem_of(other("POST", f"/v1/campaigns/{over['id']}/vouchers"), 404, "not_found")


def test_a_voucher_of_another_merchant_is_none(house: House, as_role: Any) -> None:
    other = as_role("store", "Other")
    theirs = other.post("/v1/campaigns", {"name": "x", "budget": 5, "expires_at": (utcnow() + timedelta(days=1)).isoformat()}).get_json()
    one = other("POST", f"/v1/campaigns/{theirs['id']}/vouchers").get_json()["id"]
    visit = confirmed(house)
    problem_of(redeem(house, visit, voucher=one), 409, "voucher_not_redeemable")
    problem_of(other.post(f"/v1/check-ins/{visit}/redemptions", {"voucher": one}), 404, "not_found")
    problem_of(house.app.post(f"/v1/check-ins/{visit}/redemptions", {"voucher": one}), 403, "forbidden")


@pytest.mark.parametrize("body", [{}, {"voucher": "x"}, {"pos": "x"}, {"pos": "A" * 44}, {"pos": None}, {"more": 1}])
def test_a_redemption_of_nothing(house: House, body: dict[str, Any]) -> None:
    problem_of(redeem(house, confirmed(house), **body), 422, "invalid_input")


def test_a_reward_waits_where_something_speaks_against_the_visit(house: House) -> None:
    anna = house.visitor("anna")
    house.visit(anna)
    visit = confirmed(house, someone=anna)
    found = redeem(house, visit, voucher=voucher(house, campaign(house)["id"])).get_json()
    assert (found["check_in"]["reasons"], found["reward"]) == (["R09"], "held")
    path = f"/v1/check-ins/{visit}/redemptions/decision"
    problem_of(house.shop.post(path, {}), 422, "invalid_input")
    problem_of(house.app.post(path, {"grant": True}), 403, "forbidden")
    refused = house.shop.post(path, {"grant": False}).get_json()
    assert (refused["reward"], refused["voucher"]) == ("refused", None)
    problem_of(house.shop.post(path, {"grant": True}), 409, "nothing_held")
    drive = campaign(house, budget=1)
    one = voucher(house, drive["id"])
    again = confirmed(house, someone=anna)
    assert redeem(house, again, voucher=one).get_json()["reward"] == "held"
    problem_of(redeem(house, confirmed(house), voucher=voucher(house, drive["id"])), 409, "voucher_not_redeemable")
    assert house.shop.post(f"/v1/check-ins/{again}/redemptions/decision", {"grant": False}).status_code == 200
    granted = redeem(house, confirmed(house, at=north_of(HELSINKI, 5)), voucher=one).get_json()
    assert granted["reward"] == "granted", "what was given back can be redeemed"
    problem_of(house.shop.post(f"/v1/check-ins/{granted['check_in']['id']}/redemptions/decision", {"grant": True}), 409, "nothing_held")


def test_200_at_the_same_moment_get_as_much_as_there_is(fresh_database: Any, tmp_path: Path) -> None:
    """Twenty times: two hundred confirmed visits with a voucher each, at once, of a campaign that has ten to give."""
    settings = replace(fresh_database(), data_dir=tmp_path, pool_size=40, lock_timeout_ms=60_000, statement_timeout_ms=60_000)
    database = Database(settings)
    caller = Caller(key_id=uuid4(), role="admin", merchant_id=None)
    with database.write() as session:
        store = make_store(session)
    waiting: list[UUID] = []
    for run in range(RUNS):
        now = utcnow()
        with database.write() as session:
            # Whoever got nothing tries again in the next campaign.
            waiting += [_confirmed(session, store, f"{run}-{number}") for number in range(CLIENTS - len(waiting))]
            drive = service.add_campaign(
                session, caller=caller, asked={"name": "x", "budget": BUDGET, "expires_at": now + timedelta(days=1)}, now=now
            )
            pairs = [(one, service.add_voucher(session, drive.id, caller=caller, now=now).id) for one in waiting]
        answers: list[str] = []
        ready = threading.Barrier(CLIENTS)

        def ask(pair: tuple[UUID, UUID], ready: threading.Barrier = ready, answers: list[str] = answers) -> None:
            ready.wait()
            try:
                with database.write() as session:
                    service.redeem(session, settings, pair[0], caller=caller, voucher_id=pair[1], pos=None, now=utcnow())
                answers.append("granted")
            except service.VoucherNotRedeemable:
                answers.append("refused")

        threads = [threading.Thread(target=ask, args=(pair,)) for pair in pairs]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert Counter(answers) == {"granted": BUDGET, "refused": CLIENTS - BUDGET}
        with database.read() as session:
            assert session.execute(sa.text("SELECT budget, granted FROM campaigns WHERE id = :id"), {"id": drive.id}).one() == (0, BUDGET)
            redeemed = session.scalar(sa.text("SELECT count(*) FROM vouchers WHERE campaign_id = :id AND state = 'redeemed'"), {"id": drive.id})
            assert redeemed == BUDGET
            used = set(session.scalars(sa.text("SELECT check_in_id FROM redemptions")))
            waiting = [one for one in waiting if one not in used]
    with database.read() as session:
        assert session.scalar(sa.text("SELECT count(*) FROM redemptions")) == RUNS * BUDGET
        assert session.scalar(sa.text("SELECT count(*) FROM receipts WHERE voided_at IS NULL")) == RUNS * BUDGET
    database.close()


def _confirmed(session: Any, store: Store, account: str) -> UUID:
    row = located_row(session, store, account=account, caller_id=UUID(int=0), device=DEVICE)
    row.level, row.state, row.methods = 3, "confirmed", ["geo", "staff"]
    return row.id
