"""Rows of the database in the order of the published rule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from sqlalchemy.orm import Session

from ..geo.corridors import detours_m
from ..geo.point import Point
from ..stores.words import is_match
from . import queries
from .answer import candidate_of
from .items import item_of_row
from .question import Question, Words
from .ranking import Candidate, Score, order_key, rank, score


@dataclass(frozen=True, slots=True)
class Ranked:
    """A row of SQL with its place in the order."""

    row: Any
    candidate: Candidate
    score: Score
    key: int


def rows_in_order(session: Session, question: Question) -> list[Ranked]:
    """Rows of the database in the order of the published rule, from after the cursor on, an offer once; at least `limit` where there are."""
    id_column = "offer_id" if question.kind == "offers" else "store_id"
    if question.sort == "points" and question.words is None:
        rows: Sequence[Any] = queries.best_rows(session, question)
        candidates = [candidate_of(row, id_column=id_column) for row in rows]
        by_id = dict(zip((one.id for one in candidates), rows, strict=True))
        return [Ranked(by_id[one.id], one, points, -points.total) for one, points in rank(candidates, question.profile)]
    return once(every_ranked(session, question), question)


def rows_along(session: Session, question: Question, line: list[Point], detour_m: float) -> list[Ranked]:
    """The same with the way out of the way of a line and back as the distance, up to a longest one."""
    near = every_ranked(session, question)
    lonlat = np.array([(one.row["lon"], one.row["lat"]) for one in near]).reshape(-1, 2)
    found = []
    for one, metres in zip(near, detours_m(line, lonlat) if near else (), strict=True):
        if metres <= detour_m:
            candidate = replace(one.candidate, distance_m=round(float(metres)))
            points = score(candidate, question.profile)
            found.append(Ranked(one.row, candidate, points, order_key(candidate, points, question.sort)))
    found.sort(key=lambda one: (one.key, one.candidate.distance_m, one.candidate.id, one.row["store_id"]))
    return once(found, question)


def every_ranked(session: Session, question: Question) -> list[Ranked]:
    """Every row that passes with its place in the order, an offer once for each of its stores, best first."""
    id_column = "offer_id" if question.kind == "offers" else "store_id"
    words = question.words
    found = []
    for row in queries.every_row(session, question):
        has = grams_found(row, words)
        if words is not None and not is_match(has, len(words.grams)):
            continue
        candidate = candidate_of(row, id_column=id_column, found=has, asked=len(words.grams) if words else 0)
        points = score(candidate, question.profile)
        found.append(Ranked(row, candidate, points, order_key(candidate, points, question.sort)))
    return sorted(found, key=lambda one: (one.key, one.candidate.distance_m, one.candidate.id, one.row["store_id"]))


def grams_found(row: Mapping[str, Any], words: Words | None) -> int:
    """How many of the asked grams a row has: in its own names, its offer's title or, where that is more, its category's names."""
    if words is None:
        return 0
    grams = {*(row["search_grams"] or ()), *(row.get("offer_grams") or ())}
    category = row.get("offer_category_id", row["category_id"])
    return max(len(grams.intersection(words.grams)), dict(words.category_found).get(category, 0))


def once(ranked: Sequence[Ranked], question: Question) -> list[Ranked]:
    """Each offer at the first, and so the best, of its stores; from after the cursor on."""
    after, seen, kept = question.after, set(), []
    for one in ranked:
        if one.candidate.id in seen:
            continue
        seen.add(one.candidate.id)
        if after is None or (one.key, one.candidate.distance_m, one.candidate.id) > (after.key, after.distance_m, after.id):
            kept.append(one)
    return kept


def items_of_ranked(ranked: Sequence[Ranked], question: Question) -> bytes:
    return b",".join([item_of_row(one.row, one.candidate, one.score, profile=question.profile) for one in ranked])
