from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Literal
from uuid import UUID

import orjson
from flask import Flask, Response, current_app, request
from xxhash import xxh3_128_hexdigest

from ..auth.access import access
from ..config import Settings
from ..cursor import read_cursor, sign_cursor
from ..errors import NotFound
from ..geo.crs import read_point, to_wgs84, written_point
from ..geo.distance import distance_m
from ..geo.point import Point
from ..geo.tiles import resolution_of_zoom
from ..http import Answer, answer, caller, database, path_id, settings, this_minute, unless_known, utcnow, with_version
from ..metrics import Counter, Gauge
from ..offers import queries as offers
from ..offers.schemas import dump_placement
from ..offers.service import get_visible_offer
from ..parsing import NOTES, Blueprint
from ..shelf.fragments import offer_fragment
from ..shelf.snapshot import minutes
from ..stores import queries as stores
from ..stores.hours import check_moment, expand
from ..stores.schemas import StoreAsked, dump_attribution, dump_store
from ..stores.service import get_store, hours_of_row, point_of
from .answer import body, changed, joined, suggestions
from .counting import dump_clusters, dump_facets
from .queries import offers_on_shelf
from .question import After, Filters, Question, Where
from .reading import LARGEST_RADIUS_M, AreaTooLarge, read_question, read_wide_question, read_words, widens
from .schemas import (
    AlongRequest,
    ClusterList,
    ClustersRequest,
    NearbyOffers,
    NearbyRequest,
    NearbyStores,
    OffersRequest,
    ShelfRequest,
    StorePage,
    StoreShelf,
    SuggestionList,
    SuggestRequest,
    WhyNotResponse,
    dump_intervals,
    dump_why_not,
)
from .service import Finder, Page

blueprint = Blueprint("discovery", __name__, url_prefix="/v1", description="What is near and good")

_SHOWN_DAYS = 7
# One schema for all requests: making one copies every field, which costs as much as the rest of reading the question.
_STORES, _OFFERS, _CLUSTERS = NearbyRequest(), OffersRequest(), ClustersRequest()
# How much of an answer is shown, and how; the rest says what is asked.
_NOT_ASKED = frozenset({"cursor", "limit", "explain", "fields_", "facets", "sponsored", "lat", "lng"})
# Names of moments, and of shapes.
_MOMENTS, _SHAPES = frozenset({"open_at", "open_until", "valid_at"}), frozenset({"bbox", "within", "district", "cells"})
# Hits from which suggestions are made.
_LOOKED_AT = 40
_answers = Counter("geo_o2o_nearby_total", "Answers of nearby by who gave them: shelf or database", ["path"])
_empty = Counter("geo_o2o_nearby_empty_total", "Answers of nearby without a hit: somebody has searched in vain")
_over_budget = Counter("geo_o2o_nearby_over_budget_total", "Answers of nearby that took longer than nearby_budget_ms")
_budget = Gauge("geo_o2o_nearby_budget_seconds", "Longest time that nearby should take", multiprocess_mode="max")
_answered = {path: _answers.labels(path) for path in ("shelf", "database")}


@blueprint.get("/offers/nearby")
@access("discovery:read")
@blueprint.arguments(_OFFERS, location="query")
@blueprint.answers(200, NearbyOffers)
def offers_nearby(asked: dict[str, Any]) -> Response:
    """Offers near a point, ranked by distance and rating; an offer of many stores appears once, at its best store."""
    return _nearby(asked, "offers")


@blueprint.get("/stores/nearby")
@access("discovery:read")
@blueprint.arguments(_STORES, location="query")
@blueprint.answers(200, NearbyStores)
def stores_nearby(asked: dict[str, Any]) -> Response:
    """Stores near a point, ranked by distance and rating."""
    return _nearby(asked, "stores")


@blueprint.post("/offers/nearby")
@access("discovery:read")
@blueprint.arguments(_OFFERS)
@blueprint.answers(200, NearbyOffers)
def offers_nearby_in_shape(asked: dict[str, Any]) -> Response:
    """The same question in a body, for shapes that are too long for an address."""
    return _nearby(asked, "offers")


@blueprint.post("/stores/nearby")
@access("discovery:read")
@blueprint.arguments(_STORES)
@blueprint.answers(200, NearbyStores)
def stores_nearby_in_shape(asked: dict[str, Any]) -> Response:
    """The same question in a body, for shapes that are too long for an address."""
    return _nearby(asked, "stores")


