"""The ready-made JSON of stores and offers: what an answer says of them whoever asks, from wherever.

Both paths of nearby, shelf and SQL, take their bytes from here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from ..stores.categories import codes_by_id
from ..stores.ratings import dump_rating

_OPTIONS = orjson.OPT_UTC_Z
# 1e-7 degree is about 1 cm.
_DIGITS = 7

STORE_FIELDS = ("name", "names", "brand", "chain", "tags", "address", "opening_hours", "time_zone", "price_band", "source")
OFFER_FIELDS = (
    "title", "titles", "kind", "price_minor", "currency", "list_price_minor", "valid_from", "valid_until", "sample", "store_count",
)  # fmt: skip


def store_fragment(row: Mapping[str, Any]) -> bytes:
    """The members of a store's object, without braces. row: id, lon, lat, category_id and STORE_FIELDS."""
    body = {"id": row["store_id"], **{name: row[name] for name in STORE_FIELDS}}
    body["lat"], body["lng"] = round(row["lat"], _DIGITS), round(row["lon"], _DIGITS)
    body["category"] = codes_by_id()[row["category_id"]]
    return orjson.dumps(body, option=_OPTIONS)[1:-1]


def rating_fragment(row: Mapping[str, Any]) -> bytes:
    """The members of a rating's object but for `bayes`, which depends on the profile."""
    return orjson.dumps(dump_rating(row["rating_sum"], row["rating_count"], row["rating_sample"]))[1:-1]


def offer_fragment(row: Mapping[str, Any]) -> bytes:
    """The members of an offer's object, without braces. row: offer_id, offer_category_id and OFFER_FIELDS."""
    body = {"id": row["offer_id"], "category": codes_by_id()[row["offer_category_id"]], **{name: row[name] for name in OFFER_FIELDS}}
    return orjson.dumps(body, option=_OPTIONS)[1:-1]
