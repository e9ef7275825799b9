from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from ..geo.ids import shard_of
from .models import CheckIn, CheckInEvidence


def find_check_in(session: Session, check_in_id: UUID) -> CheckIn | None:
    return session.scalar(sa.select(CheckIn).where(CheckIn.shard_cell == shard_of(check_in_id), CheckIn.id == check_in_id))


def list_check_ins(
    session: Session, *, merchant_id: UUID | None, store_id: UUID | None, level: int | None, before: tuple[datetime, UUID] | None, limit: int
) -> Sequence[CheckIn]:
    """Newest first. merchant_id: None shows every merchant's."""
    query = sa.select(CheckIn).order_by(CheckIn.checked_in_at.desc(), CheckIn.id.desc()).limit(limit)
    if merchant_id is not None:
        query = query.where(CheckIn.merchant_id == merchant_id)
    if store_id is not None:
        query = query.where(CheckIn.shard_cell == shard_of(store_id), CheckIn.store_id == store_id)
    if level is not None:
        query = query.where(CheckIn.level == level)
    if before is not None:
        query = query.where(sa.tuple_(CheckIn.checked_in_at, CheckIn.id) < sa.tuple_(sa.literal(before[0]), sa.literal(before[1])))
    return session.scalars(query).all()


def count_check_ins(
    session: Session, *, merchant_id: UUID | None, store_id: UUID | None, since: datetime | None, until: datetime | None
) -> Sequence[tuple[UUID, int, int]]:
    """(store id, level, number) of each store and level."""
    query = sa.select(CheckIn.store_id, CheckIn.level, sa.func.count()).group_by(CheckIn.store_id, CheckIn.level)
    if merchant_id is not None:
        query = query.where(CheckIn.merchant_id == merchant_id)
    if store_id is not None:
        query = query.where(CheckIn.shard_cell == shard_of(store_id), CheckIn.store_id == store_id)
    if since is not None:
        query = query.where(CheckIn.checked_in_at >= since)
    if until is not None:
        query = query.where(CheckIn.checked_in_at < until)
    return [(store, level, number) for store, level, number in session.execute(query.order_by(CheckIn.store_id, CheckIn.level))]


def delete_evidence(session: Session, *, before: datetime) -> int:
    deleted: Any = session.execute(sa.delete(CheckInEvidence).where(CheckInEvidence.recorded_at < before))
    return int(deleted.rowcount)
