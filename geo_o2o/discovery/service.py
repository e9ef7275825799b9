from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

from geoalchemy2.shape import to_shape
from shapely.geometry import MultiPolygon
from sqlalchemy.exc import OperationalError, SQLAlchemyError

from ..config import Settings
from ..db import Database
from ..districts.service import get_district
from ..errors import Unavailable
from ..geo.cells import parent
from ..geo.point import Point
from ..shelf.queries import credit as credit_of
from ..shelf.service import NotOnShelf, Shelf, folder_of
from ..sponsorships.queries import sponsored_offers
from ..stores.words import is_match
from . import queries
from .answer import candidate_of
from .counting import clusters_of_views, facets_of_rows, facets_of_views
from .items import items_of_hits
from .ordered import Ranked, every_ranked, grams_found, items_of_ranked, once, rows_along, rows_in_order
from .profiles import get_profile, profile_in_use
from .question import After, Question
from .ranking import DEFAULT_PROFILE, Candidate, Profile, Score, built_in_profiles, order_key, score
from .reading import LARGEST_RADIUS_M
from .selection import View, Views
from .walk import Walk

Found = TypeVar("Found")
_MOST_OUTLINES = 1_000
# How long a process may answer by the profile that was in use before.
_LOOK_AGAIN_S = 5.0


@dataclass(slots=True)
class Page:
    """One page of hits. items: their JSON with a comma between. last: the place of the last one, where more follow. credit: of their sources.

    stale_since: until when the answer is surely right, where the database is away; None where it is fresh. path: who answered, `shelf` or
    `database`.
    """

    items: bytes
    last: After | None
    credit: Mapping[str, tuple[str, str]]
    radius_m: float
    stale_since: datetime | None
    path: str


@dataclass(frozen=True)
class Clusters:
    """How many hits each cell has. stale_since: see Page."""

    counts: Mapping[int, int]
    stale_since: datetime | None = None


