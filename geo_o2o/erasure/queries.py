from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from .models import Erasure


def note(session: Session, subject_hash: bytes, *, now: datetime) -> None:
    session.execute(insert(Erasure).values(subject_hash=subject_hash, erased_at=now).on_conflict_do_nothing())


def every_hash(session: Session) -> Sequence[bytes]:
    return session.scalars(sa.select(Erasure.subject_hash)).all()
