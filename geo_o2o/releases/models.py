from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import Mapped, mapped_column

from ..db import REFERENCE, Base


class HeatArea(Base):
    """A city whose visits are released. cells: its grid, H3 cells of resolution 7, fixed before the first release and public.

    attested_only: only visits of devices that their platform vouches for count. sample: only invented visits count, and else none of them.
    """

    __tablename__ = "heat_areas"
    __table_args__ = (REFERENCE,)

    name: Mapped[str] = mapped_column(sa.Text, primary_key=True)
    title: Mapped[str] = mapped_column(sa.Text)
    time_zone: Mapped[str] = mapped_column(sa.Text)
    cells: Mapped[list[int]] = mapped_column(ARRAY(sa.BigInteger))
    attested_only: Mapped[bool]
    sample: Mapped[bool]
    created_at: Mapped[datetime] = mapped_column(sa.DateTime(timezone=True))


class HeatRelease(Base):
    """One release of one product: there is never a second one of a period. terms: its guarantee. year: that its epsilon is counted in.

    sample: it was made from visits that were invented. content_hash: SHA-256 of its canonical JSON, which the log holds too.
    """

    __tablename__ = "heat_releases"
    __table_args__ = (sa.PrimaryKeyConstraint("area", "product", "period"), REFERENCE)

    area: Mapped[str] = mapped_column(sa.Text, sa.ForeignKey("heat_areas.name"))
    product: Mapped[str] = mapped_column(sa.Text)
    period: Mapped[str] = mapped_column(sa.Text)
    year: Mapped[int]
    epsilon: Mapped[float]
    delta: Mapped[float]
    terms: Mapped[Any] = mapped_column(JSONB)
    sample: Mapped[bool]
    content_hash: Mapped[bytes]
    log_id: Mapped[UUID]
    released_at: Mapped[datetime] = mapped_column(sa.DateTime(timezone=True))


class HeatReleaseCell(Base):
    """A published count. part: number of the part of the cell, 0 where it has none. origin: where people come from, 0 where that is not asked."""

    __tablename__ = "heat_release_cells"
    __table_args__ = (
        sa.PrimaryKeyConstraint("area", "product", "period", "cell", "part", "origin"),
        sa.ForeignKeyConstraint(
            ["area", "product", "period"],
            ["heat_releases.area", "heat_releases.product", "heat_releases.period"],
            name="fk_heat_release_cells_release",
        ),
        REFERENCE,
    )

    area: Mapped[str] = mapped_column(sa.Text)
    product: Mapped[str] = mapped_column(sa.Text)
    period: Mapped[str] = mapped_column(sa.Text)
    cell: Mapped[int] = mapped_column(sa.BigInteger)
    part: Mapped[int] = mapped_column(sa.SmallInteger)
    origin: Mapped[int] = mapped_column(sa.BigInteger)
    value: Mapped[int] = mapped_column(sa.Integer)
