"""Business districts out of the stores alone: hills of their density, told apart where a valley lies between them.

The density is a Gaussian kernel over H3 cells. Cells are visited from the densest down: each joins the hill of its densest neighbour, and
where two hills meet the lower one joins the higher, unless it stands out by `valley` of its own height (ToMATo: Chazal, Guibas, Oudot and
Skraba, Persistence-based clustering in Riemannian manifolds, Journal of the ACM 60, 2013). What stands out by less is noise.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import h3.api.basic_int as h3
import shapely
from shapely.geometry import MultiPolygon, Polygon

from ..geo.cells import area_km2, boundary, cell_of, edge_m
from ..geo.point import Point

# About 25 m edge: a few doors of a street.
_RESOLUTION = 11
# Neighbouring middles lie this many edges apart.
_STEP_EDGES = math.sqrt(3.0)
_REACH_BANDWIDTHS = 3.0
_STREETS_NAMED = 2
# A kind of store names a district where it makes up this share of it.
_LEADING_SHARE = 0.4


@dataclass(frozen=True)
class Shape:
    """What counts as a business district; chosen on New York (bench districts), whose districts have outlines of their own.

    bandwidth_m: of the kernel, about a block. least_per_km2: stores per square kilometre at its edge. valley: by what share of its own
    height a hill must stand out. foot: the share of a hill's height down to which it counts. least_stores: that it holds.
    """

    bandwidth_m: float = 80.0
    least_per_km2: float = 60.0
    valley: float = 0.3
    foot: float = 0.3
    least_stores: int = 10


@dataclass(frozen=True)
class Spot:
    """A store as it bears on districts. category: the part of its code before the first dot."""

    at: Point
    street: str | None
    category: str


@dataclass(frozen=True)
class Proposal:
    """A district that the stores themselves make.

    quality: by what share of its height it stands out from the next one, 0..1; 1 where it stands alone. stores: inside. per_km2: of its
    own area. categories: share of each kind, the largest first. cells: of resolution 11.
    """

    name: str
    area: MultiPolygon
    quality: float
    stores: int
    per_km2: float
    streets: tuple[str, ...]
    categories: Mapping[str, float]
    cells: frozenset[int]


def propose(spots: Sequence[Spot], shape: Shape) -> list[Proposal]:
    """The districts that stores make, the one with most stores first; the same for the same stores."""
    cells = [cell_of(spot.at, _RESOLUTION) for spot in spots]
    density = _density(Counter(cells), shape.bandwidth_m)
    hills, quality = _hills({cell: height for cell, height in density.items() if height >= shape.least_per_km2}, shape)
    of_cell = {cell: top for top, members in hills.items() for cell in members}
    held: dict[int, list[Spot]] = defaultdict(list)
    for spot, cell in zip(spots, cells, strict=True):
        if cell in of_cell:
            held[of_cell[cell]].append(spot)
    found = [_proposal(hills[top], inside, quality[top]) for top, inside in held.items() if len(inside) >= shape.least_stores]
    return sorted(found, key=lambda one: (-one.stores, min(one.cells)))


def _density(counts: Mapping[int, int], bandwidth_m: float) -> dict[int, float]:
    """Stores per square kilometre around each cell."""
    step_m = edge_m(_RESOLUTION) * _STEP_EDGES
    weights = [math.exp(-0.5 * (ring * step_m / bandwidth_m) ** 2) for ring in range(math.ceil(_REACH_BANDWIDTHS * bandwidth_m / step_m) + 1)]
    whole = sum((6 * ring or 1) * weight for ring, weight in enumerate(weights))
    density: dict[int, float] = defaultdict(float)
    for cell, count in sorted(counts.items()):
        share = count / (whole * area_km2(cell))
        for ring, weight in enumerate(weights):
            for near in h3.grid_ring(cell, ring):
                density[near] += share * weight
    return density


def _hills(heights: Mapping[int, float], shape: Shape) -> tuple[dict[int, list[int]], dict[int, float]]:
    """Cells of each hill by its top, down to its foot; and by what share of its height each stands out."""
    above: dict[int, int] = {}

    def top_of(cell: int) -> int:
        while above[cell] != cell:
            above[cell] = above[above[cell]]
            cell = above[cell]
        return cell

    saddles: dict[int, float] = {}
    order = sorted(heights, key=lambda cell: (-heights[cell], cell))
    for cell in order:
        higher = [near for near in h3.grid_ring(cell, 1) if near in above]
        if not higher:
            above[cell] = cell
            continue
        above[cell] = max(higher, key=lambda near: (heights[near], -near))
        tops = sorted({top_of(near) for near in higher}, key=lambda top: (-heights[top], top))
        for lower in tops[1:]:
            if heights[cell] > heights[lower] * (1.0 - shape.valley):
                above[lower] = tops[0]
            else:
                saddles.setdefault(lower, heights[cell])
    hills: dict[int, list[int]] = defaultdict(list)
    for cell in order:
        top = top_of(cell)
        if heights[cell] >= shape.foot * heights[top]:
            hills[top].append(cell)
    return hills, {top: 1.0 - saddles.get(top, 0.0) / heights[top] for top in hills}


def _proposal(cells: Sequence[int], spots: Sequence[Spot], quality: float) -> Proposal:
    streets = _most(spot.street for spot in spots if spot.street)[:_STREETS_NAMED]
    kinds = Counter(spot.category for spot in spots)
    shares = {kind: count / len(spots) for kind, count in sorted(kinds.items(), key=lambda one: (-one[1], one[0]))}
    return Proposal(
        name=_name(streets, shares), area=_outline(cells), quality=round(quality, 3), stores=len(spots),
        per_km2=round(len(spots) / sum(area_km2(cell) for cell in cells), 1), streets=tuple(streets),
        categories={kind: round(share, 3) for kind, share in shares.items()}, cells=frozenset(cells),
    )  # fmt: skip


def _most(words: Iterable[str]) -> list[str]:
    return [word for word, _ in sorted(Counter(words).items(), key=lambda one: (-one[1], one[0]))]


def _name(streets: Sequence[str], shares: Mapping[str, float]) -> str:
    kind, share = next(iter(shares.items()))
    return f"{' / '.join(streets) or 'District'}{f' · {kind}' if share >= _LEADING_SHARE else ''}"


def _outline(cells: Sequence[int]) -> MultiPolygon:
    """The cells together, without holes: a courtyard belongs to its block."""
    joined = shapely.union_all([Polygon(boundary(cell)) for cell in cells])
    parts = [joined] if isinstance(joined, Polygon) else list(joined.geoms)
    return MultiPolygon([shapely.geometry.polygon.orient(Polygon(part.exterior)) for part in parts])
