"""Which rows of a snapshot pass the filters of a question: boolean columns, and views that keep only the rows that pass. Pure."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..shelf.snapshot import NEVER, NOTHING, Snapshot, minutes
from ..stores.categories import codes_by_id
from ..stores.words import NEEDED, OF
from .nearest import BLOCK
from .question import Filters, Kind, Question, Words
from .ranking import LAST, LOWEST_STARS, MILLI, STAR_SPAN, Profile

Array = NDArray[Any]
# About so many cells of the size of a block lie in that of a snapshot.
_MOST_BLOCKS = 60


@dataclass(frozen=True, eq=False)
class View:
    """The rows of one snapshot that pass the filters, with the part of their order that does not depend on the place of the question.

    stores: of each row, its store; offers: its placement (None where stores are asked for).
    worth: the points by which it is ordered, beside those of its distance: of rating and words together, or the order's key turned round.
    text: points of words, where there are any.
    made: what others make of the columns and will need again.
    """

    snapshot: Snapshot
    stores: Array
    offers: Array | None
    worth: Array
    text: Array | None
    made: dict[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.stores)

    @property
    def size(self) -> int:
        """Bytes that it holds beside the snapshot."""
        blocks = min(len(self), _MOST_BLOCKS) * BLOCK.itemsize
        return sum(one.nbytes for one in (self.stores, self.offers, self.worth, self.text) if one is not None) + blocks + 500

    @cached_property
    def whole(self) -> tuple[Array, Array]:
        """All rows as one span: where it starts and ends."""
        return np.zeros(1, dtype=np.int64), np.array([len(self)], dtype=np.int64)

    @property
    def things(self) -> Array:
        """Of each row that which is asked for: its place among the columns of ids."""
        return self.stores if self.offers is None else self.offers

    @cached_property
    def ids(self) -> tuple[Array, Array, Array, Array]:
        """The columns with the halves of the ids of what is asked for, and of those of stores."""
        snapshot = self.snapshot
        store_ids = snapshot["id_high"], snapshot["id_low"]
        return (*(store_ids if self.offers is None else (snapshot["offer_high"], snapshot["offer_low"])), *store_ids)

    @cached_property
    def repeats(self) -> Array | None:
        """Which rows are offers of more than one store; None where there is none."""
        if self.offers is None:
            return None
        many = self.snapshot["store_count"][self.offers] > 1
        return many if many.any() else None

    @cached_property
    def best(self) -> int:
        """The most that any row is worth."""
        return int(self.worth.max()) if len(self) else 0

    @cached_property
    def blocks(self) -> Array:
        """Neighbouring rows, shape (n,) of nearest.BLOCK."""
        block = np.searchsorted(self.snapshot.blocks, self.stores, side="right")
        start = np.flatnonzero(np.concatenate([[True], block[1:] != block[:-1]]))
        count = np.diff(start, append=len(self))
        xyz = self.snapshot["xyz"][self.stores]
        centre = np.add.reduceat(xyz, start) / count[:, None]
        away = np.sqrt(((xyz - np.repeat(centre, count, axis=0)) ** 2).sum(axis=1))
        blocks = np.empty(len(start), dtype=BLOCK)
        blocks["start"], blocks["end"] = start, start + count
        blocks["x"], blocks["y"], blocks["z"] = centre.T
        blocks["radius"], blocks["best"] = np.maximum.reduceat(away, start), np.maximum.reduceat(self.worth, start)
        return blocks


class _Kept(dict[int, View]):
    """The views of one kind of question, by cell. again: whether anybody asked it again since it was last in line to be forgotten."""

    again = False


class Views:
    """Views that were made lately, up to so many bytes; one for each process."""

    def __init__(self, most_bytes: int):
        self._most_bytes, self._bytes = most_bytes, 0
        # By what the view depends on beside its snapshot; who stands first is forgotten first, unless it was asked again: what
        # everybody asks is not driven out by what one has typed.
        self._kept: OrderedDict[Any, _Kept] = OrderedDict()
        self._lock = threading.Lock()

    def asked(self, question: Question) -> Callable[[Snapshot], View]:
        """What gives the view of each snapshot for a question."""
        key = view_key(question)
        kept = self._kept.get(key)
        if kept is not None:
            kept.again = True
        else:
            with self._lock:
                kept = self._kept.setdefault(key, _Kept())

        def of(snapshot: Snapshot) -> View:
            view = kept.get(snapshot.cell)
            if view is None or view.snapshot is not snapshot:
                view = self._keep(key, kept, view_of(snapshot, question))
            return view

        return of

    def _keep(self, key: Any, kept: _Kept, view: View) -> View:
        with self._lock:
            if self._kept.get(key) is not kept:
                return view  # forgotten meanwhile
            replaced = kept.get(view.snapshot.cell)
            kept[view.snapshot.cell] = view
            self._bytes += view.size - (replaced.size if replaced else 0)
            while self._bytes > self._most_bytes:
                self._forget_one()
        return view

    def _forget_one(self) -> None:
        """Forgets the first in line; one that was asked again goes to its end instead."""
        key, kept = self._kept.popitem(last=False)
        if kept.again:
            kept.again = False
            self._kept[key] = kept
        else:
            self._bytes -= sum(one.size for one in kept.values())


def view_key(question: Question) -> tuple[Any, ...]:
    """All that a view depends on beside its snapshot."""
    return (question.kind, question.filters, question.profile.name, question.words, question.sort)


def view_of(snapshot: Snapshot, question: Question) -> View:
    """The rows that pass, in the order of the snapshot."""
    filters, profile = question.filters, question.profile
    passing = _stores_pass(snapshot, filters, kind=question.kind)
    offers: Array | None = None
    if question.kind == "offers":
        chosen = _offers_pass(snapshot, filters)
        if filters.category_ids is not None:
            chosen &= _lookup(filters.category_ids)[snapshot["offer_category"]]
        if passing is not None:
            chosen &= passing[snapshot["offer_store"]]
        offers = np.flatnonzero(chosen).astype(np.int32)
        stores = snapshot["offer_store"][offers]
    elif passing is None:
        stores = np.arange(snapshot.store_count, dtype=np.int32)
    else:
        stores = np.flatnonzero(passing).astype(np.int32)
    text: Array | None = None
    if question.words is not None:
        found = _found(snapshot, question.words, stores, offers)
        asked = len(question.words.grams)
        kept = OF * found >= NEEDED * asked
        stores, found, offers = stores[kept], found[kept], None if offers is None else offers[kept]
        text = _half_even(profile.text_weight * (OF * found - NEEDED * asked), (OF - NEEDED) * asked).astype(np.int32)
    return View(snapshot, stores, offers, _worth(snapshot, question, stores, offers, text), text)


def _worth(snapshot: Snapshot, question: Question, stores: Array, offers: Array | None, text: Array | None) -> Array:
    """See View."""
    bayes, rating = rating_columns(snapshot, question.profile)
    match question.sort:
        case "points":
            own = rating if len(stores) == snapshot.store_count and offers is None else rating[stores]
            return own if text is None else own + text
        case "rating":
            return bayes[stores]
        case "price":
            price = snapshot["price_band"][stores].astype(np.int64) if offers is None else snapshot["price"][offers]
            return -np.where(price == (0 if offers is None else NOTHING), LAST, price)
        case "ending_soon":
            if offers is None:
                return np.full(len(stores), -LAST, dtype=np.int64)
            until = snapshot["valid_until"][offers].astype(np.int64)
            return -np.where(until == NEVER, LAST, until)
    return np.zeros(len(stores), dtype=np.int32)


def rating_columns(snapshot: Snapshot, profile: Profile) -> tuple[Array, Array]:
    """Rating after the prior in thousandths of a star, and rating points, of every store."""
    key = ("rating", profile.name)
    found = snapshot.views.get(key)
    if found is None:
        priors = np.array([0, *profile.prior_ratings_milli], dtype=np.int64)
        bayes = _half_even(priors[snapshot["category"]] + snapshot["rating_sum"] * MILLI, profile.prior_count + snapshot["rating_count"])
        points = _half_even(profile.rating_weight * (bayes - LOWEST_STARS * MILLI), STAR_SPAN * MILLI)
        found = snapshot.views[key] = bayes.astype(np.int32), points.astype(np.int32)
    return found


def _stores_pass(snapshot: Snapshot, filters: Filters, *, kind: Kind) -> Array | None:
    """Of every store whether it passes; None where nothing is asked of it."""
    parts: list[Array] = []
    if filters.category_ids is not None and kind == "stores":
        parts.append(_lookup(filters.category_ids)[snapshot["category"]])
    if filters.open_from is not None:
        state = snapshot.open_through(minutes(filters.open_from), minutes(filters.open_until or filters.open_from))
        parts.append(state[snapshot["hours_id"]] == 1)
    if filters.brands:
        parts.append(_one_of(snapshot, "brands", "brand", filters.brands))
    if filters.chains:
        below = [word for word in snapshot.words["chains"] if any(word == one or word.startswith(one + ".") for one in filters.chains)]
        parts.append(_one_of(snapshot, "chains", "chain", below))
    if filters.merchant_id is not None:
        parts.append(_one_of(snapshot, "merchants", "merchant_id", [str(filters.merchant_id)]))
    if filters.price_bands:
        parts.append(np.isin(snapshot["price_band"], filters.price_bands))
    if filters.min_rating_milli is not None:
        count = snapshot["rating_count"].astype(np.int64)
        parts.append((count > 0) & (snapshot["rating_sum"].astype(np.int64) * 1000 >= filters.min_rating_milli * count))
    if filters.min_rating_count is not None:
        parts.append(snapshot["rating_count"] >= filters.min_rating_count)
    parts += _tags_pass(snapshot, filters)
    if kind == "stores":
        if filters.sample is not None:
            parts.append(snapshot["rating_sample"] == filters.sample)
        if filters.asks_of_offers:
            has = np.zeros(snapshot.store_count, dtype=bool)
            has[snapshot["offer_store"][_offers_pass(snapshot, filters, sample=False)]] = True
            parts.append(has)
    return np.logical_and.reduce(parts) if parts else None


def _tags_pass(snapshot: Snapshot, filters: Filters) -> list[Array]:
    parts: list[Array] = []
    if filters.tags_any:
        parts.append(np.logical_or.reduce([_tagged(snapshot, tag) for tag in filters.tags_any]))
    parts += [_tagged(snapshot, tag) for tag in filters.tags_all]
    parts += [~_tagged(snapshot, tag) for tag in filters.tags_none]
    return parts


def _offers_pass(snapshot: Snapshot, filters: Filters, *, sample: bool = True) -> Array:
    """Of every placement whether its offer holds at the moment and passes. sample: whether that filter is about offers."""
    at = filters.minute
    passing = (snapshot["valid_from"] <= at) & (snapshot["valid_until"] > at)
    if filters.price_max is not None:
        passing &= (snapshot["price"] != NOTHING) & (snapshot["price"] <= filters.price_max)
    if filters.currency is not None:
        passing &= _one_of(snapshot, "currencies", "currency", [filters.currency])
    if filters.offer_kinds:
        passing &= _one_of(snapshot, "kinds", "kind", filters.offer_kinds)
    if filters.discount_min is not None:
        passing &= snapshot["discount"] >= filters.discount_min
    if sample and filters.sample is not None:
        passing &= snapshot["sample"] == filters.sample
    return np.asarray(passing)


def _one_of(snapshot: Snapshot, words: str, column: str, wanted: Sequence[str]) -> Array:
    known = snapshot.words[words]
    return np.isin(snapshot[column], [number for number, word in enumerate(known) if word in wanted])


def _tagged(snapshot: Snapshot, tag: str) -> Array:
    has = np.zeros(snapshot.store_count, dtype=bool)
    if tag in snapshot.words["tags"]:
        places = np.flatnonzero(snapshot["tag"] == snapshot.words["tags"].index(tag))
        has[np.searchsorted(snapshot["tag_start"], places, side="right") - 1] = True
    return has


def _found(snapshot: Snapshot, words: Words, stores: Array, offers: Array | None) -> Array:
    """How many of the asked grams each row has: in its own names, its offer's title or, where that is more, its category's names."""
    has = _having(snapshot["gram"], snapshot["gram_store"], words.grams, snapshot.store_count)[:, stores]
    category = snapshot["category"][stores]
    if offers is not None:
        has |= _having(snapshot["offer_gram"], snapshot["gram_offer"], words.grams, snapshot.offer_count)[:, offers]
        category = snapshot["offer_category"][offers]
    by_category = np.zeros(max(codes_by_id()) + 1, dtype=np.int64)
    for id_, number in words.category_found:
        by_category[id_] = number
    return np.asarray(np.maximum(has.sum(axis=0), by_category[category]))


def _having(grams: Array, rows: Array, wanted: Sequence[int], count: int) -> Array:
    """For each wanted gram (first axis) which of the rows have it. grams: sorted; rows: of each its row."""
    has = np.zeros((len(wanted), count), dtype=bool)
    asked = np.array(wanted, dtype=grams.dtype)
    begin, end = np.searchsorted(grams, asked, side="left").tolist(), np.searchsorted(grams, asked, side="right").tolist()
    for number, (first, last) in enumerate(zip(begin, end, strict=True)):
        has[number, rows[first:last]] = True
    return has


def _lookup(ids: Sequence[int]) -> Array:
    table = np.zeros(max(codes_by_id()) + 1, dtype=bool)
    table[list(ids)] = True
    return table


def _half_even(numerator: Array, denominator: Array | int) -> Array:
    """Exact: of numbers this size a double's quotient lies on a half only where the true one does."""
    return np.rint(np.asarray(numerator, dtype=np.int64) / denominator).astype(np.int64)
