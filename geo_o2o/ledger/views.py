from __future__ import annotations

import re

from flask import Response

from ..auth.access import public
from ..errors import NotFound
from ..http import settings
from ..parsing import Blueprint
from .folder import CHECKPOINT
from .service import log_of

blueprint = Blueprint("log", __name__, url_prefix="/log", description="The transparency log, as static files (C2SP tlog-tiles)")

_SHARD = re.compile(r"[0-9]{4}h[12]")
_YEAR_S, _MOMENT_S = 31_536_000, 5


@blueprint.get("/<shard>/<path:name>")
@public
@blueprint.answers(200, content_type="application/octet-stream")
def show(shard: str, name: str) -> Response:
    """A file of the log: `checkpoint`, `tile/<level>/<n>` or `tile/entries/<n>`, with `.p/<width>` where it is not full."""
    data = log_of(settings(), shard).folder.read(name) if _SHARD.fullmatch(shard) else None
    if data is None:
        raise NotFound(f"there is no file {name[:80]!r} in the log {shard[:20]!r}")
    if name == CHECKPOINT:
        return Response(data, content_type="text/plain; charset=utf-8", headers={"Cache-Control": f"public, max-age={_MOMENT_S}"})
    return Response(data, content_type="application/octet-stream", headers={"Cache-Control": f"public, max-age={_YEAR_S}, immutable"})
