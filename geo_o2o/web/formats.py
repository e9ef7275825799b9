"""Distances, times, money and names as a reader of some language writes them (library: Babel, data of the CLDR). Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from babel import Locale, UnknownLocaleError
from babel.dates import format_date, format_time, get_day_names
from babel.numbers import format_currency, format_decimal, get_currency_precision
from babel.units import format_unit

from ..discovery.reading import WALKING_M_PER_MIN
from ..stores.hours import Interval

# Whoever says only which language they read; the others as their country writes them.
_USUAL = {"en": "en_GB", "fi": "fi_FI", "zh-Hans": "zh_Hans_CN", "zh-Hant": "zh_Hant_TW"}
_METRES_BELOW = 1_000
_DAYS = 7
# Nobody who comes within the week stands before a closed door; the last night of what is known may be cut off.
_WHOLE_WEEK = timedelta(days=_DAYS - 1)
# What a coffee, a lunch, a dinner and a better one cost, and how many such units each costs in other currencies.
_STEPS = (5, 10, 20, 50)
_STEP_FACTOR = {"CNY": 5, "HKD": 10, "TWD": 20, "JPY": 100, "KRW": 1_000}
Say = Callable[[str], str]


@dataclass(frozen=True)
class Formats:
    """How one reader writes. language: as words.LANGUAGES names it. say: the words of the page in it."""

    language: str
    locale: Locale
    say: Say

    def distance(self, metres: int) -> str:
        """As the crow flies: 320 m, 1.2 km."""
        if metres < _METRES_BELOW:
            return str(format_unit(metres, "length-meter", "short", locale=self.locale))
        return str(format_unit(round(metres / 1_000, 1), "length-kilometer", "short", locale=self.locale))

    def walk(self, metres: int) -> str:
        """Minutes on foot, at least one."""
        return str(format_unit(max(1, round(metres / WALKING_M_PER_MIN)), "duration-minute", "short", locale=self.locale))

    def money(self, minor: int, currency: str) -> str:
        """minor: in the currency's smallest unit."""
        return str(format_currency(minor / 10 ** get_currency_precision(currency), currency, locale=self.locale))

    def price_steps(self, currency: str) -> list[int]:
        """Round prices to choose a limit from, in the currency's smallest unit."""
        factor = _STEP_FACTOR.get(currency, 1) * 10 ** get_currency_precision(currency)
        return [factor * step for step in _STEPS]

    def number(self, value: float, digits: int = 0) -> str:
        return str(format_decimal(value, format=f"#,##0.{'0' * digits}" if digits else "#,##0", locale=self.locale))

    def clock(self, moment: datetime, zone: ZoneInfo) -> str:
        return str(format_time(moment, "short", tzinfo=zone, locale=self.locale))

    def day(self, day: date) -> str:
        return str(format_date(day, "medium", locale=self.locale))

    def weekday(self, day: date, *, alone: bool = False) -> str:
        """alone: as a heading, where some languages bend the name within a sentence."""
        return str(get_day_names("wide", context="stand-alone" if alone else "format", locale=self.locale)[day.weekday()])

    def name(self, names: Mapping[str, str], default: str) -> str:
        """Of several names by language the one that the reader knows. default: where there is none."""
        main = self.language.partition("-")[0]
        return names.get(self.language) or names.get(main) or default

    # --- opening hours -------------------------------------------------------------------------------------------------------

    def opening(self, intervals: Sequence[Interval], *, now: datetime, zone: ZoneInfo) -> tuple[bool, str]:
        """Whether a store is open, and until when or when it opens. intervals: of the week of `now`; those that are over do not count."""
        ahead = [(begin, end) for begin, end in intervals if end > now]
        if not ahead:
            return False, self.say("Closed this week")
        begin, end = ahead[0]
        if begin > now:
            return False, self.say("Closed now, opens {at}").replace("{at}", self._when(begin, now=now, zone=zone))
        if end - now > _WHOLE_WEEK:
            return True, self.say("Open day and night")
        # Until two in the morning is tonight; the day has to be said of what is farther away.
        until = self.clock(end, zone) if end - now <= timedelta(days=1) else self._when(end, now=now, zone=zone)
        return True, self.say("Open until {at}").replace("{at}", until)

    def _when(self, moment: datetime, *, now: datetime, zone: ZoneInfo) -> str:
        day = moment.astimezone(zone).date()
        clock = self.clock(moment, zone)
        return clock if day == now.astimezone(zone).date() else f"{self.weekday(day)} {clock}"

    def week(self, intervals: Sequence[Interval], *, now: datetime, zone: ZoneInfo) -> list[tuple[str, str]]:
        """Seven days from today on, the day's name and its hours. intervals: as week_of spans them.

        A night belongs to the day when it begins; what lasts longer than a day is told day by day.
        """
        today = now.astimezone(zone).date()
        days: list[tuple[str, str]] = []
        for ahead in range(_DAYS):
            day = today + timedelta(days=ahead)
            begin, end = _midnight(day, zone), _midnight(day + timedelta(days=1), zone)
            if any(opens <= begin and closes >= end for opens, closes in intervals):
                hours = self.say("Open day and night")
            else:
                parts = [_within(one, begin, end) for one in intervals]
                hours = ", ".join(f"{self.clock(one[0], zone)} – {self.clock(one[1], zone)}" for one in parts if one) or self.say("closed")
            days.append((self.weekday(day, alone=True), hours))
        return days


def week_of(now: datetime, zone: ZoneInfo) -> Interval:
    """What to expand for week(): the seven days from today on, and a day on either side, so that no night is cut into halves."""
    today = now.astimezone(zone).date()
    return _midnight(today - timedelta(days=1), zone), _midnight(today + timedelta(days=_DAYS + 1), zone)


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    """In UTC, since only there are all hours equally long."""
    return datetime.combine(day, time(), tzinfo=zone).astimezone(UTC)


def _within(interval: Interval, begin: datetime, end: datetime) -> Interval | None:
    """The part of an interval that a day tells, None where it tells none."""
    opens, closes = interval
    if closes - opens > timedelta(days=1):
        opens, closes = max(opens, begin), min(closes, end)
        return (opens, closes) if opens < closes else None
    return interval if begin <= opens < end else None


def formats_of(language: str, accepted: Sequence[str], say: Say) -> Formats:
    """accepted: languages as a browser names them; the first of the same language says of which country."""
    for tag in accepted:
        try:
            locale = Locale.parse(tag, sep="-")
        except (ValueError, UnknownLocaleError):
            continue
        usual = Locale.parse(_USUAL[language])
        if locale.territory and locale.language == usual.language and locale.script in (None, usual.script):
            return Formats(language, locale, say)
    return Formats(language, Locale.parse(_USUAL[language]), say)
