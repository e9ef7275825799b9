from __future__ import annotations

from typing import Any

from ..auth.access import access
from ..http import database
from ..parsing import Blueprint
from . import queries
from .schemas import LoadList, LoadsRequest, dump_load

blueprint = Blueprint("loads", __name__, url_prefix="/v1/loads", description="Files that were brought in")


@blueprint.get("")
@access("status:read")
@blueprint.arguments(LoadsRequest, location="query")
@blueprint.response(200, LoadList)
def index(asked: dict[str, Any]) -> dict[str, Any]:
    """The loads of this deployment, the newest first: how far each is, what came of it, and the first of the rows that it refused."""
    with database().read() as session:
        now = queries.now(session)
        return {"items": [dump_load(one, now=now) for one in queries.newest_loads(session, limit=asked["limit"])], "next": None}
