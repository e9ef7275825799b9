from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection
from dataclasses import replace

from shapely.geometry import MultiPolygon
from sqlalchemy.orm import Session

from ..districts.cover import touched_cells
from ..errors import InvalidInput
from ..geo.bounds import Bounds
from ..geo.cells import cell_of, centre_of, descendants_at
from ..geo.point import Point
from ..releases import queries as releases
from ..releases.models import HeatRelease
from ..releases.products import VISITS
from ..stores.categories import codes_by_id
from . import queries
from .proposing import Proposal, Shape, Spot, propose
from .sites import Model, Site, Standing, pull_of, score_sites

MOST_CANDIDATES = 2_000
# Stores around the candidates beyond which the sum takes too long for an answer.
MOST_STORES = 20_000
MOST_PAIRS = 40_000_000
_M_PER_DEG = 111_000.0
_FINEST = VISITS.resolutions[-1]


def propose_districts(session: Session, bounds: Bounds, shape: Shape) -> list[Proposal]:
    """The business districts that the stores of a box make. Raises AreaTooLarge."""
    codes = codes_by_id()
    spots = [
        Spot(Point(row.lon, row.lat), row.street, codes.get(row.category_id, "other").partition(".")[0]) for row in queries.spots_in(session, bounds)
    ]
    return propose(spots, shape)


def find_sites(
    session: Session, area: MultiPolygon, *, resolution: int, category_ids: Collection[int], model: Model
) -> tuple[list[Site], HeatRelease | None]:
    """Every cell of an area as a site for a store of a kind, the best first, and the release whose visits were taken.

    Where no visits were released, every store around stands for one visit. Raises InvalidInput where the area or what stands in it is too
    much; AreaTooLarge; CoverTooLarge.
    """
    cells = touched_cells(area, resolution).tolist()
    if len(cells) > MOST_CANDIDATES:
        message = f"the area has {len(cells):,} cells of resolution {resolution}; {MOST_CANDIDATES:,} are weighed at a time: ask for less, or coarser"
        raise InvalidInput(message, errors={"resolution": [message]}, code="too_many_cells")
    around = _widened(area, model.reach_m * 2)
    rows = list(queries.spots_in(session, around))
    if len(rows) > MOST_STORES:
        message = f"{len(rows):,} stores stand around the area; {MOST_STORES:,} are weighed at a time: ask for less"
        raise InvalidInput(message, errors={"area": [message]}, code="too_many_stores")
    rivals = [Standing(Point(row.lon, row.lat), pull_of(row.rating_count, model)) for row in rows if row.category_id in category_ids]
    company = [Point(row.lon, row.lat) for row in rows if row.category_id not in category_ids]
    release, demand = _demand(session, around)
    if release is None:
        here = Counter(cell_of(Point(row.lon, row.lat), _FINEST) for row in rows)
        demand = [(centre_of(cell), float(stores)) for cell, stores in sorted(here.items())]
    if len(demand) * (len(rivals) + len(cells)) > MOST_PAIRS:
        message = (
            f"{len(demand):,} places of demand, {len(rivals):,} rivals and {len(cells):,} cells are too many to be weighed at a time: ask for less"
        )
        raise InvalidInput(message, errors={"area": [message]}, code="too_many_stores")
    return score_sites([(cell, centre_of(cell)) for cell in cells], demand=demand, rivals=rivals, company=company, model=model), release


def _demand(session: Session, around: Bounds) -> tuple[HeatRelease | None, list[tuple[Point, float]]]:
    """Points of demand of the newest week around: what a coarse cell shows is spread evenly over its finest ones."""
    for city in releases.list_areas(session):
        found = releases.list_releases(session, area=city.name, product=VISITS.name)
        if not found:
            continue
        points: list[tuple[Point, float]] = []
        for row in releases.cells_of(session, area=city.name, product=VISITS.name, periods=[found[-1].period]):
            parts = descendants_at(row.cell, _FINEST)
            points += [(middle, row.value / len(parts)) for middle in map(centre_of, parts) if around.contains(middle)]
        if points:
            return found[-1], points
    return None, []


def _widened(area: MultiPolygon, by_m: float) -> Bounds:
    west, south, east, north = area.bounds
    high = by_m / _M_PER_DEG
    wide = high / max(math.cos(math.radians(max(abs(south), abs(north)))), 0.05)
    return Bounds(max(west - wide, -180.0), max(south - high, -90.0), min(east + wide, 180.0), min(north + high, 90.0))


def model_with(**named: float | None) -> Model:
    """The model with some parameters changed; then it has a name of its own, so that nobody takes it for the usual one."""
    changed = {name: value for name, value in named.items() if value is not None}
    return replace(Model(), **changed, name="huff-1-changed") if changed else Model()  # type: ignore[arg-type]
