"""GeoJSON feature collections: points as stores, areas as districts."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ..geo.shapes import InvalidShape, parse_area
from .report import BrokenFile
from .rows import DistrictRow, Refused, StoreRow
from .tables import Columns, store_of


def stores(path: Path, *, given: Mapping[str, str]) -> Iterator[StoreRow | Refused]:
    """Point features; their properties are read like the columns of a table. given: our field to the name of a property."""
    for where, feature in _features(path):
        geometry, properties = feature.get("geometry"), feature.get("properties") or {}
        position = geometry.get("coordinates") if isinstance(geometry, dict) and geometry.get("type") == "Point" else None
        if not isinstance(position, list) or len(position) < 2 or not isinstance(properties, dict):
            yield Refused(where, "bad_point", "expected a Point with [longitude, latitude]")
            continue
        record = {"id": feature.get("id"), **properties, "lng": position[0], "lat": position[1]}
        yield store_of(where, record, Columns({name: name for name in record} | {"source_id": "id"} | dict(given)))


def districts(path: Path, *, given: Mapping[str, str]) -> Iterator[DistrictRow | Refused]:
    """Area features with a name; self-crossing outlines are mended."""
    for where, feature in _features(path):
        properties = feature.get("properties") or {}
        name = str(Columns({"name": "name"} | dict(given)).of(properties, "name") or "").strip()
        if not name:
            yield Refused(where, "no_name", "a district needs a name")
            continue
        try:
            area = parse_area(feature.get("geometry"), repair=True)
        except InvalidShape as failure:
            yield Refused(where, failure.code, str(failure))
            continue
        yield DistrictRow(
            source_id=_id_of(feature, properties.get(given.get("source_id", "source_id"))) or name, name=name, area=area, names=_names(properties)
        )


def _features(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    try:
        document = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as failure:
        raise BrokenFile(f"{path.name} is no GeoJSON: {failure}") from failure
    features = document.get("features") if isinstance(document, dict) else None
    if not isinstance(features, list):
        raise BrokenFile(f"{path.name} is no GeoJSON FeatureCollection")
    for number, feature in enumerate(features):
        if isinstance(feature, dict):
            yield f"feature {number}", feature


def _id_of(feature: Mapping[str, Any], named: Any) -> str | None:
    value = named if named is not None else feature.get("id")
    return None if value is None else str(value)


def _names(properties: Mapping[str, Any]) -> dict[str, str]:
    return {key.removeprefix("name:"): str(value)[:200] for key, value in properties.items() if key.startswith("name:") and value}
