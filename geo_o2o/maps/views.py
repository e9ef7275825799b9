from __future__ import annotations

from typing import Any

from flask import Response

from ..auth.access import access
from ..districts.service import get_district
from ..errors import InvalidInput, NotFound
from ..geo.cells import AreaTooLarge
from ..geo.tiles import Tile
from ..http import answer, database, unless_known, utcnow
from ..parsing import Blueprint
from ..stores.categories import with_descendants
from ..stores.queries import all_attributions
from ..stores.schemas import dump_attribution
from . import queries
from .heat import describe, feature
from .schemas import Supply, SupplyRequest

blueprint = Blueprint("maps", __name__, url_prefix="/v1", description="Supply per cell and vector tiles")

MOST_CELLS = 20_000
_LAYERS = {"stores": queries.stores_tile, "districts": queries.districts_tile, "basemap": queries.basemap_tile}


@blueprint.get("/heat/supply")
@access("heat:read")
@blueprint.arguments(SupplyRequest, location="query")
@blueprint.answers(200, Supply)
def supply(asked: dict[str, Any]) -> Response:
    """Stores, offers, mean rating and open share per H3 cell of a district or a box; live and exact. `format=geojson` adds outlines."""
    now = utcnow()
    category_ids = with_descendants(asked["category"]) if "category" in asked else None
    shared: dict[str, Any] = {"resolution": asked["resolution"], "at": now, "category_ids": category_ids, "limit": MOST_CELLS + 1}
    with database().read() as session:
        try:
            if "bbox" in asked:
                cells = queries.supply_in_bounds(session, asked["bbox"], **shared)
            else:
                district = get_district(session, asked["district"], now=now)
                cells = queries.supply_in_district(session, district.id, shard_cells=district.shard_cells, **shared)
        except AreaTooLarge as failure:
            raise InvalidInput(str(failure), errors={"bbox": [str(failure)]}, code="area_too_large") from failure
        credit = dump_attribution(all_attributions(session))
    if len(cells) > MOST_CELLS:
        message = f"more than {MOST_CELLS} cells: ask for a smaller area or a coarser resolution"
        raise InvalidInput(message, errors={"resolution": [message]}, code="too_many_cells")
    if asked["format"] == "geojson":
        body = {"type": "FeatureCollection", "features": [feature(cell, asked["crs"]) for cell in cells], "attribution": credit, "at": now}
        return answer(body, content_type="application/geo+json")
    return answer(
        {
            "layer": "supply", "resolution": asked["resolution"], "at": now, "items": [describe(cell, asked["crs"]) for cell in cells], "next": None,
            "attribution": credit,
        }
    )  # fmt: skip


@blueprint.get("/tiles/<layer>/<int:z>/<int:x>/<int:y>.mvt")
@access("tiles:read")
@blueprint.answers(200, content_type="application/vnd.mapbox-vector-tile")
@blueprint.alt_response(204, description="an empty tile", success=True)
def tile(layer: str, z: int, x: int, y: int) -> Response:
    """A vector tile of the layer `stores`, `districts` or `basemap`; 204 where it is empty."""
    if layer not in _LAYERS:
        raise NotFound(f"there is no layer {layer[:40]!r}; there are {', '.join(_LAYERS)}")
    try:
        address = Tile(z, x, y)
    except ValueError as failure:
        raise NotFound(str(failure)) from failure
    with database().read() as session:
        body = _LAYERS[layer](session, address)
    if not body:
        return Response(status=204)
    response = Response(body, content_type="application/vnd.mapbox-vector-tile")
    response.add_etag()
    return unless_known(response)
