"""Time zone and country of a place (library: tzfpy; IANA's table of zones and countries from tzdata)."""

from __future__ import annotations

from functools import cache
from importlib import resources
from zoneinfo import available_timezones

import tzfpy

from ..geo.point import Point


def time_zone_at(point: Point) -> str:
    """The IANA zone of a point; at sea one of the Etc/GMT zones."""
    return str(tzfpy.get_tz(point.lon, point.lat)) or "UTC"


def country_of(time_zone: str) -> str | None:
    """The ISO 3166-1 code of the country a zone belongs to, None for zones of no country."""
    return _countries().get(time_zone)


@cache
def zones() -> frozenset[str]:
    # What the machine's own tables hold beside IANA's zones says nothing about a place.
    return frozenset(available_timezones() - {"Factory", "localtime", "posixrules"})


@cache
def _countries() -> dict[str, str]:
    table = resources.files("tzdata").joinpath("zoneinfo", "zone.tab").read_text(encoding="utf-8")
    rows = (line.split("\t") for line in table.splitlines() if line and not line.startswith("#"))
    return {row[2]: row[0] for row in rows}
