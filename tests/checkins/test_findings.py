"""The rules as a check-in asks them: of the account, the device, the place, and of those who go about together."""

from __future__ import annotations

import secrets

import pytest
from sqlalchemy.orm import Session

from geo_o2o.checkins import service
from geo_o2o.client import Visitor
from geo_o2o.geo.point import Point
from geo_o2o.http import utcnow

from ..factories import HELSINKI, make_store, north_of
from ..visiting import ADDRESS, House, age, position, visitor


def test_rules_see_the_account_the_device_and_the_place(house: House, session: Session) -> None:
    anna = house.visitor("anna")
    assert house.visit(anna)["findings"] == []
    again = house.visit(anna, at=north_of(HELSINKI, 1))
    assert again["reasons"] == ["R09"]
    tokyo = make_store(session, at=Point(139.69, 35.69), time_zone="Asia/Tokyo", country="JP")
    session.commit()
    jump = anna.check_in(tokyo.id, [position(Point(139.69, 35.69))])
    assert (jump["level"], jump["state"], jump["risk"]) == (0, "rejected", 100)
    assert "R03" in jump["reasons"]
    farm = [Visitor(ADDRESS, anna.key, anna.device, account=f"farm {number}") for number in range(4)]
    for number, one in enumerate(farm):
        one.calls = anna.calls
        # The farm moves about, so that only the shared device gives it away.
        found = one.check_in(house.store.id, [position(north_of(HELSINKI, 2 + number))])
        assert ("R08" in found["reasons"]) is True
    assert found["risk"] == 40
    point = north_of(HELSINKI, 20)
    crowd = [house.visit(house.visitor(f"crowd {number}"), at=point)["reasons"] for number in range(3)]
    assert crowd == [[], [], ["R07"]]


def test_an_attested_device_that_fails_is_held_against_it_and_none_is_not(house: House) -> None:
    for attested, expected in ((None, []), (True, []), (False, ["R02"])):
        someone = visitor(house.app, enrolled=False)
        body = {"jwk": someone.device.jwk, "platform": "android", "attested": attested}
        someone.calls.json("POST", "/v1/devices", body, prove=someone.device.prove)
        assert house.visit(someone, at=north_of(HELSINKI, secrets.randbelow(10_000) / 1_000))["reasons"] == expected


def test_a_store_that_never_was_gives_copiers_away(house: House, session: Session) -> None:
    with pytest.raises(service.Conflict, match="close it for good first"):
        service.mark_honeypot(session, house.store.id)
    trap = make_store(session, at=north_of(HELSINKI, 50), status="closed")
    session.flush()
    service.mark_honeypot(session, trap.id)
    service.mark_honeypot(session, trap.id)
    session.commit()
    found = house.visitor().check_in(trap.id, [position(north_of(HELSINKI, 50))])
    assert (found["level"], found["state"], found["reasons"]) == (0, "rejected", ["R13"])


def test_accounts_that_go_about_together_are_seen_by_the_weekly_look(house: House, session: Session) -> None:
    stores = [make_store(session, at=north_of(HELSINKI, 300 * number)) for number in range(5)]
    session.commit()
    crowd = [house.visitor(f"crowd {number}") for number in range(4)]
    for number, store in enumerate(stores):
        for place, someone in enumerate(crowd):
            someone.check_in(store.id, [position(north_of(HELSINKI, 300 * number + place))])
        age(session, "recent_visits", "visited_at", 3_600)
    suspects, together = service.review(session, now=utcnow())
    session.commit()
    assert suspects == []
    assert sorted(together.values()) == [4, 4, 4, 4]
    assert "R12" in house.visit(crowd[0], at=north_of(HELSINKI, 7))["reasons"]
    age(session, "recent_visits", "visited_at", 8 * 86_400)
    assert service.review(session, now=utcnow()) == ([], {})
    session.commit()
    assert house.visit(crowd[1], at=north_of(HELSINKI, 9))["reasons"] == []
