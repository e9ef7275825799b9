"""Merchants, API keys and remembered requests: small tables, shared by all shards."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from ..db import REFERENCE, Base


class Merchant(Base):
    """A party that owns stores."""

    __tablename__ = "merchants"
    __table_args__ = (sa.UniqueConstraint("name"), REFERENCE)

    id: Mapped[UUID] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(sa.Text)
    created_at: Mapped[datetime] = mapped_column(sa.DateTime(timezone=True))


class ApiKey(Base):
    """A key, without its secret. stands_for: the first key of the same app or store, by whose id it is known; None: its own.

    passkey_id, expires_at: of a key that a sign-in has given; it ends by itself.
    """

    __tablename__ = "api_keys"
    __table_args__ = (
        sa.UniqueConstraint("prefix"),
        sa.CheckConstraint("role IN ('app', 'web', 'store', 'planner', 'admin')", name="role"),
        sa.CheckConstraint("(role = 'store') = (merchant_id IS NOT NULL)", name="merchant"),
        sa.CheckConstraint("(passkey_id IS NULL) = (expires_at IS NULL)", name="expires_at"),
        REFERENCE,
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    role: Mapped[str] = mapped_column(sa.Text)
    merchant_id: Mapped[UUID | None] = mapped_column(sa.ForeignKey("merchants.id"))
    stands_for: Mapped[UUID | None]
    passkey_id: Mapped[UUID | None]
    name: Mapped[str] = mapped_column(sa.Text)
    prefix: Mapped[str] = mapped_column(sa.Text)
    secret_hash: Mapped[bytes]
    created_at: Mapped[datetime] = mapped_column(sa.DateTime(timezone=True))
    expires_at: Mapped[datetime | None] = mapped_column(sa.DateTime(timezone=True))
    revoked_at: Mapped[datetime | None] = mapped_column(sa.DateTime(timezone=True))


class IdempotencyKey(Base):
    """A creating request that was carried out, so that a retry finds the first row instead of making a second."""

    __tablename__ = "idempotency_keys"
    __table_args__ = (sa.Index(None, "created_at"),)

    caller_id: Mapped[UUID] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(sa.Text, primary_key=True)
    request_hash: Mapped[bytes]
    resource_id: Mapped[UUID]
    created_at: Mapped[datetime] = mapped_column(sa.DateTime(timezone=True))
