"""Heat layers as columns."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any

import numpy as np
from geoalchemy2.shape import to_shape
from shapely.geometry import MultiPolygon
from sqlalchemy.orm import Session

from ..districts.cover import touched_cells
from ..districts.queries import ground_of, with_parts
from ..districts.service import get_district
from ..errors import InvalidInput, NotFound
from ..geo.cells import area_km2, centre_of, descendants_at, parent, resolution_of, to_hex
from ..geo.crs import Crs, written_point
from ..geo.tiles import resolution_of_zoom
from ..releases import queries as releases
from ..releases.models import HeatArea, HeatRelease
from ..releases.products import PRODUCTS, Product
from ..releases.service import parse
from ..supply.rolling import COARSEST, FINEST, Rolled, quotients
from ..supply.service import finest_for, known_since, open_shares, supply_as_of, supply_in, supply_of_districts, supply_of_districts_as_of
from .columns import Columns

# Where neither resolution nor zoom is given: as many cells as a screen bears.
_SCREEN_CELLS = 3_000
# Planners look at the same cells again and again; a cell takes some 200 bytes.
_CELLS_REMEMBERED = 1 << 16


def supply(session: Session, asked: Mapping[str, Any], *, now: datetime) -> tuple[int, Columns]:
    """Resolution and columns of the supply layer. asked: as SupplyRequest loads it. Raises AreaTooLarge, CoverTooLarge, NotFound, InvalidInput."""
    district = get_district(session, asked["district"], now=now) if "district" in asked else None
    area = MultiPolygon(to_shape(district.area)) if district else asked["area"]
    resolution, category = _resolution(asked, area), asked.get("category")
    ids = with_parts(session, district.id) if district else []

    def present() -> Rolled:
        if district is None:
            return supply_in(session, area, resolution=resolution, category=category, now=now)
        return supply_of_districts(session, ids, shard_cells=district.shard_cells, resolution=resolution, category=category, now=now)

    def past(moment: datetime) -> Rolled:
        if district is None:
            return supply_as_of(session, area, resolution=resolution, category=category, as_of=moment)
        ground = ground_of(session, ids)
        return supply_of_districts_as_of(session, ids, area=ground, layer=district.layer, resolution=resolution, category=category, as_of=moment)

    for field in ("as_of", "since"):
        if field in asked:
            _check_known(session, asked[field], field=field, now=now)
    found = past(asked["as_of"]) if "as_of" in asked else present()
    before = past(asked["since"]) if "since" in asked else None
    if before is not None:
        found = _with_rows_of(found, before)
    columns: dict[str, Sequence[Any]] = {**_places(found.cell.tolist(), asked["crs"]), **_figures(found)}
    if "as_of" not in asked:
        columns["open_share"] = open_shares(session, found, at=asked.get("open_at", now))
        columns["sample"] = [bool(number) for number in found.sample.tolist()]
    if before is not None:
        columns |= _changes(found, before)
    return resolution, columns


def _resolution(asked: Mapping[str, Any], area: MultiPolygon) -> int:
    if "resolution" in asked:
        return int(asked["resolution"])
    if "zoom" in asked:
        return resolution_of_zoom(asked["zoom"], coarsest=COARSEST, finest=FINEST)
    return finest_for(area, most=_SCREEN_CELLS)


def _check_known(session: Session, moment: datetime, *, field: str, now: datetime) -> None:
    """Raises InvalidInput where nothing was written down yet at a moment."""
    since = known_since(session)
    if since is None or not since <= moment <= now:
        words = f"from {since.isoformat()} until now" if since else "not yet: the worker writes it down once it has seen everything"
        message = f"the past of supply is known {words}; found {moment.isoformat()}"
        raise InvalidInput(message, errors={field: [message]}, code="past_not_known")


def _places(cells: Sequence[int], crs: Crs) -> dict[str, Sequence[Any]]:
    places = [_place(cell, crs) for cell in cells]
    return {name: [one[number] for one in places] for number, name in enumerate(("cell", "lat", "lng"))}


@lru_cache(maxsize=_CELLS_REMEMBERED)
def _place(cell: int, crs: Crs) -> tuple[str, float, float]:
    middle = written_point(centre_of(cell), crs)
    return to_hex(cell), middle["lat"], middle["lng"]


_area_km2 = lru_cache(maxsize=_CELLS_REMEMBERED)(area_km2)


def _figures(found: Rolled) -> dict[str, Sequence[Any]]:
    """Densities are by each cell's own true area: cells of one resolution differ by up to a factor of two."""
    areas = np.array([_area_km2(cell) for cell in found.cell.tolist()])
    return {
        "area_km2": areas.round(6).tolist(),
        "stores": found.stores.tolist(),
        "stores_per_km2": (found.stores / areas).round(3).tolist(),
        "offers": found.offers.tolist(),
        "rating_mean": quotients(found.rating_sum, found.rating_count),
        "rating_count": found.rating_count.tolist(),
    }


