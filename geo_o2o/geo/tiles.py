"""Web-mercator tiles."""

from __future__ import annotations

import math
from dataclasses import dataclass

from .bounds import Bounds

MAX_ZOOM = 22


@dataclass(frozen=True, slots=True)
class Tile:
    """A tile of the usual XYZ scheme, y growing southwards. Raises ValueError where there is no such tile."""

    z: int
    x: int
    y: int

    def __post_init__(self) -> None:
        if not 0 <= self.z <= MAX_ZOOM:
            raise ValueError(f"zoom must lie in 0..{MAX_ZOOM}, found {self.z}")
        side = 1 << self.z
        if not (0 <= self.x < side and 0 <= self.y < side):
            raise ValueError(f"x and y must lie in 0..{side - 1} at zoom {self.z}, found {self.x}, {self.y}")

    def bounds(self) -> Bounds:
        side = 1 << self.z
        return Bounds(self.x / side * 360.0 - 180.0, _latitude(self.y + 1, side), (self.x + 1) / side * 360.0 - 180.0, _latitude(self.y, side))


def _latitude(y: int, side: int) -> float:
    return math.degrees(math.atan(math.sinh(math.pi * (1.0 - 2.0 * y / side))))


def resolution_of_zoom(zoom: int, *, coarsest: int, finest: int) -> int:
    """Of H3 cells some 25 pixels wide on a map of 256-pixel tiles: a cell's edge halves with every 1.4 steps of resolution."""
    return min(max(round(0.712 * zoom) - 1, coarsest), finest)
