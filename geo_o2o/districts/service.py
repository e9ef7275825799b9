from __future__ import annotations

import secrets
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from geoalchemy2.shape import from_shape
from shapely.geometry import MultiPolygon
from sqlalchemy.orm import Session

from ..errors import InvalidInput, NotFound, PreconditionFailed
from ..geo.cells import AreaTooLarge, shard_cells_of_bounds
from ..geo.distance import area_m2
from ..geo.ids import RANDOM_BITS, unlocated_id
from ..geo.shapes import bounds_of
from . import queries
from .models import District

API_SOURCE = "api"
SMALLEST_M2 = 1.0


def get_district(session: Session, district_id: UUID, *, lock: bool = False) -> District:
    """Raises NotFound."""
    district = queries.find_district(session, district_id, lock=lock)
    if district is None:
        raise NotFound(f"there is no district {district_id}")
    return district


def new_district_id(*, now: datetime) -> UUID:
    return unlocated_id(now=now, chance=secrets.randbits(RANDOM_BITS))


def add_district(session: Session, *, fields: Mapping[str, Any], district_id: UUID, now: datetime) -> District:
    """A new district. Raises InvalidInput where its area is too large to be indexed."""
    district = District(
        id=district_id, layer=fields["layer"], name=fields["name"], names=fields.get("names", {}), source=API_SOURCE,
        source_id=str(district_id), version=1, created_at=now, updated_at=now, **area_columns(fields["area"]),
    )  # fmt: skip
    session.add(district)
    session.flush()
    return district


def change_district(session: Session, *, district_id: UUID, version: int, fields: Mapping[str, Any], now: datetime) -> District:
    """Raises NotFound; PreconditionFailed where the district is not at that version any more; InvalidInput as add_district."""
    district = _at_version(session, district_id, version)
    for name in ("layer", "name", "names"):
        if name in fields:
            setattr(district, name, fields[name])
    if "area" in fields:
        for name, value in area_columns(fields["area"]).items():
            setattr(district, name, value)
    district.version += 1
    district.updated_at = now
    session.flush()
    return district


def remove_district(session: Session, *, district_id: UUID, version: int) -> District:
    district = _at_version(session, district_id, version)
    session.delete(district)
    session.flush()
    return district


def area_columns(area: MultiPolygon) -> dict[str, Any]:
    """The columns of a district that follow from its area."""
    try:
        shard_cells = sorted({cell for part in bounds_of(area) for cell in shard_cells_of_bounds(part)})
    except AreaTooLarge as failure:
        raise InvalidInput(str(failure), errors={"area": [str(failure)]}) from failure
    size_m2 = area_m2(area)
    if size_m2 < SMALLEST_M2:
        message = f"the area has {size_m2:.3g} m²; a district has at least {SMALLEST_M2:.0f}"
        raise InvalidInput(message, errors={"area": [message]})
    return {"area": from_shape(area, srid=4326), "area_m2": size_m2, "shard_cells": shard_cells}


def _at_version(session: Session, district_id: UUID, version: int) -> District:
    district = get_district(session, district_id, lock=True)
    if district.version != version:
        raise PreconditionFailed(f'the district is at version "v{district.version}", not "v{version}": read it again')
    return district
