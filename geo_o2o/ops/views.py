from __future__ import annotations

import logging
import os
import re
import time
from functools import cache
from importlib import resources
from importlib.metadata import version
from typing import Any

from flask import Flask, Response, current_app, send_file
from flask.globals import request_ctx
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from sqlalchemy.exc import SQLAlchemyError

from ..auth.access import access, mark_of, public
from ..errors import NotFound, Unavailable
from ..http import database, id_of, utcnow
from ..ledger.service import report_logs
from ..metrics import Counter, Gauge, Histogram
from ..parsing import Blueprint
from ..shelf.service import ShelfState
from ..stores.queries import all_attributions
from . import logs, queries
from .schemas import Health, Readiness, Status
from .service import MigrationState, Notice, list_jobs, migration_state, warnings_of

blueprint = Blueprint("operations", __name__, description="Health, metrics and this page")

_log = logging.getLogger("geo_o2o")
# Labels are the route's pattern, never its address: the number of series does not grow with use.
_requests = Counter("geo_o2o_requests_total", "Requests by route, method and status", ["route", "method", "status"])
_seconds = Histogram(
    "geo_o2o_request_seconds",
    "Time to answer by route",
    ["route", "method"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0),
)
_shelf_trouble = Gauge("geo_o2o_shelf_trouble", "1 where the shelf could not be written when it was last looked at", multiprocess_mode="max")
# A parameter of a route, `<int:z>`, as the document writes it, `{z}`.
_PARAMETER = re.compile(r"<(?:\w+:)?(\w+)>")
_QUIET = frozenset({"/health/live", "/health/ready", "/metrics"})
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


@blueprint.get("/health/live")
@public
@blueprint.response(200, Health)
def live() -> dict[str, str]:
    """Whether this process answers at all."""
    return {"status": "ok"}


@blueprint.get("/health/ready")
@public
@blueprint.response(200, Readiness)
def ready() -> dict[str, Any]:
    """Whether this process can do its work: the database answers and is migrated. 503 where not."""
    try:
        with database().read() as session:
            state = migration_state(session)
            migrated = state.present == state.wanted
            known_until = queries.hours_known_until(session) if migrated else None
            warnings = warnings_of(session, runs=list_jobs(session), known_until=known_until, now=utcnow()) if migrated else []
    except SQLAlchemyError as failure:
        raise Unavailable("the database does not answer", code="database_unavailable") from failure
    if not migrated:
        raise _not_migrated(state)
    on_shelf, trouble = _shelf_state()
    _shelf_trouble.set(1 if trouble else 0)
    told = [one.text for one in warnings + trouble]
    return {"status": "ok", "migration": state.present, "opening_hours_known_until": known_until, "warnings": told, "shelf": on_shelf}


@blueprint.get("/v1/status")
@access("status:read")
@blueprint.response(200, Status)
def status() -> dict[str, Any]:
    """How it goes, for the operator: what to look at, the worker's jobs, and the logs."""
    now = utcnow()
    with database().read() as session:
        state = migration_state(session)
        if state.present != state.wanted:
            raise _not_migrated(state)
        runs, known_until = list_jobs(session), queries.hours_known_until(session)
        warnings = warnings_of(session, runs=runs, known_until=known_until, now=now)
        if not runs:
            warnings.append(Notice("worker_never", "no worker has ever run on this database: start one with `geo-o2o worker`"))
        on_shelf, trouble = _shelf_state()
        return {
            "at": now, "migration": state.present, "version": version("geo-o2o"), "warnings": warnings + trouble, "shelf": on_shelf,
            "opening_hours_known_until": known_until, "worker_seen_at": max((run.ran_at for run in runs), default=None),
            "jobs": runs, "logs": report_logs(session),
        }  # fmt: skip


def _not_migrated(state: MigrationState) -> Unavailable:
    text = f"the database is at migration {state.present}, this program needs {state.wanted}: run `geo-o2o db upgrade`"
    return Unavailable(text, code="not_migrated")


def _shelf_state() -> tuple[ShelfState | None, list[Notice]]:
    """The shelf of this process, None where it is switched off, and what is wrong with it."""
    shelf = current_app.extensions["finder"].shelf
    state = shelf.state() if shelf else None
    if state is None or not state.trouble:
        return state, []
    return state, [Notice("shelf", f"{state.trouble}; nearby is answered by SQL where nothing is on the shelf yet")]


@blueprint.get("/metrics")
@public
@blueprint.answers(200, content_type="text/plain")
def metrics() -> Response:
    """Prometheus metrics of all web processes of this host."""
    registry = REGISTRY
    if os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return Response(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)


