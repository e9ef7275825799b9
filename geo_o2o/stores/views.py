from __future__ import annotations

from typing import Any
from uuid import UUID

from flask import Response

from ..auth.access import access
from ..auth.service import once
from ..http import caller, database, idempotency_key, page_of, path_id, position_of, settings, utcnow, version_asked, with_version
from ..parsing import Blueprint
from . import queries, service
from .categories import tree, with_descendants
from .schemas import CategoryList, StoreChange, StoreList, StoreRequest, StoreResponse, StoreWalk, dump_attribution, dump_store

blueprint = Blueprint("stores", __name__, url_prefix="/v1", description="The catalogue of stores")


@blueprint.get("/categories")
@access("catalogue:read")
@blueprint.response(200, CategoryList)
def categories() -> dict[str, Any]:
    """The category tree, parents first."""
    return {
        "items": [{"code": code, "parent": node.parent_code, "names": node.names} for code, node in tree().items()],
        "next": None,
    }


@blueprint.get("/stores")
@access("catalogue:read")
@blueprint.arguments(StoreWalk, location="query")
@blueprint.response(200, StoreList)
def index(asked: dict[str, Any]) -> dict[str, Any]:
    """Walk over the whole catalogue by cursor, without a cap; for a store's key over its own stores."""
    position = position_of(asked)
    # A store's key sees its own merchant's stores and no others.
    mine = caller().merchant_id or asked.get("merchant_id")
    with database().read() as session:
        stores = queries.walk_stores(
            session,
            after=(position[0], UUID(position[1])) if position else None,
            limit=asked["limit"] + 1,
            merchant_id=mine,
            source=asked.get("source"),
            district=asked.get("district"),
            category_ids=with_descendants(asked["category"]) if "category" in asked else None,
            changed_since=asked.get("changed_since"),
        )
        page, following = page_of(stores, asked, lambda store: [store.shard_cell, str(store.id)])
        districts = queries.districts_of(session, [store.id for store in page])
        credit = queries.attributions(session, [store.source for store in page])
    return {
        "items": [dump_store(store, districts=districts.get(store.id, []), crs=asked["crs"]) for store in page],
        "next": following,
        "attribution": dump_attribution(credit),
    }


@blueprint.post("/stores")
@access("catalogue:write")
@blueprint.arguments(StoreRequest)
@blueprint.answers(201, StoreResponse)
def create(body: dict[str, Any]) -> Response:
    """Add a store. A store's key adds it to its own merchant. Takes an Idempotency-Key."""
    now, me, conf, crs = utcnow(), caller(), settings(), body.pop("crs")
    with database().write() as session:
        wanted = service.new_store_id(body["at"], now=now)
        store_id = once(session, caller=me, key=idempotency_key(), request=["store", body], resource_id=wanted, now=now)
        if store_id == wanted:
            store = service.add_store(session, caller=me, fields=body, store_id=store_id, now=now, horizon_d=conf.hours_horizon_d)
        else:
            store = service.get_store_where_it_is(session, store_id)
        session.refresh(store)
        districts = queries.districts_of(session, [store.id]).get(store.id, [])
    return with_version(dump_store(store, districts=districts, crs=crs), store.version, status=201, location=f"/v1/stores/{store.id}")


@blueprint.patch("/stores/<store_id>")
@access("catalogue:write")
@blueprint.arguments(StoreChange)
@blueprint.answers(200, StoreResponse)
def change(body: dict[str, Any], store_id: str) -> Response:
    """Change what is sent of a store; needs If-Match. A store that moves far gets a new id, in the answer's Location."""
    version, crs = version_asked(), body.pop("crs")
    with database().write() as session:
        store = service.change_store(
            session, caller=caller(), store_id=path_id(store_id), version=version, fields=body, now=utcnow(),
            horizon_d=settings().hours_horizon_d,
        )  # fmt: skip
        session.refresh(store)
        districts = queries.districts_of(session, [store.id]).get(store.id, [])
    return with_version(dump_store(store, districts=districts, crs=crs), store.version, location=f"/v1/stores/{store.id}")


@blueprint.delete("/stores/<store_id>")
@access("catalogue:write")
@blueprint.response(204)
def remove(store_id: str) -> None:
    """Take a store out of the catalogue; needs If-Match. Its id answers 410 from then on."""
    version = version_asked()
    with database().write() as session:
        service.remove_store(session, caller=caller(), store_id=path_id(store_id), version=version, now=utcnow())
