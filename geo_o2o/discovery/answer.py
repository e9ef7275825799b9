"""An answer as bytes, put together from the JSON of its hits, and what it says of them beside the usual. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import orjson

from ..geo.crs import Crs, written_point
from ..geo.point import Point
from ..stores.categories import codes_by_id, tree
from ..stores.words import NEEDED, OF, grams, is_match
from .question import Words
from .ranking import LOWEST_STARS, MILLI, STAR_SPAN, Candidate, Profile

OPTIONS = orjson.OPT_UTC_Z


def suggestions(items: bytes, words: Words, *, typed: str, most: int) -> list[dict[str, Any]]:
    """What was typed may mean: a category of that name, a brand, or a store; those that say most of it first."""
    found: list[dict[str, Any]] = []
    by_id, wanted = codes_by_id(), typed.strip().casefold()
    for id_, number in sorted(words.category_found, key=lambda pair: (-pair[1], pair[0])):
        code = by_id[id_]
        names = tree()[code].names
        best = max(names.values(), key=lambda name: (wanted in name.casefold(), len(set(grams([name])).intersection(words.grams)), -len(name)))
        found.append({"kind": "category", "text": best, "code": code, "found": number})
    stores = hits_of(items)
    brands: set[str] = set()
    for store in stores:
        brand = store["brand"]
        if brand is not None and brand not in brands and is_match(len(set(grams([brand])).intersection(words.grams)), len(words.grams)):
            brands.add(brand)
            found.append({"kind": "brand", "text": brand})
    half = max(most // 2, most - len(stores))
    kept = found[:half]
    for store in stores[: most - len(kept)]:
        kept.append({"kind": "store", "text": store["name"], "id": store["id"], "distance_m": store["distance_m"]})
    return [{name: value for name, value in one.items() if name != "found"} for one in kept]


def body(items: bytes, rest: Mapping[str, Any]) -> bytes:
    """The whole answer: items, then the rest in its order."""
    return b'{"items":[%b],%b' % (items, orjson.dumps(rest, option=OPTIONS)[1:])


def hits_of(items: bytes) -> list[dict[str, Any]]:
    """items: the JSON of hits with a comma between."""
    hits: list[dict[str, Any]] = orjson.loads(b"[%b]" % items)
    return hits


def joined(hits: Iterable[Mapping[str, Any]]) -> bytes:
    """The same turned round."""
    return b",".join([orjson.dumps(hit, option=OPTIONS) for hit in hits])


def changed(items: bytes, *, crs: Crs, fields: Sequence[str] | None, explain: Profile | None, words: Words | None) -> list[dict[str, Any]]:
    """Hits as a caller wants them who asks for more or less than the usual: another system of coordinates, some fields, explanations.

    words: what was looked for, for explanations.
    """
    found = []
    for hit in hits_of(items):
        if crs != "wgs84":
            place = hit.get("store", hit)
            place |= written_point(Point(place["lng"], place["lat"]), crs)
        if explain is not None:
            hit["explain"] = explanation(hit, explain, words)
        if fields is not None:
            hit = {name: value for name, value in hit.items() if name in fields}
        found.append(hit)
    return found


def explanation(hit: Mapping[str, Any], profile: Profile, words: Words | None) -> dict[str, str]:
    """Each component of a hit's score as a sum that can be done by hand, from what the hit itself shows."""
    score, rating = hit["score"], hit["rating"]
    prior = profile.prior_of(hit.get("store", hit)["category"]) / MILLI
    parts = [score["distance"], score["rating"], *([score["text"]] if "text" in score else [])]
    return {
        "distance_points": f"round({profile.distance_weight} * 2^(-{hit['distance_m']} / {profile.half_distance_m})) = {score['distance']}",
        "bayes": f"({profile.prior_count} * {prior} + {rating['sum']}) / ({profile.prior_count} + {rating['count']}) = {rating['bayes']}",
        "rating_points": f"round({profile.rating_weight} * ({rating['bayes']} - {LOWEST_STARS}) / {STAR_SPAN}) = {score['rating']}",
        **({"text_points": _text_points(hit, profile, words)} if words is not None else {}),
        "order": f"{' + '.join(map(str, parts))} = {score['total']} points; ties by distance, then id",
    }


def _text_points(hit: Mapping[str, Any], profile: Profile, words: Words) -> str:
    """By what the hit shows of itself, and not by what the score was made from."""
    store = hit.get("store", hit)
    texts = [store["name"], *store["names"].values(), store["brand"] or ""]
    if store is not hit:
        texts += [hit["title"], *hit["titles"].values()]
    by_category = dict(words.category_found).get(tree()[hit["category"]].id, 0)
    found, asked = max(len(set(grams(texts)).intersection(words.grams)), by_category), len(words.grams)
    return f"round({profile.text_weight} * ({OF} * {found} - {NEEDED} * {asked}) / ({OF - NEEDED} * {asked})) = {hit['score']['text']}"


def candidate_of(row: Mapping[str, Any], *, id_column: str, found: int = 0, asked: int = 0) -> Candidate:
    """What the ranking knows of a row of SQL."""
    price = row["price_minor"] if id_column == "offer_id" else row["price_band"]
    until = row.get("valid_until")
    return Candidate(
        row[id_column], round(row["metres"]), codes_by_id()[row["category_id"]], row["rating_sum"], row["rating_count"],
        found, asked, price, None if until is None else int(until.timestamp() // 60),
    )  # fmt: skip
