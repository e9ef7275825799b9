"""The H3 cells that an area touches, and how much of each lies inside."""

from __future__ import annotations

import math

import h3.api.basic_int as h3
import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry import MultiPolygon, Polygon

from ..geo.cells import boundary

MOST_CELLS = 50_000
# At the equator.
_KM2_PER_DEG2 = 111.2**2
# A cell whose inside share is this close to 1 is inside: what is missing is rounding.
_WHOLE = 1.0 - 1e-9


class CoverTooLarge(ValueError):
    """The area has more than MOST_CELLS cells of that resolution."""


def cover_of(area: MultiPolygon, resolution: int) -> dict[int, float]:
    """Cells of a resolution that an area touches, by number, with the share of the cell's own area that lies inside, above 0 and up to 1.

    The shares times the areas of their cells sum up to the area. Raises CoverTooLarge.
    """
    cells = touched_cells(area, resolution).tolist()
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


def touched_cells(area: MultiPolygon, resolution: int) -> NDArray[np.int64]:
    """Cells of a resolution that an area touches, sorted. Raises CoverTooLarge."""
    # As flat as a map: where an area goes around the world, only this says how large it is.
    size_km2 = area.area * _KM2_PER_DEG2 * math.cos(math.radians(area.centroid.y))
    likely = size_km2 / h3.average_hexagon_area(resolution, unit="km^2")
    if likely > MOST_CELLS:
        raise CoverTooLarge(f"the area has some {likely:,.0f} cells of resolution {resolution}, more than {MOST_CELLS:,}: ask for a coarser one")
    return np.array(sorted({cell for part in area.geoms for cell in _touched(part, resolution)}), dtype=np.int64)


def _touched(part: Polygon, resolution: int) -> set[int]:
    shape = h3.geo_to_h3shape(part.__geo_interface__)
    found = set(h3.h3shape_to_cells_experimental(shape, resolution, contain="overlap"))
    if not found:
        # Smaller than the tests of the library can tell.
        point = part.representative_point()
        found = {h3.latlng_to_cell(point.y, point.x, resolution)}
    return found
