from __future__ import annotations

from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from ..db import Base


class Campaign(Base):
    """budget: how many redemptions are left. granted: how many there were."""

    __tablename__ = "campaigns"
    __table_args__ = (sa.CheckConstraint("budget >= 0", name="budget"),)

    id: Mapped[UUID] = mapped_column(primary_key=True)
    merchant_id: Mapped[UUID | None]
    name: Mapped[str] = mapped_column(sa.Text)
    budget: Mapped[int]
    granted: Mapped[int] = mapped_column(server_default="0")
    expires_at: Mapped[datetime] = mapped_column(sa.DateTime(timezone=True))
    created_at: Mapped[datetime] = mapped_column(sa.DateTime(timezone=True))


class Voucher(Base):
    """id: 122 random bits, which whoever holds it shows."""

    __tablename__ = "vouchers"
    __table_args__ = (sa.CheckConstraint("state IN ('issued', 'redeemed')", name="state"), sa.Index(None, "campaign_id"))

    id: Mapped[UUID] = mapped_column(primary_key=True)
    campaign_id: Mapped[UUID]
    state: Mapped[str] = mapped_column(sa.Text)
    expires_at: Mapped[datetime] = mapped_column(sa.DateTime(timezone=True))
    created_at: Mapped[datetime] = mapped_column(sa.DateTime(timezone=True))


class Redemption(Base):
    """One for each check-in, and one for each voucher. reward: granted; held until somebody has looked; refused, and the voucher given back."""

    __tablename__ = "redemptions"
    __table_args__ = (sa.UniqueConstraint("voucher_id"),)

    check_in_id: Mapped[UUID] = mapped_column(primary_key=True)
    voucher_id: Mapped[UUID | None]
    reward: Mapped[str] = mapped_column(sa.Text)
    redeemed_at: Mapped[datetime] = mapped_column(sa.DateTime(timezone=True))
