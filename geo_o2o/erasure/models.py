from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from ..db import Base


class Erasure(Base):
    """An account that was erased here. subject_hash: see listing.py, which keeps the same outside the database."""

    __tablename__ = "erasures"

    subject_hash: Mapped[bytes] = mapped_column(primary_key=True)
    erased_at: Mapped[datetime] = mapped_column(sa.DateTime(timezone=True))
