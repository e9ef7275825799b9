"""Districts: a small table, shared by all shards."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from geoalchemy2 import Geometry, WKBElement
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import Mapped, mapped_column

from ..db import REFERENCE, Base


class District(Base):
    """A named area, as it is said now. shard_cells: the shard cells that a store inside it can have.

    It is in force from valid_from until valid_to (None: for good). parent_id: the smallest district of its layer that holds it. in_force:
    whether stores are placed in it; the worker sets it when a district begins or ends by itself.
    """

    __tablename__ = "districts"
    __table_args__ = (
        sa.UniqueConstraint("source", "source_id"),
        sa.Index("ix_districts_area", "area", postgresql_using="gist"),
        sa.Index(None, "layer", "name"),
        sa.CheckConstraint("area_m2 > 0", name="area_m2"),
        sa.CheckConstraint("valid_from <= valid_to", name="validity"),
        REFERENCE,
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    layer: Mapped[str] = mapped_column(sa.Text)
    name: Mapped[str] = mapped_column(sa.Text)
    names: Mapped[dict[str, str]] = mapped_column(JSONB)
    area: Mapped[WKBElement] = mapped_column(Geometry("MULTIPOLYGON", 4326, spatial_index=False))
    area_m2: Mapped[float] = mapped_column(sa.Double)
    shard_cells: Mapped[list[int]] = mapped_column(ARRAY(sa.BigInteger))
    source: Mapped[str] = mapped_column(sa.Text)
    source_id: Mapped[str] = mapped_column(sa.Text)
    source_hash: Mapped[int | None] = mapped_column(sa.BigInteger)
    attribution: Mapped[str | None] = mapped_column(sa.Text)
    version: Mapped[int] = mapped_column(sa.Integer)
    created_at: Mapped[datetime] = mapped_column(sa.DateTime(timezone=True))
    updated_at: Mapped[datetime] = mapped_column(sa.DateTime(timezone=True))
    valid_from: Mapped[datetime] = mapped_column(sa.DateTime(timezone=True))
    valid_to: Mapped[datetime | None] = mapped_column(sa.DateTime(timezone=True))
    parent_id: Mapped[UUID | None] = mapped_column(sa.ForeignKey("districts.id"))
    in_force: Mapped[bool]


class DistrictVersion(Base):
    """What a district was before it was changed, from valid_from until valid_to."""

    __tablename__ = "district_versions"
    __table_args__ = (
        sa.PrimaryKeyConstraint("district_id", "version"),
        sa.Index("ix_district_versions_area", "area", postgresql_using="gist"),
        REFERENCE,
    )

    # Named as in District, because answers show both.
    id: Mapped[UUID] = mapped_column("district_id", sa.ForeignKey("districts.id", ondelete="CASCADE"))
    version: Mapped[int] = mapped_column(sa.Integer)
    layer: Mapped[str] = mapped_column(sa.Text)
    name: Mapped[str] = mapped_column(sa.Text)
    names: Mapped[dict[str, str]] = mapped_column(JSONB)
    area: Mapped[WKBElement] = mapped_column(Geometry("MULTIPOLYGON", 4326, spatial_index=False))
    area_m2: Mapped[float] = mapped_column(sa.Double)
    source: Mapped[str] = mapped_column(sa.Text)
    source_id: Mapped[str] = mapped_column(sa.Text)
    attribution: Mapped[str | None] = mapped_column(sa.Text)
    parent_id: Mapped[UUID | None]
    valid_from: Mapped[datetime] = mapped_column(sa.DateTime(timezone=True))
    valid_to: Mapped[datetime] = mapped_column(sa.DateTime(timezone=True))
