"""What the visitor's page says of a place: a card in the list, and a page of its own. Pure.

A card says why the place is there: how far it is, and what others thought of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from ..stores.categories import tree
from ..stores.hours import Interval
from .formats import Formats

# The icon of a category, or of the nearest one above it.
ICONS = {
    "food": "utensils", "food.cafe": "coffee", "food.pub": "beer", "food.bar": "wine", "food.ice_cream": "ice-cream-cone", "shop": "shopping-bag",
    "shop.supermarket": "shopping-basket", "shop.convenience": "shopping-basket", "shop.bakery": "croissant", "shop.clothes": "shirt",
    "service": "scissors", "health": "heart-pulse", "health.pharmacy": "pill", "leisure": "ticket", "lodging": "bed-double",
}  # fmt: skip


@dataclass(frozen=True)
class Card:
    """One place in the list. rank: from 1. title: of the offer, or the store's name; under: the store's name where there is an offer.

    original: the store's name as it is written at its door, where the reader's language has another; is_open: None where nobody knows.
    """

    rank: int
    id: str
    store_id: str
    href: str
    lat: float
    lng: float
    icon: str
    category: str
    title: str
    under: str
    original: str
    price: str
    was: str
    away: str
    walk: str
    rating: str
    is_open: bool | None
    opening: str
    sample: bool


def icon_of(category: str) -> str:
    while category and category not in ICONS:
        category = category.rpartition(".")[0]
    return ICONS.get(category, "store")


def card_of(hit: Mapping[str, Any], rank: int, *, intervals: Sequence[Interval] | None, now: datetime, formats: Formats) -> Card:
    """hit: of nearby, an offer or a store. intervals: when the store is open, from now on; None where nobody knows."""
    store = hit.get("store", hit)
    is_offer = store is not hit
    name = formats.name(store["names"], store["name"])
    is_open, opening = store["open"], ""
    if intervals is not None:
        is_open, opening = formats.opening(intervals, now=now, zone=ZoneInfo(store["time_zone"]))
    elif is_open is None:
        opening = formats.say("Hours not known")
    price, was = prices(hit, formats) if is_offer else ("", "")
    return Card(
        rank=rank, id=hit["id"], store_id=store["id"], href=f"/offers/{hit['id']}?store={store['id']}" if is_offer else f"/stores/{store['id']}",
        lat=store["lat"], lng=store["lng"], icon=icon_of(hit["category"]), category=formats.name(tree()[hit["category"]].names, hit["category"]),
        title=formats.name(hit["titles"], hit["title"]) if is_offer else name, under=name if is_offer else "",
        original=store["name"] if store["name"] != name else "", price=price, was=was, away=formats.distance(hit["distance_m"]),
        walk=formats.walk(hit["distance_m"]), rating=rating_words(hit["rating"], formats), is_open=is_open, opening=opening,
        sample=bool(hit["rating"]["sample"] or hit.get("sample")),
    )  # fmt: skip


def prices(offer: Mapping[str, Any], formats: Formats) -> tuple[str, str]:
    """The price, and the one without the offer; each empty where there is none."""
    currency = offer["currency"]
    price, was = (
        formats.money(offer[name], currency) if currency and offer[name] is not None else "" for name in ("price_minor", "list_price_minor")
    )
    return price, was if was != price else ""


def rating_words(rating: Mapping[str, Any], formats: Formats) -> str:
    """`4.6 from 212 ratings`; empty where nobody has rated."""
    if not rating["count"]:
        return ""
    words = formats.say("{stars} from one rating") if rating["count"] == 1 else formats.say("{stars} from {count} ratings")
    return words.replace("{stars}", formats.number(rating["sum"] / rating["count"], 1)).replace("{count}", formats.number(rating["count"]))


@dataclass(frozen=True)
class Offer:
    """An offer on a store's page. until: the day when it ends."""

    id: str
    title: str
    price: str
    was: str
    until: str
    sample: bool


@dataclass(frozen=True)
class Reason:
    """Why a place stands where it stands: a part of its points. most: what that part can be at best."""

    words: str
    points: int
    most: int


@dataclass(frozen=True)
class Place:
    """The page of a store. offer: the one that is asked for; gone: it holds no more. week: days and hours, None where nobody knows."""

    store_id: str
    name: str
    original: str
    category: str
    lat: float
    lng: float
    address: str
    phone: str
    website: str
    rating: str
    is_open: bool | None
    opening: str
    week: Sequence[tuple[str, str]] | None
    offer: Offer | None
    gone: bool
    offers: Sequence[Offer]
    away: str
    walk: str
    reasons: Sequence[Reason]
    credit: Sequence[str] = field(default=())
    sample: bool = False


def address_of(address: Mapping[str, str]) -> str:
    """Street and number, then the place: as it is written at the door."""
    street = " ".join(address[name] for name in ("street", "housenumber") if address.get(name))
    place = " ".join(address[name] for name in ("postcode", "city") if address.get(name))
    return ", ".join(part for part in (street, place) if part)


def website_of(address: str | None) -> str:
    """Only what is a page on the web: nothing that a browser would run."""
    return address if address and address.lower().startswith(("https://", "http://")) else ""
