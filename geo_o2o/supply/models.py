from __future__ import annotations

from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from geoalchemy2 import Geography, WKBElement
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from ..db import REFERENCE, SHARDED, Base


class SupplyBlock(Base):
    """A cell of resolution 7, or a whole shard, whose rows are rolled up. version: of what; a shard's is the sum of its blocks'.

    good_until: when an offer in it begins or ends next.
    """

    __tablename__ = "supply_blocks"
    __table_args__ = (sa.PrimaryKeyConstraint("shard_cell", "block"), SHARDED)

    shard_cell: Mapped[int] = mapped_column(sa.BigInteger)
    block: Mapped[int] = mapped_column(sa.BigInteger)
    version: Mapped[int] = mapped_column(sa.BigInteger)
    good_until: Mapped[datetime | None] = mapped_column(sa.DateTime(timezone=True))


class SupplyCell(Base):
    """What one cell of a block holds of a category with all below it, or (0) of all. hours_ids, hours_counts: how many stores keep which hours."""

    __tablename__ = "supply_cells"
    __table_args__ = (
        sa.PrimaryKeyConstraint("shard_cell", "resolution", "category_id", "block", "cell"),
        sa.Index("ix_supply_cells_block", "shard_cell", "block"),
        SHARDED,
    )

    shard_cell: Mapped[int] = mapped_column(sa.BigInteger)
    block: Mapped[int] = mapped_column(sa.BigInteger)
    resolution: Mapped[int] = mapped_column(sa.SmallInteger)
    category_id: Mapped[int] = mapped_column(sa.SmallInteger)
    cell: Mapped[int] = mapped_column(sa.BigInteger)
    stores: Mapped[int]
    offers: Mapped[int]
    rating_sum: Mapped[int] = mapped_column(sa.BigInteger)
    rating_count: Mapped[int] = mapped_column(sa.BigInteger)
    timed: Mapped[int]
    sample: Mapped[int]
    hours_ids: Mapped[list[int]] = mapped_column(ARRAY(sa.BigInteger))
    hours_counts: Mapped[list[int]] = mapped_column(ARRAY(sa.Integer))


class SupplyChange(Base):
    """How a store of a block was from a moment on, until its next row. live: false from when it was there no more."""

    __tablename__ = "supply_changes"
    __table_args__ = (sa.PrimaryKeyConstraint("shard_cell", "block", "store_id", "changed_at"), SHARDED)

    shard_cell: Mapped[int] = mapped_column(sa.BigInteger)
    block: Mapped[int] = mapped_column(sa.BigInteger)
    store_id: Mapped[UUID]
    changed_at: Mapped[datetime] = mapped_column(sa.DateTime(timezone=True))
    live: Mapped[bool]
    cell: Mapped[int] = mapped_column(sa.BigInteger)
    location: Mapped[WKBElement] = mapped_column(Geography("POINT", 4326, spatial_index=False))
    category_id: Mapped[int] = mapped_column(sa.SmallInteger)
    offers: Mapped[int]
    rating_sum: Mapped[int] = mapped_column(sa.BigInteger)
    rating_count: Mapped[int] = mapped_column(sa.BigInteger)


class SupplyHistory(Base):
    """One row: from when on everything that was is written down."""

    __tablename__ = "supply_history"
    __table_args__ = REFERENCE

    begun_at: Mapped[datetime] = mapped_column(sa.DateTime(timezone=True), primary_key=True)
