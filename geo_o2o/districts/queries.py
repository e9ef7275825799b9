from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from shapely import from_wkb, set_srid, to_wkb
from shapely.geometry import MultiPolygon
from sqlalchemy.orm import Session

from ..geo.bounds import Bounds
from ..geo.point import Point
from .models import District, DistrictVersion


def find_district(session: Session, district_id: UUID, *, lock: bool = False) -> District | None:
    query = sa.select(District).where(District.id == district_id)
    return session.scalar(query.with_for_update() if lock else query)


def find_version(session: Session, district_id: UUID, *, as_of: datetime) -> DistrictVersion | None:
    """What a district was at a moment before its last change."""
    return session.scalar(sa.select(DistrictVersion).where(DistrictVersion.id == district_id, *_at(DistrictVersion, as_of)))


def list_districts(
    session: Session,
    *,
    after: tuple[str, UUID] | None,
    limit: int,
    as_of: datetime | None = None,
    layer: str | None = None,
    parent_id: UUID | None = None,
    contains: Point | None = None,
    bounds: Bounds | None = None,
) -> Sequence[District | DistrictVersion]:
    """Districts by (name, id), from after a position on: those in force, or as they were at a moment."""
    present = _listed(District, after=after, limit=limit, layer=layer, parent_id=parent_id, contains=contains, bounds=bounds)
    if as_of is None:
        return session.scalars(present.where(District.in_force)).all()
    past = _listed(DistrictVersion, after=after, limit=limit, layer=layer, parent_id=parent_id, contains=contains, bounds=bounds)
    now = session.scalars(present.where(*_at(District, as_of))).all()
    before = session.scalars(past.where(*_at(DistrictVersion, as_of))).all()
    return sorted([*now, *before], key=lambda one: (one.name, one.id))[:limit]


def _at(table: Any, moment: datetime) -> tuple[Any, ...]:
    return table.valid_from <= moment, sa.or_(table.valid_to.is_(None), table.valid_to > moment)


def _listed(
    table: Any, *, after: tuple[str, UUID] | None, limit: int, layer: str | None, parent_id: UUID | None, contains: Point | None,
    bounds: Bounds | None,
) -> Any:  # fmt: skip
    # By the bytes of the name: that is how Python sorts, too.
    name = sa.collate(table.name, "C")
    query = sa.select(table).order_by(name, table.id).limit(limit)
    if after is not None:
        query = query.where(sa.tuple_(name, table.id) > sa.tuple_(sa.literal(after[0]), sa.literal(after[1])))
    if layer is not None:
        query = query.where(table.layer == layer)
    if parent_id is not None:
        query = query.where(table.parent_id == parent_id)
    if contains is not None:
        query = query.where(sa.func.ST_Covers(table.area, sa.func.ST_SetSRID(sa.func.ST_MakePoint(contains.lon, contains.lat), 4326)))
    if bounds is not None:
        boxes = (sa.func.ST_MakeEnvelope(part.west, part.south, part.east, part.north, 4326) for part in bounds.parts())
        query = query.where(sa.or_(*(sa.func.ST_Intersects(table.area, box) for box in boxes)))
    return query


# --- how districts of a layer lie to each other --------------------------------------------------------------------------------

_TOUCHING = """
SELECT o.id, o.name, ST_Area(ST_Intersection(o.area, given.area)) / ST_Area(given.area) AS share,
       ST_Area(ST_Intersection(o.area, given.area)) / ST_Area(o.area) AS other_share
  FROM districts o, (SELECT ST_GeomFromEWKB(:area) AS area) given
 WHERE o.layer = :layer AND o.id <> :id AND ST_Intersects(o.area, given.area)
   AND tstzrange(o.valid_from, o.valid_to) && tstzrange(CAST(:valid_from AS timestamptz), CAST(:valid_to AS timestamptz))
 ORDER BY o.name, o.id
"""


def districts_touching(
    session: Session, district_id: UUID, *, layer: str, area: MultiPolygon, valid_from: datetime, valid_to: datetime | None
) -> Sequence[Any]:
    """Of every other district of the layer and the time that shares ground: id, name, share of the area that lies in it, and of it in the area."""
    given = {"id": district_id, "layer": layer, "valid_from": valid_from, "valid_to": valid_to}
    given["area"] = to_wkb(set_srid(area, 4326), include_srid=True)
    return session.execute(sa.text(_TOUCHING), given).all()


# The smallest that holds it: what is larger and holds nearly all of it. Two that lie in each other are refused before.
_PARENTS = """
UPDATE districts c SET parent_id = (
    SELECT p.id FROM districts p
     WHERE p.layer = c.layer AND p.id <> c.id AND p.in_force AND c.in_force AND p.area && c.area AND p.area_m2 > c.area_m2
       AND ST_Area(ST_Intersection(p.area, c.area)) >= :whole * ST_Area(c.area)
     ORDER BY p.area_m2, p.id LIMIT 1)
 WHERE c.layer = ANY(:layers) AND (c.id = :id OR c.parent_id = :id OR c.area && (SELECT area FROM districts WHERE id = :id))
"""


def set_parents(session: Session, district_id: UUID, *, layers: Sequence[str], whole: float) -> None:
    """Finds anew what every district lies in that a changed one may hold or have held. whole: share that must lie inside, 0..1."""
    session.execute(sa.text(_PARENTS), {"id": district_id, "layers": list(layers), "whole": whole})


def with_parts(session: Session, district_id: UUID) -> Sequence[UUID]:
    """A district and all that lie in it, at any depth: a store is placed in the smallest, and counts in each."""
    text = """
    WITH RECURSIVE parts AS (
        SELECT id FROM districts WHERE id = :id
         UNION
        SELECT d.id FROM districts d JOIN parts p ON d.parent_id = p.id WHERE d.in_force
    ) SELECT id FROM parts ORDER BY id
    """
    return session.scalars(sa.text(text).columns(id=sa.Uuid), {"id": district_id}).all()


def ground_of(session: Session, district_ids: Sequence[UUID]) -> MultiPolygon:
    """What some districts cover together: parts may reach over the edge of their whole."""
    query = sa.select(sa.func.ST_AsBinary(sa.func.ST_Multi(sa.func.ST_Union(District.area)))).where(District.id.in_(district_ids))
    ground = from_wkb(bytes(session.scalars(query).one()))
    assert isinstance(ground, MultiPolygon)
    return ground


def districts_to_turn(session: Session, *, now: datetime, limit: int) -> Sequence[UUID]:
    """Districts that have begun or ended by themselves since stores were placed in them."""
    query = sa.select(District.id).where(District.in_force != sa.and_(*_at(District, now))).order_by(District.id).limit(limit)
    return session.scalars(query).all()
