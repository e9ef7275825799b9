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


class ProfileUse(Base):
    """From when on questions that name no profile were answered by this one: the newest row holds, the others are the history."""

    __tablename__ = "profile_uses"
    __table_args__ = (REFERENCE,)

    id: Mapped[int] = mapped_column(sa.BigInteger, sa.Identity(), primary_key=True)
    name: Mapped[str] = mapped_column(sa.Text)
    begun_at: Mapped[datetime] = mapped_column(sa.DateTime(timezone=True))