def _nearby(asked: dict[str, Any], kind: Literal["stores", "offers"]) -> Response:
    notes = asked.pop(NOTES, {})
    began = time.perf_counter()
    text, now, known = _asked_as_text(asked, notes, kind), this_minute(), current_app.extensions
    conf: Settings = known["settings"]
    found_by: Finder = known["finder"]
    at, radius_m, after, named = _position(asked, text, now, secret=conf.secret_key)
    _check_moments(asked, now=now)
    profile, district = found_by.profile(named), found_by.outline(asked.get("district"), now=utcnow())
    question = read_question(
        asked, kind=kind, at=at, profile=profile, district=district, radius_m=radius_m, after=after, notes=notes
    )  # fmt: skip
    page = found_by.page(question, widen=widens(asked) and after is None)
    _answered[page.path].inc()
    if not page.items:
        _empty.inc()
    more: dict[str, Any] = {}
    if "facets" in asked or asked.get("sponsored"):
        question = replace(question, where=replace(question.where, radius_m=page.radius_m))
    if "facets" in asked:
        counted = found_by.facets(question, asked["facets"])
        more = {"count": sum(next(iter(counted.values())).values()), "facets": dump_facets(counted)}
    if asked.get("sponsored"):
        more["sponsored"] = _sponsored(asked, question)
    response = _answer(asked, question, page, text, more, at=at, secret=conf.secret_key)
    if (time.perf_counter() - began) * 1_000 > conf.nearby_budget_ms:
        _over_budget.inc()
    return response


def _check_moments(asked: dict[str, Any], *, now: datetime) -> None:
    """Raises OutOfHorizon."""
    for name in _MOMENTS.intersection(asked):
        check_moment(asked[name], field=name, now=now, horizon_d=settings().hours_horizon_d)


def _position(asked: dict[str, Any], text: str, now: datetime, *, secret: str) -> tuple[datetime, float | None, After | None, str | None]:
    """Where a walk over pages stands: its moment, the radius it looks within, the last hit that was shown, and the name of its profile.

    Later pages keep the moment and the profile of the first one: a closing time between two pages, or another order, would tear a hole into the walk.
    """
    if not asked.get("cursor"):
        return now, None, None, asked["profile"]
    minute, radius_m, key, distance_m, id_, profile = read_cursor(asked["cursor"], question=text, secret=secret)
    return datetime.fromtimestamp(60 * minute, UTC), radius_m, After(key, distance_m, UUID(id_)), profile


def _sponsored(asked: dict[str, Any], question: Question, *, along: tuple[list[Point], float] | None = None) -> list[dict[str, Any]]:
    profile = question.profile
    paid = changed(
        finder().sponsored(question, most=asked["sponsored"], along=along),
        crs=asked["crs"],
        fields=asked.get("fields_"),
        explain=profile if asked["explain"] else None,
        words=question.words,
    )
    return [{**hit, "label": "sponsored"} for hit in paid]


def _answer(asked: dict[str, Any], question: Question, page: Page, text: str, more: dict[str, Any], *, at: datetime, secret: str) -> Response:
    """The page as bytes, with its tag; 304 where the caller has it already. at: when the first page was asked for."""
    profile, items, last = question.profile, page.items, page.last
    fields = asked.get("fields_")
    if asked["crs"] != "wgs84" or fields is not None or asked["explain"]:
        items = joined(changed(items, crs=asked["crs"], fields=fields, explain=profile if asked["explain"] else None, words=question.words))
    position = [minutes(at), page.radius_m, last.key, last.distance_m, last.id.hex, profile.name] if last else None
    rest: dict[str, Any] = {
        "next": sign_cursor(position, question=text, secret=secret) if position else None,
        "at": question.filters.at,
        "radius_used_m": page.radius_m,
        "attribution": [{"source": source, "attribution": credit, "licence": licence} for source, (credit, licence) in sorted(page.credit.items())],
    }
    if "lat" not in asked:
        rest["origin"] = written_point(question.where.origin, asked["crs"])
    if asked["explain"]:
        rest |= {"profile": profile.as_json(), "sort": question.sort}
    rest |= more
    if page.stale_since is not None:
        rest["stale_since"] = page.stale_since
    content = body(items, rest)
    response = Answer(content, content_type="application/json")
    # Of what is shown and of nothing else (decision 0008).
    response.headers.add("ETag", f'"{xxh3_128_hexdigest(content)}"')
    return unless_known(response) if "HTTP_IF_NONE_MATCH" in request.environ else response


def _asked_as_text(asked: dict[str, Any], notes: dict[Any, Any], kind: str) -> str:
    """The question as text, to which a cursor belongs; how much is shown of it does not belong to it."""
    said = notes.get("said")
    if said is None:
        said = notes["said"] = str(sorted((name, str(value)) for name, value in asked.items() if name not in _NOT_ASKED))
    return f"{kind} {asked.get('lat')} {asked.get('lng')} {said}"


@blueprint.post("/offers/along")
@access("discovery:read")
@blueprint.arguments(AlongRequest)
@blueprint.answers(200, NearbyOffers)
def offers_along(asked: dict[str, Any]) -> Response:
    """Offers along a way, ranked with the detour (there and back) as their distance."""
    line, detour_m = [to_wgs84(point, asked["crs"]) for point in asked.pop("line")], asked.pop("detour_m")
    asked |= {"within": line, "width_m": detour_m, "min_radius_m": 0.0, "serves": False}
    text = _asked_as_text({**asked, "detour_m": detour_m}, {}, "along")
    secret, now = settings().secret_key, this_minute()
    _check_moments(asked, now=now)
    at, _, after, named = _position(asked, text, now, secret=secret)
    question = read_question(
        {**asked, "crs": "wgs84"}, kind="offers", at=at, profile=finder().profile(named), district=None, radius_m=None, after=after
    )
    page = finder().along(question, line, detour_m=detour_m)
    more = {"sponsored": _sponsored(asked, question, along=(line, detour_m))} if asked["sponsored"] else {}
    return _answer(asked, question, page, text, more, at=at, secret=secret)