class Finder:
    """What answers questions in this process: the shelf where it can, else the database."""

    def __init__(self, database: Callable[[], Database], shelf: Shelf | None, views: Views):
        self._database, self.shelf, self._views = database, shelf, views
        # A profile never changes, so it is read once.
        self._profiles: dict[str, Profile] = built_in_profiles().copy()
        # The one that answers whoever names none, as it was looked up last; when to look again, and who does.
        self._in_use: Profile | None = None
        self._look_again_at, self._looking = 0.0, threading.Lock()
        # Outlines of districts as they were last read, for the time when the database is away.
        self._outlines: dict[UUID, MultiPolygon] = {}

    @classmethod
    def of(cls, settings: Settings, database: Callable[[], Database]) -> Finder:
        """With a shelf of its own for each database, so that two of them never share a file."""
        url, folder = settings.write_url(), folder_of(settings)
        shelf = Shelf(
            folder, reader=lambda: database().moment(), url=url if database().notifies else None,
            staleness_s=float(settings.shelf_max_staleness_s), most_bytes=settings.shelf_bytes, noticed=lambda away: database().note(away),
        )  # fmt: skip
        return cls(database, shelf if settings.shelf else None, Views(settings.view_bytes))

    def forget(self) -> None:
        """Everything that was remembered of a database (tests, where another one stands in its place)."""
        self._profiles = built_in_profiles().copy()
        self._in_use, self._look_again_at = None, 0.0
        self._outlines.clear()
        if self.shelf is not None:
            self.shelf.forget()

    def profile(self, name: str | None = None) -> Profile:
        """Without a name the one that the operator has put to use. Raises InvalidInput."""
        if name is None:
            return self._profile_in_use()
        found = self._profiles.get(name)
        if found is None:
            with self._database().read() as session:
                found = get_profile(session, name)
            self._profiles[name] = found
        return found

    def look_again(self) -> None:
        """The next question without a profile asks which one is in use."""
        self._look_again_at = 0.0

    def _profile_in_use(self) -> Profile:
        """As it was a few seconds ago at most; while the database is away as it was read last."""
        # One thread looks it up and the others go on, but for the first time, when there is nothing to go on with.
        if time.monotonic() >= self._look_again_at and not self._database().away and self._looking.acquire(blocking=self._in_use is None):
            try:
                if time.monotonic() >= self._look_again_at:
                    self._look_again_at = time.monotonic() + _LOOK_AGAIN_S
                    with self._database().read() as session:
                        self._in_use = get_profile(session, profile_in_use(session)[0])
            except SQLAlchemyError:
                pass
            finally:
                self._looking.release()
        return self._in_use or built_in_profiles()[DEFAULT_PROFILE]

    def outline(self, district_id: UUID | None, *, now: datetime) -> MultiPolygon | None:
        """The area of a district; while the database is away as it was read last. Raises NotFound, Gone."""
        if district_id is None:
            return None
        remembered = self._outlines.get(district_id)
        if remembered is not None and self._database().away:
            return remembered
        try:
            with self._database().read() as session:
                found = MultiPolygon(to_shape(get_district(session, district_id, now=now).area))
        except OperationalError:
            if remembered is None:
                raise
            return remembered
        if len(self._outlines) >= _MOST_OUTLINES:
            self._outlines.clear()
        self._outlines[district_id] = found
        return found

    def page(self, question: Question, *, widen: bool = False) -> Page:
        """The first hits of a question, one less than its limit: the last one only tells whether others follow.

        widen: double the radius, up to LARGEST_RADIUS_M, until there is a hit.
        """
        asked = question
        while True:
            page = self._either(self._page_from_shelf, self._page_from_database, asked)
            if page.items or not widen or asked.where.radius_m >= LARGEST_RADIUS_M:
                return page
            asked = replace(asked, where=replace(asked.where, radius_m=min(2 * asked.where.radius_m, LARGEST_RADIUS_M)))

    def page_by_sql(self, question: Question) -> Page:
        """The same by SQL alone: for a profile that is only tried, of which the shelf shall remember nothing."""
        return self._page_from_database(question)

    def _either(self, from_shelf: Callable[[Question], Found], from_database: Callable[[Question], Found], question: Question) -> Found:
        if self.shelf is not None:
            try:
                return from_shelf(question)
            except NotOnShelf as missing:
                if self._database().away:
                    raise Unavailable("the database does not answer, and this area is not on the shelf", code="database_unavailable") from missing
        return from_database(question)

    def _page_from_shelf(self, question: Question) -> Page:
        assert self.shelf is not None
        find, stale_since = self.shelf.open()
        hits = Walk(question, find, self._views).page()
        kept = hits.first(question.limit - 1)
        last = kept.place(-1) if len(hits) == question.limit else None
        items, credit = items_of_hits(kept, profile=question.profile, minute=question.filters.minute)
        return Page(items, last, credit, question.where.radius_m, stale_since, "shelf")

    def _page_from_database(self, question: Question) -> Page:
        with self._database().read() as session:
            ranked = rows_in_order(session, question)[: question.limit]
            known = credit_of(session)
        return _page_of(ranked, question, known)

    def facets(self, question: Question, names: Sequence[str]) -> dict[str, Counter[Any]]:
        """How many of all hits have each value."""
        return self._either(
            lambda whole: self._facets_from_shelf(whole, names), lambda whole: self._facets_from_database(whole, names), _whole(question)
        )

    def _facets_from_shelf(self, question: Question, names: Sequence[str]) -> dict[str, Counter[Any]]:
        return facets_of_views(self._groups(question)[0], names, minute=question.filters.minute)

    def _facets_from_database(self, question: Question, names: Sequence[str]) -> dict[str, Counter[Any]]:
        with self._database().read() as session:
            return facets_of_rows((one.row for one in once(every_ranked(session, question), question)), names)

    def clusters(self, question: Question, *, resolution: int) -> Clusters:
        """How many stores each cell has of those that a question finds."""
        return self._either(
            lambda whole: self._clusters_from_shelf(whole, resolution),
            lambda whole: self._clusters_from_database(whole, resolution),
            _whole(question),
        )

    def _clusters_from_shelf(self, question: Question, resolution: int) -> Clusters:
        groups, stale_since = self._groups(question)
        return Clusters(clusters_of_views(groups, resolution=resolution), stale_since)

    def _clusters_from_database(self, question: Question, resolution: int) -> Clusters:
        with self._database().read() as session:
            return Clusters(Counter(parent(one.row["cell"], resolution) for one in every_ranked(session, question)))

    def wide_clusters(self, question: Question, *, resolution: int) -> Clusters:
        """The same for shapes of any size: always from the database."""
        with self._database().read() as session:
            return Clusters({row.cell: row.number for row in queries.clusters(session, question, resolution=resolution)})

    def _groups(self, question: Question) -> tuple[list[tuple[View, Any]], datetime | None]:
        assert self.shelf is not None
        find, stale_since = self.shelf.open()
        return Walk(question, find, self._views).groups(), stale_since

    def sponsored(self, question: Question, *, most: int, along: tuple[list[Point], float] | None = None) -> bytes:
        """The best of the offers that somebody pays for among those that the question finds. Nothing where the database is away.

        along: a line and the longest detour from it, where that is the distance.
        """
        if self._database().away:
            return b""
        try:
            with self._database().read() as session:
                paid = sponsored_offers(session, at=question.filters.at)
                if not paid:
                    return b""
                asked = replace(question, only=frozenset(paid), after=None, limit=most)
                ranked = rows_in_order(session, asked) if along is None else rows_along(session, asked, *along)
                return items_of_ranked(ranked[:most], question)
        except OperationalError:
            return b""

    def along(self, question: Question, line: list[Point], *, detour_m: float) -> Page:
        """Offers along a line, with the way out of the way and back as their distance. question: its area is the corridor around the line."""
        with self._database().read() as session:
            ranked = rows_along(session, question, line, detour_m)[: question.limit]
            return _page_of(ranked, question, credit_of(session))

    def why_not(self, question: Question, offer_id: UUID, *, store_ids: Sequence[UUID], widen: bool) -> WhyNot:
        """For one live offer: which filters its stores fail, or how many points it lacks for the page. widen: see page."""
        page = self.page(question, widen=widen)
        asked = replace(question, where=replace(question.where, radius_m=page.radius_m))
        with self._database().read() as session:
            rows = queries.placements_judged(session, asked, offer_id, store_ids=store_ids)
        judged = [_judge(row, asked) for row in rows]
        best = min((one for one in judged if not one.failed), key=lambda one: (one.key, one.candidate.distance_m), default=None)
        if best is None or page.last is None:
            return WhyNot(judged, best, best is not None, None)
        last = page.last
        shown = (best.key, best.candidate.distance_m, offer_id) <= (last.key, last.distance_m, last.id)
        return WhyNot(judged, best, shown, -last.key if question.sort == "points" else None)


