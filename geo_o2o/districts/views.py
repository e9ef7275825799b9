from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from flask import Flask, Response, current_app
from geoalchemy2.shape import to_shape
from shapely.geometry import MultiPolygon
from sqlalchemy.orm import Session

from ..auth.access import access
from ..auth.service import once
from ..errors import InvalidInput
from ..geo.cells import to_hex
from ..http import caller, database, idempotency_key, page_of, path_id, position_of, utcnow, version_asked, with_version
from ..parsing import Blueprint
from . import queries, service
from .cover import CoverTooLarge, cover_of
from .schemas import Cover, CoverAsked, DistrictAsked, DistrictChange, DistrictList, DistrictRequest, DistrictResponse, DistrictsAsked, dump_district

blueprint = Blueprint("districts", __name__, url_prefix="/v1/districts", description="Named areas in layers")


def follow_changes(app: Flask, *, before: Callable[[Session, UUID], Any], after: Callable[[Session, UUID, Any], None]) -> None:
    """Lets a room above keep in step: `before` sees the old state and returns what `after` gets with the new one."""
    app.extensions["district_followers"] = (before, after)


def _followed(session: Session, district_id: UUID) -> Callable[[], None]:
    before, after = current_app.extensions["district_followers"]
    seen = before(session, district_id)
    return lambda: after(session, district_id, seen)


@blueprint.get("")
@access("catalogue:read")
@blueprint.arguments(DistrictsAsked, location="query")
@blueprint.response(200, DistrictList)
def index(asked: dict[str, Any]) -> dict[str, Any]:
    """Districts by name: of a layer, in a box, inside another, or those that hold a point; now, or as of a moment."""
    position = position_of(asked)
    with database().read() as session:
        found = queries.list_districts(
            session,
            after=(position[0], UUID(position[1])) if position else None,
            limit=asked["limit"] + 1,
            as_of=asked.get("as_of"),
            parent_id=asked.get("parent"),
            layer=asked.get("layer"),
            contains=asked.get("contains"),
            bounds=asked.get("bbox"),
        )
    page, following = page_of(found, asked, lambda district: [district.name, str(district.id)])
    return {"items": [dump_district(one, crs=asked["crs"], with_area=asked["outlines"]) for one in page], "next": following}


@blueprint.get("/<district_id>")
@access("catalogue:read")
@blueprint.arguments(DistrictAsked, location="query")
@blueprint.answers(200, DistrictResponse)
def show(asked: dict[str, Any], district_id: str) -> Response:
    """One district with its outline, now or as of a moment."""
    id_, as_of = path_id(district_id), asked.get("as_of")
    with database().read() as session:
        district = service.get_district_as_of(session, id_, as_of=as_of) if as_of else service.get_district(session, id_, now=utcnow())
    return with_version(dump_district(district, crs=asked["crs"], with_area=True), district.version)


@blueprint.get("/<district_id>/cells")
@access("catalogue:read")
@blueprint.arguments(CoverAsked, location="query")
@blueprint.answers(200, Cover)
def cells(asked: dict[str, Any], district_id: str) -> Response:
    """The H3 cells that a district touches, each with the share of it that lies inside: 1 for those within, less at the edge."""
    with database().read() as session:
        district = service.get_district(session, path_id(district_id), now=utcnow())
    try:
        found = cover_of(MultiPolygon(to_shape(district.area)), asked["resolution"])
    except CoverTooLarge as failure:
        raise InvalidInput(str(failure), errors={"resolution": [str(failure)]}, code="too_many_cells") from failure
    items = [{"cell": to_hex(cell), "share": round(share, 6)} for cell, share in found.items()]
    return with_version({"resolution": asked["resolution"], "items": items, "next": None}, district.version)


@blueprint.post("")
@access("districts:write")
@blueprint.arguments(DistrictRequest)
@blueprint.answers(201, DistrictResponse)
def create(body: dict[str, Any]) -> Response:
    """Add a district; the stores inside know it at once. Takes an Idempotency-Key."""
    now, crs = utcnow(), body.pop("crs")
    with database().write() as session:
        wanted = service.new_district_id(now=now)
        times = {name: str(body.get(name)) for name in ("valid_from", "valid_to")}
        request = ["district", {**body, "area": body["area"].wkb_hex, **times}]
        district_id = once(session, caller=caller(), key=idempotency_key(), request=request, resource_id=wanted, now=now)
        if district_id == wanted:
            follow = _followed(session, district_id)
            district = service.add_district(session, fields=body, district_id=district_id, now=now)
            follow()
        else:
            district = service.get_district(session, district_id, now=now)
        session.refresh(district)
    return with_version(dump_district(district, crs=crs, with_area=True), district.version, status=201, location=f"/v1/districts/{district.id}")


@blueprint.patch("/<district_id>")
@access("districts:write")
@blueprint.arguments(DistrictChange)
@blueprint.answers(200, DistrictResponse)
def change(body: dict[str, Any], district_id: str) -> Response:
    """Change what is sent of a district; needs If-Match."""
    version, id_, crs = version_asked(), path_id(district_id), body.pop("crs")
    with database().write() as session:
        follow = _followed(session, id_)
        district = service.change_district(session, district_id=id_, version=version, fields=body, now=utcnow())
        follow()
        session.refresh(district)
    return with_version(dump_district(district, crs=crs, with_area=True), district.version)


@blueprint.delete("/<district_id>")
@access("districts:write")
@blueprint.response(204)
def remove(district_id: str) -> None:
    """End a district; needs If-Match. `as_of` still shows what it was."""
    version, id_ = version_asked(), path_id(district_id)
    with database().write() as session:
        follow = _followed(session, id_)
        service.end_district(session, district_id=id_, version=version, now=utcnow())
        follow()
