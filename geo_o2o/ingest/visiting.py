"""Invented visits of a source's stores, for the demonstration."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid5
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray
from sqlalchemy.orm import Session

from ..checkins import queries as checkins
from ..checkins.samples import Sample, add_samples
from ..geo.point import Point
from ..stores.categories import codes_by_id
from ..stores.hours import expand
from ..stores.queries import find_hours
from ..stores.service import hours_of_row
from . import queries
from .crowd import HOURS_OF_WEEK, Place, Week, weeks

# Accounts are named by their number in this space, so that a second run would name the same.
_PEOPLE = UUID("6d1c4c2e-6c1b-5a52-9d0e-0d0b8f7a4a10")


def load_visits(
    session: Session,
    *,
    source: str,
    people: int,
    mondays: Sequence[datetime],
    seed: int,
    now: datetime,
    progress: Callable[[int], None] | None = None,
) -> int:
    """Visits of the weeks that begin at some Mondays (aware, in the city's zone), before now. Returns how many; 0 where there are some already."""
    shard_cells = queries.shards_of_source(session, source)
    rows = queries.places_of(session, source, shard_cells=shard_cells)
    if not rows or checkins.has_samples(session, shard_cells=shard_cells):
        return 0
    masks = _masks(session, {row.hours_id for row in rows}, mondays[0].tzinfo or ZoneInfo("UTC"), now)
    places = [
        Place(Point(row.lon, row.lat), codes_by_id().get(row.category_id, "other"), float(row.rating_count + 5) ** 0.5, masks[row.hours_id])
        for row in rows
    ]
    subjects = [uuid5(_PEOPLE, f"{seed} {number}") for number in range(people)]
    total = 0

    def samples() -> Iterator[Sample]:
        nonlocal total
        made = weeks(places, people=people, numbers=[monday.isocalendar()[1] for monday in mondays], seed=seed)
        for monday, week in zip(mondays, made, strict=True):
            for sample in _samples(week, monday, rows, subjects):
                if sample.checked_in_at < now:
                    total += 1
                    yield sample

    add_samples(session, samples(), progress=progress)
    return total


def _samples(week: Week, monday: datetime, rows: Sequence[Any], subjects: Sequence[UUID]) -> Iterator[Sample]:
    for number in np.argsort(week.second, kind="stable").tolist():
        row = rows[int(week.place[number])]
        # Local time: where a clock was changed in between, the hour of the day stays.
        when = monday + timedelta(seconds=int(week.second[number]))
        yield Sample(row.id, row.merchant_id, row.cell, subjects[int(week.person[number])], when)


def _masks(session: Session, hours_ids: set[int | None], zone: Any, now: datetime) -> dict[int | None, NDArray[np.bool_]]:
    """For each kind of opening hours whether a store is open at each hour of the coming week; without any it is never known to be closed."""
    local = now.astimezone(zone)
    monday = (local - timedelta(days=local.weekday())).replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=7)
    masks: dict[int | None, NDArray[np.bool_]] = {None: np.ones(HOURS_OF_WEEK, dtype=bool)}
    for id_ in sorted(one for one in hours_ids if one is not None):
        row = find_hours(session, id_)
        mask = np.zeros(HOURS_OF_WEEK, dtype=bool)
        for begin, end in expand(hours_of_row(row), start=monday, until=monday + timedelta(days=7)) if row else ():
            first, last = ((moment - monday).total_seconds() / 3_600 for moment in (begin, end))
            mask[max(int(np.ceil(first)), 0) : max(int(last), 0)] = True
        masks[id_] = mask
    return masks
