"""Releases: made once, in one transaction with their entry in the log, and only as long as the year's budget lasts."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import NAMESPACE_URL, uuid5
from zoneinfo import ZoneInfo

import rfc8785
from shapely.geometry import MultiPolygon
from sqlalchemy.orm import Session

from ..config import Settings
from ..districts.cover import cover_of
from ..errors import Conflict, InvalidInput, NotFound
from ..geo.cells import SHARD_RESOLUTION, parent, to_hex
from ..ledger import service as ledger
from ..ledger.events import RELEASE
from ..stores.categories import sensitive_ids
from ..stores.zones import zones
from . import noise, queries
from .mechanism import Key, Noise
from .mechanism import release as release_of
from .models import HeatArea, HeatRelease
from .periods import Period, parse_period, period_of
from .products import DAY_PARTS_FROM, PRODUCTS, Product

_NAME = re.compile(r"[a-z][a-z0-9-]{0,39}")
GRID_RESOLUTION = 7
# Some 25,000 square kilometres; each cell has fifty of resolution 9.
MOST_GRID_CELLS = 5_000
# Tills deliver what they confirmed without a network within two days.
SETTLE = timedelta(days=2)
# What the worker has missed for longer is released by hand.
_LOOK_BACK = timedelta(days=70)


class BudgetSpent(Conflict):
    """The year's privacy budget has no room for another release."""

    code = "budget_spent"


class TooEarly(Conflict):
    """The period is not over, or tills may still deliver visits of it."""

    code = "period_not_over"


def add_area(
    session: Session, *, name: str, title: str, area: MultiPolygon, time_zone: str, attested_only: bool, now: datetime, sample: bool = False
) -> HeatArea:  # fmt: skip
    """A city whose visits shall be released; its grid is every cell of resolution 7 that it touches, from now on.

    Raises InvalidInput; Conflict where the name is taken, or where a cell belongs to another area.
    """
    if not _NAME.fullmatch(name):
        raise InvalidInput("an area is named by small letters, digits and dashes, as helsinki", errors={"name": ["expected a name, as helsinki"]})
    if time_zone not in zones():
        raise InvalidInput(f"expected an IANA time zone, as Europe/Helsinki, found {time_zone!r}", errors={"time_zone": ["unknown"]})
    try:
        cells = sorted(cover_of(area, GRID_RESOLUTION))
    except ValueError as failure:
        raise InvalidInput(str(failure), errors={"area": [str(failure)]}) from failure
    if not cells:
        raise InvalidInput("the area encloses nothing", errors={"area": ["the area encloses nothing"]})
    if len(cells) > MOST_GRID_CELLS:
        raise InvalidInput(f"an area has {MOST_GRID_CELLS:,} cells of resolution 7 at most, found {len(cells):,}")
    queries.lock_area(session, "")
    for other in queries.list_areas(session):
        if other.name == name:
            raise Conflict(f"there is an area {name} already; its grid cannot change, because what was released stands on it")
        if shared := set(other.cells) & set(cells):
            raise Conflict(f"{len(shared)} cells belong to the area {other.name} already, {to_hex(min(shared))} among them")
    made = HeatArea(name=name, title=title, time_zone=time_zone, cells=cells, attested_only=attested_only, sample=sample, created_at=now)
    session.add(made)
    session.flush()
    return made


def get_area(session: Session, name: str) -> HeatArea:
    """Raises NotFound."""
    found = queries.find_area(session, name)
    if found is None:
        raise NotFound(f"there is no area {name[:40]!r}; `geo-o2o heat area list` shows them")
    return found


def get_product(name: str) -> Product:
    """Raises InvalidInput."""
    if name not in PRODUCTS:
        raise InvalidInput(f"expected one of {', '.join(PRODUCTS)}, found {name[:40]!r}", errors={"product": ["unknown"]})
    return PRODUCTS[name]


