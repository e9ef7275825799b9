from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Any
from uuid import UUID

from flask import Response
from geoalchemy2.shape import to_shape
from shapely.geometry import MultiPolygon
from sqlalchemy.orm import Session

from ..auth.access import access
from ..districts.cover import CoverTooLarge
from ..districts.schemas import dump_district
from ..districts.service import get_district
from ..errors import InvalidInput
from ..geo.cells import AreaTooLarge, centre_of, to_hex
from ..geo.crs import Crs, written_point
from ..http import answer, database, path_id, utcnow
from ..parsing import Blueprint
from ..stores.categories import with_descendants
from . import service
from .profiles import profile
from .schemas import CompareAsked, ProfileAsked, ProfileList, ProfileResponse, SiteList, SiteRequest
from .sites import Model, Site

blueprint = Blueprint("insights", __name__, url_prefix="/v1", description="How districts live, and where a store is missing")


@blueprint.get("/districts/<district_id>/profile")
@access("heat:read")
@blueprint.arguments(ProfileAsked, location="query")
@blueprint.answers(200, ProfileResponse)
def show(asked: dict[str, Any], district_id: str) -> Response:
    """A district in one answer: stores by category, open hours, offers, ratings, visits with their intervals, change, and its peers."""
    with database().planner() as session:
        body = _profile(session, path_id(district_id), crs=asked["crs"], now=utcnow())
    return answer(body)


@blueprint.get("/districts/compare")
@access("heat:read")
@blueprint.arguments(CompareAsked, location="query")
@blueprint.answers(200, ProfileList)
def compare(asked: dict[str, Any]) -> Response:
    """The profiles of up to eight districts side by side, all of one moment."""
    now = utcnow()
    with database().planner() as session:
        items = [_profile(session, id_, crs=asked["crs"], now=now) for id_ in dict.fromkeys(asked["ids"])]
    return answer({"items": items, "next": None})


def _profile(session: Session, district_id: UUID, *, crs: Crs, now: datetime) -> dict[str, Any]:
    district = get_district(session, district_id, now=now)
    return {"district": dump_district(district, crs=crs), "at": now, **profile(session, district, now=now)}


@blueprint.post("/insights/site")
@access("heat:read")
@blueprint.arguments(SiteRequest)
@blueprint.answers(200, SiteList)
def site(body: dict[str, Any]) -> Response:
    """Where in an area a new store of a category would do best: visits it would draw, rivals, company; every point explained."""
    names = ("distance_exponent", "reach_m", "rating_exponent", "half_visits", "half_rivals", "half_company")
    model = service.model_with(**{name: body.get(name) for name in names})
    with database().planner() as session:
        area = body["area"] if "area" in body else MultiPolygon(to_shape(get_district(session, body["district"], now=utcnow()).area))
        try:
            found, release = service.find_sites(
                session, area, resolution=body["resolution"], category_ids=with_descendants(body["category"]), model=model
            )
        except (AreaTooLarge, CoverTooLarge) as failure:
            where = next(name for name in ("district", "bbox", "within") if name in body)
            raise InvalidInput(str(failure), errors={where: [str(failure)]}, code="area_too_large") from failure
    source = {"product": "visits", "city": release.area, "period": release.period, "sample": release.sample} if release else {"product": "stores"}
    return answer(
        {
            "items": [_dump_site(one, model, body["crs"]) for one in found[: body["limit"]]], "next": None, "candidates": len(found),
            "model": asdict(model), "demand_from": source,
        }
    )  # fmt: skip


def _dump_site(one: Site, model: Model, crs: Crs) -> dict[str, Any]:
    points = {"total": one.points, "demand": one.demand_points, "rivalry": one.rivalry_points, "company": one.company_points, "model": model.name}
    return {
        "cell": to_hex(one.cell), **written_point(centre_of(one.cell), crs), "score": points, "visits": one.visits, "visits_around": one.around,
        "rivals": one.rivals, "nearest_rival_m": one.nearest_rival_m, "company": one.company,
    }  # fmt: skip
