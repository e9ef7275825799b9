"""Export and sums by DuckDB, beside the same sums by hand."""

from __future__ import annotations

import random
from collections import defaultdict
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import h3.api.basic_int as h3
import pyarrow.parquet as parquet
from sqlalchemy.orm import Session

from geo_o2o.geo.point import Point
from geo_o2o.insights.rollup import days_of, export_days, first_and_last, roll_up

from ..factories import make_store, make_visits

BEGIN = datetime(2026, 11, 2, tzinfo=UTC)


def test_visits_and_people_per_cell_and_hour_are_those_of_the_check_ins(session: Session, tmp_path: Path) -> None:
    chance = random.Random(5)
    assert first_and_last(session) is None
    stores = [make_store(session, at=Point(chance.uniform(24.9, 25.0), chance.uniform(60.1, 60.2))) for _ in range(6)]
    crowd = [uuid4() for _ in range(20)]
    expected: dict[tuple[int, datetime], list[object]] = defaultdict(list)
    for _ in range(200):
        store, at, person = chance.choice(stores), BEGIN + timedelta(minutes=chance.randrange(3 * 24 * 60)), chance.choice(crowd)
        make_visits(session, store, [person], at=at)
        expected[h3.cell_to_parent(store.cell, 8), at.replace(minute=0)].append(person)
    make_visits(session, stores[0], [uuid4()], at=BEGIN, state="voided")
    make_visits(session, stores[0], [uuid4()], at=BEGIN, level=0)
    assert first_and_last(session) == (date(2026, 11, 2), date(2026, 11, 4))
    exported = dict(export_days(session, tmp_path / "days", first=date(2026, 11, 2), last=date(2026, 11, 4), level=1))
    assert sum(exported.values()) == 200
    # What stands is left alone; so a run that was stopped goes on.
    assert dict(export_days(session, tmp_path / "days", first=date(2026, 11, 2), last=date(2026, 11, 4), level=1)) == {}
    ticks: list[int] = []
    assert roll_up(tmp_path / "days", tmp_path / "sums", resolution=8, progress=ticks.append, memory_gb=1) == len(expected)
    assert sum(ticks) == len(days_of(tmp_path / "days")) == 3
    found = [row for path in days_of(tmp_path / "sums") for row in parquet.read_table(path).to_pylist()]
    assert {(row["cell"], row["hour"].replace(tzinfo=UTC)): (row["visits"], row["people"]) for row in found} == {
        key: (len(people), len(set(people))) for key, people in expected.items()
    }
