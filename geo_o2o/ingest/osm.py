"""OpenStreetMap files (PBF, XML) through osmium: stores, named commercial areas, and the basemap.

Each function reads the file once, in a stream, and raises BrokenFile where it ends too early or is none.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import osmium
import shapely
from osmium.filter import KeyFilter
from shapely.geometry import MultiPolygon, Polygon
from shapely.geometry.base import BaseGeometry
from shapely.validation import make_valid

from ..geo.shapes import InvalidShape, parse_area
from ..stores.categories import from_osm
from .report import BrokenFile
from .rows import BasemapRow, DistrictRow, Refused, StoreRow, check_store

ATTRIBUTION, LICENCE = "© OpenStreetMap contributors", "ODbL-1.0"

_STORE_KEYS = ("shop", "amenity", "tourism", "leisure", "craft", "office")
# What is said of a store beside its category, kept as `key:value`.
_TAG_KEYS = ("cuisine", "wheelchair", "level", "takeaway", "delivery", "outdoor_seating", "internet_access", "diet:vegan", "diet:vegetarian")
_ADDRESS = {"addr:street": "street", "addr:housenumber": "housenumber", "addr:postcode": "postcode", "addr:city": "city"}
_WATER = frozenset({"water", "bay", "strait"})
_ROADS = {
    "motorway": "highway", "motorway_link": "highway", "trunk": "major_road", "trunk_link": "major_road", "primary": "major_road",
    "primary_link": "major_road", "secondary": "major_road", "secondary_link": "major_road", "tertiary": "major_road",
    "tertiary_link": "major_road", "residential": "minor_road", "unclassified": "minor_road", "living_street": "minor_road",
    "service": "minor_road", "road": "minor_road", "pedestrian": "path", "footway": "path", "path": "path", "cycleway": "path",
    "steps": "path", "track": "path",
}  # fmt: skip
_RAILS = frozenset({"rail", "light_rail", "subway", "tram"})
_LAND = {
    "landuse": frozenset(
        {"residential", "commercial", "retail", "industrial", "grass", "forest", "meadow", "cemetery", "railway", "recreation_ground"}
    ),
    "leisure": frozenset({"park", "garden", "pitch", "playground", "golf_course", "nature_reserve"}),
    "natural": frozenset({"wood", "scrub", "grassland", "beach", "sand"}),
    "amenity": frozenset({"university", "school", "college", "hospital"}),
}
_wkb = osmium.geom.WKBFactory()


def stores(path: Path) -> Iterator[StoreRow | Refused]:
    """Everything with a category and a name; a building or an area keeps its outline as footprint."""
    for thing in _objects(path, *_STORE_KEYS):
        tags = dict(thing.tags)
        category = from_osm(tags)
        if category is None:
            continue
        where = _id_of(thing)
        shape = _shape_of(thing)
        if shape is None:
            if not thing.is_way():  # a closed way comes once more, as an area
                yield Refused(where, "bad_point", "the object has no position in this file")
            continue
        point = shape if shape.geom_type == "Point" else shape.representative_point()
        yield check_store(
            where, source_id=where, name=tags.get("name") or tags.get("brand") or tags.get("operator"), lon=point.x, lat=point.y,
            category=category, names=_names(tags), brand=_short(tags.get("brand")), address=_address(tags),
            phone=_short(tags.get("phone") or tags.get("contact:phone"), 60), website=tags.get("website") or tags.get("contact:website"),
            tags=_kept_tags(tags), opening_hours=_short(tags.get("opening_hours"), 1000), footprint=_outline(shape),
        )  # fmt: skip


# What makes a named area a district of a layer: a key, and the values that count.
_DISTRICTS = {
    "business": ("landuse", frozenset({"commercial", "retail"})),
    "administrative": ("boundary", frozenset({"administrative"})),
}


def districts(path: Path, layer: str = "business") -> Iterator[DistrictRow | Refused]:
    """Named areas of commercial or retail land use; or of the layer `administrative`, whose boundaries are whole in the file."""
    key, values = _DISTRICTS[layer]
    for thing in _objects(path, key):
        name = thing.tags.get("name")
        if not thing.is_area() or thing.tags.get(key) not in values or not name:
            continue
        shape = _shape_of(thing)
        if shape is None:
            continue
        try:
            area = parse_area(shapely.geometry.mapping(shape) | {"coordinates": _listed(shapely.geometry.mapping(shape)["coordinates"])}, repair=True)
        except InvalidShape as failure:
            yield Refused(_id_of(thing), failure.code, str(failure))
            continue
        yield DistrictRow(source_id=_id_of(thing), name=name, area=area, names=_names(dict(thing.tags)))


def basemap(path: Path) -> Iterator[BasemapRow]:
    """Streets, buildings, water and land use."""
    for thing in _objects(path, "highway", "railway", "building", "natural", "waterway", "landuse", "leisure", "amenity"):
        if thing.is_node():
            continue
        tags = dict(thing.tags)
        found = _basemap_kind(tags, is_area=thing.is_area())
        shape = _shape_of(thing) if found else None
        if found is None or shape is None or shape.is_empty:
            continue
        yield BasemapRow(
            source_id=_id_of(thing), layer=found[0], kind=found[1], shape=shape if shape.is_valid else make_valid(shape),
            name=_short(tags.get("name")), names=_names(tags),
        )  # fmt: skip


def _basemap_kind(tags: Mapping[str, str], *, is_area: bool) -> tuple[str, str] | None:
    """Layer and kind of an object, None where the basemap does not show it."""
    if not is_area:
        if tags.get("highway") in _ROADS:
            return "roads", _ROADS[tags["highway"]]
        if tags.get("railway") in _RAILS:
            return "roads", "rail"
        return ("water", tags["waterway"]) if tags.get("waterway") in ("river", "stream", "canal") else None
    if "building" in tags and tags["building"] != "no":
        return "buildings", "building"
    if tags.get("natural") in _WATER or tags.get("waterway") == "riverbank" or tags.get("landuse") in ("basin", "reservoir"):
        return "water", "water"
    for key, values in _LAND.items():
        if tags.get(key) in values:
            return "landuse", tags[key]
    return None


def _objects(path: Path, *keys: str) -> Iterator[Any]:
    try:
        yield from osmium.FileProcessor(str(path)).with_locations().with_areas(KeyFilter(*keys)).with_filter(KeyFilter(*keys))
    except (RuntimeError, OSError) as failure:
        raise BrokenFile(f"{path.name} is no whole OSM file: {failure}") from failure


def _shape_of(thing: Any) -> BaseGeometry | None:
    """The shape of an object; None for one whose nodes are not all in the file, and for a way that also comes as an area."""
    try:
        if thing.is_node():
            return shapely.from_wkb(_wkb.create_point(thing))
        if thing.is_area():
            return shapely.from_wkb(_wkb.create_multipolygon(thing))
        if thing.is_way() and not thing.is_closed():
            return shapely.from_wkb(_wkb.create_linestring(thing))
        if thing.is_way() and ("highway" in thing.tags or "railway" in thing.tags) and thing.tags.get("area") != "yes":
            return shapely.from_wkb(_wkb.create_linestring(thing))
    except (osmium.InvalidLocationError, RuntimeError, ValueError, shapely.errors.GEOSException):
        return None
    return None


def _id_of(thing: Any) -> str:
    if thing.is_area():
        return f"{'way' if thing.from_way() else 'relation'}/{thing.orig_id()}"
    return f"{'node' if thing.is_node() else 'way' if thing.is_way() else 'relation'}/{thing.id}"


def _names(tags: Mapping[str, str]) -> dict[str, str]:
    return {
        key.removeprefix("name:"): value[:200]
        for key, value in tags.items()
        if key.startswith("name:") and 2 <= len(key) - 5 <= 12 and key[5:].replace("-", "").isalnum()
    }


def _address(tags: Mapping[str, str]) -> dict[str, str]:
    return {ours: tags[theirs][:200] for theirs, ours in _ADDRESS.items() if theirs in tags}


def _kept_tags(tags: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(f"{key}:{part.strip()}"[:100] for key in _TAG_KEYS if key in tags for part in tags[key].split(";")[:10] if part.strip())


def _short(text: str | None, longest: int = 200) -> str | None:
    return text if text and len(text) <= longest else None


def _outline(shape: BaseGeometry) -> MultiPolygon | None:
    if isinstance(shape, Polygon):
        return MultiPolygon([shape])
    return shape if isinstance(shape, MultiPolygon) and shape.is_valid else None


def _listed(coordinates: Any) -> Any:
    return [_listed(part) for part in coordinates] if isinstance(coordinates, tuple | list) else coordinates
