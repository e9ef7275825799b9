"""Check-ins. Sharded with their store and free of foreign keys: a store that moves leaves its history where it happened."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import Mapped, mapped_column

from ..db import SHARDED, Base


class CheckIn(Base):
    """A visitor's claim to be at a store, and what it proves.

    level: 0 claimed, 1 located, 2 coded, 3 confirmed, 4 redeemed (design: trust, section 2). p_in: probability inside the fence, per mille.
    r95_mm: radius that holds the true position with 95 %. distance_mm: of the judged position from the store's point. findings: what speaks
    against it, rule by rule. claim_hash, evidence_hash, store_hash: of the signed claim, of the positions with their salt, of the store's
    record in force. receipt_id: the holder's newest receipt. sample: invented for the
    demonstration. What an erased account leaves has no device, subject or visitor.
    """

    __tablename__ = "check_ins"
    __table_args__ = (
        sa.PrimaryKeyConstraint("shard_cell", "id"),
        sa.CheckConstraint("level BETWEEN 0 AND 4", name="level"),
        sa.CheckConstraint("p_in BETWEEN 0 AND 1000", name="p_in"),
        sa.CheckConstraint("risk BETWEEN 0 AND 100", name="risk"),
        sa.Index(None, "shard_cell", "store_id", "checked_in_at"),
        sa.Index(None, "subject_id"),
        # One ticket of the till is one visit.
        sa.Index("uq_check_ins_pos", "shard_cell", "store_id", "pos_hash", unique=True, postgresql_where=sa.text("pos_hash IS NOT NULL")),
        sa.Index(None, "checked_in_at", postgresql_where=sa.text("receipt_id IS NULL AND claim_hash IS NOT NULL")),
        sa.Index("ix_check_ins_checked_in_at_brin", "checked_in_at", postgresql_using="brin"),
        SHARDED,
    )

    shard_cell: Mapped[int] = mapped_column(sa.BigInteger)
    id: Mapped[UUID]
    store_id: Mapped[UUID]
    merchant_id: Mapped[UUID | None]
    visitor: Mapped[str | None] = mapped_column(sa.Text)
    caller_id: Mapped[UUID]
    device_id: Mapped[str | None] = mapped_column(sa.Text)
    subject_id: Mapped[UUID | None]
    level: Mapped[int] = mapped_column(sa.SmallInteger)
    state: Mapped[str] = mapped_column(sa.Text)
    methods: Mapped[list[str]] = mapped_column(ARRAY(sa.Text), server_default="{}")
    p_in: Mapped[int] = mapped_column(sa.SmallInteger)
    r95_mm: Mapped[int] = mapped_column(sa.BigInteger)
    distance_mm: Mapped[int] = mapped_column(sa.BigInteger)
    fence: Mapped[str] = mapped_column(sa.Text)
    reasons: Mapped[list[str]] = mapped_column(ARRAY(sa.Text))
    risk: Mapped[int] = mapped_column(sa.SmallInteger, server_default="0")
    findings: Mapped[Any] = mapped_column(JSONB, server_default="[]")
    policy: Mapped[str] = mapped_column(sa.Text)
    claim_hash: Mapped[bytes | None]
    evidence_hash: Mapped[bytes | None]
    store_hash: Mapped[bytes | None]
    till_id: Mapped[str | None] = mapped_column(sa.Text)
    confirmed_at: Mapped[datetime | None] = mapped_column(sa.DateTime(timezone=True))
    pos_hash: Mapped[bytes | None]
    voucher_hash: Mapped[bytes | None]
    receipt_id: Mapped[UUID | None]
    disputed_at: Mapped[datetime | None] = mapped_column(sa.DateTime(timezone=True))
    sample: Mapped[bool] = mapped_column(server_default=sa.false())
    checked_in_at: Mapped[datetime] = mapped_column(sa.DateTime(timezone=True))


class CheckInEvidence(Base):
    """What a check-in was judged by and what was signed, apart from it because it is erased after evidence_days.

    lat_e6, lng_e6: the newest fix, in 1e-6 degrees. salt: with it the claim's hash of the evidence can be opened in a dispute.
    """

    __tablename__ = "check_in_evidence"
    __table_args__ = (
        sa.PrimaryKeyConstraint("shard_cell", "check_in_id"),
        sa.Index(None, "recorded_at"),
        sa.Index(None, "shard_cell", "lat_e6", "lng_e6"),
        sa.Index(None, "subject_id"),
        SHARDED,
    )

    shard_cell: Mapped[int] = mapped_column(sa.BigInteger)
    check_in_id: Mapped[UUID]
    subject_id: Mapped[UUID | None]
    evidence: Mapped[Any] = mapped_column(JSONB)
    salt: Mapped[bytes | None]
    claim: Mapped[str | None] = mapped_column(sa.Text)
    confirmation: Mapped[str | None] = mapped_column(sa.Text)
    lat_e6: Mapped[int | None]
    lng_e6: Mapped[int | None]
    recorded_at: Mapped[datetime] = mapped_column(sa.DateTime(timezone=True))


class Challenge(Base):
    """What a device must sign within two minutes, once. beacon: the log as it was published then, so that nothing was signed before it."""

    __tablename__ = "challenges"
    __table_args__ = (sa.PrimaryKeyConstraint("shard_cell", "ch"), sa.Index(None, "expires_at"), SHARDED)

    shard_cell: Mapped[int] = mapped_column(sa.BigInteger)
    ch: Mapped[bytes]
    store_id: Mapped[UUID]
    device_id: Mapped[str] = mapped_column(sa.Text)
    beacon_size: Mapped[int] = mapped_column(sa.BigInteger)
    beacon_root: Mapped[bytes]
    expires_at: Mapped[datetime] = mapped_column(sa.DateTime(timezone=True))
    used_at: Mapped[datetime | None] = mapped_column(sa.DateTime(timezone=True))


class UsedTillCode(Base):
    """A till's code that a device has shown: one code serves a queue, but each device once."""

    __tablename__ = "till_codes"
    __table_args__ = (sa.PrimaryKeyConstraint("shard_cell", "till_id", "step", "device_id"), sa.Index(None, "used_at"), SHARDED)

    shard_cell: Mapped[int] = mapped_column(sa.BigInteger)
    till_id: Mapped[str] = mapped_column(sa.Text)
    step: Mapped[int] = mapped_column(sa.BigInteger)
    device_id: Mapped[str] = mapped_column(sa.Text)
    used_at: Mapped[datetime] = mapped_column(sa.DateTime(timezone=True))


