from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from ..geo.bounds import Bounds
from ..geo.point import Point
from .models import District


def find_district(session: Session, district_id: UUID, *, lock: bool = False) -> District | None:
    query = sa.select(District).where(District.id == district_id)
    return session.scalar(query.with_for_update() if lock else query)


def list_districts(
    session: Session,
    *,
    after: tuple[str, UUID] | None,
    limit: int,
    layer: str | None = None,
    contains: Point | None = None,
    bounds: Bounds | None = None,
) -> Sequence[District]:
    """Districts by (name, id), from after a position on."""
    query = sa.select(District).order_by(District.name, District.id).limit(limit)
    if after is not None:
        query = query.where(sa.tuple_(District.name, District.id) > sa.tuple_(sa.literal(after[0]), sa.literal(after[1])))
    if layer is not None:
        query = query.where(District.layer == layer)
    if contains is not None:
        query = query.where(sa.func.ST_Covers(District.area, sa.func.ST_SetSRID(sa.func.ST_MakePoint(contains.lon, contains.lat), 4326)))
    if bounds is not None:
        query = query.where(
            sa.or_(
                *(
                    sa.func.ST_Intersects(District.area, sa.func.ST_MakeEnvelope(part.west, part.south, part.east, part.north, 4326))
                    for part in bounds.parts()
                )
            )
        )
    return session.scalars(query).all()
