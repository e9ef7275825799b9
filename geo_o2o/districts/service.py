from __future__ import annotations

import secrets
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from geoalchemy2.shape import from_shape, to_shape
from shapely.geometry import MultiPolygon
from sqlalchemy.orm import Session

from ..changes.service import note_layer
from ..errors import Conflict, Gone, InvalidInput, NotFound, PreconditionFailed
from ..geo.cells import AreaTooLarge, shard_cells_of_bounds
from ..geo.distance import area_m2
from ..geo.ids import RANDOM_BITS, unlocated_id
from ..geo.shapes import bounds_of
from . import queries
from .hierarchy import SLIVER_SHARE, relate
from .models import District, DistrictVersion

API_SOURCE = "api"
# Of maps, as changes know it.
LAYER = "districts"
SMALLEST_M2 = 1.0


class DistrictOverlaps(Conflict):
    """The area crosses another district of its layer: a store there would have two."""

    code = "district_overlaps"


def get_district(session: Session, district_id: UUID, *, now: datetime) -> District:
    """A district that is in force or will be. Raises NotFound; Gone where it has ended."""
    district = queries.find_district(session, district_id)
    if district is None:
        raise NotFound(f"there is no district {district_id}")
    if district.valid_to is not None and district.valid_to <= now:
        raise Gone(f"district {district_id} ended at {district.valid_to.isoformat()}; as_of= shows it as it was before")
    return district


def get_district_as_of(session: Session, district_id: UUID, *, as_of: datetime) -> District | DistrictVersion:
    """What a district was at a moment. Raises NotFound where it was not in force then."""
    district = queries.find_district(session, district_id)
    if district is not None and district.valid_from <= as_of and (district.valid_to is None or district.valid_to > as_of):
        return district
    before = queries.find_version(session, district_id, as_of=as_of)
    if before is None:
        raise NotFound(f"district {district_id} was not in force at {as_of.isoformat()}")
    return before


def new_district_id(*, now: datetime) -> UUID:
    return unlocated_id(now=now, chance=secrets.randbits(RANDOM_BITS))


def add_district(session: Session, *, fields: Mapping[str, Any], district_id: UUID, now: datetime) -> District:
    """A new district. fields: as DistrictRequest loads them; with source, source_id, source_hash and attribution where a file says so.

    Raises InvalidInput where its area is too large to be indexed, or where it ends before it begins; DistrictOverlaps.
    """
    valid_from, valid_to = fields.get("valid_from") or now, fields.get("valid_to")
    _check_times(valid_from, valid_to)
    _check_place(session, district_id, layer=fields["layer"], area=fields["area"], valid_from=valid_from, valid_to=valid_to)
    district = District(
        id=district_id, layer=fields["layer"], name=fields["name"], names=fields.get("names", {}), source=fields.get("source", API_SOURCE),
        source_id=fields.get("source_id") or str(district_id), source_hash=fields.get("source_hash"), attribution=fields.get("attribution"),
        version=1, created_at=now, updated_at=now, valid_from=valid_from, valid_to=valid_to, in_force=_in_force(valid_from, valid_to, now),
        **area_columns(fields["area"]),
    )  # fmt: skip
    session.add(district)
    session.flush()
    queries.set_parents(session, district_id, layers=[district.layer], whole=1.0 - SLIVER_SHARE)
    note_layer(session, LAYER, now=now)
    return district


