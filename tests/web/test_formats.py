"""Opening hours as a page tells them, at moments that are fixed."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from geo_o2o.geo.point import Point
from geo_o2o.stores.hours import expand, hours_of
from geo_o2o.web.formats import Formats, formats_of, week_of

HELSINKI = ZoneInfo("Europe/Helsinki")
# A Monday.
MONDAY = "2026-11-23"


@pytest.fixture
def english() -> Formats:
    return formats_of("en", ["en-GB"], lambda text: text)


def told(formats: Formats, expression: str, at: str) -> tuple[list[str], tuple[bool, str]]:
    """The hours of seven days, and what is said of this moment."""
    now = datetime.fromisoformat(at).replace(tzinfo=HELSINKI)
    start, until = week_of(now, HELSINKI)
    hours = hours_of(expression, time_zone="Europe/Helsinki", country="FI", at=Point(24.94, 60.17))
    intervals = expand(hours, start=start, until=until)
    week = formats.week(intervals, now=now, zone=HELSINKI)
    assert len(week) == 7
    return [hours for _, hours in week], formats.opening(intervals, now=now, zone=HELSINKI)


@pytest.mark.parametrize("clock", ["00:00", "07:59", "15:07", "18:00", "23:59"])
def test_today_is_told_whole_at_any_hour(english: Formats, clock: str) -> None:
    week, _ = told(english, "Mo-Fr 08:00-11:00,12:00-18:00", f"{MONDAY}T{clock}")
    assert week == [*["08:00 – 11:00, 12:00 – 18:00"] * 5, "closed", "closed"]


def test_the_week_begins_with_today(english: Formats) -> None:
    now = datetime(2026, 11, 26, 12, tzinfo=HELSINKI)
    assert [day for day, _ in english.week([], now=now, zone=HELSINKI)][:2] == ["Thursday", "Friday"]


@pytest.mark.parametrize("clock", ["00:00", "12:30", "23:59"])
def test_who_never_closes_is_open_every_day(english: Formats, clock: str) -> None:
    assert told(english, "24/7", f"{MONDAY}T{clock}") == (["Open day and night"] * 7, (True, "Open day and night"))


def test_a_night_belongs_to_the_day_when_it_begins(english: Formats) -> None:
    """At one o'clock on Monday the night of Sunday still lasts, and Monday has none of it."""
    week, now = told(english, "Fr-Su 20:00-04:00", f"{MONDAY}T01:00")
    assert week == [*["closed"] * 4, *["20:00 – 04:00"] * 3]
    assert now == (True, "Open until 04:00")


def test_a_long_weekend_has_its_ends(english: Formats) -> None:
    week, now = told(english, "Fr 10:00-24:00; Sa-Su 00:00-24:00; Mo 00:00-02:00", "2026-11-27T12:00")
    assert week == ["10:00 – 00:00", "Open day and night", "Open day and night", "00:00 – 02:00", "closed", "closed", "closed"]
    assert now == (True, "Open until Monday 02:00")


@pytest.mark.parametrize(
    ("at", "said"),
    [(f"{MONDAY}T07:00", "Closed now, opens 08:00"), (f"{MONDAY}T12:00", "Open until 18:00"), (f"{MONDAY}T18:00", "Closed now, opens Tuesday 08:00"),
     ("2026-11-28T12:00", "Closed now, opens Monday 08:00")],
)  # fmt: skip
def test_what_is_said_of_a_moment(english: Formats, at: str, said: str) -> None:
    is_open, words = told(english, "Mo-Fr 08:00-18:00", at)[1]
    assert (is_open, words) == (said.startswith("Open"), said)


def test_a_day_without_an_hour_is_as_long_as_the_others(english: Formats) -> None:
    """The clocks go forward on 28 March 2027: that Sunday has 23 hours, and who never closes is open in all of them."""
    week, _ = told(english, "Sa 12:00-24:00; Su 00:00-24:00; Mo-Fr 09:00-17:00", "2027-03-26T10:00")
    assert week[:4] == ["09:00 – 17:00", "12:00 – 00:00", "Open day and night", "09:00 – 17:00"]


def test_nothing_this_week(english: Formats) -> None:
    assert told(english, "Jul 10:00-18:00", f"{MONDAY}T12:00") == (["closed"] * 7, (False, "Closed this week"))
