"""What an attacker who knows everything but one account can learn of it: the audit of design trust, section 7."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from scipy.special import betaincinv

from geo_o2o.geo.cells import cell_of, descendants_at
from geo_o2o.geo.point import Point
from geo_o2o.releases import noise
from geo_o2o.releases.mechanism import Counts, Ints, Visits, count
from geo_o2o.releases.products import Product

CITY = cell_of(Point(24.9414, 60.1690), 7)
FINE = descendants_at(CITY, 9)
RUNS = 200_000


def visits(*rows: tuple[int, int, int, int]) -> Visits:
    """rows: account, cell, day, part."""
    columns = np.array(rows, dtype=np.int64).reshape(-1, 4).T
    return Visits(columns[0], columns[1], columns[2], columns[3])


def crowd(number: int, cell: int, *, first: int = 0, days: int = 1) -> list[tuple[int, int, int, int]]:
    return [(first + account, cell, day, 0) for account in range(number) for day in range(days)]


def epsilon_seen(there: np.ndarray, absent: np.ndarray) -> float:
    """Lower bound on epsilon: an event is much likelier with the target than without (Clopper-Pearson, 97.5 % each side)."""
    hits, misses = int(there.sum()), int(absent.sum())
    low = betaincinv(hits, len(there) - hits + 1, 0.025) if hits else 0.0
    high = betaincinv(misses + 1, len(absent) - misses, 0.975) if misses < len(absent) else 1.0
    return float(math.log(low / high)) if low > 0 else 0.0


def attack(product: Product, with_target: Counts, without: Counts, draw: Callable[[Ints, float], Ints], *, runs: int = RUNS) -> float:
    """The best test of one account knows all counts but its own, and looks at the noisy counts that it would change.

    From a pilot it learns how much evidence to ask for; what that tells is then measured on fresh runs.
    """
    touched = with_target.exact != without.exact

    def evidence(counts: Counts, number: int) -> np.ndarray:
        """Log of the likelihood ratio under Laplace noise, summed over cells, in units of 1 / scale; shape (number,)."""
        exact = counts.exact[touched]
        noisy = draw(np.tile(exact, number), product.scale).reshape(number, -1)
        return (np.abs(noisy - without.exact[touched]) - np.abs(noisy - with_target.exact[touched])).sum(axis=1)

    there, absent = (evidence(world, runs // 10) for world in (with_target, without))
    asked = max(np.unique(there).tolist(), key=lambda least: epsilon_seen(there >= least, absent >= least))
    return epsilon_seen(evidence(with_target, runs) >= asked, evidence(without, runs) >= asked)


def quick(counts: Ints, scale: float) -> Ints:
    """The same noise as the difference of two geometric numbers, for builds whose fault is another one."""
    rng = np.random.default_rng()
    return counts + rng.geometric(-math.expm1(-1 / scale), len(counts)) - rng.geometric(-math.expm1(-1 / scale), len(counts))


def two_worlds(product: Product, *, cells: int) -> tuple[Counts, Counts]:
    """Counts of a city of 200 in each of some cells, with and without one target in all of them."""
    away = sorted(FINE, key=lambda cell: FINE.index(cell) % 7)[:cells]
    rows = [row for number, cell in enumerate(away) for row in crowd(200, cell, first=1_000 * number)]
    target = [(99_999, cell, 0, 0) for cell in away]
    with_it = count(product, visits(*rows, *target), grid=[CITY], chance=noise.chance)
    return with_it, count(product, visits(*rows), grid=[CITY], chance=noise.chance)
