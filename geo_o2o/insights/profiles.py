"""A district in one answer: what is there, when it is open, who comes, how it changes, and which others are like it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import numpy as np
from geoalchemy2.shape import to_shape
from shapely.geometry import MultiPolygon
from sqlalchemy.orm import Session

from ..districts import queries as districts
from ..districts.cover import CoverTooLarge, cover_of
from ..districts.models import District
from ..geo.bounds import Bounds
from ..geo.cells import area_km2, parent, parents, to_hex
from ..releases import queries as releases
from ..releases.models import HeatArea, HeatRelease
from ..releases.products import ORIGINS, PARTS_OF_DAY, RETURNS, VISITS, Product, variance
from ..stores.categories import codes_by_id
from ..supply.queries import stock_of_districts
from ..supply.service import known_since, supply_in
from . import queries
from .estimating import Estimate, Part, change, ratio, shares, total

_NEW_D = 28
_SERIES = 53
_MOST_ORIGINS = 30
_MOST_PEERS = 5
# Peers are looked for this far around.
_PEERS_DEG = 0.5
_MOST_COMPARED = 300
# Sizes are compared by their logarithm: twice as many stores make two districts a sixth less alike.
_SIZE_WEIGHT = 0.25


def profile(session: Session, district: District, *, now: datetime) -> dict[str, Any]:
    """As ProfileResponse dumps it. The transaction should see one moment (Database.planner does)."""
    ids = list(districts.with_parts(session, district.id))
    shard_cells = district.shard_cells
    area_km2_ = district.area_m2 / 1e6
    since = _change_since(session, now)
    stores = queries.stores_by_category(session, ids, shard_cells=shard_cells, since=since)
    timed, hours = _hours(session, ids, shard_cells, now)
    offers = queries.offers_of(session, ids, shard_cells=shard_cells, now=now)
    count = sum(row.stores for row in stores)
    ratings = sum(row.rating_count for row in stores)
    return {
        "stores": {"count": count, "per_km2": round(count / area_km2_, 1), "by_category": _by_category(stores)},
        "ratings": {
            "mean": round(sum(row.rating_sum for row in stores) / ratings, 3) if ratings else None, "count": int(ratings),
            "sample": any(row.sample for row in stores),
        },
        "offers": {"count": offers.offers, "per_store": round(offers.offers / count, 2) if count else None, "sample": offers.samples > 0},
        "open_hours": {"timed": timed, "share": hours},
        "change": {
            "since": since, "opened": sum(row.opened for row in stores),
            "closed": queries.closed_since(session, ids, shard_cells=shard_cells, since=since),
        },
        "demand": demand(session, district, stores=count, now=now),
        "peers": peers(session, district, now=now),
    }  # fmt: skip


def _change_since(session: Session, now: datetime) -> datetime:
    """Four weeks ago, or when the past began to be known: what the first load brought in has not opened."""
    known = known_since(session)
    return now if known is None else max(known, now - timedelta(days=_NEW_D))


def _by_category(rows: Sequence[Any]) -> list[dict[str, Any]]:
    """Of the district and its parts together."""
    sums: dict[int, list[int]] = {}
    for row in rows:
        own = sums.setdefault(row.category_id, [0, 0, 0])
        for place, number in enumerate((row.stores, row.rating_sum, row.rating_count)):
            own[place] += int(number)
    found: list[dict[str, Any]] = [
        {
            "category": codes_by_id().get(id_, "other"),
            "stores": stores,
            "rating_mean": round(stars / count, 3) if count else None,
            "rating_count": count,
        }
        for id_, (stores, stars, count) in sums.items()
    ]
    return sorted(found, key=lambda one: (-one["stores"], one["category"]))


def _hours(session: Session, ids: Sequence[UUID], shard_cells: Sequence[int], now: datetime) -> tuple[int, list[float] | None]:
    """How many stores have known hours, and the share of them that is open in the middle of each hour of this week, Monday first."""
    zone = ZoneInfo(queries.zone_of(session, ids, shard_cells=shard_cells))
    local = now.astimezone(zone)
    # The coming days are known; those of the week that are over are those of the next week.
    begin = local.replace(hour=0, minute=0, second=0, microsecond=0)
    middles = [begin + timedelta(hours=hour, minutes=30) for hour in range(168)]
    timed, intervals = queries.open_intervals(session, ids, shard_cells=shard_cells, begin=begin, end=begin + timedelta(days=7))
    if not timed:
        return 0, None
    moments = np.array([middle.timestamp() for middle in middles])
    is_open = np.zeros(168)
    for number, since, until in intervals:
        is_open += number * ((moments >= since.timestamp()) & (moments < until.timestamp()))
    first = begin.weekday() * 24
    return timed, [round(share, 3) for share in np.roll(is_open / timed, first).tolist()]


# --- who comes -----------------------------------------------------------------------------------------------------------------------


# Of a cell the share of its stores that lie in the district, and how many it has.
Shares = Mapping[int, tuple[float, int]]


def demand(session: Session, district: District, *, stores: int, now: datetime) -> dict[str, Any] | None:
    """What releases say of a district; None where none of its ground belongs to a city whose visits are released."""
    area = MultiPolygon(to_shape(district.area))
    try:
        cover = {resolution: cover_of(area, resolution) for resolution in sorted({*VISITS.resolutions, *ORIGINS.resolutions})}
    except CoverTooLarge:
        return None
    city = next((one for one in releases.list_areas(session) if set(one.cells) & cover[7].keys()), None)
    if city is None:
        return None
    shares_of = _shares(session, district, area, sorted(cover), now=now)
    found: dict[str, Any] = {"city": city.name, "sample": False}
    found |= _visits(session, city, shares_of, stores=stores)
    found["day_parts"] = _day_parts(session, city, shares_of)
    found["returns"] = _returns(session, city, shares_of)
    found["origins"] = _origins(session, city, shares_of)
    found["shown_share"] = _shown_share(session, city, found["period"], cover[9])
    found["sample"] = any(one.sample for one in releases.list_releases(session, area=city.name))
    return found


def _shares(session: Session, district: District, area: MultiPolygon, resolutions: Sequence[int], *, now: datetime) -> Shares:
    """For each cell that the district touches and that has stores."""
    own = stock_of_districts(session, districts.with_parts(session, district.id), shard_cells=district.shard_cells, now=now).cell
    found: dict[int, tuple[float, int]] = {}
    for resolution in resolutions:
        everything = supply_in(session, area, resolution=resolution, category=None, now=now)
        cells, counts = np.unique(parents(own, resolution), return_counts=True)
        inside = dict(zip(cells.tolist(), counts.tolist(), strict=True))
        for cell, count in zip(everything.cell.tolist(), everything.stores.tolist(), strict=True):
            found[cell] = (min(inside.get(cell, 0) / count, 1.0), count)
    return {cell: share for cell, share in found.items() if share[0] > 0.0}


def _newest(session: Session, city: HeatArea, product: Product) -> HeatRelease | None:
    found = releases.list_releases(session, area=city.name, product=product.name)
    return found[-1] if found else None


# Published counts by cell.
Cells = Mapping[int, Part]


def _parts(
    session: Session, city: HeatArea, product: Product, periods: Sequence[str], inside: Shares
) -> dict[tuple[str, int, int], dict[int, Part]]:  # fmt: skip
    """Published counts of cells that the district holds in part, by period, part and origin, and by cell."""
    found: dict[tuple[str, int, int], dict[int, Part]] = {}
    for row in releases.cells_of(session, area=city.name, product=product.name, periods=periods, within=sorted(inside)):
        found.setdefault((row.period, row.part, row.origin), {})[row.cell] = Part(row.value, *inside[row.cell])
    return found


def _shared(*groups: Cells) -> list[list[Part]]:
    """Of each group the counts of the cells that all of them show, in one order: what only one shows cannot be compared."""
    cells = sorted(set.intersection(*(set(group) for group in groups)))
    return [[group[cell] for cell in cells] for group in groups]


def _visits(session: Session, city: HeatArea, inside: Shares, *, stores: int) -> dict[str, Any]:
    periods = [one.period for one in releases.list_releases(session, area=city.name, product=VISITS.name)][-_SERIES:]
    parts = _parts(session, city, VISITS, periods, inside)
    noise = variance(VISITS.scale)
    weeks = [(period, parts.get((period, 0, 0), {})) for period in periods]
    sums = [(period, total(cells.values(), noise=noise)) for period, cells in weeks]
    last = sums[-1][1] if sums else None
    now, before = _shared(weeks[-1][1], weeks[-2][1]) if len(weeks) > 1 else ([], [])
    growth = change(now, before, noise=noise)
    return {
        "period": periods[-1] if periods else None,
        "visits": _dump(last, digits=0) if last else None,
        "per_store": _dump(Estimate(last.value / stores, last.low / stores, last.high / stores), digits=1) if last and stores else None,
        "change": _dump(growth, digits=3) if growth else None,
        "series": [{"period": period, **_dump(one, digits=0)} for period, one in sums if one is not None],
    }


def _day_parts(session: Session, city: HeatArea, inside: Shares) -> dict[str, Any] | None:
    release = _newest(session, city, PARTS_OF_DAY)
    if release is None:
        return None
    parts = _parts(session, city, PARTS_OF_DAY, [release.period], inside)
    groups = _shared(*(parts.get((release.period, number, 0), {}) for number in range(len(PARTS_OF_DAY.parts))))
    found = shares(groups, noise=variance(PARTS_OF_DAY.scale))
    if found is None:
        return None
    return {
        "period": release.period,
        "resolution": PARTS_OF_DAY.resolutions[0],
        "shares": [{"part": name, **_dump(one, digits=3)} for name, one in zip(PARTS_OF_DAY.parts, found, strict=True)],
    }


def _returns(session: Session, city: HeatArea, inside: Shares) -> dict[str, Any] | None:
    release = _newest(session, city, RETURNS)
    if release is None:
        return None
    parts = _parts(session, city, RETURNS, [release.period], inside)
    again, seen = _shared(parts.get((release.period, 1, 0), {}), parts.get((release.period, 0, 0), {}))
    found = ratio(again, seen, noise=variance(RETURNS.scale))
    return None if found is None else {"period": release.period, "resolution": RETURNS.resolutions[0], **_dump(found, digits=3)}


def _origins(session: Session, city: HeatArea, inside: Shares) -> dict[str, Any] | None:
    """The catchment: from which cells those come who visit the district's."""
    release = _newest(session, city, ORIGINS)
    if release is None:
        return None
    sums = [
        (origin, total(cells.values(), noise=variance(ORIGINS.scale)))
        for (_, _, origin), cells in _parts(session, city, ORIGINS, [release.period], inside).items()
    ]
    found: list[dict[str, Any]] = [{"cell": to_hex(origin), **_dump(one, digits=0)} for origin, one in sums if one is not None]
    found.sort(key=lambda one: (-one["value"], one["cell"]))
    return {"period": release.period, "resolution": ORIGINS.resolutions[0], "items": found[:_MOST_ORIGINS]}


