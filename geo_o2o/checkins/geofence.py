"""How likely a phone was inside a store's fence, from what it says of its own accuracy.

A fix is a Gaussian around the reported position, the same in all directions; what phones call "accuracy" is turned into its sigma
first, because the platforms mean different things by it. The probability inside is then exact, for circles and for polygons.
Source: design of the project (trust, section 5); Marcum 1950 for the circle, Owen 1956 for the polygon.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray
from scipy.special import chndtr, owens_t
from shapely.geometry import MultiPolygon, Polygon
from shapely.geometry.polygon import orient

from ..geo.local import area_to_local_m, to_local_m
from ..geo.point import Point

AccuracyKind = Literal["p68", "rms2d", "p95"]
ACCURACY_KINDS: tuple[str, ...] = get_args(AccuracyKind)

# Radius that holds a 2-D Gaussian with 68.27 %, and with 95 %, in sigmas; the root mean square radius is sqrt(2) sigmas.
_SIGMAS: dict[str, float] = {"p68": 1.5096, "rms2d": math.sqrt(2.0), "p95": 2.4477}
R95_SIGMAS = 2.4477
# Beyond this many sigmas the probability is 0 or 1 in any arithmetic, and the series of the circle's formula would lose its way.
_CERTAIN_SIGMAS = 38.0
# A phone at 1 m accuracy or better is not believed: no consumer receiver is.
_BEST_SIGMA_M = 0.5

# The policy under which check-ins are judged now, and what it stands for. A change of any number is a new name.
POLICY = "p1"
# Phones claim too much: sigma is multiplied by this until field data says otherwise (design: trust, section 5, calibration).
KAPPA = 1.5
BUFFER_M = 20.0
DEFAULT_CIRCLE_M = 50
OLDEST_FIX_S = 60.0
LOCATED_R95_M = 150.0
LOCATED_P_IN = 0.50
WORST_R95_M = 500.0


@dataclass(frozen=True)
class Fix:
    """One reported position. accuracy_m: as the platform reported it; kind: what the platform means by it.

    mock: the platform says that the position was faked.
    """

    at: Point
    accuracy_m: float
    kind: AccuracyKind
    mock: bool = False

    @property
    def sigma_m(self) -> float:
        return max(self.accuracy_m / _SIGMAS[self.kind], _BEST_SIGMA_M)


@dataclass(frozen=True)
class Fence:
    """Where a visitor of a store can be: its footprint and BUFFER_M around it, or a circle around its point."""

    centre: Point
    footprint: MultiPolygon | None = None
    radius_m: int | None = None

    @property
    def name(self) -> str:
        return f"buffer{BUFFER_M:.0f}" if self.footprint is not None else f"circle{self.radius_m or DEFAULT_CIRCLE_M}"


@dataclass(frozen=True)
class Verdict:
    """What the fixes of a check-in say.

    level: 0 claimed, 1 located. p_in: probability inside the fence, 0..1. r95_m: radius of 95 % as reported.
    distance_m: from the store's point. reasons: codes of what keeps the level down, empty at level 1.
    """

    level: int
    p_in: float
    r95_m: float
    distance_m: float
    reasons: tuple[str, ...]


def judge(fixes: Sequence[Fix], fence: Fence) -> Verdict:
    """Level and probability of a check-in. fixes: 1 or more, none older than OLDEST_FIX_S.

    Errors of successive fixes go together, so they are not multiplied: the median position counts, with the median sigma,
    or half of the spread where the fixes disagree by more than that.
    """
    places = to_local_m(fence.centre, np.array([(fix.at.lon, fix.at.lat) for fix in fixes]))
    place = np.median(places, axis=0)
    spread_m = float(np.max(np.linalg.norm(places[:, None, :] - places[None, :, :], axis=2)))
    sigma_m = max(float(np.median([fix.sigma_m for fix in fixes])), 0.5 * spread_m)
    r95_m = R95_SIGMAS * sigma_m
    p_in = _probability(place, sigma_m * KAPPA, fence)
    reasons = []
    if any(fix.mock for fix in fixes):
        reasons.append("R01")
    if r95_m > LOCATED_R95_M:
        reasons.append("accuracy_low")
    if p_in < LOCATED_P_IN:
        reasons.append("p_in_low")
    return Verdict(level=0 if reasons else 1, p_in=p_in, r95_m=r95_m, distance_m=float(np.hypot(place[0], place[1])), reasons=tuple(reasons))


def probability_inside(fix: Fix, fence: Fence) -> float:
    """Of one fix by itself."""
    return _probability(to_local_m(fence.centre, np.array([(fix.at.lon, fix.at.lat)]))[0], fix.sigma_m * KAPPA, fence)


def _probability(place: NDArray[np.float64], sigma_m: float, fence: Fence) -> float:
    if fence.footprint is None:
        return circle_probability(float(np.hypot(place[0], place[1])), float(fence.radius_m or DEFAULT_CIRCLE_M), sigma_m)
    area = area_to_local_m(fence.centre, fence.footprint).buffer(BUFFER_M, join_style="mitre")
    return area_probability((float(place[0]), float(place[1])), area, sigma_m)


def circle_probability(distance_m: float, radius_m: float, sigma_m: float) -> float:
    """Probability that the true point lies within radius_m of a centre, the fix being distance_m from it."""
    if distance_m - radius_m > _CERTAIN_SIGMAS * sigma_m:
        return 0.0
    if radius_m - distance_m > _CERTAIN_SIGMAS * sigma_m:
        return 1.0
    if distance_m == 0.0:
        return -math.expm1(-(radius_m**2) / (2 * sigma_m**2))
    return float(np.clip(chndtr((radius_m / sigma_m) ** 2, 2, (distance_m / sigma_m) ** 2), 0.0, 1.0))


def area_probability(place: tuple[float, float], area: Polygon | MultiPolygon, sigma_m: float) -> float:
    """Probability that the true point lies in an area of local metres, holes and parts included.

    Each directed edge adds the mass of the triangle between it and the fix: its angle less Owen's T of its ends.
    """
    polygons = area.geoms if isinstance(area, MultiPolygon) else [area]
    total = 0.0
    for polygon in polygons:
        turned = orient(polygon)  # outer ring counter-clockwise, holes clockwise: holes subtract by themselves
        for ring in (turned.exterior, *turned.interiors):
            total += _ring_mass((np.asarray(ring.coords)[:, :2] - np.asarray(place)) / sigma_m)
    return min(max(total, 0.0), 1.0)


def _ring_mass(ring: NDArray[np.float64]) -> float:
    """Mass of the standard 2-D Gaussian inside a closed ring, negative where it runs clockwise. ring: (n, 2) in sigmas."""
    start, end = ring[:-1], ring[1:]
    along = end - start
    length = np.hypot(along[:, 0], along[:, 1])
    keep = length > 0.0
    start, end, along, length = start[keep], end[keep], along[keep], length[keep]
    height = (start[:, 0] * end[:, 1] - start[:, 1] * end[:, 0]) / length
    keep = np.abs(height) > 1e-12  # an edge in line with the fix spans no angle
    start, end, along, length, height = start[keep], end[keep], along[keep], length[keep], height[keep]
    slope_start = np.sum(start * along, axis=1) / (length * height)
    slope_end = np.sum(end * along, axis=1) / (length * height)
    angle = (np.arctan(slope_end) - np.arctan(slope_start)) / (2 * math.pi)
    return float(np.sum(angle - (owens_t(height, slope_end) - owens_t(height, slope_start))))
