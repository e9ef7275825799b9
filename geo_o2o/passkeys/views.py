from __future__ import annotations

from typing import Any

from flask import Response

from ..auth.access import access, public
from ..http import answer, caller, database, path_id, settings, utcnow
from ..parsing import Blueprint
from . import queries, service
from .schemas import PasskeyList, PasskeyRequest, PasskeyResponse, SignInRequest, SignInResponse, dump_passkey

blueprint = Blueprint("passkeys", __name__, url_prefix="/v1", description="Staff sign in without typing a key")


@blueprint.get("/passkeys")
@access("passkeys:write")
@blueprint.response(200, PasskeyList)
def index() -> dict[str, Any]:
    """The passkeys of the merchant that asks; of all, for the operator. Revoked ones are left out."""
    with database().read() as session:
        return {"items": [dump_passkey(one) for one in queries.list_passkeys(session, caller().merchant_id)], "next": None}


@blueprint.post("/passkeys/options")
@access("passkeys:write")
@blueprint.answers(200)
def begin() -> Response:
    """What `navigator.credentials.create()` makes a passkey from; it must be answered within five minutes."""
    with database().read() as session:
        return _unkept(answer(service.begin(session, settings(), caller=caller(), now=utcnow())))


@blueprint.post("/passkeys")
@access("passkeys:write")
@blueprint.arguments(PasskeyRequest)
@blueprint.response(201, PasskeyResponse)
def create(asked: dict[str, Any]) -> Response:
    """Keep a passkey that a browser has made.

    It signs in as the store whose key it was made with, until it is revoked itself, or the last key of the store is.
    """
    with database().write() as session:
        made = service.add(session, settings(), caller=caller(), name=asked["name"], credential=asked["credential"], now=utcnow())
        return answer(dump_passkey(made), status=201)


@blueprint.post("/passkeys/<passkey_id>/revoke")
@access("passkeys:write")
@blueprint.response(200, PasskeyResponse)
def revoke(passkey_id: str) -> dict[str, Any]:
    """Make a passkey useless, for good; whoever is signed in by it is signed out within seconds."""
    with database().write() as session:
        return dump_passkey(service.revoke(session, path_id(passkey_id), caller=caller(), now=utcnow()))


@blueprint.post("/sign-ins/options")
@public
@blueprint.answers(200)
def begin_sign_in() -> Response:
    """What `navigator.credentials.get()` looks for a passkey by; it must be answered within five minutes, and counts once."""
    return _unkept(answer(service.begin_sign_in(settings(), now=utcnow())))


@blueprint.post("/sign-ins")
@public
@blueprint.arguments(SignInRequest)
@blueprint.response(201, SignInResponse)
def sign_in(asked: dict[str, Any]) -> Response:
    """Sign in with a passkey: a key of the store that ends by itself after twelve hours."""
    with database().write() as session:
        passkey, key, text = service.sign_in(session, settings(), credential=asked["credential"], now=utcnow())
        body = {"key": text, "expires_at": key.expires_at, "passkey_id": passkey.id, "merchant_id": passkey.merchant_id}
    return _unkept(answer(body, status=201))


def _unkept(response: Response) -> Response:
    """Nobody on the way shall keep it."""
    response.headers["Cache-Control"] = "no-store"
    return response
