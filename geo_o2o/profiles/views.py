from __future__ import annotations

from typing import Any

from flask import Response, current_app

from ..auth.access import access
from ..discovery import profiles, queries
from ..discovery.ranking import built_in_profiles, parse_profile
from ..discovery.service import Finder
from ..http import answer, database, this_minute, utcnow
from ..parsing import Blueprint
from . import service
from .schemas import PreviewRequest, PreviewResponse, RankProfileList, RankProfileRequest, RankProfileResponse, dump_difference, dump_profile

blueprint = Blueprint("profiles", __name__, url_prefix="/v1/profiles", description="The weights behind every answer")


@blueprint.get("")
@access("profiles:write")
@blueprint.response(200, RankProfileList)
def index() -> dict[str, Any]:
    """Every rank profile: those that are built in, and those of this deployment, which are never changed."""
    with database().read() as session:
        own = [dump_profile(parse_profile(row.body), row) for row in queries.list_profiles(session)]
    return {"items": [*(dump_profile(one) for one in built_in_profiles().values()), *own], "next": None}


@blueprint.post("")
@access("profiles:write")
@blueprint.arguments(RankProfileRequest)
@blueprint.response(201, RankProfileResponse)
def create(asked: dict[str, Any]) -> Response:
    """Add a profile, to be named in questions from now on (`profile=`). A name is used once."""
    profile, now = service.read_profile(asked), utcnow()
    with database().write() as session:
        profiles.add_profile(session, profile, now=now)
    return answer({**profile.as_json(), "built_in": False, "created_at": now}, status=201)


@blueprint.post("/preview")
@access("profiles:write")
@blueprint.arguments(PreviewRequest)
@blueprint.response(200, PreviewResponse)
def preview(asked: dict[str, Any]) -> dict[str, Any]:
    """What a profile would change in the order of hits at some places, before anybody is answered by it; nothing is kept."""
    finder: Finder = current_app.extensions["finder"]
    used, draft, now = finder.profile(asked["against"]), service.draft_of(asked["profile"]), this_minute()
    found = [dump_difference(place, service.difference_at(finder, place, asked, used=used, draft=draft, now=now)) for place in asked["places"]]
    return {"items": found, "next": None, "against": used.name}
