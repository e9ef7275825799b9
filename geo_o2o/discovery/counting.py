"""How many hits of what: facets and clusters, from columns or from rows. Pure; both ways count every hit once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..geo.cells import centre_of, parents, to_hex
from ..geo.crs import Crs, written_point
from ..shelf.snapshot import NOTHING
from ..stores.categories import codes_by_id
from .selection import View

FACETS = ("category", "brand", "price_band", "open")
_OPEN_WORDS = {1: True, 0: False, NOTHING: None}


def facets_of_views(groups: Sequence[tuple[View, NDArray[Any]]], names: Sequence[str], *, minute: int) -> dict[str, Counter[Any]]:
    """groups: the hits as rows of views."""
    found: dict[str, Counter[Any]] = {name: Counter() for name in names}
    for view, rows in groups:
        snapshot, stores = view.snapshot, view.stores[rows]
        for name, counter in found.items():
            match name:
                case "category":
                    column = snapshot["category"][stores] if view.offers is None else snapshot["offer_category"][view.offers[rows]]
                    words: Any = codes_by_id()
                case "brand":
                    column, words = snapshot["brand"][stores], {NOTHING: None, **dict(enumerate(snapshot.words["brands"]))}
                case "price_band":
                    column, words = snapshot["price_band"][stores], {0: None, **{band: band for band in range(1, 5)}}
                case _:
                    column, words = snapshot.open_state(minute)[snapshot["hours_id"][stores]], _OPEN_WORDS
            values, counts = np.unique(column, return_counts=True)
            for value, count in zip(values.tolist(), counts.tolist(), strict=True):
                counter[words[value]] += count
    return found


def facets_of_rows(rows: Iterable[Mapping[str, Any]], names: Sequence[str]) -> dict[str, Counter[Any]]:
    """rows: one of SQL for each hit."""
    found: dict[str, Counter[Any]] = {name: Counter() for name in names}
    for row in rows:
        values = {
            "category": codes_by_id()[row["offer_category_id"] if "offer_id" in row else row["category_id"]],
            "brand": row["brand"],
            "price_band": row["price_band"],
            "open": row["is_open"],
        }
        for name, counter in found.items():
            counter[values[name]] += 1
    return found


def dump_facets(found: Mapping[str, Counter[Any]]) -> dict[str, list[dict[str, Any]]]:
    """Most first; equal counts by the value, the unknown last."""

    def place(pair: tuple[Any, int]) -> tuple[int, bool, str]:
        return -pair[1], pair[0] is None, str(pair[0])

    return {name: [{"value": value, "count": count} for value, count in sorted(counter.items(), key=place)] for name, counter in found.items()}


def clusters_of_views(groups: Sequence[tuple[View, NDArray[Any]]], *, resolution: int) -> Counter[int]:
    found: Counter[int] = Counter()
    for view, rows in groups:
        cells, counts = np.unique(parents(view.snapshot["cell"][view.stores[rows]], resolution), return_counts=True)
        found.update(dict(zip(cells.tolist(), counts.tolist(), strict=True)))
    return found


def dump_clusters(found: Mapping[int, int], *, crs: Crs) -> list[dict[str, Any]]:
    """Cells in their order, each with its middle."""
    return [{"cell": to_hex(cell), "count": found[cell], **written_point(centre_of(cell), crs)} for cell in sorted(found)]
