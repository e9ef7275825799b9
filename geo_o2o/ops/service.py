from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from ..config import BadSettings, Settings
from ..db import Database
from ..erasure import service as erasure
from ..erasure.listing import KeyMissing
from ..ledger import service as ledger
from ..offers import service as offers
from ..stores import service as stores
from . import queries
from .jobs import JOBS
from .models import JobRun

_log = logging.getLogger("geo_o2o")
# A round takes seconds; a long one keeps each of its jobs only at its end.
_SILENCE = timedelta(minutes=5)
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


@cache
def _wanted() -> str:
    return ScriptDirectory(str(_ROOT / "migrations")).get_current_head() or "none"


# --- how it goes ---------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Notice:
    """What an operator should look at. code: stable. text: what it is and what to do about it, with nothing that a stranger may not read."""

    code: str
    text: str


def list_jobs(session: Session) -> list[JobRun]:
    """The newest run of each job in the order of a round; one that never ran has none."""
    runs = {run.name: run for run in queries.list_job_runs(session)}
    return [runs[job.name] for job in JOBS if job.name in runs]


def warnings_of(session: Session, *, runs: Sequence[JobRun], known_until: datetime | None, now: datetime) -> list[Notice]:
    """runs: of list_jobs. known_until: when the first opening hours run out."""
    log_trouble = ledger.trouble_of(session, now=now)
    found: list[Notice] = []
    if known_until is not None and known_until < now:
        found.append(Notice("hours_ran_out", "opening hours have run out, so nothing counts as open: is the worker running?"))
    if log_trouble is not None:
        found.append(Notice("log", log_trouble))
    if runs and now - max(run.ran_at for run in runs) > _SILENCE:
        found.append(Notice("worker_silent", f"the worker has done nothing for {_SILENCE.total_seconds():.0f} s: is it running?"))
    if failing := [run.name for run in runs if run.trouble]:
        found.append(Notice("job_fails", f"the worker fails at: {', '.join(failing)}; its log says why"))
    return found
