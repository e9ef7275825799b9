"""The visitor's page as values: the ranked list, and one place. What is found is what the API finds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import marshmallow as ma
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from ..config import Settings
from ..db import Database
from ..discovery.answer import hits_of
from ..discovery.question import Kind
from ..discovery.ranking import MILLI, Candidate, Profile, score
from ..discovery.reading import read_question, widens
from ..discovery.schemas import NearbyRequest, OffersRequest
from ..discovery.service import Finder
from ..errors import InvalidInput, Moved
from ..geo.distance import distance_m
from ..geo.point import Point
from ..offers.models import Placement
from ..offers.queries import offers_in_store
from ..stores import queries as stores
from ..stores.categories import codes_by_id, tree
from ..stores.hours import Interval, expand
from ..stores.models import Store
from ..stores.service import get_store, hours_of_row, point_of
from . import queries
from .cards import Card, Offer, Place, Reason, address_of, card_of, prices, rating_words, website_of
from .formats import Formats, week_of

_WEEK = timedelta(days=7)
_PAGE, MOST = 20, 100
_OFFERS, _STORES = OffersRequest(), NearbyRequest()
# What the list may be asked for; anything else in the address is the page's own.
_ASKED = ("lat", "lng", "q", "open_now", "walk_min", "category", "price_max", "currency", "min_rating", "limit")
# Half a position is none, and a limit on prices has no meaning without its currency.
_TOGETHER = {"lat": ("lat", "lng"), "lng": ("lat", "lng"), "price_max": ("price_max", "currency"), "currency": ("price_max", "currency")}


@dataclass(frozen=True)
class Listing:
    """The ranked list. more: how many to ask for to see more, None where there are no more. stale_since: see discovery.

    not_understood: names of what was sent and could not be read; the list is as if they had not been sent.
    """

    cards: Sequence[Card]
    lat: float
    lng: float
    at_home: bool
    zone: ZoneInfo
    more: int | None
    currency: str
    credit: Sequence[str]
    stale_since: datetime | None
    not_understood: Sequence[str]


def list_places(
    finder: Finder, database: Database, args: Mapping[str, str], *, home: Callable[[], Point], now: datetime, minute: datetime, formats: Formats
) -> Listing:
    """args: of the page's address. home: tells where the list begins; asked only where the address does not say."""
    kind: Kind = "stores" if args.get("kind") == "stores" else "offers"
    asked, not_understood = _read(args, kind=kind, home=home)
    question = read_question(asked, kind=kind, at=minute, profile=finder.profile(), district=None, radius_m=None, after=None)
    page = finder.page(question, widen=widens(asked))
    hits = hits_of(page.items)
    hours = _hours_of(database, [UUID(hit.get("store", hit)["id"]) for hit in hits], now=now)
    cards = [
        card_of(hit, number, intervals=hours.get(UUID(hit.get("store", hit)["id"])), now=now, formats=formats) for number, hit in enumerate(hits, 1)
    ]
    at_home = not (args.get("lat") and args.get("lng")) or not {"lat", "lng"}.isdisjoint(not_understood)
    shown, first = asked["limit"], hits[0] if hits else None
    return Listing(
        cards=cards, lat=asked["lat"], lng=asked["lng"], at_home=at_home,
        zone=ZoneInfo(first.get("store", first)["time_zone"] if first else "UTC"),
        more=min(shown + _PAGE, MOST) if page.last is not None and shown < MOST else None,
        currency=next((hit["currency"] for hit in hits if hit.get("currency")), asked.get("currency", "")),
        credit=[credit for credit, _ in page.credit.values()], stale_since=page.stale_since, not_understood=not_understood,
    )  # fmt: skip


def _read(args: Mapping[str, str], *, kind: Kind, home: Callable[[], Point]) -> tuple[dict[str, Any], list[str]]:
    """The question as nearby reads it, without what cannot be read; and the names of that."""
    sent = {name: args[name] for name in _ASKED if args.get(name)}
    if not sent.keys() >= {"price_max", "currency"}:
        _drop(sent, ["price_max"])
    wrong: list[str] = [name for name in ("lat", "lng") if name in sent and not sent.keys() >= {"lat", "lng"}]
    _drop(sent, wrong)
    schema = _STORES if kind == "stores" else _OFFERS
    while True:
        try:
            asked: dict[str, Any] = schema.load({"limit": _PAGE, **(sent if "lat" in sent else {**sent, **_written(home())})})
            return asked, wrong
        except ma.ValidationError as failure:
            names = [str(name) for name in failure.messages_dict if name in sent]
            # A message about all of it together names no field.
            _drop(sent, names or list(sent))
            wrong += names


