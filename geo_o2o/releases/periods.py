"""Weeks and months as they are written, 2026-W47 and 2026-11, and when they are in a city's own time. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from .products import Cadence

_WEEK = re.compile(r"(\d{4})-W(\d{2})")
_MONTH = re.compile(r"(\d{4})-(\d{2})")


@dataclass(frozen=True, order=True)
class Period:
    """A whole ISO week or month. first: its first day; after: the first day that is not its own any more."""

    first: date
    after: date
    cadence: Cadence

    def __str__(self) -> str:
        if self.cadence == "month":
            return f"{self.first:%Y-%m}"
        year, week, _ = self.first.isocalendar()
        return f"{year:04}-W{week:02}"

    @property
    def year(self) -> int:
        """The year that it is counted in: a week belongs to the year of its Thursday."""
        return (self.first + timedelta(days=3)).year if self.cadence == "week" else self.first.year

    def instants(self, zone: str) -> tuple[datetime, datetime]:
        """From and until, in a zone."""
        begin, end = (datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(zone)) for day in (self.first, self.after))
        return begin, end

    def before(self) -> Period:
        return period_of(self.first - timedelta(days=1), self.cadence)

    def following(self) -> Period:
        return period_of(self.after, self.cadence)


def period_of(day: date, cadence: Cadence) -> Period:
    """The period that a day lies in."""
    if cadence == "week":
        first = day - timedelta(days=day.weekday())
        return Period(first, first + timedelta(days=7), cadence)
    first = day.replace(day=1)
    return Period(first, (first + timedelta(days=32)).replace(day=1), cadence)


def parse_period(text: str, cadence: Cadence) -> Period:
    """Raises ValueError, saying what was expected."""
    try:
        if cadence == "week" and (match := _WEEK.fullmatch(text)):
            return period_of(date.fromisocalendar(int(match[1]), int(match[2]), 1), cadence)
        if cadence == "month" and (match := _MONTH.fullmatch(text)):
            return period_of(date(int(match[1]), int(match[2]), 1), cadence)
    except (ValueError, OverflowError):
        pass
    example = "2026-W47" if cadence == "week" else "2026-11"
    raise ValueError(f"expected a {cadence}, as {example}, found {text[:40]!r}")
