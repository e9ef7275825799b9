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
    """A named area. shard_cells: the shard cells that a store inside it can have."""

    __tablename__ = "districts"
    __table_args__ = (
        sa.UniqueConstraint("source", "source_id"),
        sa.Index("ix_districts_area", "area", postgresql_using="gist"),
        sa.Index(None, "layer", "name"),
        sa.CheckConstraint("area_m2 > 0", name="area_m2"),
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
