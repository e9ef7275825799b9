#!/usr/bin/env python3
"""Recomputes the order of a nearby answer (asked with explain=true) from the answer alone: `curl … | script/recompute.py`."""

import json
import sys
from decimal import ROUND_HALF_EVEN, Decimal

# What a list is ordered by before distance and id; what has no price and what does not end comes last.
ORDERS = {
    "points": lambda hit: -hit["score"]["total"],
    "distance": lambda hit: hit["distance_m"],
    "rating": lambda hit: -hit["rating"]["bayes"],
    "price": lambda hit: hit.get("price_minor", hit.get("price_band")) or (0 if hit.get("price_minor") == 0 else 10**15),
    "ending_soon": lambda hit: hit["valid_until"] or "9999",
}


def recompute(answer: dict) -> list[str]:
    """What does not add up, hit by hit; an empty list means that every point and the order are right."""
    profile, wrong, keys = answer["profile"], [], []
    for place, hit in enumerate(answer["items"], 1):
        distance = round(profile["distance_weight"] * 2.0 ** (-hit["distance_m"] / profile["half_distance_m"]))
        stars = Decimal(str(hit["rating"]["bayes"]))
        rating = int((profile["rating_weight"] * (stars - 1) / 4).quantize(Decimal(1), ROUND_HALF_EVEN))
        total = distance + rating + hit["score"].get("text", 0)
        if (distance, rating, total) != tuple(hit["score"][name] for name in ("distance", "rating", "total")):
            wrong.append(f"hit {place}: the answer says {hit['score']}, the formula {distance} + {rating} = {total}")
        keys.append((ORDERS[answer["sort"]](hit), hit["distance_m"], hit["id"]))
    return wrong + (["the order is not by what was asked, distance, id"] if keys != sorted(keys) else [])


if __name__ == "__main__":
    given = json.load(sys.stdin)
    problems = recompute(given) if "profile" in given else ["this is no answer of nearby that was asked with explain=true"]
    print("\n".join(problems) or "every point and the order are right")
    sys.exit(bool(problems))
