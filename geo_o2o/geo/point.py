"""A point on the earth."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Point:
    """A position in degrees, WGS 84, longitude first.

    Raises ValueError where a coordinate is out of range or not finite.
    """

    lon: float
    lat: float

    def __post_init__(self) -> None:
        # Written as "not (inside)" so that NaN, which fails every comparison, is refused too.
        if not -180.0 <= self.lon <= 180.0:
            raise ValueError(f"longitude must lie in -180..180 degrees, found {self.lon}")
        if not -90.0 <= self.lat <= 90.0:
            raise ValueError(f"latitude must lie in -90..90 degrees, found {self.lat}")
        if self.lon == -180.0:
            # One meridian, one name: PostGIS orders neighbours wrongly where the same place is called both.
            object.__setattr__(self, "lon", 180.0)
