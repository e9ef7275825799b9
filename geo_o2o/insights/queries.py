from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from ..geo.bounds import Bounds
from ..geo.cells import shard_cells_of_bounds

_SPOTS = """
SELECT ST_X(s.location::geometry) AS lon, ST_Y(s.location::geometry) AS lat, s.address->>'street' AS street, s.category_id
  FROM stores s
 WHERE s.shard_cell = ANY(:shard_cells) AND s.status = 'live' AND s.location::geometry && ST_MakeEnvelope(:west, :south, :east, :north, 4326)
 ORDER BY s.id
"""


def spots_in(session: Session, bounds: Bounds) -> Iterator[Any]:
    """lon, lat, street and category of every live store in a box. Raises AreaTooLarge."""
    for part in bounds.parts():
        box = {"west": part.west, "south": part.south, "east": part.east, "north": part.north}
        yield from session.execute(sa.text(_SPOTS), {**box, "shard_cells": shard_cells_of_bounds(part)})
