"""Nearby by SQL: one statement on the GiST index, exact, and as cheap at 50 km as at 500 m.

How it stops early: `near` takes the nearest rows by the index (`<->`); the k-th best score among them is a score that k rows reach,
so `reach` is the distance beyond which even a perfect rating cannot beat it. The last SELECT scores every row within that reach and
returns the best k. The arithmetic is that of ranking.py, in float8, whose round() is half to even; a test compares the two.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from ..geo.cells import shard_cells_of_circle
from ..geo.point import Point
from ..stores.categories import codes_by_id
from .models import RankProfile
from .ranking import MILLI, Profile, reach_m

# Rows that the index hands over first. Four times the page gives a good bound almost always; below 64 the saving is nothing.
_SEED_FACTOR = 4
_LEAST_SEED = 64


@dataclass(frozen=True)
class Filters:
    """What a hit must satisfy; None asks nothing. at: the moment of the question, for hours and validity."""

    at: datetime
    must_be_open: bool = False
    category_ids: Sequence[int] | None = None
    min_rating_milli: int | None = None
    price_max: int | None = None
    currency: str | None = None


@dataclass(frozen=True)
class After:
    """The last hit of the page before."""

    total: int
    distance_m: int
    id: UUID


_SCORED = """
SELECT {columns},
       round(ST_Distance(s.location, :origin))::integer AS distance_m,
       round(((CAST(:priors AS bigint[]))[s.category_id] + s.rating_sum::bigint * 1000) / (:prior_count + s.rating_count)::float8)::bigint
           AS bayes_milli
"""

_TOTAL = """
SELECT scored.*,
       round(:distance_weight * power(2::float8, -distance_m / :half_distance_m ::float8))::bigint
       + round(:rating_weight * (bayes_milli - 1000) / 4000::float8)::bigint AS total
"""

# {one_each} keeps, of an offer that holds in many stores, the best store; stores need no such step.
_NEARBY = """
WITH near AS MATERIALIZED (
    {total} FROM (
        {scored} FROM {source}
         WHERE {where} AND ST_DWithin(s.location, :origin, :radius_m)
         ORDER BY s.location <-> :origin LIMIT :seed
    ) scored
), best AS (
    SELECT total FROM ({near_each}) AS each ORDER BY total DESC OFFSET :limit - 1 LIMIT 1
), reach AS (
    SELECT least(:radius_m, coalesce(:reach_m, (
        SELECT CASE WHEN total - :rating_weight - 0.5 <= 0 THEN :radius_m
                    WHEN :distance_weight <= total - :rating_weight - 0.5 THEN 1
                    ELSE :half_distance_m * ln(:distance_weight / (total - :rating_weight - 0.5)::float8) / ln(2::float8) + 1 END
          FROM best), :radius_m))::float8 AS metres
)
SELECT hit.*, ST_X(location::geometry) AS lon, ST_Y(location::geometry) AS lat, (SELECT metres FROM reach) AS reach_m,
       (SELECT open_during @> CAST(:at AS timestamptz) FROM opening_hours h WHERE h.id = hit.hours_id) AS is_open
  FROM (
    SELECT * FROM (
        {each_head} {total} FROM (
            {scored} FROM {source}
             WHERE {where} AND ST_DWithin(s.location, :origin, (SELECT metres FROM reach))
        ) scored {each_tail}
    ) ranked
    WHERE {after}
    ORDER BY total DESC, distance_m, {id} LIMIT :limit
  ) hit
 ORDER BY total DESC, distance_m, {id}
