"""Proposed business districts beside those that a city has drawn: New York's business improvement districts, from restaurants alone."""

from __future__ import annotations

import csv
import gzip
import json
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import shapely

from geo_o2o.geo.point import Point
from geo_o2o.insights.proposing import Shape, Spot, propose

# A drawn district counts as found where it and a proposal share this part of the stores that either holds.
FOUND_OVERLAP = 0.3
# With fewer restaurants there is nothing to find.
_LEAST_STORES = 5


def measure_districts(nyc: Path) -> dict[str, Any]:
    """Of each drawn district its best proposal: name, overlap (stores of both over stores of either), share of its stores held."""
    with gzip.open(nyc / "nyc_restaurants.csv.gz", "rt", encoding="utf-8") as rows:
        spots = [Spot(Point(float(row["lon"]), float(row["lat"])), " ".join(row["street"].split()).title(), "food") for row in csv.DictReader(rows)]
    drawn = json.loads((nyc / "nyc_bids.geojson").read_text(encoding="utf-8"))["features"]
    began = time.perf_counter()
    proposals = propose(spots, Shape())
    took_s = time.perf_counter() - began
    points = shapely.points([(spot.at.lon, spot.at.lat) for spot in spots])
    held = [frozenset(np.flatnonzero(shapely.contains(one.area, points)).tolist()) for one in proposals]
    by_store = {store: number for number, stores in enumerate(held) for store in stores}
    table = []
    for feature in drawn:
        area = shapely.make_valid(shapely.geometry.shape(feature["geometry"]))
        inside = frozenset(np.flatnonzero(shapely.contains(area, points)).tolist())
        near = Counter(by_store[store] for store in inside if store in by_store)
        best = max(near, key=lambda number: len(inside & held[number]) / len(inside | held[number]), default=None)
        row: dict[str, Any] = {"name": feature["properties"]["name"], "stores": len(inside), "overlap": 0.0, "held": 0.0, "proposal": None}
        if best is not None:
            row |= {
                "overlap": len(inside & held[best]) / len(inside | held[best]), "held": len(inside & held[best]) / len(inside),
                "proposal": proposals[best].name, "quality": proposals[best].quality,
            }  # fmt: skip
        table.append(row)
    judged = [row for row in table if row["stores"] >= _LEAST_STORES]
    return {
        "stores": len(spots), "drawn": len(drawn), "judged": len(judged), "proposals": len(proposals), "took_s": round(took_s, 2),
        "found": sum(row["overlap"] >= FOUND_OVERLAP for row in judged), "half": sum(row["overlap"] >= 0.5 for row in judged),
        "touched": sum(row["held"] > 0 for row in judged), "mean_overlap": round(sum(row["overlap"] for row in judged) / len(judged), 3),
        "districts": sorted(table, key=lambda row: -row["overlap"]),
    }  # fmt: skip


def as_text(found: dict[str, Any]) -> str:
    lines = [f"{'drawn district':44}{'stores':>7}{'overlap':>9}{'held':>7}  best proposal"]
    lines += [
        f"{row['name'][:43]:44}{row['stores']:7}{row['overlap']:9.2f}{row['held']:7.2f}  {row['proposal'] or '-'}" for row in found["districts"]
    ]
    lines.append("")
    lines.append(
        f"{found['stores']:,} restaurants, {found['proposals']} proposals in {found['took_s']} s; of {found['drawn']} drawn {found['judged']}"
        f" hold {_LEAST_STORES} restaurants or more: {found['found']} found (overlap {FOUND_OVERLAP} or more), {found['half']} with 0.5 or more,"
        f" {found['touched']} touched, mean overlap {found['mean_overlap']}"
    )
    return "\n".join(lines)
