"""Opening hours in the syntax of OpenStreetMap, read in the store's own zone (library: opening-hours-py)."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

import opening_hours

from ..errors import InvalidInput
from ..geo.point import Point

LONGEST_EXPRESSION = 1_000
# Before today's intervals: a night that began yesterday, and a question that was asked a moment ago.
LOOK_BACK = timedelta(days=2)
# Sunrise moves by less than a minute over a tenth of a degree.
_SUN_DIGITS = 1
_OPEN_WORD = re.compile(r"\bopen\b", re.IGNORECASE)
_SUN_WORDS = re.compile(r"sun(rise|set)|dawn|dusk", re.IGNORECASE)

Interval = tuple[datetime, datetime]


class BadHours(ValueError):
    """The text is not in the syntax of opening_hours."""


@dataclass(frozen=True)
class Hours:
    """Opening hours of some stores: the text, where its clock stands, and whose public holidays count.

    sun: the rough place, only where the text speaks of sunrise or sunset.
    """

    expression: str
    time_zone: str
    country: str | None
    sun: Point | None = None

    @property
    def id(self) -> int:
        """A signed 64-bit hash of all that decides the intervals."""
        key = repr((self.expression, self.time_zone, self.country, self.sun))
        return int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest(), "big", signed=True)


def hours_of(expression: str, *, time_zone: str, country: str | None, at: Point) -> Hours:
    """Checked hours of a store at a point. Raises BadHours."""
    text = " ".join(expression.split())
    if not text or len(text) > LONGEST_EXPRESSION:
        raise BadHours(f"expected 1 to {LONGEST_EXPRESSION} characters, found {len(text)}")
    sun = Point(round(at.lon, _SUN_DIGITS), round(at.lat, _SUN_DIGITS)) if _SUN_WORDS.search(text) else None
    hours = Hours(text, time_zone, country, sun)
    _parsed(hours)
    return hours


def expand(hours: Hours, *, start: datetime, until: datetime) -> list[Interval]:
    """The intervals in which the store is surely open, in UTC, within start..until, in order and apart from each other.

    "Unknown" (as in `Mo-Fr 10:00-17:00 unknown`) counts as not open.
    """
    zone = ZoneInfo(hours.time_zone)
    found: list[Interval] = []
    for begin, end, state, comment in _parsed(hours).intervals(start.astimezone(zone), until.astimezone(zone)):
        # A comment without a word (`"by appointment"`) means unknown in the syntax; the library calls it open.
        if state is not opening_hours.State.OPEN or (comment and not _OPEN_WORD.search(hours.expression)):
            continue
        interval = (max(begin.astimezone(UTC), start), min(end.astimezone(UTC), until))
        if interval[0] >= interval[1]:
            continue
        if found and found[-1][1] >= interval[0]:
            before = found.pop()
            interval = (before[0], max(before[1], interval[1]))
        found.append(interval)
    return found


def horizon(now: datetime, days: int) -> Interval:
    """What to expand at a moment: whole days, so that a thousand stores of one evening share their rows."""
    today = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return today - LOOK_BACK, today + timedelta(days=days + 1)


@lru_cache(maxsize=2_048)
def _parsed(hours: Hours) -> opening_hours.OpeningHours:
    try:
        return opening_hours.OpeningHours(
            hours.expression,
            timezone=ZoneInfo(hours.time_zone),
            country=hours.country,
            coords=(hours.sun.lat, hours.sun.lon) if hours.sun else None,
            auto_country=False,
            # The library only looks at the sun when it may look at the place; the zone above wins all the same.
            auto_timezone=hours.sun is not None,
        )
    except opening_hours.ParserError as failure:  # type: ignore[attr-defined]
        raise BadHours(f"not opening hours in OSM syntax, as `Mo-Fr 09:00-17:00`: {hours.expression[:60]!r}") from failure
    except opening_hours.UnknownCountryError:  # type: ignore[attr-defined]
        # A country whose holidays the library does not know: its hours hold all the same, without holidays.
        return _parsed(Hours(hours.expression, hours.time_zone, None, hours.sun))


class OutOfHorizon(InvalidInput):
    code = "open_at_out_of_range"


def check_moment(at: datetime, *, field: str, now: datetime, horizon_d: int) -> None:
    """Raises OutOfHorizon where opening hours are not expanded as far as that moment."""
    first, last = horizon(now, horizon_d)
    # The worker expands anew within a tenth of the horizon, so the last tenth may not be there yet.
    last -= timedelta(days=1 + max(1, horizon_d // 10))
    if not first <= at < last:
        message = f"opening hours are known from {first:%Y-%m-%d} to {last:%Y-%m-%d}, found {at:%Y-%m-%dT%H:%MZ}"
        raise OutOfHorizon(message, errors={field: [message]})
