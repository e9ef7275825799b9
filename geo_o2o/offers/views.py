from __future__ import annotations

from typing import Any
from uuid import UUID

from flask import Response

from ..auth.access import access
from ..auth.service import once
from ..http import caller, database, idempotency_key, page_of, path_id, position_of, utcnow, version_asked, with_version
from ..parsing import Blueprint
from . import queries, service
from .schemas import OfferChange, OfferList, OfferRequest, OfferResponse, OfferWalk, dump_offer

blueprint = Blueprint("offers", __name__, url_prefix="/v1/offers", description="Offers of stores")


@blueprint.get("")
@access("catalogue:read")
@blueprint.arguments(OfferWalk, location="query")
@blueprint.response(200, OfferList)
def index(asked: dict[str, Any]) -> dict[str, Any]:
    """Walk over all offers by cursor, without a cap; for a store's key over its own, drafts included."""
    position = position_of(asked)
    me = caller()
    merchant_id = me.merchant_id or asked.get("merchant_id")
    with database().read() as session:
        found = queries.walk_offers(
            session,
            after=(position[0], UUID(position[1])) if position else None,
            limit=asked["limit"] + 1,
            merchant_id=merchant_id,
            status=asked.get("status"),
            changed_since=asked.get("changed_since"),
            public_only=not (me.role == "admin" or (merchant_id is not None and me.may_change(merchant_id))),
        )
    page, following = page_of(found, asked, lambda offer: [offer.shard_cell, str(offer.id)])
    return {"items": [dump_offer(offer) for offer in page], "next": following}


@blueprint.get("/<offer_id>")
@access("catalogue:read")
@blueprint.answers(200, OfferResponse)
def show(offer_id: str) -> Response:
    """One offer with the stores it holds in."""
    with database().read() as session:
        offer = service.get_visible_offer(session, path_id(offer_id), caller=caller())
    return with_version(dump_offer(offer), offer.version)


@blueprint.post("")
@access("catalogue:write")
@blueprint.arguments(OfferRequest)
@blueprint.answers(201, OfferResponse)
def create(body: dict[str, Any]) -> Response:
    """Add an offer in some of the caller's own stores. Takes an Idempotency-Key."""
    now, me = utcnow(), caller()
    with database().write() as session:
        wanted = service.new_offer_id(now=now)
        offer_id = once(session, caller=me, key=idempotency_key(), request=["offer", body], resource_id=wanted, now=now)
        if offer_id == wanted:
            offer = service.add_offer(session, caller=me, fields=body, offer_id=offer_id, now=now)
        else:
            offer = service.get_offer(session, offer_id)
    return with_version(dump_offer(offer), offer.version, status=201, location=f"/v1/offers/{offer.id}")


@blueprint.patch("/<offer_id>")
@access("catalogue:write")
@blueprint.arguments(OfferChange)
@blueprint.answers(200, OfferResponse)
def change(body: dict[str, Any], offer_id: str) -> Response:
    """Change what is sent of an offer; needs If-Match."""
    version = version_asked()
    with database().write() as session:
        offer = service.change_offer(session, caller=caller(), offer_id=path_id(offer_id), version=version, fields=body, now=utcnow())
    return with_version(dump_offer(offer), offer.version)


@blueprint.delete("/<offer_id>")
@access("catalogue:write")
@blueprint.response(204)
def remove(offer_id: str) -> None:
    """Take an offer back; needs If-Match. Its id answers 410 from then on."""
    version = version_asked()
    with database().write() as session:
        service.remove_offer(session, caller=caller(), offer_id=path_id(offer_id), version=version, now=utcnow())
