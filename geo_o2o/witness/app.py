"""create_app of the witness: two addresses, as C2SP tlog-witness has them."""

from __future__ import annotations

import time
from pathlib import Path

from flask import Flask, Response, request

from visit_verify.note import COSIGNATURE

from ..config import PREFIX, BadSettings, Settings, from_environment
from ..ledger.keys import make_key
from .protocol import Refused
from .service import Witness, read_log_keys
from .store import Store

_LONGEST_BODY = 100_000


def create_app(settings: Settings | None = None) -> Flask:
    """Raises BadSettings where the environment does not say who it is or which logs it witnesses."""
    conf = settings or from_environment()
    witness = witness_of(conf)
    app = Flask("geo_o2o_witness", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = _LONGEST_BODY

    @app.post("/add-checkpoint")
    def add_checkpoint() -> Response:
        try:
            line = witness.add_checkpoint(request.get_data(), now_s=int(time.time()))
        except Refused as refusal:
            return Response(refusal.text, status=refusal.status, content_type=refusal.content_type)
        return Response(line, content_type="text/plain; charset=utf-8")

    @app.get("/<origin_hash>/checkpoint")
    def checkpoint(origin_hash: str) -> Response:
        note = witness.newest(origin_hash)
        if note is None:
            return Response("nothing was signed of this log\n", status=404, content_type="text/plain; charset=utf-8")
        return Response(note, content_type="text/plain; charset=utf-8")

    return app


def witness_of(conf: Settings) -> Witness:
    if not conf.witness_name or not conf.witness_logs:
        raise BadSettings(f"a witness needs {PREFIX}WITNESS_NAME and {PREFIX}WITNESS_LOGS")
    keys = read_log_keys(Path(conf.witness_logs))
    folder = conf.data_dir / "witness"
    return Witness(Store(folder / "checkpoints.sqlite"), key=make_key(folder / "keys", conf.witness_name, kind=COSIGNATURE), keys=keys)
