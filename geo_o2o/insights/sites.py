"""Where a store of a kind is missing: each candidate cell scored by the visits that it would draw, and why. Pure.

How many would come is Huff's rule: of those who are at a place, each store draws a share by its attractiveness and the distance to it
(Huff, A probabilistic analysis of shopping center trade areas, Land Economics 39, 1963). Every point follows from the figures in the
answer, as in ranking: whoever reads it can do the sum.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..geo.local import to_local_m
from ..geo.point import Point

Floats = NDArray[np.float64]
# Nobody is nearer than across the street: at the very door the rule would have no limit.
NEAREST_M = 50.0
# Rivals whose distances are held in memory at a time.
_TOGETHER = 500


@dataclass(frozen=True)
class Model:
    """Named parameters of the model; a change of any number is a new name.

    distance_exponent: how fast distance puts people off. reach_m: farther than this nobody comes. rating_exponent: how much better known
    stores draw more. half_visits, half_rivals, half_company: the figure that earns half of the points of its kind.
    """

    name: str = "huff-1"
    distance_exponent: float = 2.0
    reach_m: float = 1_500.0
    rating_exponent: float = 0.5
    company_m: float = 150.0
    demand_points: int = 600
    rivalry_points: int = 200
    company_points: int = 200
    half_visits: float = 150.0
    half_rivals: float = 3.0
    half_company: float = 10.0


@dataclass(frozen=True)
class Standing:
    """A store that is there. pull: how attractive it is, 1 for one that nobody has rated."""

    at: Point
    pull: float


@dataclass(frozen=True)
class Site:
    """A candidate. visits: that it would draw in a week, of those around it. rivals, company: stores of its own kind and of others, those
    nearer counting more: 1 at the door, a half after company_m. nearest_rival_m: None where there is none within reach.
    """

    cell: int
    visits: float
    around: float
    rivals: float
    nearest_rival_m: int | None
    company: float
    demand_points: int
    rivalry_points: int
    company_points: int

    @property
    def points(self) -> int:
        return self.demand_points + self.rivalry_points + self.company_points


def score_sites(
    candidates: Sequence[tuple[int, Point]],
    *,
    demand: Sequence[tuple[Point, float]],
    rivals: Sequence[Standing],
    company: Sequence[Point],
    model: Model,
) -> list[Site]:
    """Candidates from the best down. demand: points and the visits of a week there."""
    if not candidates:
        return []
    origin = candidates[0][1]
    here = _local(origin, [point for _, point in candidates])
    demand_at, visits = _local(origin, [point for point, _ in demand]), np.array([value for _, value in demand], dtype=np.float64)
    rivals_at, pulls = _local(origin, [rival.at for rival in rivals]), np.array([rival.pull for rival in rivals], dtype=np.float64)
    company_at = _local(origin, company)
    # What the stores that are there pull at each point of demand.
    present = np.zeros(len(demand_at))
    for first in range(0, len(rivals_at), _TOGETHER):
        some = slice(first, first + _TOGETHER)
        present += (_decay(_apart(demand_at, rivals_at[some]), model) * pulls[some]).sum(axis=1)
    own_pull = float(np.median(pulls)) if len(pulls) else 1.0
    found = []
    for (cell, _), place in zip(candidates, here, strict=True):
        place = place[None, :]
        own = _decay(_apart(demand_at, place)[:, 0], model) * own_pull
        drawn = float((visits * np.divide(own, own + present, out=np.zeros_like(own), where=own > 0)).sum())
        to_rivals, to_company = _apart(place, rivals_at)[0], _apart(place, company_at)[0]
        near = float(np.exp2(-to_rivals / model.company_m).sum())
        friends = float(np.exp2(-to_company / model.company_m).sum())
        nearest = float(to_rivals.min()) if len(to_rivals) else None
        found.append(
            _site(
                cell, round(drawn, 1), round(float(visits[own > 0].sum()), 1), round(near, 2),
                None if nearest is None or nearest > model.reach_m else round(nearest), round(friends, 2), model,
            )
        )  # fmt: skip
    return sorted(found, key=lambda site: (-site.points, -site.visits, site.cell))


def _site(cell: int, visits: float, around: float, rivals: float, nearest_rival_m: int | None, company: float, model: Model) -> Site:
    """Points from rounded figures alone, so that the answer is enough to do the sum."""
    return Site(
        cell, visits, around, rivals, nearest_rival_m, company,
        demand_points=round(model.demand_points * (1.0 - 2.0 ** (-visits / model.half_visits))),
        rivalry_points=round(model.rivalry_points * 2.0 ** (-rivals / model.half_rivals)),
        company_points=round(model.company_points * (1.0 - 2.0 ** (-company / model.half_company))),
    )  # fmt: skip


def pull_of(rating_count: int, model: Model) -> float:
    """How attractive a store is by what is known of it."""
    return float((1.0 + rating_count) ** model.rating_exponent)


def _local(origin: Point, points: Sequence[Point]) -> Floats:
    return to_local_m(origin, np.array([(point.lon, point.lat) for point in points], dtype=np.float64).reshape(-1, 2))


def _apart(one: Floats, other: Floats) -> Floats:
    """Distances in metres, shape (n, m): flat, which is right to a few metres within a city."""
    return np.asarray(np.hypot(one[:, None, 0] - other[None, :, 0], one[:, None, 1] - other[None, :, 1]))


def _decay(metres: Floats, model: Model) -> Floats:
    return np.asarray(np.where(metres <= model.reach_m, np.maximum(metres, NEAREST_M) ** -model.distance_exponent, 0.0))