def _shown_share(session: Session, city: HeatArea, period: str | None, cover: Mapping[int, float]) -> float:
    """Of the district's ground the share whose cells the newest week shows."""
    if period is None:
        return 0.0
    shown = {row.cell for row in releases.cells_of(session, area=city.name, product=VISITS.name, periods=[period])}
    ground = {cell: share * area_km2(cell) for cell, share in cover.items()}
    seen = sum(size for cell, size in ground.items() if any(parent(cell, resolution) in shown for resolution in VISITS.resolutions))
    return round(seen / sum(ground.values()), 3)


def _dump(one: Estimate, *, digits: int) -> dict[str, float]:
    return {name: round(getattr(one, name), digits) + 0.0 for name in ("value", "low", "high")}


# --- others like it --------------------------------------------------------------------------------------------------------------------


def peers(session: Session, district: District, *, now: datetime) -> list[dict[str, Any]]:
    """Districts of the same layer around it that are most like it in size and in the kinds of stores, the most alike first."""
    west, south, east, north = to_shape(district.area).bounds
    around = Bounds(
        max(west - _PEERS_DEG, -180.0), max(south - _PEERS_DEG, -90.0), min(east + _PEERS_DEG, 180.0), min(north + _PEERS_DEG, 90.0)
    )  # fmt: skip
    near = districts.list_districts(session, after=None, limit=_MOST_COMPARED, layer=district.layer, bounds=around)
    others = [one for one in near if isinstance(one, District)]
    shard_cells = sorted({cell for one in [*others, district] for cell in one.shard_cells})
    rows = queries.stores_by_category(session, [one.id for one in [*others, district]], shard_cells=shard_cells, since=now)
    kinds: dict[UUID, dict[str, int]] = {}
    for row in rows:
        kind = codes_by_id().get(row.category_id, "other").partition(".")[0]
        own = kinds.setdefault(row.district_id, {})
        own[kind] = own.get(kind, 0) + row.stores
    mine = kinds.get(district.id)
    if not mine:
        return []
    found: list[dict[str, Any]] = [
        {"id": one.id, "name": one.name, "stores": sum(kinds[one.id].values()), "likeness": round(_likeness(mine, kinds[one.id]), 3)}
        for one in others
        if one.id != district.id and one.id in kinds
    ]
    return sorted(found, key=lambda one: (-one["likeness"], one["name"]))[:_MOST_PEERS]


def _likeness(one: Mapping[str, int], other: Mapping[str, int]) -> float:
    """0..1: how far two districts have the same kinds of stores in the same shares, less for a difference in size."""
    sizes = sum(one.values()), sum(other.values())
    overlap = sum(min(one.get(kind, 0) / sizes[0], other.get(kind, 0) / sizes[1]) for kind in one.keys() | other.keys())
    return overlap / (1.0 + _SIZE_WEIGHT * abs(math.log(sizes[0] / sizes[1])))
