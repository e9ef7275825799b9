from __future__ import annotations

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from ..db import REFERENCE, Base


class RankProfile(Base):
    """A rank profile that this deployment defined; never changed, so that an answer can be recomputed later."""

    __tablename__ = "rank_profiles"
    __table_args__ = (REFERENCE,)

    name: Mapped[str] = mapped_column(sa.Text, primary_key=True)
    body: Mapped[Any] = mapped_column(JSONB)
    created_at: Mapped[datetime] = mapped_column(sa.DateTime(timezone=True))
