from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from ..stores.models import OpeningHours
from .models import JobRun

# Idle rounds come every two seconds; that they came is written less often.
_EVERY = timedelta(seconds=15)


def hours_known_until(session: Session) -> datetime | None:
    """The moment at which the first row of opening hours runs out; None where there is none."""
    return session.scalar(sa.select(sa.func.min(OpeningHours.expanded_until)))


def list_job_runs(session: Session) -> Sequence[JobRun]:
    return session.scalars(sa.select(JobRun).order_by(JobRun.name)).all()


def keep_job_runs(session: Session, runs: Sequence[dict[str, Any]]) -> None:
    """Writes what is news: work, trouble, the end of trouble, and now and then that nothing was to be done. runs: values of JobRun."""
    new = insert(JobRun).values(list(runs))
    worked = new.excluded.rows > 0
    news = sa.or_(worked, JobRun.trouble.is_distinct_from(new.excluded.trouble), JobRun.ran_at < new.excluded.ran_at - _EVERY)
    session.execute(
        new.on_conflict_do_update(
            index_elements=["name"],
            set_={
                "ran_at": new.excluded.ran_at,
                "took_ms": new.excluded.took_ms,
                "trouble": new.excluded.trouble,
                "rows": sa.case((worked, new.excluded.rows), else_=JobRun.rows),
                "worked_at": sa.func.coalesce(new.excluded.worked_at, JobRun.worked_at),
            },
            where=news,
        )
    )
