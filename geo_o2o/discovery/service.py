from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID

from geoalchemy2.shape import to_shape
from shapely.geometry import MultiPolygon
from sqlalchemy.orm import Session

from ..config import Settings
from ..db import Database
from ..districts.service import get_district
from ..errors import Conflict, InvalidInput
from ..shelf.queries import credit as credit_of
from ..shelf.service import NotOnShelf, Shelf
from ..shelf.snapshot import minutes
from ..stores.hours import horizon
from ..stores.words import is_match
from . import queries
from .answer import Shown, candidate_of, id_of, shown_of_hits, shown_of_row, sources_of
from .models import RankProfile
from .question import After, Question
from .ranking import MILLI, Candidate, Profile, Score, built_in_profiles, order_key, parse_profile, rank
from .reading import LARGEST_RADIUS_M
from .walk import Views, Walk

Found = TypeVar("Found")


@dataclass(frozen=True)
class Page:
    """One page of hits. last: the place of its last hit, where more follow. credit: of the sources it shows, by source.

    stale_s: how old the answer may be, where the database is away; None where it is fresh. path: who answered, `shelf` or `database`.
    """

    shown: Sequence[Shown]
    last: After | None
    credit: Mapping[str, tuple[str, str]]
    radius_m: float
    stale_s: float | None
    path: str


class Finder:
    """What answers questions in this process: the shelf where it can, else the database."""

    def __init__(self, database: Callable[[], Database], shelf: Shelf | None, views: Views):
        self._database, self.shelf, self._views = database, shelf, views
        # A profile never changes, so it is read once.
        self._profiles: dict[str, Profile] = built_in_profiles().copy()

    @classmethod
    def of(cls, settings: Settings, database: Callable[[], Database]) -> Finder:
        """With a shelf of its own for each database, so that two of them never share a file."""
        url = settings.write_url()
        folder = settings.data_dir / "shelf" / hashlib.sha256(url.encode()).hexdigest()[:12]
        shelf = Shelf(
            folder, reader=lambda: database().moment(), url=url if database().notifies else None,
            staleness_s=float(settings.shelf_max_staleness_s), most_bytes=settings.shelf_bytes,
        )  # fmt: skip
        return cls(database, shelf if settings.shelf else None, Views(settings.view_bytes))

    def forget(self) -> None:
        """Everything that was remembered of a database (tests, where another one stands in its place)."""
        self._profiles = built_in_profiles().copy()
        if self.shelf is not None:
            self.shelf.forget()

    def profile(self, name: str) -> Profile:
        """Raises InvalidInput."""
        found = self._profiles.get(name)
        if found is None:
            with self._database().read() as session:
                found = get_profile(session, name)
            self._profiles[name] = found
        return found

    def outline(self, district_id: UUID | None) -> MultiPolygon | None:
        """The area of a district. Raises NotFound."""
        if district_id is None:
            return None
        with self._database().read() as session:
            return MultiPolygon(to_shape(get_district(session, district_id).area))

    def page(self, question: Question, *, widen: bool = False) -> Page:
        """The hits of a question; one more than its limit is looked for, to know whether others follow.

        widen: double the radius, up to LARGEST_RADIUS_M, until there is a hit.
        """
        asked = replace(question, limit=question.limit + 1)
        while True:
            page = self._either(self._page_from_shelf, self._page_from_database, asked)
            if page.shown or not widen or asked.where.radius_m >= LARGEST_RADIUS_M:
                return page
            asked = replace(asked, where=replace(asked.where, radius_m=min(2 * asked.where.radius_m, LARGEST_RADIUS_M)))

    def _either(self, from_shelf: Callable[[Question], Found], from_database: Callable[[Question], Found], question: Question) -> Found:
        if self.shelf is not None:
            try:
                return from_shelf(question)
            except NotOnShelf:
                pass
        return from_database(question)

    def _page_from_shelf(self, question: Question) -> Page:
        assert self.shelf is not None
        stale_s = self.shelf.open()
        hits = Walk(question, self.shelf.snapshot, self._views).page()
        more = len(hits) == question.limit
        kept = hits[: question.limit - 1]
        last = After(kept[-1].key, kept[-1].distance_m, id_of(kept[-1])) if more else None
        shown = shown_of_hits(kept, minute=minutes(question.filters.at))
        known = {source: words for snapshot in {hit.snapshot for hit in kept} for source, words in sources_of(snapshot).items()}
        return Page(shown, last, _credit(shown, known), question.where.radius_m, stale_s, "shelf")

    def _page_from_database(self, question: Question) -> Page:
        with self._database().read() as session:
            ranked = rows_in_order(session, question)[: question.limit]
            known = credit_of(session)
        more = len(ranked) == question.limit
        kept = ranked[: question.limit - 1]
        last = After(kept[-1].key, kept[-1].candidate.distance_m, kept[-1].candidate.id) if more else None
        shown = [shown_of_row(one.row, one.candidate, one.score, key=one.key) for one in kept]
        return Page(shown, last, _credit(shown, known), question.where.radius_m, None, "database")


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
        return [Ranked(by_id[one.id], one, score, -score.total) for one, score in rank(candidates, question.profile)]
    return _once(every_ranked(session, question), question)


