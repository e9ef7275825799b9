from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from ..auth.access import access
from ..auth.service import once
from ..errors import Malformed
from ..http import answer, caller, database, idempotency_key, page_of, path_id, position_of, utcnow
from ..parsing import Blueprint
from . import queries, service
from .schemas import LEVELS, CheckInCounts, CheckInList, CheckInRequest, CheckInResponse, CheckInsAsked, CountsAsked, dump_check_in

blueprint = Blueprint("check-ins", __name__, url_prefix="/v1/check-ins", description="Presence at a store")


@blueprint.post("")
@access("check-ins:write")
@blueprint.arguments(CheckInRequest)
@blueprint.response(201, CheckInResponse)
def create(claim: dict[str, Any]) -> Any:
    """Check in at a store with 1 to 5 fixes; needs an Idempotency-Key. Says the level reached and what keeps it down."""
    key, now, me = idempotency_key(), utcnow(), caller()
    if key is None:
        raise Malformed("send an Idempotency-Key: a check-in that is sent twice must count once", code="idempotency_key_missing")
    with database().write() as session:
        wanted = service.new_check_in_id(claim["store_id"], now=now)
        check_in_id = once(session, caller=me, key=key, request=["check-in", claim], resource_id=wanted, now=now)
        if check_in_id == wanted:
            row = service.check_in(session, caller=me, claim=claim, check_in_id=check_in_id, now=now)
        else:
            row = service.get_check_in(session, check_in_id, caller=me)
    response = answer(dump_check_in(row), status=201)
    response.headers["Location"] = f"/v1/check-ins/{row.id}"
    return response


@blueprint.get("/<check_in_id>")
@access("visits:read")
@blueprint.response(200, CheckInResponse)
def show(check_in_id: str) -> dict[str, Any]:
    """One check-in, for the app that sent it and for the store where it happened."""
    with database().read() as session:
        return dump_check_in(service.get_check_in(session, path_id(check_in_id), caller=caller()))


@blueprint.get("")
@access("check-ins:read")
@blueprint.arguments(CheckInsAsked, location="query")
@blueprint.response(200, CheckInList)
def index(asked: dict[str, Any]) -> dict[str, Any]:
    """A merchant's own check-ins, newest first."""
    position = position_of(asked)
    with database().read() as session:
        found = queries.list_check_ins(
            session,
            merchant_id=caller().merchant_id,
            store_id=asked.get("store_id"),
            level=asked.get("level"),
            before=(datetime.fromisoformat(position[0]), UUID(position[1])) if position else None,
            limit=asked["limit"] + 1,
        )
    page, following = page_of(found, asked, lambda row: [row.checked_in_at.isoformat(), str(row.id)])
    return {"items": [dump_check_in(row) for row in page], "next": following}


@blueprint.get("/counts")
@access("check-ins:read")
@blueprint.arguments(CountsAsked, location="query")
@blueprint.response(200, CheckInCounts)
def counts(asked: dict[str, Any]) -> dict[str, Any]:
    """Exact numbers of a merchant's own check-ins by store and level."""
    with database().read() as session:
        rows = queries.count_check_ins(
            session, merchant_id=caller().merchant_id, store_id=asked.get("store_id"), since=asked.get("since"), until=asked.get("until")
        )
    return {
        "items": [{"store_id": store, "level": level, "level_name": LEVELS[level], "count": number} for store, level, number in rows],
        "next": None,
    }
