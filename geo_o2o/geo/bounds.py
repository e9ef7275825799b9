"""Boxes in degrees, also across the date line."""

from __future__ import annotations

from dataclasses import dataclass

from .distance import distance_m
from .point import Point

# Half of the longest meridian ellipse, with room.
WHOLE_EARTH_M = 20_100_000.0


@dataclass(frozen=True, slots=True)
class Bounds:
    """A box in degrees, WGS 84; west > east means that it crosses the date line (RFC 7946, 5.2).

    Raises ValueError where a coordinate is out of range or not finite, or south lies above north.
    """

    west: float
    south: float
    east: float
    north: float

    def __post_init__(self) -> None:
        Point(self.west, self.south)  # checks the coordinates; the box keeps -180 and 180 apart
        Point(self.east, self.north)
        if self.south > self.north:
            raise ValueError(f"south must not lie above north, found {self.south} > {self.north}")

    @property
    def crosses_date_line(self) -> bool:
        return self.west > self.east

    def parts(self) -> tuple[Bounds, ...]:
        """The same area as boxes that do not cross the date line: one or two of them."""
        if not self.crosses_date_line:
            return (self,)
        return (
            Bounds(self.west, self.south, 180.0, self.north),
            Bounds(-180.0, self.south, self.east, self.north),
        )

    def circle(self) -> tuple[Point, float]:
        """A centre and a radius in metres that hold the whole box; for a wide one around a pole the pole, else the whole earth."""
        width = (self.east - self.west) % 360.0 if self.crosses_date_line else self.east - self.west
        lon = self.west + width / 2
        centre = Point(lon - 360.0 if lon > 180.0 else lon, (self.south + self.north) / 2)
        if width > 90.0 and (self.south >= 0.0 or self.north <= 0.0):
            pole, rim_lat = (90.0, self.south) if self.south >= 0.0 else (-90.0, self.north)
            return Point(0.0, pole), distance_m(Point(0.0, pole), Point(0.0, rim_lat)) + 1.0
        if width > 90.0 or self.north - self.south > 90.0:
            return centre, WHOLE_EARTH_M
        # The farthest point lies on the outline, at a corner or, where a parallel bulges, half-way along it.
        rim = [Point(x, y) for x in (self.west, centre.lon, self.east) for y in (self.south, centre.lat, self.north)]
        return centre, max(distance_m(centre, point) for point in rim) * 1.001 + 1.0

    def contains(self, point: Point) -> bool:
        return any(part.west <= point.lon <= part.east and part.south <= point.lat <= part.north for part in self.parts())
