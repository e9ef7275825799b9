"""What releases say of a district: sums over cells that it holds in part, each with the interval that holds it. Pure.

Two things are not known: the noise of a published count, whose law is known, and where within a cell at the edge its visits lie. Of all
shares with a given mean the one that is either none or all varies most (Bhatia and Davis, American Mathematical Monthly 107, 2000), so a
cell of value v of which a share w lies inside adds w(1 - w)v² to the variance. That is more than there can be, and so an honest bound.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

# Of the normal law: an interval of so many standard deviations holds 95 %.
_DEVIATIONS = 1.96


@dataclass(frozen=True)
class Estimate:
    """A figure and the interval that holds it with about 95 %."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Part:
    """A published count and the share of its cell that lies in the district, 0..1."""

    value: float
    share: float


def total(parts: Iterable[Part], *, noise: float) -> Estimate:
    """The district's part of some counts. noise: variance of the noise on each."""
    parts = list(parts)
    value = sum(part.share * part.value for part in parts)
    variance = sum(part.share**2 * noise + part.share * (1.0 - part.share) * part.value**2 for part in parts)
    return _around(value, variance, least=0.0)


def change(now: Sequence[Part], before: Sequence[Part], *, noise: float) -> Estimate | None:
    """By what share the sum has grown since another period; None where there was nothing before.

    Where the visits lie within a cell is taken to be the same in both, so only the noise counts.
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
