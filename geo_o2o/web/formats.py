"""Distances, times, money and names as a reader of some language writes them (library: Babel, data of the CLDR). Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from babel import Locale, UnknownLocaleError
from babel.dates import format_date, format_time, get_day_names
from babel.numbers import format_currency, format_decimal, get_currency_precision
from babel.units import format_unit

from ..stores.hours import Interval

# Whoever says only which language they read; the others as their country writes them.
_USUAL = {"en": "en_GB", "fi": "fi_FI", "zh-Hans": "zh_Hans_CN", "zh-Hant": "zh_Hant_TW"}
_WALKING_M_PER_MIN = 80
_METRES_BELOW = 1_000
_DAYS = 7
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
        return str(format_unit(max(1, round(metres / _WALKING_M_PER_MIN)), "duration-minute", "short", locale=self.locale))

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
        """Whether a store is open, and until when or when it opens. intervals: from now on, for a week."""
        if not intervals:
            return False, self.say("Closed this week")
        begin, end = intervals[0]
        if begin > now:
            today = begin.astimezone(zone).date() == now.astimezone(zone).date()
            at = self.clock(begin, zone) if today else f"{self.weekday(begin.astimezone(zone).date())} {self.clock(begin, zone)}"
            return False, self.say("Closed now, opens {at}").replace("{at}", at)
        if end - now > timedelta(days=1):
            return True, self.say("Open day and night")
        return True, self.say("Open until {at}").replace("{at}", self.clock(end, zone))

    def week(self, intervals: Sequence[Interval], *, now: datetime, zone: ZoneInfo) -> list[tuple[str, str]]:
        """The next seven days, today first: the day's name and its hours. A night belongs to the day when it begins."""
        today = now.astimezone(zone).date()
        days: list[tuple[str, str]] = []
        for ahead in range(_DAYS):
            day = today + timedelta(days=ahead)
            parts = [f"{self.clock(begin, zone)} – {self.clock(end, zone)}" for begin, end in intervals if begin.astimezone(zone).date() == day]
            days.append((self.weekday(day, alone=True), ", ".join(parts) or self.say("closed")))
        return days


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
