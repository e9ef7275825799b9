from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from ..geo.point import Point

# One degree of latitude is at least so long.
_M_PER_DEGREE = 110_500
# A street has many pieces, and each has its name: the nearest piece stands for it. A box that crosses the date line is asked for twice.
_NAMED = """
WITH here AS (
    SELECT p.point, ST_Expand(p.point, :degrees_lng, :degrees_lat) AS box,
           ST_Expand(ST_Translate(p.point, :around, 0), :degrees_lng, :degrees_lat) AS other
      FROM (SELECT ST_SetSRID(ST_MakePoint(:lng, :lat), 4326) AS point) p
), named AS (
    SELECT b.layer, b.shape, b.name, b.names FROM basemap_features b, here WHERE (b.shape && here.box OR b.shape && here.other) AND b.name IS NOT NULL
    UNION ALL
    SELECT 'district', d.area, d.name, d.names FROM districts d, here WHERE (d.area && here.box OR d.area && here.other) AND d.in_force
), matched AS (
    SELECT DISTINCT ON (called.text) called.text, n.layer, found.point, ST_Distance(found.point::geography, here.point::geography) AS metres
      FROM named n CROSS JOIN here
     CROSS JOIN LATERAL (SELECT n.name AS text UNION SELECT value FROM jsonb_each_text(n.names)) called
     CROSS JOIN LATERAL (SELECT CASE WHEN ST_Dimension(n.shape) = 2 THEN ST_PointOnSurface(n.shape)
                                     ELSE ST_ClosestPoint(n.shape, here.point) END AS point) found
     WHERE called.text ILIKE :begins OR called.text ILIKE :word
     ORDER BY called.text, metres
)
SELECT text, layer, metres, ST_X(point) AS lng, ST_Y(point) AS lat FROM matched WHERE metres <= :radius_m
 ORDER BY text ILIKE :begins DESC, metres LIMIT :limit
"""


def places_named(session: Session, text: str, *, origin: Point, radius_m: float, limit: int) -> Sequence[Any]:
    """Rows (text, layer, metres, lng, lat): names that begin so, then those with a word that does, each nearest first."""
    like = text.strip().replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    degrees = radius_m / _M_PER_DEGREE
    values = {
        "lng": origin.lon, "lat": origin.lat, "around": -360.0 if origin.lon > 0 else 360.0, "degrees_lat": degrees,
        "degrees_lng": min(degrees / max(math.cos(math.radians(origin.lat)), 0.01), 180.0), "begins": f"{like}%", "word": f"% {like}%",
        "radius_m": radius_m, "limit": limit,
    }  # fmt: skip
    return session.execute(sa.text(_NAMED), values).all()