def release(
    session: Session, settings: Settings, area: HeatArea, product: Product, period: Period, *, now: datetime, draw: Noise = noise.laplace
) -> tuple[HeatRelease, bool]:
    """The release of a period, and whether it was made now: what was released before stands as it is, and no noise is drawn again.

    Raises TooEarly, BudgetSpent; LogFrozen where nothing can be promised.
    """
    queries.lock_area(session, area.name)
    found = queries.find_release(session, area.name, product.name, str(period))
    if found is not None:
        return found, False
    begin, end = period.instants(area.time_zone)
    if now < end + SETTLE:
        raise TooEarly(f"{product.name} of {period} can be released from {(end + SETTLE).isoformat()} on, when tills have delivered their visits")
    before = queries.spent(session, area.name, year=period.year)
    if not _is_affordable(session, settings, area, product, period):
        raise BudgetSpent(
            f"{period} of {area.name}: epsilon {before:g} of {settings.heat_epsilon_per_year} of {period.year} is spent, and this release needs"
            f" {product.epsilon:g} more"
        )
    ledger.check_not_frozen(session, now=now)
    visits = queries.visits_between(
        session, begin, end, grid=area.cells, shard_cells=sorted({parent(cell, SHARD_RESOLUTION) for cell in area.cells}), zone=area.time_zone,
        sensitive=sensitive_ids(), day_parts_from=DAY_PARTS_FROM, attested_only=area.attested_only, sample=area.sample,
    )  # fmt: skip
    published = release_of(product, visits, grid=area.cells, chance=noise.chance, noise=draw)
    terms = product.terms()
    content_hash = hashlib.sha256(content(area.name, product.name, str(period), terms=terms, sample=area.sample, cells=published)).digest()
    log_id = uuid5(NAMESPACE_URL, f"geo-o2o:heat-release:{area.name}:{product.name}:{period}")
    made = HeatRelease(
        area=area.name, product=product.name, period=str(period), year=period.year, epsilon=product.epsilon, delta=product.delta, terms=terms,
        sample=area.sample, content_hash=content_hash, log_id=log_id, released_at=now,
    )  # fmt: skip
    session.add(made)
    session.flush()
    queries.add_cells(session, area=area.name, product=product.name, period=str(period), published=published)
    said = {
        "release": {"area": area.name, "product": product.name, "period": str(period), "epsilon": product.epsilon, "cells": len(published)},
        "sha256": content_hash.hex(),
    }
    ledger.append_event(session, id_=log_id, kind=RELEASE, event=said, now=now)
    return made, True


def content(area: str, product: str, period: str, *, terms: Mapping[str, Any], sample: bool, cells: Mapping[Key, int]) -> bytes:
    """A release as canonical JSON (RFC 8785): its SHA-256 is what the log holds."""
    rows = [[to_hex(cell), part, to_hex(origin) if origin else None, value] for (cell, part, origin), value in sorted(cells.items())]
    return rfc8785.dumps({"area": area, "product": product, "period": period, "terms": dict(terms), "sample": sample, "cells": rows})


def content_of(session: Session, found: HeatRelease) -> bytes:
    """The canonical JSON of a release that stands."""
    rows = queries.cells_of(session, area=found.area, product=found.product, periods=[found.period])
    cells = {(row.cell, row.part, row.origin): row.value for row in rows}
    return content(found.area, found.product, found.period, terms=found.terms, sample=found.sample, cells=cells)


def ended_periods(area: HeatArea, product: Product, *, now: datetime, since: datetime) -> Iterator[Period]:
    """Periods that can be released now, from the one that a moment lies in on."""
    zone = ZoneInfo(area.time_zone)
    period = period_of(since.astimezone(zone).date(), product.cadence)
    while period.instants(area.time_zone)[1] + SETTLE <= now:
        yield period
        period = period.following()


def release_due(session: Session, settings: Settings, *, now: datetime) -> int:
    """Releases what is over since an area was made, at most one period at a time; returns how many were made. Where the budget is spent, none."""
    for area in queries.list_areas(session):
        for product in PRODUCTS.values():
            for period in ended_periods(area, product, now=now, since=max(area.created_at, now - _LOOK_BACK)):
                if queries.find_release(session, area.name, product.name, str(period)) is None and _is_affordable(
                    session, settings, area, product, period
                ):
                    release(session, settings, area, product, period, now=now)
                    return 1
    return 0


def _is_affordable(session: Session, settings: Settings, area: HeatArea, product: Product, period: Period) -> bool:
    return queries.spent(session, area.name, year=period.year) + product.epsilon <= settings.heat_epsilon_per_year


def parse(product: Product, text: str) -> Period:
    """Raises InvalidInput."""
    try:
        return parse_period(text, product.cadence)
    except ValueError as failure:
        raise InvalidInput(str(failure), errors={"period": [str(failure)]}) from failure


def budget(session: Session, settings: Settings, area: HeatArea) -> Sequence[dict[str, Any]]:
    """What each year has spent: epsilon, delta and how many releases. Guarantees of releases add up for whoever was there all year."""
    years: dict[int, dict[str, Any]] = {}
    for one in queries.list_releases(session, area=area.name):
        year = years.setdefault(one.year, {"year": one.year, "epsilon": 0.0, "delta": 0.0, "releases": 0, "limit": settings.heat_epsilon_per_year})
        year["epsilon"] += one.epsilon
        year["delta"] += one.delta
        year["releases"] += 1
    return [years[year] for year in sorted(years)]
