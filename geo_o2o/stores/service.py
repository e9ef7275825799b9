from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from geoalchemy2.shape import from_shape, to_shape
from shapely.geometry import Point as ShapelyPoint
from sqlalchemy.orm import Session

from ..auth.queries import find_merchant
from ..caller import Caller
from ..changes.service import note_change
from ..districts.queries import districts_to_turn, find_district
from ..districts.service import turn_district
from ..errors import Forbidden, Gone, InvalidInput, Moved, NotFound, PreconditionFailed
from ..geo.bounds import Bounds
from ..geo.cells import SHARD_RESOLUTION, cell_of, parent
from ..geo.distance import distance_m
from ..geo.ids import RANDOM_BITS, located_id
from ..geo.point import Point
from . import queries
from .categories import tree
from .hours import BadHours, Hours, expand, horizon, hours_of
from .models import OpeningHours, Store
from .words import grams
from .zones import country_of, time_zone_at

API_SOURCE = "api"
# The largest shopping centres are less than a kilometre long.
LARGEST_FOOTPRINT_M = 2_000.0
# As far as one may ask for stores.
LARGEST_SERVICE_M = 50_000.0
# Rows of opening hours that one round of the worker expands in one transaction.
_HOURS_PER_BATCH = 500
_GRAMS_PER_BATCH = 5_000
_DISTRICTS_PER_BATCH = 10
# Hours are expanded anew when a tenth of the horizon has passed: often enough, and not all day long.
_STALE_SHARE = 0.1


def get_store(session: Session, store_id: UUID, *, lock: bool = False) -> Store:
    """A store that is live or closed.

    Raises NotFound; Gone where it was removed; Moved (with the new address) where it lives in another shard now.
    """
    store = queries.find_store(session, store_id, lock=lock)
    if store is None:
        raise NotFound(f"there is no store {store_id}")
    if store.status == "removed":
        raise Gone(f"store {store_id} was removed")
    if store.status == "moved":
        raise Moved(f"store {store_id} has moved and is now {store.moved_to}", location=f"/v1/stores/{store.moved_to}")
    return store


def get_store_where_it_is(session: Session, store_id: UUID) -> Store:
    """A store by any id it ever had, followed to where it is now. Raises NotFound, Gone."""
    store = queries.find_store(session, store_id)
    while store is not None and store.moved_to is not None:
        store = queries.find_store(session, store.moved_to)
    return get_store(session, store.id if store else store_id)


def add_store(session: Session, *, caller: Caller, fields: Mapping[str, Any], store_id: UUID, now: datetime, horizon_d: int) -> Store:
    """A new store of the caller's.

    fields: as StoreRequest loads them. store_id: from new_store_id for the same point.
    Raises Forbidden where the caller may not own it, InvalidInput where the opening hours do not parse.
    """
    queries.lock_placing(session, exclusive=False)
    merchant_id = _owner(session, caller, fields)
    at: Point = fields["at"]
    store = Store(
        id=store_id, source=API_SOURCE, source_id=str(store_id), source_hash=None, version=1, created_at=now, updated_at=now,
        status="live", names={}, address={}, tags=[], rating_sum=0, rating_count=0, rating_sample=False, merchant_id=merchant_id,
    )  # fmt: skip
    _put_at(store, at)
    _set_fields(store, fields)
    _check_areas(store, at)
    _set_zone(store, at, fields.get("time_zone"))
    _set_hours(session, store, at, now=now, horizon_d=horizon_d)
    session.add(store)
    session.flush()
    note_change(session, [store.cell])
    queries.place_stores_in_districts(session, [store.id])
    return store


def new_store_id(at: Point, *, now: datetime) -> UUID:
    return located_id(cell_of(at), now=now, chance=secrets.randbits(RANDOM_BITS))


def change_store(
    session: Session, *, caller: Caller, store_id: UUID, version: int, fields: Mapping[str, Any], now: datetime, horizon_d: int
) -> Store:
    """Changes what the fields name. A store that leaves its shard (over about 20 km) becomes a new row; the old id then answers with the new one.

    Raises what get_store raises; Forbidden; PreconditionFailed where the store is not at that version any more.
    """
    queries.lock_placing(session, exclusive=False)
    store = get_store(session, store_id, lock=True)
    _may_change(caller, store)
    _is_at(store, version)
    if "merchant_id" in fields and store.merchant_id != (owner := _owner(session, caller, fields)):
        store.merchant_id = owner
        queries.ask_offers_to_follow(session, old_id=store.id, new_id=store.id, now=now)
    before = point_of(store)
    at: Point = fields.get("at") or before
    _set_fields(store, fields)
    _check_areas(store, at)
    # A zone that somebody named stays, unless the store moves into another one.
    if "time_zone" in fields or time_zone_at(at) != time_zone_at(before):
        _set_zone(store, at, fields.get("time_zone"))
    if {"at", "time_zone", "opening_hours"} & fields.keys():
        _set_hours(session, store, at, now=now, horizon_d=horizon_d)
    store.version += 1
    store.updated_at = now
    note_change(session, [store.cell, cell_of(at)])
    if parent(cell_of(at), SHARD_RESOLUTION) != store.shard_cell:
        return _move(session, store, at, now=now)
    if "at" in fields:
        _put_at(store, at)
    session.flush()
    if "at" in fields:
        queries.place_stores_in_districts(session, [store.id])
    return store


