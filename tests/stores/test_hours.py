from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

import numpy as np
import opening_hours
import pytest
from sqlalchemy.orm import Session

from geo_o2o.geo.cells import cell_of
from geo_o2o.geo.point import Point
from geo_o2o.shelf.snapshot import minutes, pack
from geo_o2o.stores import service
from geo_o2o.stores.hours import BadHours, expand, horizon, hours_of
from geo_o2o.stores.models import OpeningHours
from geo_o2o.stores.zones import country_of, time_zone_at

from ..conftest import NOW

HELSINKI = Point(24.94, 60.17)


def intervals(
    expression: str, start: datetime, days: float, *, zone: str = "Europe/Helsinki", country: str | None = "FI", at: Point = HELSINKI
) -> list[str]:
    hours = hours_of(expression, time_zone=zone, country=country, at=at)
    found = expand(hours, start=start, until=start + timedelta(days=days))
    return [f"{begin:%d %H:%M}-{end:%d %H:%M}" for begin, end in found]


def test_a_night_runs_past_midnight_in_the_stores_own_time() -> None:
    # Helsinki is two hours ahead of UTC in November.
    assert intervals("Fr-Sa 22:00-04:00", datetime(2026, 11, 20, tzinfo=UTC), 3) == ["20 20:00-21 02:00", "21 20:00-22 02:00"]


def test_the_night_of_the_spring_change_is_an_hour_shorter() -> None:
    assert intervals("Sa 22:00-05:00", datetime(2026, 3, 28, tzinfo=UTC), 2) == ["28 20:00-29 02:00"]


def test_the_night_of_the_autumn_change_is_an_hour_longer() -> None:
    assert intervals("Sa 22:00-05:00", datetime(2026, 10, 24, tzinfo=UTC), 2) == ["24 19:00-25 03:00"]


def test_public_holidays_are_the_countrys() -> None:
    # 6 December is the independence day of Finland, and an ordinary Sunday elsewhere.
    expression = "Mo-Su 10:00-12:00; PH off"
    assert intervals(expression, datetime(2026, 12, 6, tzinfo=UTC), 1) == []
    assert intervals(expression, datetime(2026, 12, 6, tzinfo=UTC), 1, country="GB") == ["06 08:00-06 10:00"]
    assert intervals(expression, datetime(2026, 12, 6, tzinfo=UTC), 1, country=None) == ["06 08:00-06 10:00"]


def test_intervals_that_touch_become_one() -> None:
    assert intervals("Mo-Su 00:00-24:00", datetime(2026, 11, 20, tzinfo=UTC), 3) == ["20 00:00-23 00:00"]
    assert intervals("24/7", datetime(2026, 11, 20, tzinfo=UTC), 2) == ["20 00:00-22 00:00"]


def test_unknown_counts_as_not_open() -> None:
    assert intervals('Mo-Su 10:00-17:00 unknown "ask"', datetime(2026, 11, 20, tzinfo=UTC), 2) == []


def test_sunrise_depends_on_the_place() -> None:
    start = datetime(2026, 6, 21, tzinfo=UTC)
    north = hours_of("sunrise-sunset", time_zone="Europe/Helsinki", country="FI", at=HELSINKI)
    south = hours_of("sunrise-sunset", time_zone="Europe/Helsinki", country="FI", at=Point(24.94, 40))
    day = [sum((end - begin).total_seconds() for begin, end in expand(one, start=start, until=start + timedelta(days=1))) for one in (north, south)]
    assert day[0] > day[1] + 3 * 3600
    assert north.id != south.id
    plain = hours_of("10:00-12:00", time_zone="Europe/Helsinki", country="FI", at=HELSINKI)
    assert plain.id == hours_of("10:00-12:00", time_zone="Europe/Helsinki", country="FI", at=Point(24, 40)).id


@pytest.mark.parametrize("text", ["", "   ", "abc", "Mo-Fr 25:00-99:00", "Mo 10:00", "x" * 2_000, "Mo-Fr 09:00-17:00;;;;(", "\x00"])
def test_hours_that_do_not_parse(text: str) -> None:
    with pytest.raises(BadHours):
        hours_of(text, time_zone="Europe/Helsinki", country="FI", at=HELSINKI)


