from __future__ import annotations

from typing import Any

from flask import Response, current_app

from ..auth.access import access
from ..discovery import profiles, queries
from ..discovery.ranking import built_in_profiles, parse_profile
from ..discovery.service import Finder
from ..errors import InvalidInput, NotFound
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
        in_use = profiles.profile_in_use(session)
        own = [(parse_profile(row.body), row.created_at) for row in queries.list_profiles(session)]
    every = [*((one, None) for one in built_in_profiles().values()), *own]
    return {"items": [dump_profile(one, created_at=created_at, in_use=in_use) for one, created_at in every], "next": None}


@blueprint.post("")
@access("profiles:write")
@blueprint.arguments(RankProfileRequest)
@blueprint.response(201, RankProfileResponse)
def create(asked: dict[str, Any]) -> Response:
    """Add a profile, to be named in questions from now on (`profile=`). A name is used once."""
    profile, now = service.read_profile(asked), utcnow()
    with database().write() as session:
        profiles.add_profile(session, profile, now=now)
        in_use = profiles.profile_in_use(session)
    return answer(dump_profile(profile, created_at=now, in_use=in_use), status=201)


@blueprint.post("/<name>/use")
@access("profiles:write")
@blueprint.response(200, RankProfileResponse)
def use(name: str) -> dict[str, Any]:
    """Let a profile answer whoever names none, from now on; every running service does so within seconds. Turning back is using the one before."""
    with database().write() as session:
        try:
            profile = profiles.use_profile(session, name, now=utcnow())
        except InvalidInput as failure:
            raise NotFound(failure.message) from failure
        in_use = profiles.profile_in_use(session)
        row = queries.find_profile(session, name)
        found = dump_profile(profile, created_at=row.created_at if row else None, in_use=in_use)
    _finder().look_again()
    return found


@blueprint.post("/preview")
@access("profiles:write")
@blueprint.arguments(PreviewRequest)
@blueprint.response(200, PreviewResponse)
def preview(asked: dict[str, Any]) -> dict[str, Any]:
    """What a profile would change in the order of hits at some places, before anybody is answered by it; nothing is kept."""
    finder = _finder()
    used, draft, now = finder.profile(asked["against"]), service.draft_of(asked["profile"]), this_minute()
    found = [dump_difference(place, service.difference_at(finder, place, asked, used=used, draft=draft, now=now)) for place in asked["places"]]
    return {"items": found, "next": None, "against": used.name}


def _finder() -> Finder:
    return current_app.extensions["finder"]
