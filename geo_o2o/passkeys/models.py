"""Passkeys: small tables, shared by all shards."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from ..db import REFERENCE, Base


class Passkey(Base):
    """A key pair in somebody's phone or computer. account_id: of the store's key that it was made with, as which it signs in.

    credential_id, public_key (COSE), sign_count: as the authenticator gave them (W3C Web Authentication, section 7).
    """

    __tablename__ = "passkeys"
    __table_args__ = (sa.UniqueConstraint("credential_id"), REFERENCE)

    id: Mapped[UUID] = mapped_column(primary_key=True)
    credential_id: Mapped[bytes]
    public_key: Mapped[bytes]
    sign_count: Mapped[int] = mapped_column(sa.BigInteger)
    merchant_id: Mapped[UUID] = mapped_column(sa.ForeignKey("merchants.id"))
    account_id: Mapped[UUID]
    name: Mapped[str] = mapped_column(sa.Text)
    created_at: Mapped[datetime] = mapped_column(sa.DateTime(timezone=True))
    used_at: Mapped[datetime | None] = mapped_column(sa.DateTime(timezone=True))
    revoked_at: Mapped[datetime | None] = mapped_column(sa.DateTime(timezone=True))


class SpentSignIn(Base):
    """A challenge that was answered, kept until it has expired: no answer counts twice."""

    __tablename__ = "spent_sign_ins"
    __table_args__ = (REFERENCE,)

    challenge: Mapped[bytes] = mapped_column(primary_key=True)
    expires_at: Mapped[datetime] = mapped_column(sa.DateTime(timezone=True))
