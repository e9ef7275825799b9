from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.exc import OperationalError, SQLAlchemyError
from sqlalchemy.orm import Session

from ..auth import service as auth
from ..checkins import service as checkins
from ..config import BadSettings, Settings
from ..db import Database
from ..erasure import service as erasure
from ..erasure.listing import KeyMissing
from ..ledger import service as ledger
from ..offers import service as offers
from ..receipts import service as receipts
from ..releases import service as releases
from ..signers import service as signers
from ..stores import service as stores
from ..stores.models import OpeningHours
from ..supply import service as supply

_log = logging.getLogger("geo_o2o")
_ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class MigrationState:
    present: str
    wanted: str


def alembic_config(url: str) -> Config:
    config = Config(str(_ROOT / "alembic.ini"))
    config.set_main_option("sqlalchemy.url", url.replace("%", "%%"))
    return config


def upgrade(settings: Settings) -> None:
    """Brings the database to the newest migration, and the table of categories to the data file."""
    command.upgrade(alembic_config(settings.write_url()), "head")
    database = Database(settings, statement_timeout_ms=60_000)
    with database.write() as session:
        stores.write_categories(session)
    filled = 1
    while filled:
        with database.write() as session:
            filled = stores.fill_search_grams(session) + offers.fill_search_grams(session)
    database.close()


def look_back(settings: Settings) -> None:
    """Before anybody is served: a database that was restored from a backup must not promise anything, nor know whom it had forgotten.

    Where it does not answer or is not migrated yet nobody can be served either, and the worker does the same in each round.
    Raises BadSettings where the key of the list of erased people is missing.
    """
    database = Database(settings, statement_timeout_ms=0, lock_timeout_ms=60_000)
    try:
        with database.write() as session:
            ledger.freeze_where_behind(session, settings)
        with database.write() as session:
            erasure.replay(session, settings, now=datetime.now(UTC))
    except KeyMissing as failure:
        raise BadSettings(str(failure)) from failure
    except SQLAlchemyError as failure:
        _log.warning("the database was not looked at before the start: %s", str(failure).splitlines()[0])
    finally:
        database.close()


def migration_state(session: Session) -> MigrationState:
    present = MigrationContext.configure(session.connection()).get_current_revision()
    return MigrationState(present or "none", _wanted())


def hours_known_until(session: Session) -> datetime | None:
    """The moment at which the first row of opening hours runs out; None where there is none."""
    return session.scalar(sa.select(sa.func.min(OpeningHours.expanded_until)))


@cache
def _wanted() -> str:
    return ScriptDirectory(str(_ROOT / "migrations")).get_current_head() or "none"


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
    Job("forget used proofs", 1012, lambda session, now, settings: signers.forget_proofs(session, now=now)),
)  # fmt: skip
# A job that keeps finding work yields to the others after this many batches.
_MOST_BATCHES = 100


def run_jobs(database: Database, settings: Settings, *, clock: Callable[[], datetime]) -> dict[str, int]:
    """One round of every job; returns how many rows each worked on.

    A job that another worker runs is left to it; one that fails is logged and does not keep the others from their work.
    """
    done: dict[str, int] = {}
    for job in JOBS:
        try:
            rows = _run_job(job, database, settings, clock)
        except OperationalError:
            raise  # the database is away: so it is for the other jobs
        except Exception:
            _log.exception("a job failed", extra={"fields": {"job": job.name}})
            continue
        if rows is not None:
            done[job.name] = rows
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
