from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session

from ..geo.cells import VERSIONED_RESOLUTION, parent
from . import queries

CHANNEL = "geo_o2o_cells"
# What listeners are told where too many cells changed to name them: look at all of them.
EVERYTHING = "*"
# PostgreSQL takes 8,000 bytes; one cell and its version are 38.
_MOST_NAMED = 150
_TOUCHED = "touched_cells"


def note_change(session: Session, cells: Iterable[int]) -> None:
    """Says that what these cells (of resolution 7 or finer) show is changed by this transaction.

    The versions are raised at its very end, in one statement: so the rows are locked for the shortest time.
    """
    session.info.setdefault(_TOUCHED, set()).update(parent(cell, VERSIONED_RESOLUTION) for cell in cells)


def note_layer(session: Session, layer: str, *, now: datetime) -> None:
    """Says that what a map draws of a layer (`districts`, `basemap`) is changed by this transaction; whoever changes it next waits for it."""
    queries.raise_layer(session, layer, version=int(now.timestamp() * 1_000_000))


@sa.event.listens_for(Session, "before_commit")
def _raise_touched(session: Session) -> None:
    touched = session.info.pop(_TOUCHED, None)
    if not touched:
        return
    session.flush()
    raised = queries.raise_versions(session, sorted(touched))
    text = ",".join(f"{cell}:{version}" for cell, version in raised.items()) if len(raised) <= _MOST_NAMED else EVERYTHING
    queries.tell(session, CHANNEL, text)


@sa.event.listens_for(Session, "after_rollback")
def _forget_touched(session: Session) -> None:
    session.info.pop(_TOUCHED, None)


def parse_told(text: str) -> dict[int, int] | None:
    """Cells and versions out of a notification; None where all may have changed."""
    if text == EVERYTHING:
        return None
    return {int(cell): int(version) for cell, _, version in (pair.partition(":") for pair in text.split(","))}
