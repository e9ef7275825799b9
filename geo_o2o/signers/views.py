from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from flask import Response

from ..auth.access import access
from ..http import answer, caller, database, path_id, settings, utcnow
from ..parsing import Blueprint
from . import queries, service
from .request import proven, sender, with_nonce
from .schemas import DeviceRequest, DeviceResponse, TillList, TillRequest, TillResponse, dump_device, dump_till
from .totp import totp_address

blueprint = Blueprint("signers", __name__, url_prefix="/v1", description="Devices and tills: who signs a visit")


@blueprint.post("/devices")
@access("check-ins:write")
@blueprint.arguments(DeviceRequest)
@blueprint.response(201, DeviceResponse)
def enrol_device(asked: dict[str, Any]) -> Response:
    """Enrol a visitor's device by its public key; the request itself is signed by it (header DPoP)."""
    now = utcnow()
    with database().write() as session:
        device = service.enrol_device(session, caller=caller(), proof=proven(session), asked=asked, now=now)
    return with_nonce(answer(dump_device(device), status=201))


@blueprint.get("/devices/nonce")
@access("check-ins:write")
@blueprint.response(204)
def nonce() -> Response:
    """What a device signs with its next request, in the header DPoP-Nonce, for whoever would not be refused first to learn it."""
    return with_nonce(Response(status=204, headers={"Cache-Control": "no-store"}))


@blueprint.post("/devices/<device_id>/revoke")
@access("check-ins:write")
@blueprint.response(200, DeviceResponse)
def revoke_device(device_id: str) -> dict[str, Any]:
    """Revoke a device whose key was lost: nothing that it signs is taken any more."""
    me = sender()
    with database().write() as session:
        return dump_device(service.revoke_device(session, device_id, caller=me, now=utcnow()))


@blueprint.post("/stores/<store_id>/tills")
@access("catalogue:write")
@blueprint.arguments(TillRequest)
@blueprint.response(201, TillResponse)
def enrol_till(asked: dict[str, Any], store_id: str) -> Response:
    """Enrol a store's till by its public key. The log says so, and your own site should too (`/.well-known/visit-tills.json`)."""
    with database().write() as session:
        till = service.enrol_till(session, path_id(store_id), caller=caller(), asked=asked, now=utcnow())
    issuer = urlsplit(settings().public_url).netloc or "geo_o2o"
    return answer(dump_till(till, totp=totp_address(till.totp_secret, name=till.name, issuer=issuer)), status=201)


@blueprint.get("/stores/<store_id>/tills")
@access("catalogue:read")
@blueprint.response(200, TillList)
def tills(store_id: str) -> dict[str, Any]:
    """The tills of a store, revoked ones too."""
    with database().read() as session:
        return {"items": [dump_till(one) for one in queries.tills_of_store(session, path_id(store_id))], "next": None}


@blueprint.post("/stores/<store_id>/tills/<till_id>/revoke")
@access("catalogue:write")
@blueprint.response(200, TillResponse)
def revoke_till(store_id: str, till_id: str) -> dict[str, Any]:
    """Revoke a till: what it signed before stays good, what it signs from now on is refused."""
    with database().write() as session:
        return dump_till(service.revoke_till(session, path_id(store_id), till_id, caller=caller(), now=utcnow()))
