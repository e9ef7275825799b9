"""An answer as bytes, put together from ready-made fragments. Pure; both paths end here, and a test holds it and the schemas together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any
from uuid import UUID

import orjson

from ..geo.crs import Crs
from ..geo.point import Point
from ..shelf.fragments import offer_fragment, rating_fragment, store_fragment
from ..shelf.snapshot import NOTHING, Snapshot
from ..stores.categories import codes_by_id
from ..stores.schemas import written_point
from .ranking import LOWEST_STARS, MILLI, STAR_SPAN, Candidate, Profile, Score
from .walk import Hit

OPTIONS = orjson.OPT_UTC_Z
_OPEN = {1: b"true", 0: b"false", NOTHING: b"null"}


@dataclass(frozen=True, slots=True)
class Shown:
    """One hit as it is shown. open: 1 yes, 0 no, -1 not known. key: its place in the order."""

    store: bytes
    rating: bytes
    offer: bytes | None
    open: int
    distance_m: int
    score: Score
    key: int
    source: str


def shown_of_hits(hits: Sequence[Hit], *, minute: int) -> list[Shown]:
    """From the shelf."""
    states: dict[int, Any] = {}
    shown = []
    for hit in hits:
        snapshot = hit.snapshot
        state = states.get(snapshot.cell)
        if state is None:
            state = states[snapshot.cell] = snapshot.open_state(minute)
        store = hit.store
        shown.append(
            Shown(
                snapshot.store_text(store), snapshot.rating_text(store), None if hit.offer is None else snapshot.offer_text(hit.offer),
                int(state[snapshot["hours_id"][store]]), hit.distance_m, hit.score, hit.key, snapshot.words["sources"][snapshot["source"][store]],
            )
        )  # fmt: skip
    return shown


def shown_of_row(row: Mapping[str, Any], candidate: Candidate, score: Score, *, key: int) -> Shown:
    """From a row of SQL."""
    open_ = NOTHING if row["is_open"] is None else int(row["is_open"])
    offer = offer_fragment(row) if "offer_id" in row else None
    return Shown(store_fragment(row), rating_fragment(row), offer, open_, candidate.distance_m, score, key, row["source"])


def id_of(hit: Hit) -> UUID:
    return hit.snapshot.store_id(hit.store) if hit.offer is None else hit.snapshot.offer_id(hit.offer)


def item(shown: Shown, profile: bytes) -> bytes:
    """The JSON of one hit. profile: its name in quotes."""
    score = shown.score
    text = b"" if score.text is None else b',"text":%d' % score.text
    rank = b'"distance_m":%d,"rating":{%b,"bayes":%b},"score":{"total":%d,"distance":%d,"rating":%d%b,"profile":%b}' % (
        shown.distance_m, shown.rating, _bayes(score.bayes_milli), score.total, score.distance, score.rating, text, profile,
    )  # fmt: skip
    open_ = _OPEN[shown.open]
    if shown.offer is None:
        return b'{%b,"open":%b,%b}' % (shown.store, open_, rank)
    return b'{%b,%b,"store":{%b,"open":%b}}' % (shown.offer, rank, shown.store, open_)


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
