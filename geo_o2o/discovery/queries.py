"""Nearby by SQL: one statement on the GiST index, exact, and nearly as cheap at 50 km as at 500 m.

How it stops early: `nearest` takes a few rows in the order of the index (`<->`), before any filter, so its cost is bounded. Of those
that pass the filters the k-th best score is one that k rows reach; so `reach` is the distance beyond which even a perfect rating
cannot beat it. The last SELECT scores every row within that reach and returns the best k. The arithmetic is that of ranking.py, in
float8, whose round() is half to even; a test compares the two.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from ..db import Statement
from ..geo.bounds import WHOLE_EARTH_M
from ..geo.cells import LARGEST_COVER_M, shard_cells_of_circle
from ..geo.ids import shard_of
from ..shelf.queries import OFFER_COLUMNS, STORE_COLUMNS
from ..stores.categories import codes_by_id
from ..stores.words import least_match
from . import conditions
from .models import ProfileUse, RankProfile
from .question import Question, Where
from .ranking import MILLI, Profile, reach_m

# Rows that the index hands over first, so many times the page: enough for a good bound, where filters take half of them or fewer.
_SEED_FACTOR = 3
_JUDGED = "passes_"
_LEAST_SEED = 48


@dataclass(frozen=True)
class _Kind:
    """What differs between asking for stores and asking for offers.

    best_of: of an offer that holds in many stores only the best store counts.
    """

    id: str
    columns: str
    near_columns: str
    joined: str
    best_of: tuple[str, str]


_KINDS = {
    "stores": _Kind(
        id="store_id", columns=STORE_COLUMNS, near_columns="s.id AS store_id, s.category_id, s.rating_sum, s.rating_count", joined="",
        best_of=("", ""),
    ),
    "offers": _Kind(
        id="offer_id", columns=f"{STORE_COLUMNS}, {OFFER_COLUMNS}",
        near_columns="s.id AS store_id, o.offer_id, s.category_id, s.rating_sum, s.rating_count",
        joined="JOIN offer_store o ON o.shard_cell = s.shard_cell AND o.store_id = s.id AND o.shard_cell = ANY(:shard_cells)",
        best_of=("SELECT DISTINCT ON (offer_id) * FROM (", ") each_placement ORDER BY offer_id, total DESC, distance_m, store_id"),
    ),
}  # fmt: skip

# What is scored is what is shown: the distance in whole metres, the rating in thousandths of a star. The box finds the rows by the
# index, a rough distance on the sphere throws out what cannot reach the page, then the distance is measured once and decides.
# ST_DWithin would do all that, but the planner takes it for so dear that it first reads the index on shard_cell to spare itself some
# calls. OFFSET 0 keeps the measuring from being repeated wherever its result is used.
_SCORED = """
    SELECT weighed.*,
           round(:distance_weight * power(2::float8, -distance_m / :half_distance_m ::float8))::bigint
           + round(:rating_weight * (bayes_milli - 1000) / 4000::float8)::bigint AS total
      FROM (
        SELECT measured.*, round(metres)::integer AS distance_m,
               round(((CAST(:priors AS bigint[]))[category_id] + rating_sum::bigint * 1000) / (:prior_count + rating_count)::float8)::bigint
                   AS bayes_milli
          FROM (SELECT {columns}, ST_Distance(s.location, :origin) AS metres FROM {source} s {joined} WHERE {where} OFFSET 0) measured
         WHERE metres <= {within} AND metres >= :min_radius_m
      ) weighed
"""

# Within 0.6 % of the ellipsoid, at a third of its cost. The slack covers that, the rounding of both parts of the score (one point), and
# the rounding of the rating itself (half a thousandth of a star is an eight-thousandth of its weight).
_CAN_REACH = """
    :distance_weight * power(2::float8, -greatest((s.location <-> :origin) * 0.994 - 1, 0) / :half_distance_m ::float8)
    + :rating_weight * (((CAST(:priors AS bigint[]))[s.category_id] + s.rating_sum::bigint * 1000) / (:prior_count + s.rating_count)::float8
                        - 1000) / 4000 + :rating_weight * 0.0002 + 2 >= reach.total
