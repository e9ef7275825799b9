"""Loads: a local table, whatever the number of machines. It is written beside the load's own transaction, so that its progress is seen."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from ..db import Base


class Load(Base):
    """A file that is, or was, brought in.

    kind: of file. rows: read so far. reports: counts, and the first of the refused rows, of each kind of row. trouble: why it failed, in
    words. seen_at: the load was at work then; one that is `running` and was not seen for a while was killed, and left nothing behind.
    """

    __tablename__ = "loads"
    __table_args__ = (
        sa.CheckConstraint("state IN ('running', 'loaded', 'failed')", name="state"),
        sa.CheckConstraint("(state = 'running') = (finished_at IS NULL)", name="finished_at"),
        sa.Index(None, "started_at"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(sa.Text)
    file: Mapped[str] = mapped_column(sa.Text)
    source: Mapped[str] = mapped_column(sa.Text)
    dry_run: Mapped[bool]
    state: Mapped[str] = mapped_column(sa.Text)
    rows: Mapped[int] = mapped_column(sa.BigInteger)
    reports: Mapped[list[Any]] = mapped_column(JSONB)
    trouble: Mapped[str | None] = mapped_column(sa.Text)
    started_at: Mapped[datetime] = mapped_column(sa.DateTime(timezone=True))
    seen_at: Mapped[datetime] = mapped_column(sa.DateTime(timezone=True))
    finished_at: Mapped[datetime | None] = mapped_column(sa.DateTime(timezone=True))
