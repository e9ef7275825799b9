from __future__ import annotations

import io
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow.csv as csv
import sqlalchemy as sa
from sqlalchemy.orm import Session

from ..geo.cells import descendants
from .mechanism import Ints, Key, Visits
from .models import HeatArea, HeatRelease, HeatReleaseCell

# One release of an area after the other, whoever makes them.
_LOCK = 1103


def lock_area(session: Session, name: str) -> None:
    session.execute(sa.text("SELECT pg_advisory_xact_lock(:lock, hashtext(:name))"), {"lock": _LOCK, "name": name})


def find_area(session: Session, name: str) -> HeatArea | None:
    return session.get(HeatArea, name)


def list_areas(session: Session) -> Sequence[HeatArea]:
    return session.scalars(sa.select(HeatArea).order_by(HeatArea.name)).all()


def find_release(session: Session, area: str, product: str, period: str) -> HeatRelease | None:
    return session.get(HeatRelease, (area, product, period))


def list_releases(
    session: Session, *, area: str | None = None, product: str | None = None, after: tuple[str, str, str] | None = None, limit: int | None = None
) -> Sequence[HeatRelease]:
    """By area, product and period."""
    query = sa.select(HeatRelease).order_by(HeatRelease.area, HeatRelease.product, HeatRelease.period).limit(limit)
    if area is not None:
        query = query.where(HeatRelease.area == area)
    if product is not None:
        query = query.where(HeatRelease.product == product)
    if after is not None:
        query = query.where(sa.tuple_(HeatRelease.area, HeatRelease.product, HeatRelease.period) > sa.tuple_(*(sa.literal(part) for part in after)))
    return session.scalars(query).all()


def totals(session: Session, *, area: str | None = None) -> dict[tuple[str, str, str], tuple[int, int]]:
    """How many counts each release shows, and their sum, by area, product and period."""
    query = sa.select(HeatReleaseCell.area, HeatReleaseCell.product, HeatReleaseCell.period, sa.func.count(), sa.func.sum(HeatReleaseCell.value))
    if area is not None:
        query = query.where(HeatReleaseCell.area == area)
    rows = session.execute(query.group_by(HeatReleaseCell.area, HeatReleaseCell.product, HeatReleaseCell.period))
    return {(row[0], row[1], row[2]): (row[3], int(row[4])) for row in rows}


def spent(session: Session, area: str, *, year: int) -> float:
    """The epsilon of all releases of a year."""
    query = sa.select(sa.func.coalesce(sa.func.sum(HeatRelease.epsilon), 0.0)).where(HeatRelease.area == area, HeatRelease.year == year)
    return float(session.scalar(query) or 0.0)


def add_cells(session: Session, *, area: str, product: str, period: str, published: dict[Key, int]) -> None:
    rows = [
        {"area": area, "product": product, "period": period, "cell": cell, "part": part, "origin": origin, "value": value}
        for (cell, part, origin), value in published.items()
    ]
    if rows:
        session.execute(sa.insert(HeatReleaseCell), rows)


_CELLS = """
SELECT period, cell, part, origin, value FROM heat_release_cells
 WHERE area = :area AND product = :product AND period = ANY(:periods) AND (CAST(:within AS bigint[]) IS NULL OR cell = ANY(:within))
 ORDER BY period, cell, part, origin
"""


def cells_of(session: Session, *, area: str, product: str, periods: Sequence[str], within: Sequence[int] | None = None) -> Sequence[Any]:
    """Published rows: period, cell, part, origin, value. within: only these cells."""
    asked = {"area": area, "product": product, "periods": list(periods), "within": None if within is None else list(within)}
    return session.execute(sa.text(_CELLS), asked).all()


# --- what a release is made from -----------------------------------------------------------------------------------------------

# The rules that look at nothing but the account. Those of graph and venue, and R08 (a device that others use too), would let one account
# change whether another one counts, and then nothing could be promised to either.
_OWN_RULES = ("R01", "R02", "R03", "R04", "R05", "R09")
# For the same reason a visit that was refused counts where it was not by a rule of the account's own: its position is what it was.
_VISITS = """
SELECT hashtextextended(c.subject_id::text, 0), h3_parent(s.cell, 9), (c.checked_in_at AT TIME ZONE :zone)::date - DATE '2000-01-01',
       extract(hour FROM c.checked_in_at AT TIME ZONE :zone)::integer
  FROM check_ins c
  JOIN stores s ON s.shard_cell = c.shard_cell AND s.id = c.store_id AND s.shard_cell = ANY(:shard_cells)
  {devices}
 WHERE c.shard_cell = ANY(:shard_cells) AND c.checked_in_at >= :begin AND c.checked_in_at < :end
   AND (c.level >= 1 OR c.state = 'rejected' AND 'geo' = ANY(c.methods)) AND c.state <> 'voided' AND c.subject_id IS NOT NULL
   AND c.sample = :sample AND s.category_id <> ALL(:sensitive)
   AND NOT c.findings @? CAST(:own_rules AS jsonpath) AND s.cell BETWEEN :first AND :last
"""


def visits_between(
    session: Session, begin: datetime, end: datetime, *, grid: Sequence[int], shard_cells: Sequence[int], zone: str, sensitive: Sequence[int],
    day_parts_from: Sequence[int], attested_only: bool, sample: bool,
) -> Visits:  # fmt: skip
    """Visits that count. Those of an account that was erased are gone; a void one does not count. attested_only: only of devices that their
    platform vouches for: accounts cost nothing to make. sample: the invented ones, or the others; never both.
    """
    rules = " || ".join(f'@.code == "{code}"' for code in _OWN_RULES)
    text = _VISITS.format(devices="JOIN devices d ON d.id = c.device_id AND d.attested" if attested_only else "")
    parameters = {
        "zone": zone, "begin": begin, "end": end, "shard_cells": list(shard_cells), "sensitive": list(sensitive), "sample": sample,
        "own_rules": f"$[*] ? ({rules})", "first": min(descendants(cell)[0] for cell in grid), "last": max(descendants(cell)[1] for cell in grid),
    }  # fmt: skip
    account, cell, day, hour = _copy_out(session, text, parameters, width=4)
    begins = np.array(day_parts_from)
    # Before the first part of the day it is still the last one's night.
    part = (np.searchsorted(begins, hour, side="right") - 1) % len(begins)
    return Visits(account, cell, day, part.astype(np.int64))


def _copy_out(session: Session, text: str, parameters: dict[str, Any], *, width: int) -> list[Ints]:
    """The columns of a query of whole numbers, as arrays: millions of rows, and none of them an object."""
    bound = sa.text(text).bindparams(**parameters)
    compiled = bound.compile(dialect=session.get_bind().dialect)
    raw: Any = session.connection().connection.driver_connection
    out = io.BytesIO()
    with raw.cursor() as cursor:
        filled = cursor.mogrify(str(compiled), {name: compiled.params[name] for name in compiled.params}).decode()
        cursor.copy_expert(f"COPY ({filled}) TO STDOUT (FORMAT csv)", out)
    if not out.tell():
        return [np.empty(0, dtype=np.int64) for _ in range(width)]
    out.seek(0)
    table = csv.read_csv(out, read_options=csv.ReadOptions(autogenerate_column_names=True))
    return [column.to_numpy().astype(np.int64, copy=False) for column in table.columns]
