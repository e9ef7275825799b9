from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from ..db import SHARDED, Base


class Device(Base):
    """A visitor's device. id: RFC 7638 thumbprint of its P-256 key. attested: what the platform's own verdict said, None where none was sent.

    revoked_event: id of the log's entry that says so.
    """

    __tablename__ = "devices"

    id: Mapped[str] = mapped_column(sa.Text, primary_key=True)
    jwk: Mapped[Any] = mapped_column(JSONB)
    platform: Mapped[str] = mapped_column(sa.Text)
    attested: Mapped[bool | None]
    enrolled_by: Mapped[UUID]
    enrolled_at: Mapped[datetime] = mapped_column(sa.DateTime(timezone=True))
    revoked_at: Mapped[datetime | None] = mapped_column(sa.DateTime(timezone=True))
    revoked_event: Mapped[UUID | None]


class DeviceProof(Base):
    """A proof that was used, so that it is not used twice while its nonce lives."""

    __tablename__ = "device_proofs"
    __table_args__ = (sa.PrimaryKeyConstraint("device_id", "jti"), sa.Index(None, "seen_at"))

    device_id: Mapped[str] = mapped_column(sa.Text)
    jti: Mapped[str] = mapped_column(sa.Text)
    seen_at: Mapped[datetime] = mapped_column(sa.DateTime(timezone=True))


class Till(Base):
    """A store's till. id: RFC 7638 thumbprint of its Ed25519 key. enrolled_event, revoked_event: ids of the log's entries that say so."""

    __tablename__ = "tills"
    __table_args__ = (sa.PrimaryKeyConstraint("shard_cell", "id"), sa.Index(None, "shard_cell", "store_id"), SHARDED)

    shard_cell: Mapped[int] = mapped_column(sa.BigInteger)
    id: Mapped[str] = mapped_column(sa.Text)
    store_id: Mapped[UUID]
    merchant_id: Mapped[UUID | None]
    public: Mapped[bytes]
    totp_secret: Mapped[bytes]
    name: Mapped[str] = mapped_column(sa.Text)
    enrolled_at: Mapped[datetime] = mapped_column(sa.DateTime(timezone=True))
    enrolled_event: Mapped[UUID]
    revoked_at: Mapped[datetime | None] = mapped_column(sa.DateTime(timezone=True))
    revoked_event: Mapped[UUID | None]


class Subject(Base):
    """An account of an app: what receipts name by pseudonyms. secret: what these are made from; without it nobody can link them.

    together: how many accounts go about together with this one (rule R12), by the weekly look.
    """

    __tablename__ = "subjects"
    __table_args__ = (sa.UniqueConstraint("caller_id", "visitor"),)

    id: Mapped[UUID] = mapped_column(primary_key=True)
    caller_id: Mapped[UUID]
    visitor: Mapped[str] = mapped_column(sa.Text)
    secret: Mapped[bytes]
    together: Mapped[int] = mapped_column(sa.SmallInteger, server_default="0")
    created_at: Mapped[datetime] = mapped_column(sa.DateTime(timezone=True))


class DeviceSubject(Base):
    """Which accounts used a device, and when last."""

    __tablename__ = "device_subjects"
    __table_args__ = (sa.PrimaryKeyConstraint("device_id", "subject_id"), sa.Index(None, "subject_id"))

    device_id: Mapped[str] = mapped_column(sa.Text)
    subject_id: Mapped[UUID]
    used_at: Mapped[datetime] = mapped_column(sa.DateTime(timezone=True))
