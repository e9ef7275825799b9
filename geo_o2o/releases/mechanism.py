"""From visits to counts that may be shown. Pure: chance comes in as numbers, so that the same numbers give the same release.

Steps: bound what an account can change, count accounts, add noise (drawn by who calls), publish what passes. Everything after the noise
looks at noisy counts, but for one exact check, whose price is the product's delta.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..geo.cells import descendants_at, parents
from .products import LEAST_ACCOUNTS, ORIGINS, PARTS_OF_DAY, RETURNS, VISITS, Product

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
# What a count is of: cell, number of its part, and where people come from (0 where that is not asked).
Key = tuple[int, int, int]
# Noise on counts, drawn once: an array of counts and the scale in, the noisy counts out.
Noise = Callable[[Ints, float], Ints]
# So many numbers in 0..1.
Chance = Callable[[int], Floats]


@dataclass(frozen=True)
class Visits:
    """Visits of a period, a row each, in arrays of one length. account: any number that tells accounts apart. cell: of resolution 9.

    day: any number that tells days apart. part: number of the part of the day.
    """

    account: Ints
    cell: Ints
    day: Ints
    part: Ints


@dataclass(frozen=True)
class Counts:
    """Exact counts of accounts, a number for each key."""

    keys: tuple[Key, ...]
    exact: Ints


# Keys of one kind, rows of account and key, distinct, and how many numbers of a key the rows have.
_Kind = tuple[Sequence[Key], Ints, int]


def release(product: Product, visits: Visits, *, grid: Sequence[int], chance: Chance, noise: Noise) -> dict[Key, int]:
    """What is published: key to noisy count. grid: the cells of resolution 7 of the city, fixed in advance.

    Whatever lies outside the grid is left out.
    """
    counts = count(product, visits, grid=grid, chance=chance)
    return publish(product, counts, noise(counts.exact, product.scale), grid=grid)


def count(product: Product, visits: Visits, *, grid: Sequence[int], chance: Chance) -> Counts:
    """The counts of a product, after bounding: no account changes them by more than product.sensitivity together."""
    inside = np.isin(parents(visits.cell, 7), np.array(sorted(grid), dtype=np.int64))
    visits = Visits(visits.account[inside], visits.cell[inside], visits.day[inside], visits.part[inside])
    keys: list[Key] = []
    exact: list[int] = []
    for kind, rows, width in _COUNTERS[product.name](product, visits, grid, chance):
        accounts = _accounts(rows)
        keys += kind
        exact += [accounts.get(key[:width], 0) for key in kind]
    return Counts(tuple(keys), np.array(exact, dtype=np.int64))


def publish(product: Product, counts: Counts, noisy: Ints, *, grid: Sequence[int]) -> dict[Key, int]:
    """Of all counts those that may be shown."""
    passing = (noisy >= product.threshold) & (counts.exact >= LEAST_ACCOUNTS)
    if len(product.resolutions) == 1:
        return {key: int(value) for key, value, passes in zip(counts.keys, noisy, passing, strict=True) if passes}
    by_cell = {key[0]: (int(value), bool(passes)) for key, value, passes in zip(counts.keys, noisy, passing, strict=True)}
    found: dict[Key, int] = {}
    for cell in grid:
        found.update({(one, 0, 0): value for one, value in _merged(product, by_cell, cell, 0)})
    return found


def _merged(product: Product, by_cell: Mapping[int, tuple[int, bool]], cell: int, level: int) -> list[tuple[int, int]]:
    """The finest cells within one that can be shown; where none can, the cell itself if that can.

    A cell of which a part is shown is not shown itself: what is left of it cannot be had by subtraction.
    """
    value, passes = by_cell[cell]
    if value >= 2 * product.threshold and level + 1 < len(product.resolutions):
        children = descendants_at(cell, product.resolutions[level + 1])
        finer = [one for child in children for one in _merged(product, by_cell, child, level + 1)]
        if finer:
            return finer
    return [(cell, value)] if passes else []


# --- bounding and counting -----------------------------------------------------------------------------------------------------


def bound(rows: Ints, *, most: int, chance: Chance) -> Ints:
    """Of the distinct rows of each account `most` at random. rows: shape (n, 1 + m), the account first; returns rows, distinct."""
    distinct = np.unique(rows, axis=0) if len(rows) else rows
    order = np.lexsort((chance(len(distinct)), distinct[:, 0]))
    mixed = distinct[order]
    starts = np.flatnonzero(np.r_[True, mixed[1:, 0] != mixed[:-1, 0]]) if len(mixed) else np.array([], dtype=np.int64)
    rank = np.arange(len(mixed)) - np.repeat(starts, np.diff(np.r_[starts, len(mixed)]))
    return mixed[rank < most]


def _accounts(rows: Ints) -> dict[tuple[int, ...], int]:
    """Number of accounts by what follows the account in distinct rows."""
    keys, numbers = np.unique(rows[:, 1:], axis=0, return_counts=True)
    return {tuple(key.tolist()): int(number) for key, number in zip(keys, numbers, strict=True)}


def _count_visits(product: Product, visits: Visits, grid: Sequence[int], chance: Chance) -> Iterator[_Kind]:
    kept = bound(np.column_stack([visits.account, visits.cell]), most=product.kept, chance=chance)
    for resolution in product.resolutions:
        keys = [(cell, 0, 0) for coarse in grid for cell in descendants_at(coarse, resolution)]
        # Two kept cells of one account may have one ancestor: there it counts once.
        yield keys, np.unique(np.column_stack([kept[:, 0], parents(kept[:, 1], resolution)]), axis=0), 1


def _count_parts_of_day(product: Product, visits: Visits, grid: Sequence[int], chance: Chance) -> Iterator[_Kind]:
    kept = bound(np.column_stack([visits.account, parents(visits.cell, 7), visits.part]), most=product.kept, chance=chance)
    yield [(cell, part, 0) for cell in grid for part in range(len(product.parts))], kept, 2


def _count_returns(product: Product, visits: Visits, grid: Sequence[int], chance: Chance) -> Iterator[_Kind]:
    seen, days = _days(visits, 7)
    kept = bound(np.column_stack([seen, days >= 2]).astype(np.int64), most=product.kept, chance=chance)
    again = kept[kept[:, 2] == 1]
    everybody = np.column_stack([kept[:, :2], np.zeros(len(kept), dtype=np.int64)])
    yield [(cell, part, 0) for cell in grid for part in (0, 1)], np.vstack([everybody, again]), 2


def _count_origins(product: Product, visits: Visits, grid: Sequence[int], chance: Chance) -> Iterator[_Kind]:
    seen, days = _days(visits, product.resolutions[0])
    # Where somebody is seen on most days, ties by chance, comes last of each account.
    seen = seen[np.lexsort((chance(len(seen)), days, seen[:, 0]))]
    last = np.r_[seen[1:, 0] != seen[:-1, 0], True] if len(seen) else np.array([], dtype=bool)
    home = np.repeat(seen[last, 1], np.diff(np.r_[0, np.flatnonzero(last) + 1]))
    elsewhere = seen[:, 1] != home
    kept = bound(np.column_stack([seen[elsewhere], home[elsewhere]]), most=product.kept, chance=chance)
    kept = np.column_stack([kept[:, :2], np.zeros(len(kept), dtype=np.int64), kept[:, 2]])
    # Pairs of cells are too many to draw noise for each. Those that fewer accounts connect are never published, whatever the noise.
    keys = [(cell, part, origin) for (cell, part, origin), number in _accounts(kept).items() if number >= LEAST_ACCOUNTS]
    yield keys, kept, 3


def _days(visits: Visits, resolution: int) -> tuple[Ints, Ints]:
    """Account and cell, distinct, and on how many days it was seen there."""
    days = np.unique(np.column_stack([visits.account, parents(visits.cell, resolution), visits.day]), axis=0)
    seen, number = np.unique(days[:, :2], axis=0, return_counts=True)
    return seen, number


_COUNTERS = {
    VISITS.name: _count_visits, PARTS_OF_DAY.name: _count_parts_of_day, RETURNS.name: _count_returns, ORIGINS.name: _count_origins,
}  # fmt: skip
