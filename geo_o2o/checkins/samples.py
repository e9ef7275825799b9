"""Invented check-ins, for a demonstration or a measurement; never a receipt."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy.orm import Session

from ..copying import line
from ..geo.cells import SHARD_RESOLUTION, parent
from ..geo.ids import RANDOM_BITS, located_id
from . import queries
from .service import STATES


@dataclass(frozen=True)
class Sample:
    """An invented visit of an invented account."""

    store_id: UUID
    merchant_id: UUID | None
    cell: int
    subject_id: UUID
    checked_in_at: datetime


def add_samples(session: Session, samples: Iterable[Sample], *, progress: Callable[[int], None] | None = None) -> None:
    """Invented check-ins of level 1, marked so wherever they are shown; no receipt is ever issued for one."""

    def lines() -> Iterator[str]:
        for one in samples:
            id_ = located_id(one.cell, now=one.checked_in_at, chance=secrets.randbits(RANDOM_BITS))
            yield line((
                parent(one.cell, SHARD_RESOLUTION), id_, one.store_id, one.merchant_id, UUID(int=0), one.subject_id, 1, STATES[1], 990, 15_000,
                8_000, "circle", [], "sample", True, one.checked_in_at,
            ))  # fmt: skip

    queries.copy_samples(session, lines(), progress=progress)
