"""Stores summed up per cell and category. Pure: the same sums ahead of a question and, where something has just changed, with it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..geo.cells import VERSIONED_RESOLUTION, parents

Ints = NDArray[np.int64]
# Rows of all categories together.
ALL = 0
# What rows are made for; those of resolution 6 are sums of seven rows of resolution 7.
ROLLED = tuple(range(VERSIONED_RESOLUTION, 12))
COARSEST, FINEST = 6, 11
COLUMNS = ("cell", "category", "stores", "offers", "rating_sum", "rating_count", "timed", "sample")


@dataclass(frozen=True)
class Stock:
    """Stores, a row each, in arrays of one length. cell: of resolution 12. hours: id of the opening hours, 0 where they are not known.

    sample: 1 where rating or offers were invented.
    """

    cell: Ints
    category: Ints
    offers: Ints
    rating_sum: Ints
    rating_count: Ints
    hours: Ints
    sample: Ints

    @classmethod
    def of(cls, rows: Sequence[Sequence[int]]) -> Stock:
        """rows: cell, category, offers, rating sum, rating count, hours, sample."""
        columns = np.array(rows, dtype=np.int64).reshape(-1, 7).T
        return cls(*columns)


@dataclass(frozen=True)
class Rolled:
    """Sums, a row for each cell and category, in arrays of one length, by (cell, category). timed: stores whose hours are known.

    hours: triples of row number, id of opening hours, and how many of its stores keep them; shape (n, 3).
    """

    cell: Ints
    category: Ints
    stores: Ints
    offers: Ints
    rating_sum: Ints
    rating_count: Ints
    timed: Ints
    sample: Ints
    hours: Ints

    @classmethod
    def of(cls, columns: Iterable[Ints], hours: Ints) -> Rolled:
        """columns: all but hours, in their order."""
        return cls(**dict(zip(COLUMNS, columns, strict=True)), hours=hours)

    def columns(self) -> list[Ints]:
        """All but hours, in their order."""
        return [getattr(self, name) for name in COLUMNS]

    def __len__(self) -> int:
        return len(self.cell)


def roll(stock: Stock, resolution: int, *, categories: Collection[int] | None = None) -> Rolled:
    """Sums of stores per cell of a resolution and per category; with categories only of those, all of them together."""
    chosen = slice(None) if categories is None else np.isin(stock.category, np.array(sorted(categories), dtype=np.int64))
    cells, kinds = parents(stock.cell[chosen], resolution), stock.category[chosen]
    columns = [column[chosen] for column in (stock.offers, stock.rating_sum, stock.rating_count, stock.hours, stock.sample)]
    if categories is None:
        # Each store twice: in its category, and in all of them.
        cells, kinds, columns = np.tile(cells, 2), np.r_[kinds, np.full(len(kinds), ALL)], [np.tile(column, 2) for column in columns]
    else:
        kinds = np.full(len(kinds), ALL)
    offers, rating_sum, rating_count, hours, sample = columns
    return _sum(cells, kinds, np.ones(len(cells), dtype=np.int64), offers, rating_sum, rating_count, (hours != 0).astype(np.int64), sample, hours)


def merge(parts: Sequence[Rolled], *, resolution: int | None = None) -> Rolled:
    """Rows of several parts as one row for each cell, whatever their categories; cells at a coarser resolution where one is given."""
    offset, hours = 0, []
    for part in parts:
        hours.append(part.hours + np.array([offset, 0, 0]))
        offset += len(part)
    names = ("cell", "stores", "offers", "rating_sum", "rating_count", "timed", "sample")
    columns = [np.concatenate([getattr(part, name) for part in parts]) if parts else np.empty(0, dtype=np.int64) for name in names]
    cells = columns[0] if resolution is None else parents(columns[0], resolution)
    keys, row = np.unique(cells, return_inverse=True)
    sums = [np.bincount(row, weights=column, minlength=len(keys)).astype(np.int64) for column in columns[1:]]
    triples = np.vstack([np.empty((0, 3), dtype=np.int64), *hours])
    if len(triples):
        triples = np.column_stack([row[triples[:, 0]], triples[:, 1:]])
    return Rolled.of([keys, np.full(len(keys), ALL), *sums], triples)


def open_stores(rolled: Rolled, open_ids: Collection[int]) -> Ints:
    """Of each row how many stores are open, where so many kinds of opening hours are."""
    if not len(rolled.hours):
        return np.zeros(len(rolled), dtype=np.int64)
    is_open = np.isin(rolled.hours[:, 1], np.array(sorted(open_ids), dtype=np.int64))
    return np.bincount(rolled.hours[:, 0], weights=rolled.hours[:, 2] * is_open, minlength=len(rolled)).astype(np.int64)


def _sum(
    cells: Ints, kinds: Ints, stores: Ints, offers: Ints, rating_sum: Ints, rating_count: Ints, timed: Ints, sample: Ints, hours: Ints
) -> Rolled:  # fmt: skip
    keys, row = np.unique(np.column_stack([cells, kinds]), axis=0, return_inverse=True)
    row = row.ravel()

    def total(column: Ints) -> Ints:
        return np.bincount(row, weights=column, minlength=len(keys)).astype(np.int64)

    known = hours != 0
    pairs, counts = np.unique(np.column_stack([row[known], hours[known]]), axis=0, return_counts=True)
    return Rolled(
        keys[:, 0], keys[:, 1], total(stores), total(offers), total(rating_sum), total(rating_count), total(timed), total(sample),
        np.column_stack([pairs, counts]).astype(np.int64),
    )  # fmt: skip
