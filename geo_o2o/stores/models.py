"""Stores and what belongs to them. Sharded by shard_cell, which the application writes; no triggers."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from geoalchemy2 import Geography, Geometry, WKBElement
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, TSTZMULTIRANGE
from sqlalchemy.orm import Mapped, mapped_column

from ..db import REFERENCE, SHARDED, Base

# The res-4 parent of a cell in plain arithmetic: a CHECK that stands unchanged on one server and on a cluster.
SHARD_OF_CELL = "(cell & ~(15::bigint << 52)) | (4::bigint << 52) | ((1::bigint << 33) - 1)"


class Category(Base):
    """One node of the category tree; the rows come from categories.json."""

    __tablename__ = "categories"
    __table_args__ = (sa.UniqueConstraint("code"), REFERENCE)

    id: Mapped[int] = mapped_column(sa.SmallInteger, primary_key=True, autoincrement=False)
    code: Mapped[str] = mapped_column(sa.Text)
    parent_id: Mapped[int | None] = mapped_column(sa.SmallInteger, sa.ForeignKey("categories.id"))
    names: Mapped[dict[str, str]] = mapped_column(JSONB)


class OpeningHours(Base):
    """A distinct text of opening hours in one zone, expanded for queries; stores with the same hours share a row.

    id: a hash of the text, the zone, the country and, where the text speaks of sunrise or sunset, the rough place.
    open_during: the open intervals in expanded_from..expanded_until.
    """

    __tablename__ = "opening_hours"
    __table_args__ = (sa.Index(None, "expanded_until"), REFERENCE)

    id: Mapped[int] = mapped_column(sa.BigInteger, primary_key=True, autoincrement=False)
    expression: Mapped[str] = mapped_column(sa.Text)
    time_zone: Mapped[str] = mapped_column(sa.Text)
    country: Mapped[str | None] = mapped_column(sa.Text)
    sun_lon: Mapped[float | None] = mapped_column(sa.Double)
    sun_lat: Mapped[float | None] = mapped_column(sa.Double)
    open_during: Mapped[Any] = mapped_column(TSTZMULTIRANGE)
    expanded_from: Mapped[datetime] = mapped_column(sa.DateTime(timezone=True))
    expanded_until: Mapped[datetime] = mapped_column(sa.DateTime(timezone=True))


class Store(Base):
    """A place that sells or serves something.

    location: WGS 84. cell: its H3 cell of resolution 12. footprint: the outline of its building or floor, where known.
    chain: what the store belongs to, from the top down and joined by dots, as `sok.prisma`.
    service_radius_m, service_area: how far it serves people who do not come, by a radius or an outline.
    search_grams: what its names and brand are found by, see words.py; None until they are made.
    rating_sum, rating_count: stars (1 to 5) summed, and how many; rating_sample marks invented ones.
    status: `live`; `closed` for good; `removed` through the API; `moved` to another shard, where moved_to is its new id.
    """

    __tablename__ = "stores"
    __table_args__ = (
        sa.PrimaryKeyConstraint("shard_cell", "id"),
        sa.UniqueConstraint("shard_cell", "source", "source_id"),
        sa.CheckConstraint(f"shard_cell = ({SHARD_OF_CELL})", name="shard_cell"),
        sa.CheckConstraint("status IN ('live', 'closed', 'removed', 'moved')", name="status"),
        sa.CheckConstraint("(status = 'moved') = (moved_to IS NOT NULL)", name="moved_to"),
        sa.CheckConstraint("rating_count >= 0 AND rating_sum >= rating_count AND rating_sum <= 5 * rating_count", name="rating"),
        sa.CheckConstraint("price_band BETWEEN 1 AND 4", name="price_band"),
        sa.CheckConstraint("service_radius_m > 0", name="service_radius_m"),
        sa.Index("ix_stores_location", "location", postgresql_using="gist"),
        sa.Index(
            "ix_stores_serving",
            "location",
            postgresql_using="gist",
            postgresql_where=sa.text("service_radius_m IS NOT NULL OR service_area IS NOT NULL"),
        ),
        sa.Index("ix_stores_cell", "cell"),
        sa.Index("ix_stores_merchant_id", "merchant_id", postgresql_where=sa.text("merchant_id IS NOT NULL")),
        SHARDED,
    )

    shard_cell: Mapped[int] = mapped_column(sa.BigInteger)
    id: Mapped[UUID]
    cell: Mapped[int] = mapped_column(sa.BigInteger)
    location: Mapped[WKBElement] = mapped_column(Geography("POINT", 4326, spatial_index=False))
    category_id: Mapped[int] = mapped_column(sa.SmallInteger, sa.ForeignKey("categories.id"))
    rating_sum: Mapped[int] = mapped_column(sa.Integer)
    rating_count: Mapped[int] = mapped_column(sa.Integer)
    rating_sample: Mapped[bool]
    price_band: Mapped[int | None] = mapped_column(sa.SmallInteger)
    status: Mapped[str] = mapped_column(sa.Text)
    hours_id: Mapped[int | None] = mapped_column(sa.BigInteger, sa.ForeignKey("opening_hours.id"))
    merchant_id: Mapped[UUID | None] = mapped_column(sa.ForeignKey("merchants.id"))
    name: Mapped[str] = mapped_column(sa.Text)
    names: Mapped[dict[str, str]] = mapped_column(JSONB)
    brand: Mapped[str | None] = mapped_column(sa.Text)
    address: Mapped[dict[str, str]] = mapped_column(JSONB)
    phone: Mapped[str | None] = mapped_column(sa.Text)
    website: Mapped[str | None] = mapped_column(sa.Text)
    tags: Mapped[list[str]] = mapped_column(ARRAY(sa.Text))
    opening_hours: Mapped[str | None] = mapped_column(sa.Text)
    time_zone: Mapped[str] = mapped_column(sa.Text)
    country: Mapped[str | None] = mapped_column(sa.Text)
    footprint: Mapped[WKBElement | None] = mapped_column(Geometry("MULTIPOLYGON", 4326, spatial_index=False))
    fence_radius_m: Mapped[int | None] = mapped_column(sa.Integer)
    chain: Mapped[str | None] = mapped_column(sa.Text)
    service_radius_m: Mapped[int | None] = mapped_column(sa.Integer)
    service_area: Mapped[WKBElement | None] = mapped_column(Geometry("MULTIPOLYGON", 4326, spatial_index=False))
    search_grams: Mapped[list[int] | None] = mapped_column(ARRAY(sa.Integer))
    moved_to: Mapped[UUID | None]
    source: Mapped[str] = mapped_column(sa.Text)
    source_id: Mapped[str] = mapped_column(sa.Text)
    source_hash: Mapped[int | None] = mapped_column(sa.BigInteger)
    version: Mapped[int] = mapped_column(sa.Integer)
    created_at: Mapped[datetime] = mapped_column(sa.DateTime(timezone=True))
    updated_at: Mapped[datetime] = mapped_column(sa.DateTime(timezone=True))


class StoreDistrict(Base):
    """The one district of each layer that a store lies in."""

    __tablename__ = "store_districts"
    __table_args__ = (
        sa.PrimaryKeyConstraint("shard_cell", "store_id", "layer"),
        sa.ForeignKeyConstraint(["shard_cell", "store_id"], ["stores.shard_cell", "stores.id"], ondelete="CASCADE", name="fk_store_districts_store"),
        sa.Index(None, "district_id"),
        SHARDED,
    )

    shard_cell: Mapped[int] = mapped_column(sa.BigInteger)
    store_id: Mapped[UUID]
    layer: Mapped[str] = mapped_column(sa.Text)
    district_id: Mapped[UUID] = mapped_column(sa.ForeignKey("districts.id", ondelete="CASCADE"))


class Attribution(Base):
    """Licence and credit of a source of stores, shown in every answer that lists its rows."""

    __tablename__ = "attributions"
    __table_args__ = (REFERENCE,)

    source: Mapped[str] = mapped_column(sa.Text, primary_key=True)
    attribution: Mapped[str] = mapped_column(sa.Text)
    licence: Mapped[str] = mapped_column(sa.Text)
    loaded_at: Mapped[datetime] = mapped_column(sa.DateTime(timezone=True))


class StoreMove(Base):
    """A store whose offers must be placed anew: it has a new id in another shard, or (old_id = new_id) another owner. A row for the worker."""

    __tablename__ = "store_moves"

    old_id: Mapped[UUID] = mapped_column(primary_key=True)
    new_id: Mapped[UUID]
    moved_at: Mapped[datetime] = mapped_column(sa.DateTime(timezone=True))
