from __future__ import annotations

from sqlalchemy.orm import Session

from ..geo.bounds import Bounds
from ..geo.point import Point
from ..stores.categories import codes_by_id
from . import queries
from .proposing import Proposal, Shape, Spot, propose


def propose_districts(session: Session, bounds: Bounds, shape: Shape) -> list[Proposal]:
    """The business districts that the stores of a box make. Raises AreaTooLarge."""
    codes = codes_by_id()
    spots = [
        Spot(Point(row.lon, row.lat), row.street, codes.get(row.category_id, "other").partition(".")[0]) for row in queries.spots_in(session, bounds)
    ]
    return propose(spots, shape)
