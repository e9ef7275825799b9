from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from ..geo.ids import shard_of
from .models import OperatorKey, Receipt, ReceiptSalt, VoidedReceipt, VoidList


def signing_key(session: Session) -> OperatorKey | None:
    """The key that signs now: the newest that is not retired."""
    return session.scalar(sa.select(OperatorKey).where(OperatorKey.retired_at.is_(None)).order_by(OperatorKey.added_at.desc()).limit(1))


def one_at_a_time(session: Session) -> None:
    """Until the end of the transaction nobody else changes keys."""
    session.execute(sa.text("SELECT pg_advisory_xact_lock(1101)"))


def list_keys(session: Session) -> Sequence[OperatorKey]:
    return session.scalars(sa.select(OperatorKey).order_by(OperatorKey.added_at, OperatorKey.id)).all()


def find_receipt(session: Session, receipt_id: UUID) -> Receipt | None:
    return session.scalar(sa.select(Receipt).where(Receipt.shard_cell == shard_of(receipt_id), Receipt.id == receipt_id))


def receipts_of(session: Session, check_in_id: UUID) -> Sequence[Receipt]:
    """Of one check-in, the oldest first."""
    query = sa.select(Receipt).where(Receipt.shard_cell == shard_of(check_in_id), Receipt.check_in_id == check_in_id)
    return session.scalars(query.order_by(Receipt.issued_at, Receipt.id)).all()


def find_salt(session: Session, receipt_id: UUID) -> ReceiptSalt | None:
    return session.scalar(sa.select(ReceiptSalt).where(ReceiptSalt.shard_cell == shard_of(receipt_id), ReceiptSalt.receipt_id == receipt_id))


def every_voided(session: Session) -> Sequence[UUID]:
    return session.scalars(sa.select(VoidedReceipt.receipt_id).order_by(VoidedReceipt.receipt_id)).all()


def forget_voided(session: Session, *, before: datetime) -> None:
    """Voids that are older than any receipt that is still kept."""
    session.execute(sa.delete(VoidedReceipt).where(VoidedReceipt.voided_at < before))


def newest_void_list(session: Session) -> VoidList | None:
    return session.scalar(sa.select(VoidList).order_by(VoidList.issued_at.desc()).limit(1))


def delete_of_subject(session: Session, subject_id: UUID) -> int:
    """The receipts and salts of an account; returns how many receipts."""
    ids = session.scalars(sa.select(Receipt.id).where(Receipt.subject_id == subject_id)).all()
    for one in ids:
        session.execute(sa.delete(ReceiptSalt).where(ReceiptSalt.shard_cell == shard_of(one), ReceiptSalt.receipt_id == one))
        session.execute(sa.delete(Receipt).where(Receipt.shard_cell == shard_of(one), Receipt.id == one))
    return len(ids)


def delete_older(session: Session, *, before: datetime, most: int) -> int:
    """Receipts past their life, with their salts; returns how many."""
    rows = session.execute(sa.select(Receipt.shard_cell, Receipt.id).where(Receipt.issued_at < before).limit(most)).all()
    for shard, id_ in rows:
        session.execute(sa.delete(ReceiptSalt).where(ReceiptSalt.shard_cell == shard, ReceiptSalt.receipt_id == id_))
        deleted: Any = session.execute(sa.delete(Receipt).where(Receipt.shard_cell == shard, Receipt.id == id_))
        assert deleted.rowcount == 1
    return len(rows)


def every_subject_id(session: Session) -> Sequence[UUID]:
    """Of all accounts that receipts know."""
    return [one for one in session.scalars(sa.select(Receipt.subject_id).where(Receipt.subject_id.is_not(None)).distinct()) if one is not None]
