from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from ..db import SHARDED, Base


class SupplyBlock(Base):
    """A cell of resolution 7 whose rows are rolled up, and of which version. good_until: when an offer in it begins or ends next."""

    __tablename__ = "supply_blocks"
    __table_args__ = (sa.PrimaryKeyConstraint("shard_cell", "block"), SHARDED)

    shard_cell: Mapped[int] = mapped_column(sa.BigInteger)
    block: Mapped[int] = mapped_column(sa.BigInteger)
    version: Mapped[int] = mapped_column(sa.BigInteger)
    good_until: Mapped[datetime | None] = mapped_column(sa.DateTime(timezone=True))


class SupplyCell(Base):
    """What one cell of a block holds, of one category or (0) of all. hours_ids, hours_counts: how many stores keep which opening hours."""

    __tablename__ = "supply_cells"
    __table_args__ = (sa.PrimaryKeyConstraint("shard_cell", "block", "resolution", "category_id", "cell"), SHARDED)

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
    """What a cell of resolution 11 held of one category from a moment on, until its next row. Written when it differs from the row before."""

    __tablename__ = "supply_changes"
    __table_args__ = (sa.PrimaryKeyConstraint("shard_cell", "block", "cell", "category_id", "changed_at"), SHARDED)

    shard_cell: Mapped[int] = mapped_column(sa.BigInteger)
    block: Mapped[int] = mapped_column(sa.BigInteger)
    cell: Mapped[int] = mapped_column(sa.BigInteger)
    category_id: Mapped[int] = mapped_column(sa.SmallInteger)
    changed_at: Mapped[datetime] = mapped_column(sa.DateTime(timezone=True))
    stores: Mapped[int]
    offers: Mapped[int]
    rating_sum: Mapped[int] = mapped_column(sa.BigInteger)
    rating_count: Mapped[int] = mapped_column(sa.BigInteger)