@dataclass(frozen=True, slots=True)
class Judged:
    """An offer in one of its stores. failed: the filters that it does not pass."""

    store_id: UUID
    store_name: str
    candidate: Candidate
    score: Score
    key: int
    failed: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class WhyNot:
    """best: the store at which the offer would stand, None where it passes in none. shown: whether it is on the page.

    needed: points of the page's last hit, where the page is full and ordered by points.
    """

    stores: Sequence[Judged]
    best: Judged | None
    shown: bool
    needed: int | None


def _judge(row: Mapping[str, Any], question: Question) -> Judged:
    where, words = question.where, question.words
    failed = [name for name, passes in queries.verdicts_of(row).items() if not passes]
    if not where.min_radius_m <= row["metres"] <= where.radius_m:
        failed.append("radius_m" if row["metres"] > where.radius_m else "min_radius_m")
    has = grams_found(row, words)
    if words is not None and not is_match(has, len(words.grams)):
        failed.append("q")
    asked = len(words.grams) if words is not None and "q" not in failed else 0
    candidate = candidate_of(row, id_column="offer_id", found=has, asked=asked)
    points = score(candidate, question.profile)
    return Judged(row["store_id"], row["name"], candidate, points, order_key(candidate, points, question.sort), tuple(failed))


def _whole(question: Question) -> Question:
    """The question for all its hits at once."""
    return replace(question, after=None)


def _page_of(ranked: Sequence[Ranked], question: Question, known: Mapping[str, tuple[str, str]]) -> Page:
    """ranked: one more than the page shows, where there are more."""
    kept = ranked[: question.limit - 1]
    last = After(kept[-1].key, kept[-1].candidate.distance_m, kept[-1].candidate.id) if len(ranked) == question.limit else None
    credit = {source: known[source] for source in {one.row["source"] for one in kept} if source in known}
    return Page(items_of_ranked(kept, question), last, credit, question.where.radius_m, None, "database")