def remove_store(session: Session, *, caller: Caller, store_id: UUID, version: int, now: datetime) -> None:
    """Takes a store out of the catalogue; its id answers Gone from now on, and its offers hold there no longer."""
    store = get_store(session, store_id, lock=True)
    _may_change(caller, store)
    _is_at(store, version)
    store.status, store.version, store.updated_at = "removed", store.version + 1, now
    note_change(session, [store.cell])


def stores_in_district(session: Session, district_id: UUID) -> Sequence[UUID]:
    """The stores that were last placed in a district; asked before the district changes. Stores that come now wait for the change."""
    queries.lock_placing(session, exclusive=True)
    return queries.stores_of_district(session, district_id)


def place_again(session: Session, district_id: UUID, were_in: Sequence[UUID]) -> None:
    """After a district was added, changed or removed: places anew the stores that it covers, and those that it held before."""
    queries.place_stores_in_districts(session, were_in)
    district = find_district(session, district_id)
    if district is None or not district.in_force:
        return
    centre, radius_m = Bounds(*to_shape(district.area).bounds).circle()
    queries.place_district_over_stores(session, district.id, shard_cells=district.shard_cells, lon=centre.lon, lat=centre.lat, radius_m=radius_m)


def turn_districts(session: Session, *, now: datetime) -> int:
    """Districts that begin or end by themselves get and lose their stores, one batch; returns how many. May be run twice without harm."""
    found = districts_to_turn(session, now=now, limit=_DISTRICTS_PER_BATCH)
    for district_id in found:
        were_in = stores_in_district(session, district_id)
        turn_district(session, district_id, now=now)
        place_again(session, district_id, were_in)
    return len(found)


def write_categories(session: Session) -> None:
    """Brings the table of categories to the state of the data file."""
    nodes = tree()
    rows = [
        {"id": node.id, "code": code, "names": node.names, "parent_id": nodes[node.parent_code].id if node.parent_code else None}
        for code, node in nodes.items()
    ]
    queries.write_categories(session, rows)


def fill_search_grams(session: Session) -> int:
    """Makes the grams of stores that have none yet, one batch; returns how many. May be run twice without harm."""
    rows = queries.stores_without_grams(session, limit=_GRAMS_PER_BATCH)
    queries.write_grams(session, [(row.shard_cell, row.id, grams([row.name, *row.names.values(), row.brand or ""])) for row in rows])
    note_change(session, [row.cell for row in rows])
    return len(rows)


def ensure_hours(session: Session, wanted: Sequence[Hours], *, now: datetime, horizon_d: int) -> None:
    """Adds the rows of opening hours that are not there yet, expanded to the horizon."""
    by_id = {hours.id: hours for hours in wanted}
    missing = queries.missing_hours(session, list(by_id)) if by_id else set()
    queries.add_hours(session, [hours_row(by_id[id_], now=now, horizon_d=horizon_d) for id_ in sorted(missing)])


def hours_row(hours: Hours, *, now: datetime, horizon_d: int) -> dict[str, Any]:
    start, until = horizon(now, horizon_d)
    return {
        "id": hours.id,
        "expression": hours.expression,
        "time_zone": hours.time_zone,
        "country": hours.country,
        "sun_lon": hours.sun.lon if hours.sun else None,
        "sun_lat": hours.sun.lat if hours.sun else None,
        "open_during": _multirange(expand(hours, start=start, until=until)),
        "expanded_from": start,
        "expanded_until": until,
    }


def extend_hours(session: Session, *, now: datetime, horizon_d: int) -> int:
    """Expands opening hours that run out, one batch; returns how many. May be run twice, and by two workers, without harm."""
    start, until = horizon(now, horizon_d)
    rows = queries.hours_to_extend(session, before=until - timedelta(days=max(1, int(horizon_d * _STALE_SHARE))), limit=_HOURS_PER_BATCH)
    for row in rows:
        row.open_during = _multirange(expand(hours_of_row(row), start=start, until=until))
        row.expanded_from, row.expanded_until = start, until
    return len(rows)


def hours_of_row(row: OpeningHours) -> Hours:
    sun = Point(row.sun_lon, row.sun_lat) if row.sun_lon is not None and row.sun_lat is not None else None
    return Hours(row.expression, row.time_zone, row.country, sun)


