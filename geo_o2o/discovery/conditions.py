"""The filters of a question as conditions of SQL and their values. Pure: text in, text out; selection.py says the same to columns."""

from __future__ import annotations

from typing import Any

import shapely

from ..geo.cells import descendants
from .question import Filters, Question

# The PostgreSQL type of each value, for statements that a connection keeps.
TYPES = {
    "at": "timestamptz", "open_from": "timestamptz", "open_until": "timestamptz", "category_ids": "smallint[]", "brands": "text[]",
    "chains": "text[]", "chains_below": "text[]", "merchant_id": "uuid", "tags_any": "text[]", "tags_all": "text[]", "tags_none": "text[]",
    "price_bands": "smallint[]", "min_rating_milli": "bigint", "min_rating_count": "integer", "price_max": "bigint", "currency": "text",
    "offer_kinds": "text[]", "discount_min": "integer", "sample": "boolean", "area": "geometry", "exclude": "uuid[]", "only": "uuid[]",
    "first_cells": "bigint[]", "last_cells": "bigint[]",
}  # fmt: skip

_OPEN = "(SELECT open_during @> {} FROM opening_hours h WHERE h.id = s.hours_id)"
_OPEN_AT = _OPEN.format("CAST(:open_from AS timestamptz)")
OPEN_AT_MOMENT = _OPEN.format("CAST(:at AS timestamptz)")
_OPEN_THROUGH = _OPEN.format("tstzrange(CAST(:open_from AS timestamptz), CAST(:open_until AS timestamptz))")
_STORE = {
    "brands": "s.brand = ANY(:brands)",
    "chains": "(s.chain = ANY(:chains) OR s.chain LIKE ANY(:chains_below))",
    "merchant_id": "s.merchant_id = :merchant_id",
    "tags_any": "s.tags && CAST(:tags_any AS text[])",
    "tags_all": "s.tags @> CAST(:tags_all AS text[])",
    "tags_none": "NOT s.tags && CAST(:tags_none AS text[])",
    "price_bands": "s.price_band = ANY(:price_bands)",
    "min_rating_milli": "s.rating_count > 0 AND s.rating_sum::bigint * 1000 >= :min_rating_milli * s.rating_count::bigint",
    "min_rating_count": "s.rating_count >= :min_rating_count",
}
_OFFER = {
    "price_max": "o.price_minor <= :price_max",
    "currency": "o.currency = :currency",
    "offer_kinds": "o.kind = ANY(:offer_kinds)",
    "discount_min": "CASE WHEN o.list_price_minor IS NULL OR o.price_minor IS NULL THEN 0"
    " ELSE 100 * (o.list_price_minor - o.price_minor) / o.list_price_minor END >= :discount_min",
}
_HOLDS = "o.valid_from <= CAST(:at AS timestamptz) AND (o.valid_until IS NULL OR o.valid_until > CAST(:at AS timestamptz))"


def conditions_of(question: Question, *, everywhere: bool = False) -> dict[str, str]:
    """What a row must satisfy beside the distance, by the name of the filter; s is the store, o the placement (where offers are asked for).

    everywhere: nearly all rows are looked at, so that their offers are found in one pass and not for each of them.
    """
    filters, where = question.filters, question.where
    found = {name: text for name, text in _STORE.items() if _is_asked(filters, name)}
    if filters.open_from is not None:
        # A subquery by key and not a join: the planner then never reads the whole table of hours.
        found["open"] = _OPEN_AT if filters.open_until in (None, filters.open_from) else _OPEN_THROUGH
    of_offers = {"valid": _HOLDS, **{name: text for name, text in _OFFER.items() if _is_asked(filters, name)}}
    if question.kind == "offers":
        found |= of_offers
        if filters.category_ids is not None:
            found["category"] = "coalesce(o.category_id, s.category_id) = ANY(:category_ids)"
        if filters.sample is not None:
            found["sample"] = "o.sample = :sample"
    else:
        if filters.category_ids is not None:
            found["category"] = "s.category_id = ANY(:category_ids)"
        if filters.sample is not None:
            found["sample"] = "s.rating_sample = :sample"
        if filters.asks_of_offers:
            passing = f"FROM offer_store o WHERE o.shard_cell = ANY(:shard_cells) AND {' AND '.join(of_offers.values())}"
            found["offers"] = (
                f"(s.shard_cell, s.id) IN (SELECT o.shard_cell, o.store_id {passing})"
                if everywhere
                else f"EXISTS (SELECT {passing} AND o.shard_cell = s.shard_cell AND o.store_id = s.id)"
            )
    if where.area is not None:
        found["within"] = "ST_Covers(CAST(:area AS geometry), s.location::geometry)"
    if where.cells:
        found["cells"] = (
            "EXISTS (SELECT FROM unnest(CAST(:first_cells AS bigint[]), CAST(:last_cells AS bigint[])) AS wanted (first, last)"
            " WHERE s.cell BETWEEN wanted.first AND wanted.last)"
        )
    if where.serves:
        # The first line is said for its index: few stores serve people who do not come.
        found["serves"] = (
            "(s.service_radius_m IS NOT NULL OR s.service_area IS NOT NULL) AND ("
            "coalesce(ST_Distance(s.location, CAST(:origin AS geography)) <= s.service_radius_m, false)"
            " OR coalesce(ST_Covers(s.service_area, CAST(:origin AS geography)::geometry), false))"
        )
    id_ = "o.offer_id" if question.kind == "offers" else "s.id"
    if question.exclude:
        found["exclude"] = f"NOT {id_} = ANY(:exclude)"
    if question.only:
        found["only"] = f"{id_} = ANY(:only)"
    return {name: f"({text})" for name, text in found.items()}


def values_of(question: Question) -> dict[str, Any]:
    """The values of those conditions."""
    filters, where = question.filters, question.where
    values: dict[str, Any] = {name: getattr(filters, name) for name in (*_STORE, *_OFFER, "at", "open_from", "open_until", "sample")}
    lists = {name: list(value) for name, value in values.items() if isinstance(value, tuple)}
    ranges = [descendants(cell) for cell in where.cells]
    return {
        **values, **lists,
        "category_ids": list(filters.category_ids or ()),
        "chains_below": [f"{chain}.%" for chain in filters.chains],
        "area": None if where.area is None else shapely.to_wkb(shapely.set_srid(where.area, 4326), hex=True, include_srid=True),
        "exclude": sorted(question.exclude),
        "only": sorted(question.only),
        "first_cells": [first for first, _ in ranges],
        "last_cells": [last for _, last in ranges],
    }  # fmt: skip


def _is_asked(filters: Filters, name: str) -> bool:
    value = getattr(filters, name)
    return value is not None and value != ()
