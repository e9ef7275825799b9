"""Rows for tests: plain functions with defaults; a test states only what it is about."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from geoalchemy2.shape import from_shape
from shapely.geometry import MultiPolygon, box
from shapely.geometry import Point as ShapelyPoint
from sqlalchemy.orm import Session

from geo_o2o.caller import Caller
from geo_o2o.changes.service import note_change
from geo_o2o.checkins.models import CheckIn
from geo_o2o.districts.models import District
from geo_o2o.districts.service import add_district, new_district_id
from geo_o2o.geo.cells import SHARD_RESOLUTION, cell_of, parent
from geo_o2o.geo.ids import RANDOM_BITS, located_id
from geo_o2o.geo.point import Point
from geo_o2o.offers.models import Offer
from geo_o2o.offers.service import add_offer, new_offer_id
from geo_o2o.stores.categories import tree
from geo_o2o.stores.hours import hours_of
from geo_o2o.stores.models import Store
from geo_o2o.stores.queries import place_stores_in_districts
from geo_o2o.stores.service import ensure_hours
from geo_o2o.stores.words import grams

from .conftest import NOW

HELSINKI = Point(24.9414, 60.1690)
OPERATOR = Caller(key_id=UUID(int=0), role="admin", merchant_id=None)


def make_store(
    session: Session, *, name: str = "Store", at: Point = HELSINKI, category: str = "food.cafe", rating: tuple[int, int] = (0, 0),
    opening_hours: str | None = None, time_zone: str = "Europe/Helsinki", country: str = "FI", now: datetime = NOW, **columns: Any,
) -> Store:  # fmt: skip
    """A store at a point. rating: sum of stars, and how many."""
    cell = cell_of(at)
    hours = hours_of(opening_hours, time_zone=time_zone, country=country, at=at) if opening_hours else None
    if hours:
        ensure_hours(session, [hours], now=now, horizon_d=35)
    id_ = located_id(cell, now=now, chance=secrets.randbits(RANDOM_BITS))
    values: dict[str, Any] = {
        "shard_cell": parent(cell, SHARD_RESOLUTION), "id": id_, "cell": cell, "location": from_shape(ShapelyPoint(at.lon, at.lat), srid=4326),
        "category_id": tree()[category].id, "rating_sum": rating[0], "rating_count": rating[1], "rating_sample": False, "status": "live",
        "name": name, "names": {}, "address": {}, "tags": [], "opening_hours": opening_hours, "hours_id": hours.id if hours else None,
        "time_zone": time_zone, "country": country, "source": "test", "source_id": str(id_), "version": 1, "created_at": now, "updated_at": now,
    }  # fmt: skip
    store = Store(**{**values, **columns})
    store.search_grams = grams([store.name, *store.names.values(), store.brand or ""])
    session.add(store)
    session.flush()
    note_change(session, [store.cell])
    place_stores_in_districts(session, [store.id])
    return store


def make_offer(session: Session, *stores: Store, title: str = "Offer", price_minor: int | None = 500, now: datetime = NOW, **fields: Any) -> Offer:
    """A live offer in some stores."""
    asked: dict[str, Any] = {
        "title": title, "kind": "standing", "status": "live", "store_ids": [store.id for store in stores], "valid_from": now - timedelta(days=1),
        "price_minor": price_minor, "currency": "EUR" if price_minor is not None else None, **fields,
    }  # fmt: skip
    return add_offer(session, caller=OPERATOR, fields=asked, offer_id=new_offer_id(now=now), now=now)


def make_district(
    session: Session, *, around: Point = HELSINKI, half_deg: float = 0.01, name: str = "District", layer: str = "business", now: datetime = NOW,
    **fields: Any,
) -> District:  # fmt: skip
    """A square district."""
    area = MultiPolygon([box(around.lon - half_deg, around.lat - half_deg, around.lon + half_deg, around.lat + half_deg)])
    return add_district(session, fields={"layer": layer, "name": name, "area": area, **fields}, district_id=new_district_id(now=now), now=now)


def make_visits(session: Session, store: Store, subjects: Sequence[UUID], *, at: datetime, **columns: Any) -> None:
    """A located check-in of each account at a store."""
    rows = [
        {
            "shard_cell": store.shard_cell, "id": located_id(store.cell, now=at, chance=secrets.randbits(RANDOM_BITS)), "store_id": store.id,
            "caller_id": UUID(int=0), "subject_id": subject, "level": 1, "state": "claimed", "p_in": 900, "r95_mm": 10_000, "distance_mm": 5_000,
            "fence": "circle", "reasons": [], "policy": "test", "checked_in_at": at, **columns,
        }
        for subject in subjects
    ]  # fmt: skip
    session.execute(sa.insert(CheckIn), rows)


def north_of(point: Point, metres: float) -> Point:
    """A point so many metres north, to about a centimetre a kilometre."""
    return Point(point.lon, point.lat + metres / 111_400)
