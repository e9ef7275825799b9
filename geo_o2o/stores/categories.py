"""The category tree, a data file: codes with dots, names in several languages, and what OSM tags and other sources map to each."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources


@dataclass(frozen=True)
class CategoryNode:
    """id: stable, never reused, 1..32767. code: `food.cafe` lies below `food`.

    sensitive: that somebody goes there is nobody's business; such visits are in no release, however many they are.
    """

    id: int
    code: str
    names: dict[str, str]
    osm: tuple[str, ...]
    fhrs: tuple[str, ...]
    sensitive: bool = False

    @property
    def parent_code(self) -> str | None:
        return self.code.rpartition(".")[0] or None


OTHER = "other"
# The keys of OSM tags that say what a store is, the most telling first.
_OSM_KEYS = ("shop", "amenity", "tourism", "leisure", "craft", "office")
# A shop with one of these values is no store, or not one any more.
_NO_SHOP = frozenset({"no", "vacant", "disused", "closed"})


@cache
def tree() -> dict[str, CategoryNode]:
    """Every category by code, in the file's order: parents first."""
    text = resources.files(__package__).joinpath("categories.json").read_text(encoding="utf-8")
    rows = json.loads(text)
    nodes = (CategoryNode(row["id"], row["code"], row["names"], tuple(row["osm"]), tuple(row["fhrs"]), row.get("sensitive", False)) for row in rows)
    return {node.code: node for node in nodes}


@cache
def codes_by_id() -> dict[int, str]:
    return {node.id: code for code, node in tree().items()}


def with_descendants(code: str) -> list[int]:
    """The ids of a category and of everything below it, sorted.

    Raises KeyError where there is no such category.
    """
    tree()[code]
    return sorted(node.id for other, node in tree().items() if other == code or other.startswith(code + "."))


@cache
def with_ancestors() -> dict[int, tuple[int, ...]]:
    """Of each category the ids of itself and of everything above it."""
    found: dict[int, tuple[int, ...]] = {}
    for node in tree().values():
        found[node.id] = (node.id, *(found[tree()[node.parent_code].id] if node.parent_code else ()))
    return found


@cache
def sensitive_ids() -> tuple[int, ...]:
    """The ids of categories whose visits are in no release."""
    return tuple(sorted(node.id for node in tree().values() if node.sensitive))


@cache
def _by_osm_tag() -> dict[str, str]:
    return {tag: code for code, node in tree().items() for tag in node.osm}


@cache
def _by_fhrs_type() -> dict[str, str]:
    return {kind: code for code, node in tree().items() for kind in node.fhrs}


def from_osm(tags: Mapping[str, str]) -> str | None:
    """The category of an OSM object, None where it is no store. Values joined by semicolons count by their first known part."""
    for key in _OSM_KEYS:
        value = tags.get(key)
        if value is None or (key == "shop" and value in _NO_SHOP):
            continue
        for part in value.split(";"):
            found = _by_osm_tag().get(f"{key}={part.strip()}")
            if found:
                return found
        if key == "shop":
            return _by_osm_tag()["shop=*"]
    return None


def from_fhrs(business_type: str) -> str:
    """The category of a UK business type; `other` where it is not known."""
    return _by_fhrs_type().get(business_type, OTHER)
