from __future__ import annotations

from collections.abc import Mapping, Sequence
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from ..geo.ids import shard_of
from ..stores.models import OpeningHours, Store


def hours_of_stores(session: Session, store_ids: Sequence[UUID]) -> Mapping[UUID, OpeningHours]:
    """The opening hours of those of some stores that have any."""
    shards = sa.literal(sorted({shard_of(one) for one in store_ids}), sa.ARRAY(sa.BigInteger))
    wanted = sa.literal(list(store_ids), sa.ARRAY(sa.Uuid))
    rows = session.execute(
        sa.select(Store.id, OpeningHours)
        .join(OpeningHours, OpeningHours.id == Store.hours_id)
        .where(Store.shard_cell == sa.any_(shards), Store.id == sa.any_(wanted))
    )
    return {store_id: hours for store_id, hours in rows}  # noqa: C416 - rows are no pairs to mypy
