"""The H3 cells that an area touches, and how much of each lies inside."""

from __future__ import annotations

import h3.api.basic_int as h3
import numpy as np
import shapely
from shapely.geometry import MultiPolygon, Polygon

from ..geo.cells import area_km2, boundary
from ..geo.distance import area_m2

MOST_CELLS = 50_000
# A cell whose inside share is this close to 1 is inside: what is missing is rounding.
_WHOLE = 1.0 - 1e-9


class CoverTooLarge(ValueError):
    """The area has more than MOST_CELLS cells of that resolution."""


def cover_of(area: MultiPolygon, resolution: int) -> dict[int, float]:
    """Cells of a resolution that an area touches, by number, with the share of the cell's own area that lies inside, above 0 and up to 1.

    The shares times the areas of their cells sum up to the area. Raises CoverTooLarge.
    """
    middle = area.representative_point()
    likely = area_m2(area) / 1e6 / area_km2(h3.latlng_to_cell(middle.y, middle.x, resolution))
    if likely > MOST_CELLS:
        raise CoverTooLarge(f"the area has some {likely:,.0f} cells of resolution {resolution}, more than {MOST_CELLS:,}: ask for a coarser one")
    cells = sorted({cell for part in area.geoms for cell in _touched(part, resolution)})
    outlines = np.array([Polygon(boundary(cell)) for cell in cells])
    # Cells at the date line run past 180 degrees: beside them the area is needed once more, a turn farther.
    turned = shapely.transform(area, lambda lonlat: lonlat + np.array([360.0, 0.0])) if any(one.bounds[2] > 180.0 for one in outlines) else None
    shapely.prepare(area)
    shares = np.where(shapely.contains_properly(area, outlines), 1.0, np.nan)
    edge = np.isnan(shares)
    inside = shapely.area(shapely.intersection(outlines[edge], area))
    if turned is not None:
        inside = inside + shapely.area(shapely.intersection(outlines[edge], turned))
    shares[edge] = inside / shapely.area(outlines[edge])
    return {cell: 1.0 if share > _WHOLE else float(share) for cell, share in zip(cells, shares, strict=True) if share > 0.0}


def _touched(part: Polygon, resolution: int) -> set[int]:
    shape = h3.geo_to_h3shape(part.__geo_interface__)
    found = set(h3.h3shape_to_cells_experimental(shape, resolution, contain="overlap"))
    if not found:
        # Smaller than the tests of the library can tell.
        point = part.representative_point()
        found = {h3.latlng_to_cell(point.y, point.x, resolution)}
    return found
