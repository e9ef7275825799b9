"""What releases say of a district: sums over cells that it holds in part, each with the interval that holds it. Pure.

Two things are not known: the noise of a published count, whose law is known, and which of a cell's stores its visits went to. Visits lie
where stores are, so a district's share of a cell is that of the stores, and stores differ: taking what each draws for gamma-distributed
with variance DISPERSION times its mean squared, the share of n stores of which a part w lies inside has a beta law with the variance
w(1 - w) / (n / DISPERSION + 1). With few stores that is nearly all or nothing; with many it is little.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

# Of the normal law: an interval of so many standard deviations holds 95 %.
_DEVIATIONS = 1.96
# Shops of one street differ: some draw ten times what others do (the squared coefficient of variation of such counts is about 2).
DISPERSION = 2.0


@dataclass(frozen=True)
class Estimate:
    """A figure and the interval that holds it with about 95 %."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Part:
    """A published count, the share of its cell's stores that lie in the district, 0..1, and how many stores the cell has."""

    value: float
    share: float
    stores: int = 0


def total(parts: Iterable[Part], *, noise: float) -> Estimate | None:
    """The district's part of some counts; None where none is shown: that is not zero. noise: variance of the noise on each."""
    parts = list(parts)
    if not parts:
        return None
    value = sum(part.share * part.value for part in parts)
    variance = sum(part.share**2 * noise + _share_variance(part) * part.value**2 for part in parts)
    return _around(value, variance, least=0.0)


def _share_variance(part: Part) -> float:
    return part.share * (1.0 - part.share) / (part.stores / DISPERSION + 1.0)


def change(now: Sequence[Part], before: Sequence[Part], *, noise: float) -> Estimate | None:
    """By what share the sum has grown since another period; None where there was nothing before. Both are of the very same cells: what one
    period merges and another one shows apart cannot be compared.

    Which stores a cell's visits go to is taken to be the same in both, so only the noise counts.
    """
    new, old = (sum(part.share * part.value for part in parts) for parts in (now, before))
    if old <= 0.0:
        return None
    spread = [noise * sum(part.share**2 for part in parts) for parts in (now, before)]
    ratio = new / old
    # To first order: the ratio of two sums with errors of their own.
    return _around(ratio - 1.0, (spread[0] + ratio**2 * spread[1]) / old**2, least=-1.0)


def shares(groups: Sequence[Sequence[Part]], *, noise: float) -> list[Estimate] | None:
    """The share of each group in all of them together; None where there is nothing. Again only the noise counts."""
    sums = [sum(part.share * part.value for part in group) for group in groups]
    whole = sum(sums)
    if whole <= 0.0:
        return None
    spread = [noise * sum(part.share**2 for part in group) for group in groups]
    found = []
    for one, own in zip(sums, spread, strict=True):
        share = one / whole
        found.append(_around(share, ((1.0 - share) ** 2 * own + share**2 * (sum(spread) - own)) / whole**2, least=0.0, most=1.0))
    return found


def ratio(part: Sequence[Part], whole: Sequence[Part], *, noise: float) -> Estimate | None:
    """What share of one sum another one is, whose counts have noise of their own; None where there is nothing."""
    above, below = (sum(one.share * one.value for one in parts) for parts in (part, whole))
    if below <= 0.0:
        return None
    spread = [noise * sum(one.share**2 for one in parts) for parts in (part, whole)]
    share = above / below
    return _around(share, (spread[0] + share**2 * spread[1]) / below**2, least=0.0, most=1.0)


def _around(value: float, variance: float, *, least: float = -math.inf, most: float = math.inf) -> Estimate:
    half = _DEVIATIONS * math.sqrt(variance)
    return Estimate(value, max(value - half, least), min(value + half, most))