class CodeTry(Base):
    """A code of six digits that a device has tried, right or wrong."""

    __tablename__ = "code_tries"
    __table_args__ = (
        sa.PrimaryKeyConstraint("device_id", "tried_at", "chance"),
        sa.Index(None, "tried_at"),
        sa.Index(None, "store_id", "tried_at"),
    )

    device_id: Mapped[str] = mapped_column(sa.Text)
    tried_at: Mapped[datetime] = mapped_column(sa.DateTime(timezone=True))
    chance: Mapped[UUID]
    store_id: Mapped[UUID]


class Honeypot(Base):
    """A store that does not exist and that no answer shows: only who copies lists can check in there (rule R13)."""

    __tablename__ = "honeypots"
    __table_args__ = (sa.PrimaryKeyConstraint("shard_cell", "store_id"), SHARDED)

    shard_cell: Mapped[int] = mapped_column(sa.BigInteger)
    store_id: Mapped[UUID]


class RecentVisit(Base):
    """Where an account was lately: a table of its own, because an account may be anywhere and check-ins stand with their stores."""

    __tablename__ = "recent_visits"
    __table_args__ = (sa.PrimaryKeyConstraint("subject_id", "check_in_id"), sa.Index(None, "visited_at"))

    subject_id: Mapped[UUID]
    check_in_id: Mapped[UUID]
    store_id: Mapped[UUID]
    lat: Mapped[float]
    lng: Mapped[float]
    r95_mm: Mapped[int] = mapped_column(sa.BigInteger)
    visited_at: Mapped[datetime] = mapped_column(sa.DateTime(timezone=True))
