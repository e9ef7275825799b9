"""The brute-force judge of every question, in columns: all rows measured by the geodesic, filtered, scored in whole numbers and sorted.

It shares with what it judges only the definition of words (stores/words.py) and of corridors; no snapshot, no view, no SQL.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely
import sqlalchemy as sa
from sqlalchemy.orm import Session

from geo_o2o.discovery.question import Filters, Question
from geo_o2o.discovery.ranking import LAST, Profile
from geo_o2o.geo.cells import descendants
from geo_o2o.geo.distance import distances_m
from geo_o2o.stores.categories import codes_by_id

Found = list[tuple[Any, int, int]]


@dataclass
class Judge:
    """stores, offers: rows as the database has them. spans: open intervals by hours_id."""

    stores: list[Any]
    offers: list[Any]
    spans: dict[int, Any]

    @classmethod
    def of(cls, session: Session, spans: dict[int, Any]) -> Judge:
        stores = session.execute(
            sa.text("SELECT *, ST_X(location::geometry) AS x, ST_Y(location::geometry) AS y FROM stores ORDER BY source_id")
        ).all()
        offers = session.execute(sa.text("SELECT * FROM offer_store ORDER BY store_id, offer_id")).all()
        return cls(list(stores), list(offers), spans)

    def __post_init__(self) -> None:
        self.lonlat = np.array([(row.x, row.y) for row in self.stores])
        self.number = {row.id: place for place, row in enumerate(self.stores)}
        self.offer_store = np.array([self.number[row.store_id] for row in self.offers])
        self.grams = [frozenset(row.search_grams or ()) for row in self.stores]
        self.offer_grams = [frozenset(row.search_grams or ()) for row in self.offers]

    def column(self, name: str) -> Any:
        key = f"_{name}"
        if not hasattr(self, key):
            setattr(self, key, np.array([getattr(row, name) for row in self.stores], dtype=object))
        return getattr(self, key)

    def ask(self, question: Question) -> Found:
        """(id, points in all, metres) of every hit, in order, from after the cursor on."""
        where, filters = question.where, question.filters
        near = np.flatnonzero(np.abs(self.lonlat[:, 1] - where.origin.lat) <= where.radius_m / 110_000 + 0.001)
        metres = distances_m(where.origin, self.lonlat[near])
        kept = (metres <= where.radius_m) & (metres >= where.min_radius_m)
        near, metres = near[kept], metres[kept]
        passing = [self._store_passes(int(one), float(m), question) for one, m in zip(near, metres, strict=True)]
        near, metres = near[passing], metres[passing]
        if where.area is not None:
            inside = shapely.covers(where.area, shapely.points(self.lonlat[near]))
            near, metres = near[inside], metres[inside]
        away = dict(zip(near.tolist(), [round(float(one)) for one in metres], strict=True))
        hits: list[tuple[int, int, Any, Any, int]] = []
        if question.kind == "stores":
            for store in near.tolist():
                if filters.asks_of_offers and not any(self._offer_passes(offer, filters) for offer in self._offers_of(store)):
                    continue
                self._add(hits, question, self.stores[store], None, self.grams[store], self.stores[store].category_id, away[store])
        else:
            for store in near.tolist():
                for place in self._places_of(store):
                    offer = self.offers[place]
                    category = offer.category_id or self.stores[store].category_id
                    if not self._offer_passes(offer, filters) or (filters.category_ids is not None and category not in filters.category_ids):
                        continue
                    if filters.sample is not None and offer.sample != filters.sample:
                        continue
                    self._add(hits, question, self.stores[store], offer, self.grams[store] | self.offer_grams[place], category, away[store])
        hits.sort()
        seen: set[Any] = set()
        after = question.after
        found: Found = []
        for key, distance_m, id_, _, total in hits:
            if id_ in seen:
                continue
            seen.add(id_)
            if id_ not in question.exclude and (after is None or (key, distance_m, id_) > (after.key, after.distance_m, after.id)):
                found.append((id_, total, distance_m))
        return found

    def _offers_of(self, store: int) -> list[Any]:
        return [self.offers[place] for place in self._places_of(store)]

    def _places_of(self, store: int) -> list[int]:
        if not hasattr(self, "_places"):
            self._places: dict[int, list[int]] = {}
            for place, one in enumerate(self.offer_store.tolist()):
                self._places.setdefault(one, []).append(place)
        return self._places.get(store, [])

    def _store_passes(self, store: int, metres: float, question: Question) -> bool:
        row, filters, where = self.stores[store], question.filters, question.where
        tags = set(row.tags)
        if question.kind == "stores" and filters.category_ids is not None and row.category_id not in filters.category_ids:
            return False
        if filters.open_from is not None:
            until = filters.open_until or filters.open_from
            if not any(begin <= filters.open_from < end and until <= end for begin, end in self.spans.get(row.hours_id, ())):
                return False
        return (
            (not filters.brands or row.brand in filters.brands)
            and (not filters.chains or any(row.chain == one or (row.chain or "").startswith(one + ".") for one in filters.chains))
            and (not filters.tags_any or bool(tags & set(filters.tags_any)))
            and set(filters.tags_all) <= tags
            and not tags & set(filters.tags_none)
            and (not filters.price_bands or row.price_band in filters.price_bands)
            and (filters.min_rating_milli is None or (row.rating_count > 0 and row.rating_sum * 1000 >= filters.min_rating_milli * row.rating_count))
            and (filters.min_rating_count is None or row.rating_count >= filters.min_rating_count)
            and (question.kind == "offers" or filters.sample is None or row.rating_sample == filters.sample)
            and (not where.cells or any(first <= row.cell <= last for first, last in map(descendants, where.cells)))
            and (not where.serves or (row.service_radius_m is not None and metres <= row.service_radius_m))
        )

    @staticmethod
    def _offer_passes(offer: Any, filters: Filters) -> bool:
        discount = 0 if offer.list_price_minor is None else 100 * (offer.list_price_minor - offer.price_minor) // offer.list_price_minor
        return (
            offer.valid_from <= filters.at
            and (offer.valid_until is None or offer.valid_until > filters.at)
            and (filters.price_max is None or (offer.price_minor is not None and offer.price_minor <= filters.price_max))
            and (filters.currency is None or offer.currency == filters.currency)
            and (not filters.offer_kinds or offer.kind in filters.offer_kinds)
            and (filters.discount_min is None or discount >= filters.discount_min)
        )

    def _add(self, hits: list[Any], question: Question, store: Any, offer: Any, grams: frozenset[int], category: int, distance_m: int) -> None:
        profile, words, text = question.profile, question.words, 0
        if words is not None:
            asked = len(words.grams)
            found = max(len(grams & set(words.grams)), dict(words.category_found).get(category, 0))
            if 5 * found < 3 * asked:
                return
            text = _half_even(profile.text_weight * (5 * found - 3 * asked), 2 * asked)
        bayes = _half_even(
            profile.prior_count * _prior(profile, store.category_id) + store.rating_sum * 1000, profile.prior_count + store.rating_count
        )
        rating = _half_even(profile.rating_weight * (bayes - 1000), 4000)
        total = round(profile.distance_weight * 2.0 ** (-distance_m / profile.half_distance_m)) + rating + text
        price = store.price_band if offer is None else offer.price_minor
        ends = None if offer is None or offer.valid_until is None else int(offer.valid_until.timestamp() // 60)
        key = {
            "points": -total, "distance": distance_m, "rating": -bayes, "price": LAST if price is None else price,
            "ending_soon": LAST if ends is None else ends,
        }[question.sort]  # fmt: skip
        hits.append((key, distance_m, store.id if offer is None else offer.offer_id, store.id, total))


def _prior(profile: Profile, category_id: int) -> int:
    return profile.prior_of(codes_by_id()[category_id])


def _half_even(numerator: int, denominator: int) -> int:
    whole, rest = divmod(numerator, denominator)
    return whole + (1 if 2 * rest > denominator or (2 * rest == denominator and whole % 2) else 0)
