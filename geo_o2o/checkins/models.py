"""Check-ins. Sharded with their store and free of foreign keys: a store that moves leaves its history where it happened."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import Mapped, mapped_column

from ..db import SHARDED, Base


class CheckIn(Base):
    """A visitor's claim to be at a store, and what it proves.

    level: 0 claimed, 1 located (design: trust; 2 to 4 need the store's signature). p_in: probability inside the fence, per mille.
    r95_mm: radius that holds the true position with 95 %. distance_mm: of the judged position from the store's point.
    """

    __tablename__ = "check_ins"
    __table_args__ = (
        sa.PrimaryKeyConstraint("shard_cell", "id"),
        sa.CheckConstraint("level BETWEEN 0 AND 4", name="level"),
        sa.CheckConstraint("p_in BETWEEN 0 AND 1000", name="p_in"),
        sa.Index(None, "shard_cell", "store_id", "checked_in_at"),
        SHARDED,
    )

    shard_cell: Mapped[int] = mapped_column(sa.BigInteger)
    id: Mapped[UUID]
    store_id: Mapped[UUID]
    merchant_id: Mapped[UUID | None]
    visitor: Mapped[str | None] = mapped_column(sa.Text)
    caller_id: Mapped[UUID]
    level: Mapped[int] = mapped_column(sa.SmallInteger)
    state: Mapped[str] = mapped_column(sa.Text)
    p_in: Mapped[int] = mapped_column(sa.SmallInteger)
    r95_mm: Mapped[int] = mapped_column(sa.BigInteger)
    distance_mm: Mapped[int] = mapped_column(sa.BigInteger)
    fence: Mapped[str] = mapped_column(sa.Text)
    reasons: Mapped[list[str]] = mapped_column(ARRAY(sa.Text))
    policy: Mapped[str] = mapped_column(sa.Text)
    checked_in_at: Mapped[datetime] = mapped_column(sa.DateTime(timezone=True))


class CheckInEvidence(Base):
    """The raw positions of a check-in, apart from it because they are erased after evidence_days."""

    __tablename__ = "check_in_evidence"
    __table_args__ = (sa.PrimaryKeyConstraint("shard_cell", "check_in_id"), sa.Index(None, "recorded_at"), SHARDED)

    shard_cell: Mapped[int] = mapped_column(sa.BigInteger)
    check_in_id: Mapped[UUID]
    fixes: Mapped[Any] = mapped_column(JSONB)
    recorded_at: Mapped[datetime] = mapped_column(sa.DateTime(timezone=True))