def change_district(session: Session, *, district_id: UUID, version: int, fields: Mapping[str, Any], now: datetime) -> District:
    """What it was before stays readable as of then. fields: what changes; `valid_from` says since when, by default now.

    Raises what get_district and add_district raise; PreconditionFailed where the district is not at that version any more.
    """
    district = _at_version(session, district_id, version, now=now)
    changed_at = fields.get("valid_from") or now
    if changed_at > now or (changed_at < district.valid_from and district.in_force):
        message = f"a change holds from now on, or from a moment since {district.valid_from.isoformat()}; what begins later is a new district"
        raise InvalidInput(message, errors={"valid_from": [message]})
    _keep_version(session, district, until=changed_at)
    layers = [district.layer]
    for name in ("layer", "name", "names", "valid_to", "source_hash", "attribution"):
        if name in fields:
            setattr(district, name, fields[name])
    # One that is still to come has no past: it only begins at another time.
    district.valid_from = fields.get("valid_from") or (changed_at if district.in_force else district.valid_from)
    _check_times(district.valid_from, district.valid_to)
    if "area" in fields:
        for name, value in area_columns(fields["area"]).items():
            setattr(district, name, value)
    district.in_force = _in_force(district.valid_from, district.valid_to, now)
    area = MultiPolygon(to_shape(district.area))
    # The row itself is left out of the comparison by its id, so what stands in the table of it does not matter.
    with session.no_autoflush:
        _check_place(session, district_id, layer=district.layer, area=area, valid_from=district.valid_from, valid_to=district.valid_to)
    district.version += 1
    district.updated_at = now
    session.flush()
    queries.set_parents(session, district_id, layers=sorted({*layers, district.layer}), whole=1.0 - SLIVER_SHARE)
    note_layer(session, LAYER, now=now)
    return district


def end_district(session: Session, *, district_id: UUID, version: int, now: datetime) -> District:
    """From now on there is no such district; as_of still shows it."""
    district = _at_version(session, district_id, version, now=now)
    if district.valid_from > now:
        # It never was.
        district.valid_from = now
    district.valid_to, district.in_force = now, False
    district.version += 1
    district.updated_at = now
    session.flush()
    queries.set_parents(session, district_id, layers=[district.layer], whole=1.0 - SLIVER_SHARE)
    note_layer(session, LAYER, now=now)
    return district


def turn_district(session: Session, district_id: UUID, *, now: datetime) -> None:
    """Brings a district that began or ended by itself to what it is now; whoever knows its stores places them anew."""
    district = queries.find_district(session, district_id, lock=True)
    if district is not None:
        district.in_force = _in_force(district.valid_from, district.valid_to, now)
        session.flush()
        queries.set_parents(session, district_id, layers=[district.layer], whole=1.0 - SLIVER_SHARE)
        note_layer(session, LAYER, now=now)


def _in_force(valid_from: datetime, valid_to: datetime | None, now: datetime) -> bool:
    return valid_from <= now and (valid_to is None or valid_to > now)


def _check_times(valid_from: datetime, valid_to: datetime | None) -> None:
    if valid_to is not None and valid_to <= valid_from:
        message = f"a district ends after it begins, at {valid_from.isoformat()}; found {valid_to.isoformat()}"
        raise InvalidInput(message, errors={"valid_to": [message]})


def _check_place(
    session: Session, district_id: UUID, *, layer: str, area: MultiPolygon, valid_from: datetime, valid_to: datetime | None
) -> None:  # fmt: skip
    """Raises DistrictOverlaps, naming up to five districts that the area crosses."""
    near = queries.districts_touching(session, district_id, layer=layer, area=area, valid_from=valid_from, valid_to=valid_to)
    crossed = [row for row in near if relate(share=row.share, other_share=row.other_share) == "overlap"]
    if crossed:
        shares = (f"{row.name} ({row.id}: {row.share:.0%} of this area, {row.other_share:.0%} of its own)" for row in crossed[:5])
        named = ", ".join(shares)
        message = f"in the layer {layer} a district lies apart from the others or wholly inside one; this one crosses {named}"
        raise DistrictOverlaps(message, errors={"area": [message]})


def _keep_version(session: Session, district: District, *, until: datetime) -> None:
    """Writes down what a district was, where it was anything for a while."""
    if not district.in_force or until <= district.valid_from:
        return
    columns = ("id", "version", "layer", "name", "names", "area", "area_m2", "source", "source_id", "attribution", "parent_id", "valid_from")
    session.add(DistrictVersion(**{name: getattr(district, name) for name in columns}, valid_to=until))
    session.flush()


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


def _at_version(session: Session, district_id: UUID, version: int, *, now: datetime) -> District:
    queries.find_district(session, district_id, lock=True)
    district = get_district(session, district_id, now=now)
    if district.version != version:
        raise PreconditionFailed(f'the district is at version "v{district.version}", not "v{version}": read it again')
    return district
