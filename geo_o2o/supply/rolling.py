"""Stores summed up per cell and category. Pure: the same sums ahead of a question and, where something has just changed, with it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..geo.cells import SHARD_RESOLUTION, VERSIONED_RESOLUTION, parents

Ints = NDArray[np.int64]
# Rows of all categories together.
ALL = 0
# What a block's rows are made for, and a shard's: those are sums of its blocks'.
ROLLED = tuple(range(VERSIONED_RESOLUTION, 12))
ROLLED_OF_SHARDS = tuple(range(SHARD_RESOLUTION, VERSIONED_RESOLUTION))
# What may be asked for.
COARSEST, FINEST = 6, 11
SUMS = ("stores", "offers", "rating_sum", "rating_count", "timed", "sample")
COLUMNS = ("cell", "category", *SUMS)
# Ids of categories are smaller.
_CATEGORIES = 1 << 15


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

    hours: triples of row number, id of opening hours, and how many of its stores keep them; shape (n, 3), by (row, id).
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
    def of(cls, columns: Iterable[Ints], hours: Ints | None = None) -> Rolled:
        """columns: all but hours, in their order."""
        return cls(**dict(zip(COLUMNS, columns, strict=True)), hours=_NO_HOURS if hours is None else hours)

    def columns(self) -> list[Ints]:
        """All but hours, in their order."""
        return [getattr(self, name) for name in COLUMNS]

    def __len__(self) -> int:
        return len(self.cell)


_NO_HOURS: Ints = np.empty((0, 3), dtype=np.int64)


def roll(stock: Stock, resolution: int, *, categories: Collection[int] | None = None) -> Rolled:
    """Sums of stores per cell of a resolution, all of these categories together; None for all there are."""
    if categories is None:
        chosen = np.arange(len(stock.cell))
    else:
        chosen = np.flatnonzero(np.isin(stock.category, np.array(sorted(categories), dtype=np.int64)))
    return _roll(stock, resolution, chosen, np.full(len(chosen), ALL))


def roll_by_category(stock: Stock, resolution: int, *, above: Mapping[int, Sequence[int]]) -> Rolled:
    """Sums of stores per cell of a resolution and category. above: of each category itself and all above it; a store counts in each, and in ALL."""
    nodes = {kind: (ALL, *above[kind]) for kind in np.unique(stock.category).tolist()}
    times = np.array([len(nodes[kind]) for kind in stock.category.tolist()], dtype=np.int64)
    kinds = np.array([node for kind in stock.category.tolist() for node in nodes[kind]], dtype=np.int64)
    return _roll(stock, resolution, np.repeat(np.arange(len(stock.cell)), times), kinds)


def coarsen(rolled: Rolled, resolution: int) -> Rolled:
    """Sums per cell of a coarser resolution and category."""
    return _sum(parents(rolled.cell, resolution), rolled.category, [getattr(rolled, name) for name in SUMS], rolled.hours)


def merge(parts: Sequence[Rolled], resolution: int) -> Rolled:
    """Rows of several parts as one row for each cell of a resolution, whatever their categories."""
    offset, hours = 0, [_NO_HOURS]
    for part in parts:
        hours.append(part.hours + np.array([offset, 0, 0]))
        offset += len(part)
    cells, *sums = (np.concatenate([_NO_HOURS[:, 0], *(getattr(part, name) for part in parts)]) for name in ("cell", *SUMS))
    return _sum(parents(cells, resolution), np.full(len(cells), ALL), sums, np.vstack(hours))


def within(rolled: Rolled, cells: Ints) -> Rolled:
    """Only the rows of some cells."""
    kept = np.isin(rolled.cell, cells)
    if kept.all():
        return rolled
    number = np.cumsum(kept) - 1
    hours = rolled.hours[kept[rolled.hours[:, 0]]]
    return Rolled.of((column[kept] for column in rolled.columns()), np.column_stack([number[hours[:, 0]], hours[:, 1:]]))


def open_stores(rolled: Rolled, open_ids: Collection[int]) -> Ints:
    """Of each row how many stores are open, where so many kinds of opening hours are."""
    is_open = np.isin(rolled.hours[:, 1], np.array(sorted(open_ids), dtype=np.int64))
    return _totals(rolled.hours[:, 0], rolled.hours[:, 2] * is_open, len(rolled))


def quotients(sums: Ints, counts: Ints) -> list[float | None]:
    """Means or shares of rows, to three places; None where nothing is counted."""
    found = (sums / np.maximum(counts, 1)).round(3).tolist()
    return [one if count else None for one, count in zip(found, counts.tolist(), strict=True)]


def _roll(stock: Stock, resolution: int, chosen: Ints, kinds: Ints) -> Rolled:
    """chosen: numbers of rows, which may come more than once; kinds: as what each of them counts."""
    ones, hours = np.ones(len(chosen), dtype=np.int64), stock.hours[chosen]
    sums = [ones, *(column[chosen] for column in (stock.offers, stock.rating_sum, stock.rating_count)), (hours != 0).astype(np.int64)]
    known = np.flatnonzero(hours)
    triples = np.column_stack([known, hours[known], ones[known]])
    return _sum(parents(stock.cell[chosen], resolution), kinds, [*sums, stock.sample[chosen]], triples)


def _sum(cells: Ints, kinds: Ints, sums: Sequence[Ints], hours: Ints) -> Rolled:
    """One row for each cell and kind. sums, hours: of the rows before."""
    places, place = np.unique(cells, return_inverse=True)
    keys, row = np.unique(place * _CATEGORIES + kinds, return_inverse=True)
    totals = [_totals(row, column, len(keys)) for column in sums]
    ids, id_ = np.unique(hours[:, 1], return_inverse=True)
    pairs, pair = np.unique(row[hours[:, 0]] * max(len(ids), 1) + id_, return_inverse=True)
    counts = _totals(pair, hours[:, 2], len(pairs))
    triples = np.column_stack([pairs // len(ids), ids[pairs % len(ids)], counts]) if len(ids) else _NO_HOURS
    return Rolled.of([places[keys // _CATEGORIES], keys % _CATEGORIES, *totals], triples)


def _totals(row: Ints, values: Ints, size: int) -> Ints:
    return np.bincount(row, weights=values, minlength=size).astype(np.int64)
