"""An answer as bytes, put together from ready-made fragments. Pure; both paths end here, and a test holds it and the schemas together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import orjson

from ..geo.crs import Crs, written_point
from ..geo.point import Point
from ..shelf.fragments import offer_fragment, rating_fragment, store_fragment
from ..shelf.snapshot import NOTHING, Snapshot
from ..stores.categories import codes_by_id, tree
from ..stores.words import grams, is_match
from .question import Words
from .ranking import LOWEST_STARS, MILLI, STAR_SPAN, Candidate, Profile, Score
from .selection import View
from .walk import Place

OPTIONS = orjson.OPT_UTC_Z
_OPEN = {1: b"true", 0: b"false", NOTHING: b"null"}


class Shown(NamedTuple):
    """One hit as it is shown. open: 1 yes, 0 no, -1 not known. text: None without words."""

    store: bytes
    rating: bytes
    offer: bytes | None
    open: int
    distance_m: int
    total: int
    distance: int
    rating_points: int
    text: int | None
    bayes_milli: int
    source: str


def shown_of_places(places: Sequence[Place], *, profile: Profile, minute: int, words: bool) -> list[Shown]:
    """Hits of the shelf, in their order."""
    shown: list[Any] = [None] * len(places)
    by_view: dict[int, tuple[View, list[int]]] = {}
    for number, place in enumerate(places):
        by_view.setdefault(id(place.view), (place.view, []))[1].append(number)
    for view, numbers in by_view.values():
        snapshot = view.snapshot
        rows = np.array([places[number].row for number in numbers])
        stores = view.stores[rows]
        offers = [None] * len(numbers) if view.offers is None else snapshot.offer_texts(view.offers[rows])
        open_ = snapshot.open_state(minute)[snapshot["hours_id"][stores]].tolist()
        source = snapshot["source"][stores].tolist()
        points, rating, bayes = (column[rows].tolist() for column in (view.points, view.rating_points, view.bayes_milli))
        names = snapshot.words["sources"]
        away = [places[number].distance_m for number in numbers]
        near = profile.points_by_metre[away].tolist()
        texts = snapshot.store_texts(stores)
        for at, number in enumerate(numbers):
            text = points[at] - rating[at] if words else None
            shown[number] = Shown(
                *texts[at], offers[at], open_[at], away[at], near[at] + points[at], near[at], rating[at], text, bayes[at], names[source[at]]
            )
    return shown


def shown_of_row(row: Mapping[str, Any], candidate: Candidate, score: Score) -> Shown:
    """A row of SQL."""
    open_ = NOTHING if row["is_open"] is None else int(row["is_open"])
    offer = offer_fragment(row) if "offer_id" in row else None
    return Shown(
        store_fragment(row), rating_fragment(row), offer, open_, candidate.distance_m, score.total, score.distance, score.rating, score.text,
        score.bayes_milli, row["source"],
    )  # fmt: skip


def item(shown: Shown, profile: bytes) -> bytes:
    """The JSON of one hit. profile: its name in quotes."""
    store, rating, offer, open_, distance_m, total, distance, rating_points, points, bayes, _ = shown
    text = b"" if points is None else b',"text":%d' % points
    rank = b'"distance_m":%d,"rating":{%b,"bayes":%b},"score":{"total":%d,"distance":%d,"rating":%d%b,"profile":%b}' % (
        distance_m, rating, _bayes(bayes), total, distance, rating_points, text, profile,
    )  # fmt: skip
    if offer is None:
        return b'{%b,"open":%b,%b}' % (store, _OPEN[open_], rank)
    return b'{%b,%b,"store":{%b,"open":%b}}' % (offer, rank, store, _OPEN[open_])


def suggestions(shown: Sequence[Shown], words: Words, *, most: int) -> list[dict[str, Any]]:
    """What was typed may mean: a category of that name, a brand, or a store; those that say most of it first."""
    found: list[dict[str, Any]] = []
    by_id = codes_by_id()
    for id_, number in sorted(words.category_found, key=lambda pair: (-pair[1], pair[0])):
        code = by_id[id_]
        names = tree()[code].names
        best = max(names.values(), key=lambda name: (len(set(grams([name])).intersection(words.grams)), -len(name)))
        found.append({"kind": "category", "text": best, "code": code, "found": number})
    brands: set[str] = set()
    for one in shown:
        store = orjson.loads(b"{%b}" % one.store)
        brand = store["brand"]
        if brand is not None and brand not in brands and is_match(len(set(grams([brand])).intersection(words.grams)), len(words.grams)):
            brands.add(brand)
            found.append({"kind": "brand", "text": brand})
    half = max(most // 2, most - len(shown))
    kept = found[:half]
    for one in shown:
        if len(kept) == most:
            break
        store = orjson.loads(b"{%b}" % one.store)
        kept.append({"kind": "store", "text": store["name"], "id": store["id"], "distance_m": one.distance_m})
    return [{name: value for name, value in one.items() if name != "found"} for one in kept]


def body(items: Iterable[bytes], rest: Mapping[str, Any]) -> bytes:
    """The whole answer: items, then the rest in its order."""
    return b'{"items":[%b],%b' % (b",".join(items), orjson.dumps(rest, option=OPTIONS)[1:])


def changed(items: Sequence[bytes], *, crs: Crs, fields: Sequence[str] | None, explain: Profile | None) -> list[bytes]:
    """Items as a caller wants them who asks for more or less than the usual: another system of coordinates, some fields, explanations."""
    found = []
    for one in items:
        hit = orjson.loads(one)
        if crs != "wgs84":
            place = hit.get("store", hit)
            place |= written_point(Point(place["lng"], place["lat"]), crs)
        if explain is not None:
            hit["explain"] = explanation(hit, explain)
        if fields is not None:
            hit = {name: value for name, value in hit.items() if name in fields}
        found.append(orjson.dumps(hit, option=OPTIONS))
    return found


def explanation(hit: Mapping[str, Any], profile: Profile) -> dict[str, str]:
    """Each component of a hit's score as a sum that can be done by hand, from what the hit itself shows."""
    score, rating = hit["score"], hit["rating"]
    prior = profile.prior_of(hit.get("store", hit)["category"]) / MILLI
    parts = [score["distance"], score["rating"], *([score["text"]] if "text" in score else [])]
    text = f"{profile.text_weight} where every part of the words was found, 0 where just enough = {score.get('text')}"
    return {
        "distance_points": f"round({profile.distance_weight} * 2^(-{hit['distance_m']} / {profile.half_distance_m})) = {score['distance']}",
        "bayes": f"({profile.prior_count} * {prior} + {rating['sum']}) / ({profile.prior_count} + {rating['count']}) = {rating['bayes']}",
        "rating_points": f"round({profile.rating_weight} * ({rating['bayes']} - {LOWEST_STARS}) / {STAR_SPAN}) = {score['rating']}",
        **({"text_points": text} if "text" in score else {}),
        "order": f"{' + '.join(map(str, parts))} = {score['total']} points; ties by distance, then id",
    }


def candidate_of(row: Mapping[str, Any], *, id_column: str, found: int = 0, asked: int = 0) -> Candidate:
    """What the ranking knows of a row of SQL."""
    price = row["price_minor"] if id_column == "offer_id" else row["price_band"]
    until = row.get("valid_until")
    return Candidate(
        row[id_column], round(row["metres"]), codes_by_id()[row["category_id"]], row["rating_sum"], row["rating_count"],
        found, asked, price, None if until is None else int(until.timestamp() // 60),
    )  # fmt: skip


def sources_of(snapshot: Snapshot) -> dict[str, tuple[str, str]]:
    return {source: (attribution, licence) for source, attribution, licence in snapshot.words["credit"]}


@cache
def _bayes(milli: int) -> bytes:
    return orjson.dumps(milli / MILLI)