"""

# Whether a row is open at the moment of the question; null where its hours are not known for it.
_OPEN = """(SELECT open_during @> CAST(:at AS timestamptz) FROM opening_hours h WHERE h.id = {}.hours_id
           AND CAST(:at AS timestamptz) >= expanded_from AND CAST(:at AS timestamptz) < expanded_until) AS is_open"""

_NEARBY = """
WITH nearest AS MATERIALIZED (
    SELECT s.*
      FROM stores s WHERE s.shard_cell = ANY(:shard_cells) AND s.status = 'live'
     ORDER BY s.location <-> :origin LIMIT {seed}
), kth AS MATERIALIZED (
    SELECT total FROM (SELECT {id}, max(total) AS total FROM ({near}) near GROUP BY {id}) best
     ORDER BY total DESC OFFSET :limit - 1 LIMIT 1
), reach AS MATERIALIZED (
    SELECT least(:radius_m, coalesce(
        :reach_m,
        (SELECT CASE WHEN total - :rating_weight - 0.5 <= 0 THEN :radius_m
                     WHEN :distance_weight <= total - :rating_weight - 0.5 THEN 1
                     ELSE :half_distance_m * ln(:distance_weight / (total - :rating_weight - 0.5)::float8) / ln(2::float8) + 1 END FROM kth),
        (SELECT max(ST_Distance(location, :origin)) FROM nearest HAVING count(*) = {seed}),
        :radius_m))::float8 AS metres, coalesce((SELECT total FROM kth), 0) AS total
)
SELECT hit.*, reach.metres AS reach_m,
       {open}
  FROM reach LEFT JOIN LATERAL (
    SELECT * FROM ({all}) ranked WHERE {after} ORDER BY total DESC, distance_m, {id} LIMIT :limit
  ) hit ON true
 ORDER BY total DESC, distance_m, {id}
"""

_TYPES = {
    "origin": "geography", "radius_m": "float8", "min_radius_m": "float8", "reach_m": "float8", "shard_cells": "bigint[]", "limit": "bigint",
    "priors": "bigint[]", "prior_count": "bigint", "distance_weight": "float8", "half_distance_m": "integer",
    "rating_weight": "bigint", "after_total": "bigint", "after_distance_m": "integer", "after_id": "uuid", **conditions.TYPES,
}  # fmt: skip

# Every row that passes, for the orders that know no early stop: the caller ranks them.
_ALL = f"""
SELECT found.*, {_OPEN.format("found")}
  FROM (SELECT {{columns}}, ST_Distance(s.location, CAST(:origin AS geography)) AS metres FROM stores s {{joined}}
         WHERE s.shard_cell = ANY(:shard_cells) AND s.status = 'live' AND s.location && _ST_Expand(CAST(:origin AS geography), :radius_m)
           AND {{where}} OFFSET 0) found
 WHERE metres <= :radius_m AND metres >= :min_radius_m