def every_ranked(session: Session, question: Question) -> list[Ranked]:
    """Every row that passes with its place in the order, an offer once for each of its stores, best first."""
    id_column = "offer_id" if question.kind == "offers" else "store_id"
    words = question.words
    found = []
    for row in queries.every_row(session, question, with_grams=words.grams if words else ()):
        has = 0
        if words is not None:
            grams = {*(row["search_grams"] or ()), *(row.get("offer_grams") or ())}
            category = row["offer_category_id"] if question.kind == "offers" else row["category_id"]
            has = max(len(grams.intersection(words.grams)), dict(words.category_found).get(category, 0))
            if not is_match(has, len(words.grams)):
                continue
        candidate = candidate_of(row, id_column=id_column, found=has, asked=len(words.grams) if words else 0)
        [(_, score)] = rank([candidate], question.profile)
        found.append(Ranked(row, candidate, score, order_key(candidate, score, question.sort)))
    return sorted(found, key=lambda one: (one.key, one.candidate.distance_m, one.candidate.id, one.row["store_id"]))


def _once(ranked: Sequence[Ranked], question: Question) -> list[Ranked]:
    """Each offer at the first, and so the best, of its stores; from after the cursor on."""
    after, seen, kept = question.after, set(), []
    for one in ranked:
        if one.candidate.id in seen:
            continue
        seen.add(one.candidate.id)
        if after is None or (one.key, one.candidate.distance_m, one.candidate.id) > (after.key, after.distance_m, after.id):
            kept.append(one)
    return kept


def _credit(shown: Sequence[Shown], known: Mapping[str, tuple[str, str]]) -> dict[str, tuple[str, str]]:
    """Attribution and licence of every source that is shown."""
    return {source: known[source] for source in sorted({one.source for one in shown}) if source in known}


class OutOfHorizon(InvalidInput):
    code = "open_at_out_of_range"


def get_profile(session: Session, name: str) -> Profile:
    """A built-in profile or one of this deployment. Raises InvalidInput."""
    built_in = built_in_profiles().get(name)
    if built_in is not None:
        return built_in
    row = queries.find_profile(session, name)
    if row is None:
        known = ", ".join([*built_in_profiles(), *(one.name for one in queries.list_profiles(session))])
        raise InvalidInput(f"there is no rank profile {name[:60]!r}; known are {known}", errors={"profile": [f"expected one of {known}"]})
    return parse_profile(row.body)


def add_profile(session: Session, profile: Profile, *, now: datetime) -> None:
    """Raises Conflict where the name is taken: a profile never changes, so that old answers can be recomputed."""
    if profile.name in built_in_profiles() or queries.find_profile(session, profile.name):
        raise Conflict(f"there is a profile {profile.name} already; a changed one gets a new name")
    session.add(RankProfile(name=profile.name, body=profile.as_json(), created_at=now))
    session.flush()


def refit_profile(session: Session, name: str, *, now: datetime) -> Profile:
    """The next version of a profile, its prior means those of the ratings as they are now.

    Raises InvalidInput where there is no such profile or nothing is rated.
    """
    old = get_profile(session, name)
    means = queries.mean_ratings_milli(session)
    if not means:
        raise InvalidInput("nothing is rated yet, so there is no mean to fit to")
    stem, number = _version(name)
    while f"{stem}-{number}" in built_in_profiles() or queries.find_profile(session, f"{stem}-{number}"):
        number += 1
    body = {**old.as_json(), "name": f"{stem}-{number}", "prior_mean": {code: mean / MILLI for code, mean in means.items()}}
    profile = parse_profile(body)
    add_profile(session, profile, now=now)
    return profile


def check_moment(at: datetime, *, field: str, now: datetime, horizon_d: int) -> None:
    """Raises OutOfHorizon where opening hours are not expanded as far as that moment."""
    first, last = horizon(now, horizon_d)
    # The worker expands anew within a tenth of the horizon, so the last tenth may not be there yet.
    last -= timedelta(days=1 + max(1, horizon_d // 10))
    if not first <= at < last:
        message = f"opening hours are known from {first:%Y-%m-%d} to {last:%Y-%m-%d}, found {at:%Y-%m-%dT%H:%MZ}"
        raise OutOfHorizon(message, errors={field: [message]})


def _version(name: str) -> tuple[str, int]:
    match = re.fullmatch(r"(.+)-(\d+)", name)
    return (match[1], int(match[2]) + 1) if match else (name, 2)
