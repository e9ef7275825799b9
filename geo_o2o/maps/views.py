from __future__ import annotations

import gzip
from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from flask import Flask, Response, current_app, request
from geoalchemy2.shape import to_shape
from shapely.geometry import MultiPolygon

from ..auth.access import access
from ..changes.queries import layers_version
from ..districts.cover import CoverTooLarge
from ..districts.service import get_district
from ..errors import InvalidInput, NotFound
from ..geo.cells import AreaTooLarge, boundary, parse_hex, resolution_of, to_hex
from ..geo.tiles import Tile
from ..http import answer, database, settings, unless_known, utcnow
from ..parsing import Blueprint
from ..releases import queries as releases
from ..releases.models import HeatArea
from ..releases.products import PRODUCTS, Product
from ..releases.service import budget, content_of
from ..stores.hours import check_moment
from ..stores.queries import all_attributions
from ..stores.schemas import dump_attribution
from . import service
from .columns import FORMATS, Columns, as_arrow, as_csv, as_features
from .keeping import Tiles, drawn
from .schemas import DemandRequest, Heat, Releases, ReleasesAsked, SupplyRequest
from .tiles import LAYERS, draw, reach

blueprint = Blueprint("maps", __name__, url_prefix="/v1", description="Heat layers and vector tiles")

_MVT = "application/vnd.mapbox-vector-tile"


@blueprint.get("/heat/supply")
@access("heat:read")
@blueprint.arguments(SupplyRequest, location="query")
@blueprint.answers(200, Heat)
def supply(asked: dict[str, Any]) -> Response:
    """Stores, offers, ratings and open share per H3 cell of a box, an outline or a district: live and exact, or as of a moment.

    Columns of one length as JSON or Arrow, rows as CSV, outlines as GeoJSON. A box and an outline show whole cells that touch them; a
    district shows its own stores alone.
    """
    now = utcnow()
    if "open_at" in asked:
        check_moment(asked["open_at"], field="open_at", now=now, horizon_d=settings().hours_horizon_d)
    with database().planner() as session:
        try:
            resolution, columns = service.supply(session, asked, now=now)
        except AreaTooLarge as failure:
            raise InvalidInput(str(failure), errors={_where(asked): [str(failure)]}, code="area_too_large") from failure
        except CoverTooLarge as failure:
            raise InvalidInput(str(failure), errors={"resolution": [str(failure)]}, code="too_many_cells") from failure
        credit = dump_attribution(all_attributions(session))
    past = asked.get("as_of")
    about = {
        "layer": "supply", "resolution": resolution, "at": past or now, "open_at": None if past else asked.get("open_at", now),
        "since": asked.get("since"), "attribution": credit,
    }  # fmt: skip
    return _written(about, columns, asked)


@blueprint.get("/heat/<layer>")
@access("heat:read")
@blueprint.arguments(DemandRequest, location="query")
@blueprint.answers(200, Heat)
def demand(asked: dict[str, Any], layer: str) -> Response:
    """Visits per H3 cell, from a private release: each value with the interval that holds it with 95 %, and what is not shown.

    `visits` a week; `day_parts`, `returns` and `origins` a month. Every figure is the same whoever asks, and however often.
    """
    now, product = utcnow(), _product(layer)
    with database().planner() as session:
        city = service.find_city(session, asked.get("city"))
        release = service.find_release(session, city, product, asked.get("period"))
        area = asked.get("area")
        if "district" in asked:
            area = MultiPolygon(to_shape(get_district(session, asked["district"], now=now).area))
        try:
            columns, hidden = service.demand(session, release, city, area=area, crs=asked["crs"])
        except CoverTooLarge as failure:
            raise InvalidInput(str(failure), errors={_where(asked): [str(failure)]}, code="area_too_large") from failure
    about = {
        "layer": layer, "city": city.name, "period": release.period, "hidden": hidden, "terms": release.terms, "sample": release.sample,
        "sha256": release.content_hash.hex(), "released_at": release.released_at, "attribution": [],
    }  # fmt: skip
    return _written(about, columns, asked, hidden=hidden)


@blueprint.get("/heat/releases")
@access("heat:read")
@blueprint.arguments(ReleasesAsked, location="query")
@blueprint.answers(200, Releases)
def list_releases(asked: dict[str, Any]) -> Response:
    """Every release with its guarantee and its hash, the cities, and what each year has spent of its privacy budget."""
    with database().planner() as session:
        found = releases.list_releases(session, area=asked.get("city"), product=asked.get("product"))
        sums = releases.totals(session, area=asked.get("city"))
        cities = [_dump_city(city) | {"spent": budget(session, settings(), city)} for city in releases.list_areas(session)]
    items = [
        {
            "city": one.area, "product": one.product, "period": one.period, "epsilon": one.epsilon, "delta": one.delta, "sample": one.sample,
            "sha256": one.content_hash.hex(), "released_at": one.released_at,
            **dict(zip(("shown", "total"), sums.get((one.area, one.product, one.period), (0, 0)), strict=True)),
        }
        for one in found
    ]  # fmt: skip
    return answer({"items": items, "next": None, "cities": cities})