"""


def best_rows(session: Session, question: Question) -> Sequence[Any]:
    """The rows of the best `limit` hits by points, best first, from after the cursor on; an offer once, at its best store."""
    kind, profile = _KINDS[question.kind], question.profile
    parameters = _parameters(question)
    if question.where.area is not None or question.where.cells:
        # What the index hands over first may well lie outside of the area.
        parameters |= {"reach_m": float(question.where.radius_m), "seed": 0}
    if question.after is not None:
        total = -question.after.key
        # Nothing beyond this can come after that score's page before; the guess is checked like any other.
        parameters |= {
            "after_total": total, "after_distance_m": question.after.distance_m, "after_id": question.after.id,
            "reach_m": min(question.where.radius_m, reach_m(profile, total)), "seed": 0,
        }  # fmt: skip
    asked = list(conditions.conditions_of(question).values())
    return _walk(session, lambda seed: _statement(kind, asked, seed=seed, first_page=question.after is None), parameters, profile)


def every_row(session: Session, question: Question) -> Sequence[Any]:
    """Every row that passes, in no order, an offer once for each of its stores; of words at least one gram, or a category that is called so."""
    kind = _KINDS[question.kind]
    parameters = _parameters(question)
    asked = list(conditions.conditions_of(question).values())
    if question.words is not None:
        tables = "so" if question.kind == "offers" else "s"
        grams = " OR ".join(f"{table}.search_grams && CAST(:grams AS integer[])" for table in tables)
        category = "coalesce(o.category_id, s.category_id)" if question.kind == "offers" else "s.category_id"
        asked.append(f"({grams} OR {category} = ANY(CAST(:word_categories AS smallint[])))")
        parameters |= {"grams": list(question.words.grams), "word_categories": [id_ for id_, _ in question.words.category_found]}
    text = _ALL.format(columns=kind.columns, joined=kind.joined, where=" AND ".join(["true", *asked]))
    return session.execute(sa.text(text), {name: value for name, value in parameters.items() if f":{name}" in text}).mappings().all()


def placements_judged(session: Session, question: Question, offer_id: UUID, *, store_ids: Sequence[UUID]) -> Sequence[Any]:
    """Every placement of an offer with its distance and, by the name of each filter, whether it passes."""
    judged = conditions.conditions_of(question)
    verdicts = ", ".join(f'coalesce({text}, false) AS "{_JUDGED}{name}"' for name, text in judged.items())
    kind = _KINDS["offers"]
    text = (
        f"SELECT {kind.columns}, ST_Distance(s.location, CAST(:origin AS geography)) AS metres, {_OPEN.format('s')}, {verdicts}"
        f" FROM stores s {kind.joined} WHERE s.shard_cell = ANY(:shard_cells) AND s.status = 'live' AND o.offer_id = :offer_id ORDER BY s.id"
    )
    parameters = {**_parameters(question), "offer_id": offer_id, "shard_cells": sorted({shard_of(one) for one in store_ids})}
    return session.execute(sa.text(text), {name: value for name, value in parameters.items() if f":{name}" in text}).mappings().all()


def verdicts_of(row: Mapping[str, Any]) -> dict[str, bool]:
    """Of a row of placements_judged: whether it passes each filter."""
    return {name.removeprefix(_JUDGED): bool(value) for name, value in row.items() if name.startswith(_JUDGED)}


def clusters(session: Session, question: Question, *, resolution: int) -> Sequence[Any]:
    """How many stores of an area pass, by cell."""
    where, words = question.where, question.words
    passing = ["s.status = 'live'", "s.shard_cell = ANY(:shard_cells)", *conditions.conditions_of(question, everywhere=True).values()]
    parameters = _parameters(replace(question, where=replace(where, radius_m=min(where.radius_m, LARGEST_COVER_M))))
    parameters |= {"radius_m": where.radius_m, "shard_cells": _shard_cells_within(session, where)}
    if where.radius_m < WHOLE_EARTH_M:
        passing.append("ST_Distance(s.location, CAST(:origin AS geography)) <= :radius_m")
    if where.min_radius_m > 0:
        passing.append("ST_Distance(s.location, CAST(:origin AS geography)) >= :min_radius_m")
    if words is not None:
        passing.append(
            "((s.search_grams && CAST(:grams AS integer[])"
            " AND (SELECT count(*) FROM unnest(CAST(:grams AS integer[])) AS wanted WHERE wanted = ANY(s.search_grams)) >= :least_grams)"
            " OR s.category_id = ANY(CAST(:word_categories AS smallint[])))"
        )
        parameters |= {
            "grams": list(words.grams), "least_grams": least_match(len(words.grams)), "word_categories": [id_ for id_, _ in words.category_found],
        }  # fmt: skip
    filters = " AND ".join(passing)
    text = f"SELECT h3_parent(s.cell, {int(resolution)}) AS cell, count(*) AS number FROM stores s WHERE {filters} GROUP BY 1 ORDER BY 1"
    return session.execute(sa.text(text), {name: value for name, value in parameters.items() if f":{name}" in text}).all()


def _shard_cells_within(session: Session, where: Where) -> Sequence[int]:
    """The shards of a shape; of half the world all that ever held anything."""
    assert where.around is not None
    middle, around_m = where.around
    if min(around_m, where.radius_m) > LARGEST_COVER_M:
        return session.scalars(sa.text("SELECT DISTINCT shard_cell FROM cell_versions")).all()
    return shard_cells_of_circle(*((where.origin, where.radius_m) if where.radius_m < around_m else (middle, around_m)))


def offers_on_shelf(session: Session, store_id: UUID, *, at: datetime) -> Sequence[Any]:
    """What a store offers at a moment while it is open; nothing while it is closed or its hours are not known. The cheapest first."""
    text = (
        f"SELECT {STORE_COLUMNS}, {OFFER_COLUMNS}, {_OPEN.format('s')} FROM stores s JOIN offer_store o ON o.shard_cell = s.shard_cell"
        " AND o.store_id = s.id WHERE s.shard_cell = :shard_cell AND o.shard_cell = :shard_cell AND s.id = :id AND s.status = 'live'"
        " AND o.valid_from <= :at AND (o.valid_until IS NULL OR o.valid_until > :at)"
        f" AND {conditions.OPEN_AT_MOMENT} ORDER BY o.price_minor NULLS LAST, o.offer_id"
    )
    return session.execute(sa.text(text), {"shard_cell": shard_of(store_id), "id": store_id, "at": at}).mappings().all()


# --- how it is done ----------------------------------------------------------------------------------------------------------


def _walk(session: Session, statement: Callable[[int], Statement], parameters: dict[str, Any], profile: Profile) -> list[sa.RowMapping]:
    """Runs the statement, again with a longer reach where something farther could still belong on the page.

    Once is enough where the rows of `nearest` fill a page, which is nearly always. Under a rare filter, and on later pages (whose
    bound `nearest` cannot give, because its rows may belong to pages before), the reach grows until the page proves itself.
    """
    radius_m, limit = parameters["radius_m"], parameters["limit"]
    while True:
        try:
            found = statement(parameters["seed"]).run(session, parameters)
        except DBAPIError as failure:
            if "wrong order" not in str(failure.orig) or parameters["seed"] == 0:
                raise
            # PostGIS (3.3) gives up on its own order where two rows are a hair apart across the date line: then without the index's order.
            session.rollback()
            parameters = {**parameters, "reach_m": radius_m, "seed": 0}
            continue
        reach = found[0]["reach_m"]
        rows = [row for row in found if row["store_id"] is not None]
        full = len(rows) == limit
        needed = min(radius_m, reach_m(profile, rows[-1]["total"])) if full else radius_m
        if needed <= reach:
            return rows
        if not full:
            # As far as the density of what was found suggests, with room, and at least twice as far as before.
            needed = min(radius_m, reach * max(2.0, math.sqrt(2 * limit / max(len(rows), 1))) + 100.0)
        parameters = {**parameters, "reach_m": needed, "seed": 0}


def _statement(kind: _Kind, asked: Sequence[str], *, seed: int, first_page: bool) -> Statement:
    """seed: how many rows the index hands over first. It stands in the text: of a LIMIT that it does not know the planner of a kept plan
    expects a tenth of the table, and then reads a whole shard and sorts it.
    """
    filters = " AND ".join(["true", *asked])
    live = "s.shard_cell = ANY(:shard_cells) AND s.status = 'live'"
    box = "s.location && _ST_Expand(CAST(:origin AS geography), reach.metres)"
    near = _SCORED.format(columns=kind.near_columns, source="nearest", joined=kind.joined, where=filters, within=":radius_m")
    every = _SCORED.format(
        columns=kind.columns, source="stores", joined=kind.joined, where=f"{live} AND {filters} AND {box} AND {_CAN_REACH}", within="reach.metres"
    )
    past = "true" if first_page else f"(-total, distance_m, {kind.id}) > (-:after_total, :after_distance_m, :after_id)"
    return Statement(
        _NEARBY.format(id=kind.id, seed=int(seed), near=near, all=every.join(kind.best_of), after=past, open=_OPEN.format("hit")), _TYPES
    )


def _parameters(question: Question) -> dict[str, Any]:
    where, profile = question.where, question.profile
    return {
        "origin": f"SRID=4326;POINT({where.origin.lon!r} {where.origin.lat!r})",
        "radius_m": float(where.radius_m),
        "min_radius_m": float(where.min_radius_m),
        "reach_m": None,
        "shard_cells": shard_cells_of_circle(where.origin, where.radius_m),
        "limit": question.limit,
        "seed": max(_LEAST_SEED, _SEED_FACTOR * question.limit),
        "priors": profile.prior_ratings_milli,
        "prior_count": profile.prior_count,
        "distance_weight": float(profile.distance_weight),
        "half_distance_m": profile.half_distance_m,
        "rating_weight": profile.rating_weight,
        **conditions.values_of(question),
    }


# --- profiles ----------------------------------------------------------------------------------------------------------------


def find_profile(session: Session, name: str) -> RankProfile | None:
    # The database takes no text with NUL, and no profile is called so.
    return None if "\0" in name else session.get(RankProfile, name)


def list_profiles(session: Session) -> Sequence[RankProfile]:
    return session.scalars(sa.select(RankProfile).order_by(RankProfile.name)).all()


def newest_use(session: Session) -> ProfileUse | None:
    return session.scalar(sa.select(ProfileUse).order_by(ProfileUse.id.desc()).limit(1))


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