_DOCS_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>geo_o2o API</title>
<link rel="stylesheet" href="/docs/assets/swagger-ui.css"><link rel="icon" href="/docs/assets/favicon-32x32.png">
</head>
<body>
<div id="page"></div>
<footer>{credits}</footer>
<script src="/docs/assets/swagger-ui-bundle.js"></script><script src="/docs/start.js"></script>
</body>
</html>
"""
_DOCS_START = (
    'SwaggerUIBundle({url: "/openapi.json", dom_id: "#page", deepLinking: true, validatorUrl: null,'
    " presets: [SwaggerUIBundle.presets.apis], docExpansion: 'list', persistAuthorization: true});\n"
)
_DOCS_ASSETS = frozenset({"swagger-ui.css", "swagger-ui-bundle.js", "favicon-16x16.png", "favicon-32x32.png"})
_DOCS_POLICY = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'; font-src 'self'"


def docs() -> Response:
    """The API page; every asset comes from this very server."""
    credit = "; ".join(f"{name} ({licence})" for name, licence in _credits()) or "no data loaded yet"
    response = Response(_DOCS_PAGE.replace("{credits}", f"Data: {_escaped(credit)}"), content_type="text/html; charset=utf-8")
    response.headers["Content-Security-Policy"] = _DOCS_POLICY
    return response


def docs_start() -> Response:
    return Response(_DOCS_START, content_type="text/javascript; charset=utf-8")


def docs_asset(name: str) -> Response:
    if name not in _DOCS_ASSETS:
        raise NotFound(f"there is no asset {name[:40]!r}")
    asset = resources.files("flask_swagger_ui").joinpath("dist", name)
    with resources.as_file(asset) as path:
        return send_file(path, max_age=86_400)


def _credits() -> list[tuple[str, str]]:
    try:
        with database().read() as session:
            return [(row.attribution, row.licence) for row in all_attributions(session)]
    except SQLAlchemyError:
        return []


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def observe(app: Flask) -> None:
    """Counts, times and logs every request; gives each its id."""
    production = app.extensions["settings"].env == "production"
    # In development one line a request is noise beside a page of answers; problems are always shown.
    logs.set_up(production=production, level=logging.INFO if production else logging.WARNING)

    @app.before_request
    def start() -> None:
        request_ctx.request.environ["geo_o2o.started"] = time.perf_counter()

    @app.after_request
    def finish(response: Response) -> Response:
        # One look through the proxy: each costs as much as the counting.
        asked = request_ctx.request
        response.headers.add("X-Request-Id", id_of(asked.environ))
        response.headers.add("X-Content-Type-Options", "nosniff")
        now = time.perf_counter()
        seconds = now - asked.environ.get("geo_o2o.started", now)
        route = asked.url_rule.rule if asked.url_rule else "(none)"
        method = asked.method if asked.method in _METHODS else "(other)"
        counter, histogram = _series(route, method, response.status_code)
        counter.inc()
        histogram.observe(seconds)
        level = logging.INFO if response.status_code < 500 else logging.ERROR
        if route not in _QUIET and _log.isEnabledFor(level):
            caller = asked.environ.get("geo_o2o.caller")
            fields = {
                "request_id": id_of(asked.environ), "method": method, "route": route, "status": response.status_code,
                "ms": round(seconds * 1000, 1), "role": caller.role if caller else "-",
            }  # fmt: skip
            _log.log(level, "request", extra={"fields": fields})
        return response


@cache
def _series(route: str, method: str, status: int) -> tuple[Counter, Histogram]:
    """The series of one kind of request; found once, because finding them costs more than counting."""
    return _requests.labels(route, method, str(status)), _seconds.labels(route, method)


def api_page() -> dict[str, Any]:
    """The head of the OpenAPI document."""
    return {
        "info": {
            "description": (
                "Offers and stores near a point, ranked by distance and rating; check-ins; supply of business districts.\n\n"
                "Send your key as `Authorization: Bearer go_...`. Every failure is a problem document (RFC 9457) with a stable `code`. "
                "Lists answer `items` and `next`; pass `next` as `cursor` for the following page. "
                "Rows named `sample: true` were invented for the demonstration."
            ),
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "components": {"securitySchemes": {"key": {"type": "http", "scheme": "bearer"}}},
        "security": [{"key": []}],
    }


def publish(app: Flask) -> None:
    """The API page, and in the OpenAPI document each route's scope."""
    app.add_url_rule("/docs", "docs", public(docs))
    app.add_url_rule("/docs/start.js", "docs_start", public(docs_start))
    app.add_url_rule("/docs/assets/<name>", "docs_asset", public(docs_asset))
    openapi: Any = app.view_functions["api-docs.openapi_json"]
    public(openapi.__func__)
    spec = current_spec(app)
    for rule in app.url_map.iter_rules():
        mark = mark_of(app.view_functions[rule.endpoint])
        path = spec._paths.get(_PARAMETER.sub(r"{\1}", rule.rule), {})
        for method in rule.methods or ():
            operation = path.get(method.lower())
            if isinstance(operation, dict):
                operation["security"] = [] if mark == "public" else [{"key": []}]
                operation["x-scope"] = mark


def current_spec(app: Flask) -> Any:
    return app.extensions["flask-smorest"]["apis"][""]["ext_obj"].spec
