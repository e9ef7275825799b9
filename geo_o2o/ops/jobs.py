"""What the worker does, in which order, and what it keeps of it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from psycopg2.errors import DeadlockDetected, LockNotAvailable, QueryCanceled
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from ..auth import service as auth
from ..checkins import service as checkins
from ..config import Settings
from ..db import Database
from ..erasure import service as erasure
from ..ledger import service as ledger
from ..offers import service as offers
from ..passkeys import service as passkeys
from ..receipts import service as receipts
from ..releases import service as releases
from ..signers import service as signers
from ..stores import service as stores
from ..supply import service as supply
from . import queries

_log = logging.getLogger("geo_o2o")
_LONGEST_TROUBLE = 300
# What psycopg2 reports like a lost database, and is the trouble of one job: it took too long, or waited for somebody.
_OF_THE_JOB = (QueryCanceled, LockNotAvailable, DeadlockDetected)


@dataclass(frozen=True)
class Job:
    """A periodic job: a service function in one transaction, run by one worker at a time, and again while it reports work.

    lock: number of the advisory lock, never reused.
    """

    name: str
    lock: int
    run: Callable[[Session, datetime, Settings], int]


JOBS = (
    # First of all, so that nobody who was erased is seen again after a restored backup.
    Job("erase again", 1013, lambda session, now, settings: erasure.replay(session, settings, now=now)),
    Job("offers follow moved stores", 1001, lambda session, now, settings: offers.follow_moved_stores(session, now=now)),
    Job(
        "extend opening hours", 1002,
        lambda session, now, settings: stores.extend_hours(session, now=now, horizon_d=settings.hours_horizon_d),
    ),
    Job("districts begin and end", 1014, lambda session, now, settings: stores.turn_districts(session, now=now)),
    Job("forget old requests", 1003, lambda session, now, settings: auth.forget_requests(session, now=now)),
    Job(
        "erase old evidence", 1004,
        lambda session, now, settings: checkins.erase_evidence(session, now=now, keep_days=settings.evidence_days),
    ),
    Job("issue receipts", 1007, lambda session, now, settings: checkins.issue_due(session, settings, now=now)),
    Job("sequence the log", 1005, lambda session, now, settings: ledger.sequence_all(session, settings, now=now)),
    # After the commit of the job before, never with it: what was published cannot be taken back.
    Job("publish the log", 1006, lambda session, now, settings: ledger.publish_all(session, settings, now=now)),
    Job("close ended logs", 1008, lambda session, now, settings: ledger.close_ended(session, now=now)),
    Job("log the list of voids", 1009, lambda session, now, settings: receipts.log_voids(session, settings, now=now)),
    Job("forget old receipts", 1010, lambda session, now, settings: receipts.forget(session, settings, now=now)),
    Job("forget spent challenges", 1011, lambda session, now, settings: checkins.forget_spent(session, now=now)),
    Job("roll up supply", 1016, lambda session, now, settings: supply.roll_due(session, now=now)),
    Job("release heat", 1015, lambda session, now, settings: releases.release_due(session, settings, now=now)),
    Job("forget ended sign-ins", 1017, lambda session, now, settings: passkeys.forget(session, now=now)),
    Job("forget used proofs", 1012, lambda session, now, settings: signers.forget_proofs(session, now=now)),
)  # fmt: skip
# A job that keeps finding work yields to the others after this many batches.
_MOST_BATCHES = 100


def run_jobs(database: Database, settings: Settings, *, clock: Callable[[], datetime]) -> dict[str, int]:
    """One round of every job; returns how many rows each worked on.

    A job that another worker runs is left to it; one that fails is logged and does not keep the others from their work. What came of each is
    kept for the operator to see.
    """
    done: dict[str, int] = {}
    runs: list[dict[str, Any]] = []
    for job in JOBS:
        began, rows, trouble = time.monotonic(), 0, None
        try:
            found = _run_job(job, database, settings, clock)
            if found is None:
                continue
            done[job.name] = rows = found
        except Exception as failure:
            if isinstance(failure, OperationalError) and not isinstance(failure.orig, _OF_THE_JOB):
                raise  # the database is away: so it is for the other jobs
            _log.exception("a job failed", extra={"fields": {"job": job.name}})
            # The first line alone: those after it quote rows.
            trouble = f"{type(failure).__name__}: {next(iter(str(failure).splitlines()), '')}"[:_LONGEST_TROUBLE]
        now, took_ms = clock(), round(1_000 * (time.monotonic() - began))
        runs.append({"name": job.name, "ran_at": now, "took_ms": took_ms, "rows": rows, "worked_at": now if rows else None, "trouble": trouble})
    if runs:
        with database.write() as session:
            queries.keep_job_runs(session, runs)
    return done


def _run_job(job: Job, database: Database, settings: Settings, clock: Callable[[], datetime]) -> int | None:
    """Rows worked on in all batches; None where another worker has the job."""
    total = 0
    for _ in range(_MOST_BATCHES):
        with database.write() as session:
            if not session.scalar(sa.text("SELECT pg_try_advisory_xact_lock(:lock)"), {"lock": job.lock}):
                return total or None
            rows = job.run(session, clock(), settings)
        total += rows
        if rows == 0:
            break
        _log.info("job", extra={"fields": {"job": job.name, "rows": rows}})
    return total
