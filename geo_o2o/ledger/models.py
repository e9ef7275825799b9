"""The log. Local tables, whatever the number of machines: one sequencer writes them, and what it has written is never changed."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from ..db import Base


class LogState(Base):
    """The head of a log as it was committed last.

    shard: the half-year. verifier: the public key of its signer. frontier: see merkle.Frontier. epoch: grows with every batch.
    frozen: nothing is appended, because the database does not know what was published.
    """

    __tablename__ = "log_state"

    shard: Mapped[str] = mapped_column(sa.Text, primary_key=True)
    verifier: Mapped[str] = mapped_column(sa.Text)
    size: Mapped[int] = mapped_column(sa.BigInteger)
    root: Mapped[bytes]
    frontier: Mapped[list[bytes]] = mapped_column(ARRAY(sa.LargeBinary))
    epoch: Mapped[int] = mapped_column(sa.BigInteger)
    frozen: Mapped[bool] = mapped_column(server_default=sa.false())


class LogQueue(Base):
    """Entries that were committed with what they are about and have no place in the log yet. id: of that, so that it is queued once.

    shard: the half-year that they were promised to.
    """

    __tablename__ = "log_queue"
    __table_args__ = (sa.Index(None, "shard", "queued_at"),)

    id: Mapped[UUID] = mapped_column(primary_key=True)
    shard: Mapped[str] = mapped_column(sa.Text)
    entry: Mapped[bytes]
    queued_at: Mapped[datetime] = mapped_column(sa.DateTime(timezone=True), server_default=sa.func.clock_timestamp())


class LogEntry(Base):
    """An entry at its place. Never changed: a trigger refuses it."""

    __tablename__ = "log_entries"
    __table_args__ = (sa.PrimaryKeyConstraint("shard", "index"), sa.UniqueConstraint("id"))

    shard: Mapped[str] = mapped_column(sa.Text)
    index: Mapped[int] = mapped_column(sa.BigInteger)
    id: Mapped[UUID]
    entry: Mapped[bytes]


class LogTile(Base):
    """A tile as wide as it is now; what it was before are its first bytes."""

    __tablename__ = "log_tiles"
    __table_args__ = (sa.PrimaryKeyConstraint("shard", "level", "n"), sa.CheckConstraint("length(data) BETWEEN 32 AND 8192", name="data"))

    shard: Mapped[str] = mapped_column(sa.Text)
    level: Mapped[int] = mapped_column(sa.SmallInteger)
    n: Mapped[int] = mapped_column(sa.BigInteger)
    data: Mapped[bytes]


class LogCheckpoint(Base):
    """A signed head of a log, one for each batch. Never changed but for the time when it was published."""

    __tablename__ = "log_checkpoints"
    __table_args__ = (sa.PrimaryKeyConstraint("shard", "size"),)

    shard: Mapped[str] = mapped_column(sa.Text)
    size: Mapped[int] = mapped_column(sa.BigInteger)
    root: Mapped[bytes]
    note: Mapped[str] = mapped_column(sa.Text)
    signed_at: Mapped[datetime] = mapped_column(sa.DateTime(timezone=True), server_default=sa.func.clock_timestamp())
    published_at: Mapped[datetime | None] = mapped_column(sa.DateTime(timezone=True))
