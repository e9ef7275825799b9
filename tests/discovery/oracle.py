"""The brute-force judge of nearby: every row scored in Python, then sorted. It shares no SQL with what it judges."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from functools import cache
from uuid import UUID

import numpy as np

from geo_o2o.discovery.ranking import Profile
from geo_o2o.geo.distance import distances_m
from geo_o2o.geo.point import Point


@dataclass(frozen=True)
class Row:
    """A store as the oracle knows it. spans: open intervals in UTC, None where the hours are not known. prices: of its live offers."""

    id: UUID
    at: Point
    category: str
    rating_sum: int
    rating_count: int
    spans: list[tuple[datetime, datetime]] | None
    offers: list[tuple[UUID, int]]


@dataclass(frozen=True)
class Question:
    origin: Point
    radius_m: float
    profile: Profile
    categories: tuple[str, ...] = ()
    min_rating: float | None = None
    open_at: datetime | None = None
    price_max: int | None = None


def half_even(value: Fraction) -> int:
    return round(value)  # Python rounds fractions half to even, exactly


@cache
def rating_of(weight: int, prior_count: int, prior_milli: int, rating_sum: int, rating_count: int) -> int:
    """Rating points in exact fractions."""
    bayes = Fraction(half_even((prior_count * Fraction(prior_milli, 1000) + rating_sum) / (prior_count + rating_count) * 1000), 1000)
    return half_even(weight * (bayes - 1) / 4)


class Oracle:
    def __init__(self, rows: list[Row]):
        self.rows = rows
        self.lonlat = np.array([(row.at.lon, row.at.lat) for row in rows])

    def ask(self, question: Question) -> list[tuple[UUID, int, int, int, int]]:
        """(id, distance_m, distance points, rating points, total) of every store that passes, best first."""
        profile = question.profile
        # A generous box on the sphere spares the geodesics of what is surely outside; 111 km a degree is the shortest there is.
        margin = question.radius_m / 110_000 + 0.001
        near = np.abs(self.lonlat[:, 1] - question.origin.lat) <= margin
        indices = np.nonzero(near)[0]
        found = []
        for index, metres in zip(indices, distances_m(question.origin, self.lonlat[indices]), strict=True):
            row = self.rows[index]
            if metres > question.radius_m or not self._passes(row, question):
                continue
            distance_m = round(float(metres))
            distance = round(profile.distance_weight * 2.0 ** (-distance_m / profile.half_distance_m))
            rating = rating_of(profile.rating_weight, profile.prior_count, profile.prior_of(row.category), row.rating_sum, row.rating_count)
            found.append((row.id, distance_m, distance, rating, distance + rating))
        return sorted(found, key=lambda hit: (-hit[4], hit[1], hit[0]))

    def ask_offers(self, question: Question) -> list[tuple[UUID, int, int, int, int]]:
        """The same for offers, each at its best store."""
        best: dict[UUID, tuple[UUID, int, int, int, int]] = {}
        by_id = {row.id: row for row in self.rows}
        for hit in self.ask(question):
            for offer, price in by_id[hit[0]].offers:
                if question.price_max is None or price <= question.price_max:
                    best.setdefault(offer, (offer, *hit[1:]))
        return sorted(best.values(), key=lambda hit: (-hit[4], hit[1], hit[0]))

    @staticmethod
    def _passes(row: Row, question: Question) -> bool:
        if question.categories and not any(row.category == one or row.category.startswith(one + ".") for one in question.categories):
            return False
        if question.min_rating is not None and not (
            row.rating_count and Fraction(row.rating_sum, row.rating_count) >= Fraction(str(question.min_rating))
        ):
            return False
        if question.open_at is not None and not any(start <= question.open_at < end for start, end in row.spans or ()):
            return False
        return question.price_max is None or any(price <= question.price_max for _, price in row.offers)