def _drop(sent: dict[str, str], names: Sequence[str]) -> None:
    for one in {one for name in names for one in _TOGETHER.get(name, (name,))}:
        sent.pop(one, None)


def _written(at: Point) -> dict[str, float]:
    return {"lat": at.lat, "lng": at.lon}


def _hours_of(database: Database, store_ids: Sequence[UUID], *, now: datetime) -> Mapping[UUID, list[Interval]]:
    """When stores are open in the coming week. Nothing while the database is away: the list does without."""
    if not store_ids or database.away:
        return {}
    try:
        with database.read() as session:
            rows = queries.hours_of_stores(session, store_ids)
            return {id_: expand(hours_of_row(row), start=now, until=now + _WEEK) for id_, row in rows.items()}
    except OperationalError:
        return {}


def home_of(settings: Settings, database: Database) -> Point:
    """Where the page begins: as it is set, or at any store; where there is none, at the origin of the map."""
    named = settings.home_point()
    if named is not None:
        return Point(named[1], named[0])
    with database.read() as session:
        found = stores.walk_stores(session, after=None, limit=1)
    return point_of(found[0]) if found else Point(0.0, 0.0)


# --- one place ---------------------------------------------------------------------------------------------------------------


def show_place(
    session: Session, store_id: UUID, *, offer_id: UUID | None, origin: Point | None, profile: Profile, now: datetime, formats: Formats
) -> Place:
    """Raises NotFound, Gone; Moved with the address of the page where the store is now."""
    try:
        store = get_store(session, store_id)
    except Moved as moved:
        raise Moved(moved.message, location=moved.location.replace("/v1", "", 1)) from moved
    row = stores.find_hours(session, store.hours_id)
    zone = ZoneInfo(store.time_zone)
    start, until = week_of(now, zone)
    intervals = None if row is None else expand(hours_of_row(row), start=start, until=until)
    is_open, opening = (None, formats.say("Hours not known")) if intervals is None else formats.opening(intervals, now=now, zone=zone)
    if store.status == "closed":
        is_open, opening, intervals = False, formats.say("Closed for good"), None
    offers = [_offer(one, formats, zone=zone) for one in offers_in_store(session, store.id, now=now)]
    wanted = next((one for one in offers if one.id == str(offer_id)), None)
    at, code = point_of(store), codes_by_id()[store.category_id]
    name = formats.name(store.names, store.name)
    away_m = None if origin is None else round(distance_m(origin, at))
    rating = {"count": store.rating_count, "sum": store.rating_sum}
    return Place(
        store_id=str(store.id), name=name, original=store.name if store.name != name else "", category=formats.name(tree()[code].names, code),
        lat=at.lat, lng=at.lon, address=address_of(store.address), phone=store.phone or "", website=website_of(store.website),
        rating=rating_words(rating, formats), is_open=is_open, opening=opening,
        week=None if intervals is None else formats.week(intervals, now=now, zone=zone), offer=wanted,
        gone=offer_id is not None and wanted is None, offers=[one for one in offers if one is not wanted],
        away="" if away_m is None else formats.distance(away_m), walk="" if away_m is None else formats.walk(away_m),
        reasons=[] if away_m is None else _reasons(store, code, away_m, profile, formats),
        credit=[one.attribution for one in stores.attributions(session, [store.source])],
        sample=bool(store.rating_sample or any(one.sample for one in offers)),
    )  # fmt: skip


def _offer(placed: Placement, formats: Formats, *, zone: ZoneInfo) -> Offer:
    price, was = prices({"price_minor": placed.price_minor, "list_price_minor": placed.list_price_minor, "currency": placed.currency}, formats)
    until = "" if placed.valid_until is None else formats.day(placed.valid_until.astimezone(zone).date())
    return Offer(str(placed.offer_id), formats.name(placed.titles, placed.title), price, was, until, placed.sample)


def _reasons(store: Store, code: str, away_m: int, profile: Profile, formats: Formats) -> list[Reason]:
    """The parts of the place's points, as the ranking gives them."""
    points = score(Candidate(store.id, away_m, code, store.rating_sum, store.rating_count), profile)
    mean = formats.number(points.bayes_milli / MILLI, 1)
    rated = formats.say("{stars} stars, weighed with what places of its kind have").replace("{stars}", mean)
    return [
        Reason(formats.say("{distance} away").replace("{distance}", formats.distance(away_m)), points.distance, profile.distance_weight),
        Reason(rated, points.rating, profile.rating_weight),
    ]


def store_of_offer(store_ids: Sequence[UUID], wanted: UUID | None) -> UUID:
    """At which of its stores an offer is shown. Raises InvalidInput where it has none."""
    if wanted in store_ids and wanted is not None:
        return wanted
    if not store_ids:
        raise InvalidInput("this offer holds in no store")
    return store_ids[0]
