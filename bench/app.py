"""The service with its peers beside it: on one server, in one process, behind one port."""

from __future__ import annotations

import os
from dataclasses import asdict, replace
from typing import Any

from flask import Flask
from werkzeug.middleware.dispatcher import DispatcherMiddleware

from geo_o2o.app import create_app
from geo_o2o.auth.access import public

from . import peers


def create() -> Any:
    service = create_app()
    by_sql = create_app(replace(service.extensions["settings"], shelf=0))
    database = service.extensions["database"]
    empty = Flask("empty")

    @empty.get("/")
    def nothing() -> Any:
        return {}

    @service.get("/bench/shelf")
    @public
    def shelf() -> Any:
        return {"pid": os.getpid(), **asdict(service.extensions["finder"].shelf.state())}

    mounted: dict[str, Any] = {"/bench/naive": peers.naive(database), "/bench/empty": empty, "/bench/sql": by_sql}
    if "BENCH_REDIS_PORT" in os.environ:
        mounted["/bench/redis"] = peers.by_redis(database, source="fhrs")
    return DispatcherMiddleware(service, mounted)