@pytest.mark.parametrize(
    ("zone", "country", "expression"),
    [
        ("Europe/Helsinki", "FI", "Mo-Th 08:00-18:00; Fr 08:00-02:00; Sa 22:00-05:00; PH off"),
        ("America/New_York", "US", "Mo-Fr 09:00-12:00,13:00-17:00; Sa 22:00-03:00; 2026 Dec 24 10:00-13:07"),
        ("Australia/Lord_Howe", "AU", "Mo-Su 23:00-02:30"),
        ("Asia/Shanghai", "CN", "Mo-Su 06:45-20:15; Sa off"),
        ("America/Sao_Paulo", "BR", "Tu-Su 17:00-26:00; PH 12:00-16:00"),
    ],
)
def test_a_year_minute_by_minute_equals_the_library_asked_moment_by_moment(zone: str, country: str, expression: str) -> None:
    """Past midnight, on special days, over the changes of the clocks; by the columns that the shelf answers from."""
    hours = hours_of(expression, time_zone=zone, country=country, at=HELSINKI)
    start, until = datetime(2026, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)
    store = {
        "store_id": UUID(int=1), "lon": 0.0, "lat": 0.0, "cell": 1, "category_id": 1, "rating_sum": 0, "rating_count": 0, "rating_sample": False,
        "price_band": None, "service_radius_m": None, "service_area": None, "search_grams": [], "tags": [], "brand": None, "chain": None,
        "merchant_id": None, "source": "test", "hours_id": 7, "name": "", "names": {}, "address": {}, "opening_hours": expression, "time_zone": zone,
    }  # fmt: skip
    spans = {7: {"expanded_from": start, "expanded_until": until, "spans": expand(hours, start=start, until=until)}}
    snapshot = pack(cell_of(Point(0, 0), 7), 1, stores=[store], offers=[], hours=spans, credit={})
    begin, end = snapshot["open_from"], snapshot["open_until"]
    minute = np.arange(minutes(start), minutes(until))
    ours = (np.searchsorted(begin, minute, side="right") - np.searchsorted(end, minute, side="right")).astype(bool)
    assert [snapshot.open_state(int(one))[0] for one in minute[::9_973]] == ours[::9_973].astype(int).tolist()
    judge = opening_hours.OpeningHours(expression, timezone=ZoneInfo(zone), country=country, auto_country=False, auto_timezone=False)
    its_zone = ZoneInfo(zone)
    different = []
    for number, open_ in enumerate(ours.tolist()):
        at = (start + timedelta(minutes=number)).astimezone(its_zone)
        if open_ != judge.is_open(at):
            different.append((at, open_))
    # In the one minute before the clocks go back is_open says closed in the middle of an interval that the library itself reports as open.
    before_clocks_go_back = [
        (at, open_) for at, open_ in different if (at.astimezone(UTC) + timedelta(minutes=1)).astimezone(its_zone).utcoffset() < at.utcoffset()
    ]
    assert different == before_clocks_go_back
    assert len(different) <= 1
    for at, open_ in different:
        assert open_
        assert any(begin <= at < end for begin, end, _, _ in judge.intervals(at - timedelta(hours=1), at + timedelta(hours=1)))


def test_zones_and_countries() -> None:
    assert time_zone_at(HELSINKI) == "Europe/Helsinki"
    assert country_of("Europe/Helsinki") == "FI"
    assert time_zone_at(Point(-0.12, 51.5)) == "Europe/London"
    assert time_zone_at(Point(-30, 40)).startswith("Etc/GMT")
    assert country_of("Etc/GMT+2") is None


def test_the_worker_extends_what_runs_out_and_nothing_else(session: Session) -> None:
    hours = hours_of("Mo-Su 10:00-12:00", time_zone="Europe/Helsinki", country="FI", at=HELSINKI)
    service.ensure_hours(session, [hours], now=NOW, horizon_d=35)
    assert service.extend_hours(session, now=NOW + timedelta(days=1), horizon_d=35) == 0
    later = NOW + timedelta(days=10)
    assert service.extend_hours(session, now=later, horizon_d=35) == 1
    assert service.extend_hours(session, now=later, horizon_d=35) == 0
    session.flush()
    row = session.get(OpeningHours, hours.id, populate_existing=True)
    assert row is not None
    assert (row.expanded_from, row.expanded_until) == horizon(later, 35)
    assert row.open_during
