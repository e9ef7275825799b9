from __future__ import annotations

from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from ..db import SHARDED, Base


class OperatorKey(Base):
    """A public key that signs receipts, or did. Never deleted. added_event, revoked_event: ids of the log's entries that say so."""

    __tablename__ = "operator_keys"

    id: Mapped[str] = mapped_column(sa.Text, primary_key=True)
    public: Mapped[bytes]
    added_at: Mapped[datetime] = mapped_column(sa.DateTime(timezone=True))
    added_event: Mapped[UUID]
    retired_at: Mapped[datetime | None] = mapped_column(sa.DateTime(timezone=True))
    revoked_event: Mapped[UUID | None]


class Receipt(Base):
    """A receipt as it was signed, until its subject is erased. log_shard: where its entry stands. replaced_by: a later one of the same visit.

    caller_id, merchant_id: whose app the visitor used, and whose store it was: who may read it.
    """

    __tablename__ = "receipts"
    __table_args__ = (
        sa.PrimaryKeyConstraint("shard_cell", "id"),
        sa.Index(None, "shard_cell", "check_in_id"),
        sa.Index(None, "subject_id"),
        sa.Index(None, "issued_at"),
        SHARDED,
    )

    shard_cell: Mapped[int] = mapped_column(sa.BigInteger)
    id: Mapped[UUID]
    check_in_id: Mapped[UUID]
    subject_id: Mapped[UUID | None]
    caller_id: Mapped[UUID]
    merchant_id: Mapped[UUID | None]
    audience: Mapped[str] = mapped_column(sa.Text)
    jws: Mapped[str] = mapped_column(sa.Text)
    log_shard: Mapped[str] = mapped_column(sa.Text)
    issued_at: Mapped[datetime] = mapped_column(sa.DateTime(timezone=True))
    replaced_by: Mapped[UUID | None]
    voided_at: Mapped[datetime | None] = mapped_column(sa.DateTime(timezone=True))
    void_reason: Mapped[str | None] = mapped_column(sa.Text)


class ReceiptSalt(Base):
    """What opens a receipt's entry, encrypted under the key of its month, which no dump of the database holds."""

    __tablename__ = "receipt_salts"
    __table_args__ = (sa.PrimaryKeyConstraint("shard_cell", "receipt_id"), SHARDED)

    shard_cell: Mapped[int] = mapped_column(sa.BigInteger)
    receipt_id: Mapped[UUID]
    month: Mapped[str] = mapped_column(sa.Text)
    sealed: Mapped[bytes]


class VoidedReceipt(Base):
    """A receipt that was taken back, whatever becomes of the receipt: an id is all that the list of voids needs."""

    __tablename__ = "voided_receipts"

    receipt_id: Mapped[UUID] = mapped_column(primary_key=True)
    voided_at: Mapped[datetime] = mapped_column(sa.DateTime(timezone=True))


class VoidList(Base):
    """A signed list of voids."""

    __tablename__ = "void_lists"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    jws: Mapped[str] = mapped_column(sa.Text)
    issued_at: Mapped[datetime] = mapped_column(sa.DateTime(timezone=True))
