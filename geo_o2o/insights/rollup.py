"""Exact counts of check-ins per cell and hour, for the operator alone: exported to Parquet, a file a day, and summed up by DuckDB.

Analytics of millions of rows do not belong into the database that serves: the same sums take it eight times as long (design: scale,
section 7). Planners never see these figures; they see releases.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.csv as csv
import pyarrow.parquet as parquet
import sqlalchemy as sa
from sqlalchemy.orm import Session

# account: a hash that tells accounts apart within the export and names nobody; empty for people who were erased.
_DAY = """
COPY (
    SELECT to_char(c.checked_in_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS') AS visited_at, s.cell,
           hashtextextended(c.subject_id::text, 0) AS account, c.level
      FROM check_ins c JOIN stores s ON s.shard_cell = c.shard_cell AND s.id = c.store_id
     WHERE c.checked_in_at >= %(begin)s AND c.checked_in_at < %(end)s AND c.state <> 'voided' AND c.level >= %(level)s AND NOT c.sample
     ORDER BY s.cell, c.checked_in_at
) TO STDOUT (FORMAT csv, HEADER)
"""
# The ancestor of a cell in plain arithmetic, as everywhere else (geo.cells.parent).
_PARENT = "(cell & ~(15::bigint << 52)) | ({resolution}::bigint << 52) | ((1::bigint << (3 * (15 - {resolution}))) - 1)"
_ROLL = """
COPY (
    SELECT {parent} AS cell, date_trunc('hour', visited_at) AS hour, count(*) AS visits, count(DISTINCT account) AS people
      FROM read_parquet(?) GROUP BY 1, 2 ORDER BY 1, 2
) TO '{out}' (FORMAT parquet, COMPRESSION zstd)
"""


def export_days(session: Session, folder: Path, *, first: date, last: date, level: int) -> Iterator[tuple[date, int]]:
    """Writes a file for each day, UTC, that does not stand yet; yields each day and how many check-ins it has, the invented ones left out.

    last: included, and over: a file that stands is never written again.
    """
    folder.mkdir(parents=True, exist_ok=True)
    raw: Any = session.connection().connection.driver_connection
    for number in range((last - first).days + 1):
        day = first + timedelta(days=number)
        target = folder / f"{day.isoformat()}.parquet"
        if target.exists():
            continue
        begin = datetime(day.year, day.month, day.day, tzinfo=UTC)
        out = io.BytesIO()
        with raw.cursor() as cursor:
            cursor.copy_expert(cursor.mogrify(_DAY, {"begin": begin, "end": begin + timedelta(days=1), "level": level}).decode(), out)
        out.seek(0)
        table = csv.read_csv(out)
        # Whole or not at all, also when it is stopped.
        fresh = target.with_suffix(".part")
        parquet.write_table(table, fresh, compression="zstd")
        fresh.replace(target)
        yield day, table.num_rows


def roll_up(
    folder: Path, out: Path, *, resolution: int, progress: Callable[[int], None] | None = None, memory_gb: int = 4, threads: int | None = None
) -> int:
    """Visits and distinct people per cell and hour, a file for each day's file; returns how many rows were written.

    A day at a time, so that memory does not grow with their number; hours are within days, so nothing is counted twice.
    """
    out.mkdir(parents=True, exist_ok=True)
    connection = duckdb.connect(config={"memory_limit": f"{memory_gb}GB", **({"threads": threads} if threads else {})})
    written = 0
    for day in days_of(folder):
        target, fresh = out / day.name, out / f"{day.stem}.part"
        text = _ROLL.format(parent=_PARENT.format(resolution=int(resolution)), out=str(fresh).replace("'", "''"))
        rows = connection.execute(text, [str(day)]).fetchone()
        fresh.replace(target)
        written += int(rows[0]) if rows else 0
        if progress:
            progress(1)
    connection.close()
    return written


def days_of(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.parquet"))


def first_and_last(session: Session) -> tuple[date, date] | None:
    """The days of the first and the last check-in; None where there is none."""
    row = session.execute(sa.text("SELECT min(checked_in_at), max(checked_in_at) FROM check_ins")).one()
    return None if row[0] is None else (row[0].astimezone(UTC).date(), row[1].astimezone(UTC).date())
