from __future__ import annotations

from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from ..db import REFERENCE, Base


class Sponsorship(Base):
    """An offer that somebody pays to have shown apart, labelled, beside the list; the list itself knows nothing of it."""

    __tablename__ = "sponsorships"
    __table_args__ = (sa.CheckConstraint("starts_at < ends_at", name="times"), sa.Index(None, "ends_at"), REFERENCE)

    id: Mapped[UUID] = mapped_column(primary_key=True)
    offer_id: Mapped[UUID]
    sponsor: Mapped[str] = mapped_column(sa.Text)
    starts_at: Mapped[datetime] = mapped_column(sa.DateTime(timezone=True))
    ends_at: Mapped[datetime] = mapped_column(sa.DateTime(timezone=True))
    created_at: Mapped[datetime] = mapped_column(sa.DateTime(timezone=True))
