from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from flask import Response
from sqlalchemy import RowMapping

from ..auth.access import access
from ..errors import NotFound
from ..http import Blueprint, answer, caller, database, next_cursor, path_id, position_of, settings, utcnow, with_version
from ..offers import queries as offers
from ..offers.schemas import dump_placement
from ..stores import queries as stores
from ..stores.categories import with_descendants
from ..stores.hours import expand
from ..stores.schemas import StoreAsked, dump_attribution, dump_store
from ..stores.service import get_store, hours_of_row
from . import queries, service
from .queries import After, Filters
from .ranking import Score, rank
from .schemas import NearbyOffers, NearbyRequest, NearbyStores, StorePage, candidate_of, dump_intervals, dump_offer_hit, dump_store_hit

blueprint = Blueprint("discovery", __name__, url_prefix="/v1", description="What is near and good")

_SHOWN_DAYS = 7
# One schema for all requests: making one copies every field, which costs as much as the rest of reading the question.
_NEARBY = NearbyRequest()


@blueprint.get("/offers/nearby")
@access("discovery:read")
@blueprint.arguments(_NEARBY, location="query")
@blueprint.response(200, NearbyOffers)
def offers_nearby(asked: dict[str, Any]) -> Response:
    """Offers near a point, ranked by distance and rating; an offer of many stores appears once, at its best store."""
    return _nearby(asked, find=queries.offers_near, dump=dump_offer_hit, id_column="offer_id")


@blueprint.get("/stores/nearby")
@access("discovery:read")
@blueprint.arguments(_NEARBY, location="query")
@blueprint.response(200, NearbyStores)
def stores_nearby(asked: dict[str, Any]) -> Response:
    """Stores near a point, ranked by distance and rating."""
    return _nearby(asked, find=queries.stores_near, dump=dump_store_hit, id_column="store_id")


def _nearby(asked: dict[str, Any], *, find: Callable[..., list[RowMapping]], dump: Callable[..., dict[str, Any]], id_column: str) -> Response:
    position = position_of(asked)
    now = utcnow()
    # Later pages keep the moment of the first one, or a closing time between two pages would tear a hole into the walk.
    at = datetime.fromisoformat(position[0]) if position else asked.get("open_at", now)
    after = After(position[1], position[2], UUID(position[3])) if position else None
    if "open_at" in asked:
        service.check_moment(at, now=now, horizon_d=settings().hours_horizon_d)
    with database().read() as session:
        profile = service.get_profile(session, asked["profile"])
        rows = find(
            session, origin=asked["origin"], radius_m=asked["radius_m"], filters=_filters(asked, at), profile=profile,
            limit=asked["limit"] + 1, after=after,
        )  # fmt: skip
    page = _ranked(rows, profile, id_column)[: asked["limit"]]
    last = page[-1] if len(rows) > asked["limit"] else None
    more = [at.isoformat(), last[1].total, last[0]["distance_m"], str(last[0][id_column])] if last else None
    body = {
        "items": [dump(row, score, profile=profile, crs=asked["crs"], explain=asked["explain"]) for row, score in page],
        "next": next_cursor(more, asked),
        "at": at,
        "attribution": _credit(page),
    }
    if asked["explain"]:
        body["profile"] = profile.as_json()
    return answer(body)


def _filters(asked: dict[str, Any], at: datetime) -> Filters:
    categories = asked.get("category")
    return Filters(
        at=at,
        must_be_open=asked["open_now"] or "open_at" in asked,
        category_ids=sorted({id_ for code in categories for id_ in with_descendants(code)}) if categories else None,
        min_rating_milli=round(asked["min_rating"] * 1000) if "min_rating" in asked else None,
        price_max=asked.get("price_max"),
        currency=asked.get("currency"),
    )


def _ranked(rows: Sequence[RowMapping], profile: Any, id_column: str) -> list[tuple[RowMapping, Score]]:
    """The rows in the order of the published rule, with their points."""
    by_id = {row[id_column]: row for row in rows}
    return [(by_id[candidate.id], score) for candidate, score in rank((candidate_of(row, id_column=id_column) for row in rows), profile)]


def _credit(page: Sequence[tuple[RowMapping, Score]]) -> list[dict[str, str]]:
    """Attribution and licence of every source that the page shows."""
    credit = {row["source"]: (row["attribution"], row["licence"]) for row, _ in page if row["attribution"]}
    return [{"source": source, "attribution": words, "licence": licence} for source, (words, licence) in sorted(credit.items())]


@blueprint.get("/stores/<store_id>")
@access("catalogue:read")
@blueprint.arguments(StoreAsked, location="query")
@blueprint.response(200, StorePage)
def store_page(asked: dict[str, Any], store_id: str) -> Response:
    """One store with its hours, offers, districts and rating."""
    now, id_ = utcnow(), path_id(store_id)
    with database().read() as session:
        store = get_store(session, id_)
        if not caller().may_see(store.merchant_id):
            raise NotFound(f"there is no store {id_}")
        districts = stores.districts_of(session, [id_]).get(id_, [])
        placed = offers.offers_in_store(session, id_, now=now)
        hours = stores.find_hours(session, store.hours_id)
        credit = stores.attributions(session, [store.source])
    week = expand(hours_of_row(hours), start=now, until=now + timedelta(days=_SHOWN_DAYS)) if hours else []
    body = {
        **dump_store(store, districts=districts, crs=asked["crs"]),
        "open": bool(week and week[0][0] <= now) if hours else None,
        "open_intervals": dump_intervals(week),
        "offers": [dump_placement(placement, store_category_id=store.category_id) for placement in placed],
        "attribution": dump_attribution(credit),
    }
    return with_version(body, store.version, lasting=False)
