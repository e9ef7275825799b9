"""A year of invented visits and their releases, so that a planner's map shows something at once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from shapely.geometry import MultiPolygon, box
from sqlalchemy.orm import Session

from ..config import Settings
from ..db import Database
from ..errors import Conflict
from ..ingest.visiting import load_visits
from ..releases import queries as releases
from ..releases import service as release_service
from ..releases.models import HeatArea
from ..releases.products import PRODUCTS

# Enough for the cells of a small city centre to be shown, and no more than a laptop invents in half a minute.
PEOPLE = 9_000
WEEKS = 52
_EXTENT = """
SELECT ST_XMin(extent) - 0.001, ST_YMin(extent) - 0.001, ST_XMax(extent) + 0.001, ST_YMax(extent) + 0.001
  FROM (SELECT ST_Extent(location::geometry) AS extent FROM stores WHERE source = :source AND status = 'live') found
"""


@dataclass(frozen=True)
class Invented:
    """seed: the same one makes the same visits of the same stores."""

    seed: int
    source: str = "osm"
    city: str = "helsinki"
    time_zone: str = "Europe/Helsinki"
    people: int = PEOPLE
    weeks: int = WEEKS


def invent_visits(settings: Settings, wanted: Invented, *, now: datetime) -> Iterator[str]:
    """Says what it has done, step by step. Run again it finds everything there, and only releases what has ended since."""
    database = Database(settings, statement_timeout_ms=0)
    zone = ZoneInfo(wanted.time_zone)
    local = now.astimezone(zone)
    this_monday = (local - timedelta(days=local.weekday())).replace(hour=0, minute=0, second=0, microsecond=0)
    mondays = [this_monday - timedelta(weeks=back) for back in range(wanted.weeks, -1, -1)]
    try:
        with database.write() as session:
            city = _city(session, wanted, now)
            if city is None:
                return
            made = load_visits(session, source=wanted.source, people=wanted.people, mondays=mondays, seed=wanted.seed, now=now)
            if made:
                session.execute(sa.text("ANALYZE check_ins"))
                yield f"{made:,} invented visits of {wanted.people:,} people in {wanted.weeks} weeks, marked sample"
        released = 0
        for product in PRODUCTS.values():
            # A month counts from its first whole one on.
            since = mondays[0] if product.cadence == "week" else (mondays[0].replace(day=1) + timedelta(days=32)).replace(day=1)
            for period in list(release_service.ended_periods(city, product, now=now, since=since)):
                with database.write() as session:
                    try:
                        released += release_service.release(session, settings, city, product, period, now=now)[1]
                    except Conflict as failure:
                        yield f"{product.name} of {period} was not released: {failure.message}"
                        break
        if released:
            yield f"{released} private releases of them"
    finally:
        database.close()


def _city(session: Session, wanted: Invented, now: datetime) -> HeatArea | None:
    """The heat area around a source's stores, added where there is none; None where there are no stores."""
    found = releases.find_area(session, wanted.city)
    if found is not None:
        if not found.sample:
            raise Conflict(f"{wanted.city} is a city of real visits: invent them for another name")
        return found
    box2d = session.execute(sa.text(_EXTENT), {"source": wanted.source}).one()
    if box2d[0] is None:
        return None
    return release_service.add_area(
        session, name=wanted.city, title=wanted.city.capitalize(), area=MultiPolygon([box(*box2d)]), time_zone=wanted.time_zone,
        attested_only=False, sample=True, now=now,
    )  # fmt: skip