"""

_STORE_COLUMNS = """s.shard_cell, s.id AS store_id, s.category_id, s.rating_sum, s.rating_count, s.rating_sample, s.price_band, s.hours_id,
       s.location, s.name, s.names, s.brand, s.address, s.opening_hours, s.time_zone, s.source"""
_OFFER_COLUMNS = """o.offer_id, o.title, o.titles, o.kind, o.category_id AS offer_category_id, o.price_minor, o.currency, o.valid_from,
       o.valid_until, o.sample"""


def stores_near(
    session: Session, *, origin: Point, radius_m: float, filters: Filters, profile: Profile, limit: int, after: After | None
) -> list[sa.RowMapping]:
    """The best `limit` stores within a radius, best first, from after a hit on."""
    where = ["s.shard_cell = ANY(:shard_cells)", "s.status = 'live'", *_store_conditions(filters)]
    if filters.category_ids is not None:
        where.append("s.category_id = ANY(:category_ids)")
    if filters.price_max is not None:
        where.append(
            "EXISTS (SELECT FROM offer_store o WHERE o.shard_cell = s.shard_cell AND o.store_id = s.id"
            f" AND o.shard_cell = ANY(:shard_cells) AND {' AND '.join(_offer_conditions(filters))})"
        )
    statement = {
        "columns": _STORE_COLUMNS, "source": "stores s", "where": " AND ".join(where), "id": "store_id",
        "near_each": "SELECT total FROM near", "each_head": "", "each_tail": "",
    }  # fmt: skip
    return _walk(session, statement, origin, radius_m, filters, profile, limit, after)


def offers_near(
    session: Session, *, origin: Point, radius_m: float, filters: Filters, profile: Profile, limit: int, after: After | None
) -> list[sa.RowMapping]:
    """The best `limit` offers within a radius, each at its best store, best first, from after a hit on."""
    where = [
        "s.shard_cell = ANY(:shard_cells)", "o.shard_cell = ANY(:shard_cells)", "s.status = 'live'",
        *_store_conditions(filters), *_offer_conditions(filters),
    ]  # fmt: skip
    if filters.category_ids is not None:
        where.append("o.category_id = ANY(:category_ids)")
    statement = {
        "columns": f"{_STORE_COLUMNS}, {_OFFER_COLUMNS}", "where": " AND ".join(where), "id": "offer_id",
        "source": "stores s JOIN offer_store o ON o.shard_cell = s.shard_cell AND o.store_id = s.id",
        "near_each": "SELECT offer_id, max(total) AS total FROM near GROUP BY offer_id",
        "each_head": "SELECT DISTINCT ON (offer_id) * FROM (",
        "each_tail": ") one ORDER BY offer_id, total DESC, distance_m, store_id",
    }  # fmt: skip
    return _walk(session, statement, origin, radius_m, filters, profile, limit, after)


def _walk(
    session: Session,
    statement: Mapping[str, str],
    origin: Point,
    radius_m: float,
    filters: Filters,
    profile: Profile,
    limit: int,
    after: After | None,
) -> list[sa.RowMapping]:
    """Runs the statement, and for later pages again with a longer reach until nothing farther can belong on the page.

    On the first page the bound taken from `near` is proof enough. On later pages rows of `near` may belong to pages before, so the
    reach is guessed from the cursor's score and checked against the page's own last score.
    """
    text = _text(statement, after)
    parameters = _parameters(origin, radius_m, filters, profile, limit, after)
    if after is None:
        return list(session.execute(text, {**parameters, "reach_m": None}).mappings())
    reach = min(radius_m, reach_m(profile, after.total))
    while True:
        rows = list(session.execute(text, {**parameters, "reach_m": reach, "seed": 0}).mappings())
        needed = min(radius_m, reach_m(profile, rows[-1]["total"])) if len(rows) == limit else radius_m
        if needed <= reach:
            return rows
        reach = needed if len(rows) == limit else min(radius_m, 2 * reach + 500.0)


def _text(statement: Mapping[str, str], after: After | None) -> sa.TextClause:
    scored = _SCORED.format(columns=statement["columns"])
    past = "true" if after is None else f"(-total, distance_m, {statement['id']}) > (-:after_total, :after_distance_m, :after_id)"
    return sa.text(_NEARBY.format(**{key: value for key, value in statement.items() if key != "columns"}, scored=scored, total=_TOTAL, after=past))


def _parameters(origin: Point, radius_m: float, filters: Filters, profile: Profile, limit: int, after: After | None) -> dict[str, Any]:
    parameters: dict[str, Any] = {
        "origin": f"SRID=4326;POINT({origin.lon!r} {origin.lat!r})",
        "radius_m": float(radius_m),
        "shard_cells": shard_cells_of_circle(origin, radius_m),
        "limit": limit,
        "seed": max(_LEAST_SEED, _SEED_FACTOR * limit),
        "priors": _priors(profile),
        "prior_count": profile.prior_count,
        "distance_weight": float(profile.distance_weight),
        "half_distance_m": profile.half_distance_m,
        "rating_weight": profile.rating_weight,
        "at": filters.at,
        "category_ids": list(filters.category_ids or ()),
        "min_rating_milli": filters.min_rating_milli,
        "price_max": filters.price_max,
        "currency": filters.currency,
    }
    if after is not None:
        parameters |= {"after_total": after.total, "after_distance_m": after.distance_m, "after_id": after.id}
    return parameters


def _priors(profile: Profile) -> list[int]:
    """prior_count times the prior mean, by category id from 1 on."""
    codes = codes_by_id()
    return [profile.prior_count * profile.prior_of(codes.get(number, "default")) for number in range(1, max(codes) + 1)]


def _store_conditions(filters: Filters) -> list[str]:
    conditions = []
    if filters.min_rating_milli is not None:
        conditions.append("s.rating_count > 0 AND s.rating_sum::bigint * 1000 >= :min_rating_milli * s.rating_count::bigint")
    if filters.must_be_open:
        # A subquery by key and not a join: the planner then never reads the whole table of hours.
        conditions.append("(SELECT open_during @> CAST(:at AS timestamptz) FROM opening_hours h WHERE h.id = s.hours_id)")
    return conditions


def _offer_conditions(filters: Filters) -> list[str]:
    conditions = ["o.valid_from <= CAST(:at AS timestamptz)", "(o.valid_until IS NULL OR o.valid_until > CAST(:at AS timestamptz))"]
    if filters.price_max is not None:
        conditions.append("o.price_minor <= :price_max")
    if filters.currency is not None:
        conditions.append("o.currency = :currency")
    return conditions


# --- profiles ----------------------------------------------------------------------------------------------------------------


def find_profile(session: Session, name: str) -> RankProfile | None:
    return session.get(RankProfile, name)


def list_profiles(session: Session) -> Sequence[RankProfile]:
    return session.scalars(sa.select(RankProfile).order_by(RankProfile.name)).all()


def mean_ratings_milli(session: Session) -> dict[str, int]:
    """Mean rating of all live stores by category code, and under `default` over all, in thousandths of a star."""
    rows = session.execute(
        sa.text(
            "SELECT category_id, sum(rating_sum)::bigint AS stars, sum(rating_count)::bigint AS number FROM stores"
            " WHERE status = 'live' AND rating_count > 0 GROUP BY category_id"
        )
    ).all()
    codes = codes_by_id()
    means = {codes[row.category_id]: round(MILLI * row.stars / row.number) for row in rows}
    number = sum(row.number for row in rows)
    return means | ({"default": round(MILLI * sum(row.stars for row in rows) / number)} if number else {})