@blueprint.get("/offers/<offer_id>/why-not")
@access("discovery:read")
@blueprint.arguments(_OFFERS, location="query")
@blueprint.response(200, WhyNotResponse)
def why_not(asked: dict[str, Any], offer_id: str) -> dict[str, Any]:
    """Why an offer is not on the first page of a question: the filter it fails, or the points it lacks."""
    asked.pop(NOTES, None)
    now = this_minute()
    _check_moments(asked, now=now)
    with database().read() as session:
        offer = get_visible_offer(session, path_id(offer_id), caller=caller())
    question = read_question(
        asked, kind="offers", at=now, profile=finder().profile(asked["profile"]),
        district=finder().outline(asked.get("district"), now=utcnow()), radius_m=None,
        after=None,
    )  # fmt: skip
    return dump_why_not(offer, finder().why_not(question, offer.id, store_ids=offer.store_ids, widen=widens(asked)), asked=asked)


# A map of 1,000 pixels shows some forty cells across.
_COARSEST_CLUSTER, _FINEST_CLUSTER = 2, 11


@blueprint.get("/clusters")
@access("discovery:read")
@blueprint.arguments(_CLUSTERS, location="query")
@blueprint.response(200, ClusterList)
def clusters(asked: dict[str, Any]) -> dict[str, Any]:
    """How many stores lie in each H3 cell of a map's size, for any zoom and with every filter of nearby."""
    asked.pop(NOTES, None)
    resolution = resolution_of_zoom(asked["zoom"], coarsest=_COARSEST_CLUSTER, finest=_FINEST_CLUSTER)
    asked = {**asked, "limit": 1, "sort": "points"}
    profile, district, at = finder().profile(), finder().outline(asked.get("district"), now=utcnow()), this_minute()
    _check_moments(asked, now=at)
    # Where there is a shape it says how far.
    radius_m = LARGEST_RADIUS_M if _SHAPES.isdisjoint(asked) else None
    try:
        question = read_question(asked, kind="stores", at=at, profile=profile, district=district, radius_m=radius_m, after=None)
    except AreaTooLarge:
        found = finder().wide_clusters(read_wide_question(asked, at=at, profile=profile, district=district), resolution=resolution)
    else:
        found = finder().clusters(question, resolution=resolution)
    stale = {"stale_since": found.stale_since} if found.stale_since else {}
    return {"items": dump_clusters(found.counts, crs=asked["crs"]), "next": None, "resolution": resolution, **stale}


@blueprint.get("/suggest")
@access("discovery:read")
@blueprint.arguments(SuggestRequest, location="query")
@blueprint.answers(200, SuggestionList)
def suggest(asked: dict[str, Any]) -> Response:
    """What somebody may mean who types near a point: categories, brands and stores."""
    words = read_words(asked["q"], unfinished=True)
    if words is None or not words.grams:
        return answer({"items": [], "next": None})
    question = Question(
        kind="stores", where=Where(read_point(asked["lng"], asked["lat"], asked["crs"]), asked["radius_m"]),
        filters=Filters(at=this_minute()), profile=finder().profile(), words=words, limit=_LOOKED_AT,
    )  # fmt: skip
    page = finder().page(question)
    stale = {"stale_since": page.stale_since} if page.stale_since else {}
    return answer({"items": suggestions(page.items, words, typed=asked["q"], most=asked["limit"]), "next": None, **stale})


@blueprint.get("/stores/<store_id>/shelf")
@access("catalogue:read")
@blueprint.arguments(ShelfRequest, location="query")
@blueprint.answers(200, StoreShelf)
def store_shelf(asked: dict[str, Any], store_id: str) -> Response:
    """What a store has to offer at this moment: nothing while it is closed, and nothing that is sold out or over."""
    at, id_ = this_minute(), path_id(store_id)
    with database().read() as session:
        store = get_store(session, id_)
        if not caller().may_see(store.merchant_id):
            raise NotFound(f"there is no store {id_}")
        hours = stores.find_hours(session, store.hours_id)
        rows = offers_on_shelf(session, id_, at=at)
    open_ = bool(expand(hours_of_row(hours), start=at, until=at + timedelta(minutes=1))) if hours else None
    place: dict[str, Any] = {}
    if "lat" in asked:
        place["distance_m"] = round(distance_m(read_point(asked["lng"], asked["lat"], asked["crs"]), point_of(store)))
    return answer({"items": [orjson.loads(b"{%b}" % offer_fragment(row)) for row in rows], "next": None, "open": open_, "at": at, **place})


@blueprint.get("/stores/<store_id>")
@access("catalogue:read")
@blueprint.arguments(StoreAsked, location="query")
@blueprint.answers(200, StorePage)
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
    _budget.set(conf.nearby_budget_ms / 1_000)
    app.extensions["finder"] = Finder.of(conf, lambda: app.extensions["database"])