@blueprint.get("/heat/releases/<city>/<product>/<period>")
@access("heat:read")
@blueprint.answers(200, content_type="application/json")
def show_release(city: str, product: str, period: str) -> Response:
    """A release as canonical JSON (RFC 8785): its SHA-256 is what the log holds."""
    with database().planner() as session:
        release = service.find_release(session, service.find_city(session, city), _product(product), period)
        body = content_of(session, release)
    response = Response(body, content_type="application/json")
    response.set_etag(release.content_hash.hex())
    return unless_known(response)


def _product(name: str) -> Product:
    """Raises NotFound."""
    if name not in PRODUCTS:
        raise NotFound(f"there is no layer {name[:40]!r}; there are supply, {', '.join(PRODUCTS)}")
    return PRODUCTS[name]


def _where(asked: Mapping[str, Any]) -> str:
    return next(name for name in ("district", "bbox", "within") if name in asked)


def _dump_city(city: HeatArea) -> dict[str, Any]:
    corners = [corner for cell in city.cells for corner in boundary(cell)]
    lons, lats = [lon for lon, _ in corners], [lat for _, lat in corners]
    return {
        "name": city.name, "title": city.title, "time_zone": city.time_zone, "cells": [to_hex(cell) for cell in city.cells],
        "bbox": [round(value, 6) for value in (min(lons), min(lats), max(lons), max(lats))],
    }  # fmt: skip


def _written(about: dict[str, Any], columns: Columns, asked: Mapping[str, Any], *, hidden: Sequence[str] = ()) -> Response:
    """The layer in the form that was asked for. hidden: cells that are not shown; as GeoJSON they have outlines, and no value."""
    form = asked["format"]
    if form == "json":
        return answer({**about, "columns": columns})
    if form == "geojson":
        blank = {"cell": hidden, "resolution": [resolution_of(parse_hex(cell)) for cell in hidden], "hidden": [True] * len(hidden)}
        features = [*as_features(columns, asked["crs"]), *as_features(blank, asked["crs"])]
        return answer({"type": "FeatureCollection", **about, "features": features}, content_type=FORMATS[form])
    if form == "csv":
        response = Response(as_csv(columns), content_type=FORMATS[form])
        response.headers["Content-Disposition"] = f'attachment; filename="{about["layer"]}.csv"'
    else:
        said = {name: orjson.dumps(value, option=orjson.OPT_UTC_Z).decode() for name, value in about.items()}
        response = Response(as_arrow(columns, said), content_type=FORMATS[form])
    response.add_etag()
    return unless_known(response)


def set_up(app: Flask) -> None:
    """The tiles that this process keeps."""
    conf = app.extensions["settings"]

    def layers() -> int:
        with app.extensions["database"].planner() as session:
            return layers_version(session)

    app.extensions["tiles"] = Tiles(
        url=conf.write_url() if app.extensions["database"].notifies else None, layers=layers, reach=reach,
        staleness_s=float(conf.shelf_max_staleness_s), most_bytes=conf.tile_bytes,
    )  # fmt: skip


@blueprint.get("/tiles/<layer>/<int:z>/<int:x>/<int:y>.mvt")
@access("tiles:read")
@blueprint.answers(200, content_type="application/vnd.mapbox-vector-tile")
@blueprint.alt_response(204, description="an empty tile", success=True)
def tile(layer: str, z: int, x: int, y: int) -> Response:
    """A vector tile of the layer `stores`, `clusters`, `hexagons`, `districts` or `basemap`; 204 where it is empty.

    Its ETag is that of what it shows: a store that is changed changes the tags of the tiles that show it, and of no other.
    """
    if layer not in LAYERS:
        raise NotFound(f"there is no layer {layer[:40]!r}; there are {', '.join(LAYERS)}")
    try:
        key = (layer, Tile(z, x, y))
    except ValueError as failure:
        raise NotFound(str(failure)) from failure
    kept: Tiles = current_app.extensions["tiles"]
    found = kept.find(key)
    if found is None:
        since, version = kept.moment()
        with database().planner() as session:
            found = drawn(draw(session, layer, key[1], now=utcnow()), since=since, layers=version)
        kept.keep(key, found)
    headers = {"ETag": f'"{found.tag}"', "Cache-Control": "private, no-cache", "Vary": "Accept-Encoding"}
    if request.if_none_match.contains_weak(found.tag):
        return Response(status=304, headers=headers)
    if not found.packed:
        return Response(status=204, headers=headers)
    if request.accept_encodings.quality("gzip") > 0:
        return Response(found.packed, headers={**headers, "Content-Encoding": "gzip"}, content_type=_MVT)
    return Response(gzip.decompress(found.packed), headers=headers, content_type=_MVT)
