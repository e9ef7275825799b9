"""What another profile would change in the order of hits at one place. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Hit = Mapping[str, Any]


@dataclass(frozen=True)
class Placed:
    """One hit of either list. before, after: its place from 1 on, None where it is not on that list's page."""

    hit: Hit
    before: int | None
    after: int | None


@dataclass(frozen=True)
class Difference:
    """placed: in the new order, what has left the page last. kept: how many are on both pages. moved: places that each of them moved (mean)."""

    placed: Sequence[Placed]
    kept: int
    moved: float


def compare(before: Sequence[Hit], after: Sequence[Hit]) -> Difference:
    """Two pages of hits, best first, each hit once."""
    was = {hit["id"]: number for number, hit in enumerate(before, 1)}
    now = {hit["id"]: number for number, hit in enumerate(after, 1)}
    placed = [Placed(hit, was.get(hit["id"]), number) for number, hit in enumerate(after, 1)]
    placed += [Placed(hit, number, None) for number, hit in enumerate(before, 1) if hit["id"] not in now]
    steps = [abs(was[id_] - now[id_]) for id_ in was.keys() & now.keys()]
    return Difference(placed, len(steps), sum(steps) / len(steps) if steps else 0.0)