def _with_rows_of(found: Rolled, other: Rolled) -> Rolled:
    """The same with empty rows for cells that only the other one has."""
    missing = np.setdiff1d(other.cell, found.cell)
    nothing = np.zeros(len(missing), dtype=np.int64)
    columns = [np.r_[column, missing if number == 0 else nothing] for number, column in enumerate(found.columns())]
    return Rolled.of(columns, found.hours)


def _changes(found: Rolled, before: Rolled) -> dict[str, Sequence[Any]]:
    rows = {cell: number for number, cell in enumerate(before.cell.tolist())}
    at = [rows.get(cell) for cell in found.cell.tolist()]
    means = quotients(before.rating_sum, before.rating_count)

    def change(now: Sequence[int], then: Sequence[int]) -> list[int]:
        return [value - (then[row] if row is not None else 0) for value, row in zip(now, at, strict=True)]

    return {
        "stores_change": change(found.stores.tolist(), before.stores.tolist()),
        "offers_change": change(found.offers.tolist(), before.offers.tolist()),
        "rating_mean_before": [None if row is None else means[row] for row in at],
    }


# --- demand, from releases alone ---------------------------------------------------------------------------------------------------


def find_city(session: Session, name: str | None) -> HeatArea:
    """Raises NotFound; InvalidInput where there are several and none is named."""
    cities = releases.list_areas(session)
    if name is None and len(cities) > 1:
        names = ", ".join(city.name for city in cities)
        raise InvalidInput(f"name one of the cities {names}", errors={"city": [f"expected one of {names}"]})
    found = next((city for city in cities if name in (None, city.name)), None)
    if found is None:
        raise NotFound("no city's visits are released here" if name is None else f"there is no city {name!r} whose visits are released")
    return found


def find_release(session: Session, city: HeatArea, product: Product, period: str | None) -> HeatRelease:
    """The release of a period, or the newest. Raises NotFound, InvalidInput."""
    if period is not None:
        parse(product, period)
    found = releases.list_releases(session, area=city.name, product=product.name)
    if period is not None:
        found = [one for one in found if one.period == period]
    if not found:
        words = f"{product.name} of {period} for {city.name} has not been released" if period else f"{product.name} of {city.name} was never released"
        raise NotFound(f"{words}: a {product.cadence} is released once, two days after its end", code="not_released")
    return found[-1]


def demand(session: Session, release: HeatRelease, city: HeatArea, *, area: MultiPolygon | None, crs: Crs) -> tuple[Columns, list[str]]:
    """Columns of a release, and the cells that it does not show. area: only cells that touch it."""
    product = PRODUCTS[release.product]
    within = None if area is None else {cell for resolution in product.resolutions for cell in touched_cells(area, resolution).tolist()}
    rows = releases.cells_of(
        session, area=city.name, product=product.name, periods=[release.period], within=None if within is None else sorted(within)
    )
    margin = product.margin(1)
    columns: dict[str, Sequence[Any]] = _places([row.cell for row in rows], crs)
    columns |= {"resolution": [resolution_of(row.cell) for row in rows]}
    if len(product.parts) > 1:
        columns |= {"part": [product.parts[row.part] for row in rows]}
    if any(row.origin for row in rows) or product.name == "origins":
        columns |= {"origin": [to_hex(row.origin) for row in rows]}
    columns |= {
        "value": [row.value for row in rows],
        "low": [max(row.value - margin, 0) for row in rows],
        "high": [row.value + margin for row in rows],
    }
    everywhere = releases.cells_of(session, area=city.name, product=product.name, periods=[release.period])
    hidden = hidden_cells(city.cells, {row.cell for row in everywhere}, product.resolutions)
    return columns, [to_hex(cell) for cell in hidden if within is None or cell in within]


def hidden_cells(grid: Sequence[int], shown: Collection[int], resolutions: Sequence[int]) -> list[int]:
    """What of a grid is not shown, as the coarsest cells in which nothing is. It follows from what is shown, and so tells nothing new."""
    kept = {parent(cell, resolution) for cell in shown for resolution in resolutions if resolution <= resolution_of(cell)}

    def hidden(cell: int, level: int) -> list[int]:
        if cell in shown:
            return []
        if cell not in kept:
            return [cell]
        return [one for child in descendants_at(cell, resolutions[level + 1]) for one in hidden(child, level + 1)]

    starts = sorted({one for cell in grid for one in descendants_at(cell, resolutions[0])})
    return [one for cell in starts for one in hidden(cell, 0)]
