"""What the worker did: a local table, whatever the number of machines."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from ..db import Base


class JobRun(Base):
    """The newest run of a job, by whichever worker. worked_at, rows: when it found something to do, and how much. trouble: why it failed."""

    __tablename__ = "job_runs"

    name: Mapped[str] = mapped_column(sa.Text, primary_key=True)
    ran_at: Mapped[datetime] = mapped_column(sa.DateTime(timezone=True))
    took_ms: Mapped[int]
    rows: Mapped[int] = mapped_column(sa.BigInteger)
    worked_at: Mapped[datetime | None] = mapped_column(sa.DateTime(timezone=True))
    trouble: Mapped[str | None] = mapped_column(sa.Text)