def _multirange(intervals: Sequence[tuple[datetime, datetime]]) -> str:
    """PostgreSQL's text form; the driver knows no multiranges."""
    return "{" + ",".join(f"[{start.isoformat()},{end.isoformat()})" for start, end in intervals) + "}"


def _owner(session: Session, caller: Caller, fields: Mapping[str, Any]) -> UUID | None:
    """The merchant that a store belongs to: the caller's own, or for the operator the named one. Raises InvalidInput, Forbidden."""
    named: UUID | None = fields.get("merchant_id")
    if caller.role == "admin":
        if named is not None and find_merchant(session, named) is None:
            message = f"there is no merchant {named}"
            raise InvalidInput(message, errors={"merchant_id": [message]})
        return named
    if named not in (None, caller.merchant_id):
        raise Forbidden("a store's key can only name its own merchant")
    return caller.merchant_id


def _may_change(caller: Caller, store: Store) -> None:
    if not caller.may_change(store.merchant_id):
        raise Forbidden("the store belongs to another merchant")


def _is_at(store: Store, version: int) -> None:
    if store.version != version:
        raise PreconditionFailed(f'the store is at version "v{store.version}", not "v{version}": read it again')


def _put_at(store: Store, at: Point) -> None:
    store.cell = cell_of(at)
    store.shard_cell = parent(store.cell, SHARD_RESOLUTION)
    store.location = from_shape(ShapelyPoint(at.lon, at.lat), srid=4326)


def point_of(store: Store) -> Point:
    location = to_shape(store.location)
    return Point(location.x, location.y)


def _set_fields(store: Store, fields: Mapping[str, Any]) -> None:
    for name in ("name", "names", "brand", "address", "phone", "website", "tags", "opening_hours", "price_band", "fence_radius_m", "chain",
        "service_radius_m", "status"):  # fmt: skip
        if name in fields:
            setattr(store, name, fields[name])
    if {"name", "names", "brand"} & fields.keys():
        store.search_grams = grams([store.name, *store.names.values(), store.brand or ""])
    if "category" in fields:
        store.category_id = tree()[fields["category"]].id
    if "footprint" in fields:
        area = fields["footprint"]
        store.footprint = None if area is None else from_shape(area, srid=4326)
    if "service_area" in fields:
        area = fields["service_area"]
        store.service_area = None if area is None else from_shape(area, srid=4326)


def _check_areas(store: Store, at: Point) -> None:
    """Raises InvalidInput where an outline is not the store's own: a fence must not lie where the store does not."""
    for name, largest_m in (("footprint", LARGEST_FOOTPRINT_M), ("service_area", LARGEST_SERVICE_M)):
        area = getattr(store, name)
        if area is None:
            continue
        centre, radius_m = Bounds(*to_shape(area).bounds).circle()
        if radius_m > largest_m or distance_m(centre, at) > largest_m:
            message = f"the {name} must lie within {largest_m:,.0f} m of the store's point; send it anew with the point"
            raise InvalidInput(message, errors={name: [message]})


def _set_zone(store: Store, at: Point, named: str | None) -> None:
    store.time_zone = named or time_zone_at(at)
    store.country = country_of(time_zone_at(at)) or country_of(store.time_zone)


def _set_hours(session: Session, store: Store, at: Point, *, now: datetime, horizon_d: int) -> None:
    if not store.opening_hours:
        store.hours_id = None
        return
    try:
        hours = hours_of(store.opening_hours, time_zone=store.time_zone, country=store.country, at=at)
    except BadHours as failure:
        raise InvalidInput(str(failure), errors={"opening_hours": [str(failure)]}) from failure
    ensure_hours(session, [hours], now=now, horizon_d=horizon_d)
    store.hours_id = hours.id


def _move(session: Session, store: Store, at: Point, *, now: datetime) -> Store:
    """The store as a new row in another shard. The old row stays, so that its id still answers and its history keeps its place."""
    columns = {column.key: getattr(store, column.key) for column in sa.inspect(Store).columns}
    session.expire(store)
    old = get_store(session, store.id, lock=True)
    fresh = Store(**columns)
    fresh.id = located_id(cell_of(at), now=now, chance=secrets.randbits(RANDOM_BITS))
    _put_at(fresh, at)
    session.add(fresh)
    queries.ask_offers_to_follow(session, old_id=old.id, new_id=fresh.id, now=now)
    old.status, old.moved_to, old.version, old.updated_at = "moved", fresh.id, columns["version"], now
    # The source's id belongs to the row that lives; the store may come back to this shard one day.
    old.source_id = f"{old.source_id} until {now.isoformat()}"
    session.flush()
    queries.place_stores_in_districts(session, [fresh.id])
    queries.place_stores_in_districts(session, [old.id])
    return fresh
