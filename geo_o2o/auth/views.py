from __future__ import annotations

import hashlib
import threading
import time
from functools import partial
from typing import Any

from flask import Flask, Response
from flask.globals import request_ctx
from sqlalchemy.exc import OperationalError

from ..caller import Caller
from ..db import Database
from ..errors import Forbidden, Unauthenticated
from ..http import answer, database, settings, utcnow
from ..parsing import Blueprint
from . import queries, service
from .access import PUBLIC, ROLES, access, mark_of
from .models import Merchant
from .schemas import KeyList, KeyMade, KeyRequest, KeyResponse, MerchantList, MerchantRequest, MerchantResponse, dump_key

blueprint = Blueprint("merchants", __name__, url_prefix="/v1", description="Parties that own stores, and API keys")

# A page of keys that somebody invents must not grow the memory of a process.
_MOST_REMEMBERED = 10_000
# So long after its time a key that is in use is still taken, while it is looked up again.
_GRACE_S = 2.0


@blueprint.get("/merchants")
@access("merchants:write")
@blueprint.response(200, MerchantList)
def index() -> dict[str, Any]:
    """All merchants by name."""
    with database().read() as session:
        return {"items": queries.list_merchants(session), "next": None}


@blueprint.post("/merchants")
@access("merchants:write")
@blueprint.arguments(MerchantRequest)
@blueprint.response(201, MerchantResponse)
def create(body: dict[str, Any]) -> Merchant:
    """The merchant of that name, made where there is none."""
    with database().write() as session:
        return service.add_merchant(session, name=body["name"], now=utcnow())


@blueprint.get("/keys")
@access("keys:write")
@blueprint.response(200, KeyList)
def list_keys() -> dict[str, Any]:
    """Every API key by its prefix, newest first, the revoked ones too; never its secret, which is kept nowhere."""
    with database().read() as session:
        return {"items": [dump_key(key, merchant=merchant) for key, merchant in queries.list_keys(session)], "next": None}


@blueprint.post("/keys")
@access("keys:write")
@blueprint.arguments(KeyRequest)
@blueprint.response(201, KeyMade)
def create_key(asked: dict[str, Any]) -> Response:
    """A new key. Its text is in this answer and never again; a store's key belongs to a merchant."""
    with database().write() as session:
        merchant = service.get_merchant(session, asked["merchant_id"]) if asked.get("merchant_id") else None
        key, text = service.create_key(session, role=asked["role"], name=asked["name"], merchant=merchant, now=utcnow())
    return _once(dump_key(key, merchant=merchant.name if merchant else None), text)


@blueprint.post("/keys/<prefix>/replace")
@access("keys:write")
@blueprint.response(201, KeyMade)
def replace_key(prefix: str) -> Response:
    """A new key for the app or store of an old one, whose accounts, check-ins and receipts stay theirs; the old one goes on until it is revoked."""
    with database().write() as session:
        key, text = service.replace_key(session, prefix=prefix, name="", now=utcnow())
        merchant = queries.find_merchant(session, key.merchant_id) if key.merchant_id else None
    return _once(dump_key(key, merchant=merchant.name if merchant else None), text)


@blueprint.post("/keys/<prefix>/revoke")
@access("keys:write")
@blueprint.response(200, KeyResponse)
def revoke_key(prefix: str) -> dict[str, Any]:
    """Make a key useless, for good; running services forget it within seconds. The last key of the operator is not revoked here."""
    with database().write() as session:
        key = service.revoke_key(session, prefix=prefix, now=utcnow(), keep_operator=True)
        merchant = queries.find_merchant(session, key.merchant_id) if key.merchant_id else None
        return dump_key(key, merchant=merchant.name if merchant else None)


def _once(body: dict[str, Any], text: str) -> Response:
    """An answer with a secret, which nobody on the way shall keep."""
    response = answer({**body, "key": text}, status=201)
    response.headers["Cache-Control"] = "no-store"
    return response


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
