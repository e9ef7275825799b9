"""Keeps how far a load is and what came of it, in transactions of its own: what the load itself writes is seen by nobody before its end."""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from ..db import Database
from ..errors import GeoO2OError
from ..geo.ids import RANDOM_BITS, unlocated_id
from .models import Load
from .report import Report, written

_log = logging.getLogger("geo_o2o")
_EVERY_S = 2.0
# Between the tries to write the end.
_PAUSES_S = (0.5, 2.0, 5.0)


@dataclass
class Recording:
    """How far a load is. reports: set when it has come to its end."""

    id: UUID
    rows: int = 0
    reports: Sequence[Report] = field(default=())

    def progress(self, count: int) -> None:
        """So many more rows were read."""
        self.rows += count


@contextmanager
def recorded(database: Database, *, kind: str, file: str, source: str, dry_run: bool = False) -> Iterator[Recording]:
    """A load from its beginning to its end, whatever that is; one that is killed is left as `running`, and is seen no more."""
    now = datetime.now(UTC)
    found = Recording(unlocated_id(now=now, chance=secrets.randbits(RANDOM_BITS)))
    with database.write() as session:
        values = {"kind": kind, "file": written(file), "source": written(source), "dry_run": dry_run}
        values |= {"started_at": now, "seen_at": sa.func.now()}
        session.add(Load(id=found.id, state="running", rows=0, reports=[], **values))
    over = threading.Event()
    watch = threading.Thread(target=_tell, args=(database, found, over), daemon=True)
    watch.start()
    trouble: str | None = "it was interrupted"
    try:
        yield found
        trouble = None
    except Exception as failure:
        trouble = _words(failure)
        raise
    finally:
        over.set()
        watch.join()
        _end(database, found, trouble)


def _tell(database: Database, found: Recording, over: threading.Event) -> None:
    while not over.wait(_EVERY_S):
        _write(database, found)


def _end(database: Database, found: Recording, trouble: str | None) -> None:
    """A load that was committed must not be taken for one that was killed: its end is written again while the database is away for a moment."""
    end: dict[str, Any] = {"state": "loaded" if trouble is None else "failed", "trouble": trouble, "finished_at": datetime.now(UTC)}
    reports = [report.as_record() for report in found.reports]
    for pause_s in _PAUSES_S:
        if _write(database, found, **end, reports=reports):
            return
        time.sleep(pause_s)
    _write(database, found, **end)


def _write(database: Database, found: Recording, **more: Any) -> bool:
    # By the clock of the database, as those who read it do: the machine that loads may have another.
    values = {"rows": found.rows, "seen_at": sa.func.now(), **more}
    try:
        with database.write() as session:
            session.execute(sa.update(Load).where(Load.id == found.id).values(values))
    except SQLAlchemyError as failure:
        # The load goes on, or has ended: that nobody sees it is no reason to lose it.
        _log.warning("the progress of a load could not be kept: %s", str(failure).splitlines()[0])
        return False
    return True


def _words(failure: Exception) -> str:
    """The first line of what went wrong: those after it quote rows."""
    text = failure.message if isinstance(failure, GeoO2OError) else next(iter(str(failure).splitlines()), "") or type(failure).__name__
    return written(text)
