from __future__ import annotations

import hashlib
import threading
import time
from functools import partial
from typing import Any

from flask import Flask
from flask.globals import request_ctx
from sqlalchemy.exc import OperationalError

from ..caller import Caller
from ..db import Database
from ..errors import Forbidden, Unauthenticated
from ..http import database, settings, utcnow
from ..parsing import Blueprint
from . import queries, service
from .access import PUBLIC, ROLES, access, mark_of
from .models import Merchant
from .schemas import MerchantList, MerchantRequest, MerchantResponse

blueprint = Blueprint("merchants", __name__, url_prefix="/v1/merchants", description="Parties that own stores")

# A page of keys that somebody invents must not grow the memory of a process.
_MOST_REMEMBERED = 10_000
# So long after its time a key that is in use is still taken, while it is looked up again.
_GRACE_S = 2.0


@blueprint.get("")
@access("merchants:write")
@blueprint.response(200, MerchantList)
def index() -> dict[str, Any]:
    """All merchants by name."""
    with database().read() as session:
        return {"items": queries.list_merchants(session), "next": None}


@blueprint.post("")
@access("merchants:write")
@blueprint.arguments(MerchantRequest)
@blueprint.response(201, MerchantResponse)
def create(body: dict[str, Any]) -> Merchant:
    """The merchant of that name, made where there is none."""
    with database().write() as session:
        return service.add_merchant(session, name=body["name"], now=utcnow())


def guard(app: Flask) -> None:
    """Before every request: read the view's mark, find the caller, refuse a view without a mark."""
    known = app.extensions["known_callers"] = {}

    @app.before_request
    def check() -> None:
        asked = request_ctx.request
        if asked.url_rule is None or asked.method == "OPTIONS":
            return  # the router answers: 404, 405 or the list of methods
        mark = mark_of(app.view_functions[asked.endpoint or ""])
        if mark == PUBLIC:
            return
        caller = asked.environ["geo_o2o.caller"] = _identify(asked.environ.get("HTTP_AUTHORIZATION", ""), known)
        if mark is None:
            raise Forbidden("this route does not say who may call it, so nobody may")
        if mark not in ROLES[caller.role]:
            raise Forbidden(f"a key of role {caller.role} has not the scope {mark}")


def _identify(header: str, known: dict[bytes, tuple[float, Caller]]) -> Caller:
    kind, _, text = header.partition(" ")
    if kind.lower() != "bearer" or not text:
        raise Unauthenticated("send your API key as `Authorization: Bearer go_...`")
    name = hashlib.blake2b(text.encode(), digest_size=32).digest()
    found = known.get(name)
    now = time.monotonic()
    # While the database is away nobody can say whether a key was revoked, and who was known a moment ago stays so.
    if found and (found[0] > now or database().away):
        return found[1]
    look_up = partial(_look_up, text.strip(), name, known, database(), settings().key_cache_s)
    if found and found[0] + _GRACE_S > now and database().notifies:
        # Looked up again beside this request: a database that hangs must not hold up those who were known a moment ago.
        known[name] = (now + _GRACE_S, found[1])
        threading.Thread(target=look_up, daemon=True).start()
        return found[1]
    try:
        return look_up()
    except OperationalError:
        if found is None:
            raise
        return found[1]


def _look_up(text: str, name: bytes, known: dict[bytes, tuple[float, Caller]], database: Database, seconds: float) -> Caller:
    """The owner of a key, remembered for a time. Raises Unauthenticated."""
    try:
        with database.read() as session:
            caller = service.identify(session, text)
    except Unauthenticated:
        known.pop(name, None)
        raise
    if len(known) >= _MOST_REMEMBERED:
        known.clear()
    known[name] = (time.monotonic() + seconds, caller)
    return caller
