from __future__ import annotations

import hashlib
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from flask import Flask, Response, current_app, request
from prometheus_client import Counter

from ..auth.access import access
from ..cursor import read_cursor, sign_cursor
from ..errors import NotFound
from ..http import Blueprint, caller, database, path_id, settings, unless_known, utcnow, with_version
from ..offers import queries as offers
from ..offers.schemas import dump_placement
from ..stores import queries as stores
from ..stores.hours import expand
from ..stores.schemas import StoreAsked, dump_attribution, dump_store, written_point
from ..stores.service import get_store, hours_of_row
from . import service
from .answer import body, changed, item
from .question import After, Kind, Question
from .reading import read_question, whole_minute, widens
from .schemas import NearbyOffers, NearbyRequest, NearbyStores, StorePage, dump_intervals
from .service import Finder, Page

blueprint = Blueprint("discovery", __name__, url_prefix="/v1", description="What is near and good")

_SHOWN_DAYS = 7
# One schema for all requests: making one copies every field, which costs as much as the rest of reading the question.
_NEARBY = NearbyRequest()
# How much of an answer is shown, and how; the rest says what is asked.
_NOT_ASKED = frozenset({"cursor", "limit", "explain", "fields_", "facets", "lat", "lng"})
_answers = Counter("geo_o2o_nearby_total", "Answers of nearby by who gave them: shelf or database", ["path"])


@blueprint.get("/offers/nearby")
@access("discovery:read")
@blueprint.arguments(_NEARBY, location="query")
@blueprint.response(200, NearbyOffers)
def offers_nearby(asked: dict[str, Any]) -> Response:
    """Offers near a point, ranked by distance and rating; an offer of many stores appears once, at its best store."""
    return _nearby(asked, "offers")


@blueprint.get("/stores/nearby")
@access("discovery:read")
@blueprint.arguments(_NEARBY, location="query")
@blueprint.response(200, NearbyStores)
def stores_nearby(asked: dict[str, Any]) -> Response:
    """Stores near a point, ranked by distance and rating."""
    return _nearby(asked, "stores")


@blueprint.post("/offers/nearby")
@access("discovery:read")
@blueprint.arguments(_NEARBY)
@blueprint.response(200, NearbyOffers)
def offers_nearby_in_shape(asked: dict[str, Any]) -> Response:
    """The same question in a body, for shapes that are too long for an address."""
    return _nearby(asked, "offers")


@blueprint.post("/stores/nearby")
@access("discovery:read")
@blueprint.arguments(_NEARBY)
@blueprint.response(200, NearbyStores)
def stores_nearby_in_shape(asked: dict[str, Any]) -> Response:
    """The same question in a body, for shapes that are too long for an address."""
    return _nearby(asked, "stores")


def _nearby(asked: dict[str, Any], kind: Kind) -> Response:
    text = _asked_as_text(asked)
    position = read_cursor(asked["cursor"], question=text, secret=settings().secret_key) if asked.get("cursor") else None
    now = whole_minute(utcnow())
    # Later pages keep the moment of the first one, or a closing time between two pages would tear a hole into the walk.
    at = datetime.fromisoformat(position[0]) if position else now
    for name in ("open_at", "open_until", "valid_at"):
        if name in asked:
            service.check_moment(asked[name], field=name, now=now, horizon_d=settings().hours_horizon_d)
    profile, district = finder().profile(asked["profile"]), finder().outline(asked.get("district"))
    question = read_question(
        asked, kind=kind, at=at, profile=profile, district=district, radius_m=position[1] if position else None,
        after=After(position[2], position[3], UUID(position[4])) if position else None,
    )  # fmt: skip
    page = finder().page(question, widen=widens(asked) and position is None)
    _answers.labels(page.path).inc()
    return _answer(asked, question, page, text)


def _answer(asked: dict[str, Any], question: Question, page: Page, text: str) -> Response:
    """The page as bytes, with its tag; 304 where the caller has it already."""
    at, profile = question.filters.at, question.profile
    items = [item(shown, b'"%b"' % profile.name.encode()) for shown in page.shown]
    fields = asked.get("fields_")
    if asked["crs"] != "wgs84" or fields is not None or asked["explain"]:
        items = changed(items, crs=asked["crs"], fields=fields, explain=profile if asked["explain"] else None)
    last = page.last
    position = [at.isoformat(), page.radius_m, last.key, last.distance_m, str(last.id)] if last else None
    rest: dict[str, Any] = {
        "next": sign_cursor(position, question=text, secret=settings().secret_key) if position else None,
        "at": at,
        "radius_used_m": page.radius_m,
        "attribution": [{"source": source, "attribution": words, "licence": licence} for source, (words, licence) in page.credit.items()],
    }
    if "lat" not in asked:
        rest["origin"] = written_point(question.where.origin, asked["crs"])
    if asked["explain"]:
        rest["profile"] = profile.as_json()
    if page.stale_s is not None:
        rest["stale_since"] = utcnow() - timedelta(seconds=page.stale_s)
    content = body(items, rest)
    response = Response(content, content_type="application/json")
    response.headers["ETag"] = f'"{hashlib.blake2b(content, digest_size=12).hexdigest()}"'
    return unless_known(response) if request.if_none_match else response


def _asked_as_text(asked: dict[str, Any]) -> str:
    """The question as text, to which a cursor belongs; how much is shown of it does not belong to it."""
    said = sorted((name, str(value)) for name, value in asked.items() if name not in _NOT_ASKED)
    return f"{request.path} {asked.get('lat')} {asked.get('lng')} {said}"


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


def finder() -> Finder:
    return current_app.extensions["finder"]


def set_up(app: Flask) -> None:
    """The shelf and what remembers of it, of this process."""
    conf = app.extensions["settings"]
    app.extensions["finder"] = Finder.of(conf, lambda: app.extensions["database"])
