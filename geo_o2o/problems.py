"""One problem document for every failure, before and behind the views (RFC 9457)."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import flask_smorest
import marshmallow as ma
from flask import Flask, Response
from psycopg2 import errors as pg_errors
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from werkzeug.exceptions import HTTPException

from . import errors
from .http import answer, request_id

PROBLEM_JSON = "application/problem+json"
# A body of a million wrong elements must not be answered with a million sentences.
_MOST_ERRORS = 20
_log = logging.getLogger("geo_o2o")

# The one table from a kind of failure to its status.
STATUS: dict[type[errors.GeoO2OError], int] = {
    errors.Malformed: 400,
    errors.Unauthenticated: 401,
    errors.Forbidden: 403,
    errors.NotFound: 404,
    errors.Conflict: 409,
    errors.Gone: 410,
    errors.PreconditionFailed: 412,
    errors.InvalidInput: 422,
    errors.PreconditionRequired: 428,
    errors.TooMany: 429,
    errors.Unavailable: 503,
    errors.Moved: 308,
}
# Stable codes of the failures that the framework finds before any view runs.
FRAMEWORK_CODES = {
    400: "malformed",
    404: "no_such_route",
    405: "method_not_allowed",
    413: "body_too_large",
    414: "url_too_long",
    415: "unsupported_media_type",
}


class ProblemSchema(ma.Schema):
    """A problem document (RFC 9457)."""

    type = ma.fields.String(metadata={"description": "a URI that names the kind of problem"})
    title = ma.fields.String(metadata={"description": "the kind of problem in words"})
    status = ma.fields.Integer()
    code = ma.fields.String(metadata={"description": "stable and machine-readable"})
    detail = ma.fields.String(metadata={"description": "what was expected, what was found, in which unit"})
    errors = ma.fields.List(ma.fields.Nested(ma.Schema.from_dict({"field": ma.fields.String(), "message": ma.fields.String()}, name="FieldProblem")))
    request_id = ma.fields.String()


def problem(status: int, code: str, detail: str, *, fields: errors.FieldErrors | None = None, headers: Mapping[str, str] | None = None) -> Response:
    body = {
        "type": f"urn:geo-o2o:problem:{code}",
        "title": code.replace("_", " ").capitalize(),
        "status": status,
        "code": code,
        "detail": detail,
        "errors": [{"field": name, "message": text} for name, texts in (fields or {}).items() for text in texts][:_MOST_ERRORS],
        "request_id": request_id(),
    }
    response = answer(body, status=status, content_type=PROBLEM_JSON)
    response.headers.update(headers or {})
    return response


class Api(flask_smorest.Api):
    """flask-smorest's API with our shape of errors."""

    ERROR_SCHEMA = ProblemSchema

    def _register_error_handlers(self) -> None:
        app: Flask = self._app
        app.register_error_handler(errors.GeoO2OError, _on_our_error)
        app.register_error_handler(HTTPException, _on_http_error)
        app.register_error_handler(DBAPIError, _on_database_error)
        app.register_error_handler(PoolTimeout, _on_database_error)
        app.register_error_handler(Exception, _on_surprise)


def _on_our_error(error: errors.GeoO2OError) -> Response:
    status = next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)
    headers = {}
    if isinstance(error, errors.Unavailable | errors.TooMany):
        headers["Retry-After"] = str(error.retry_after_s)
    if isinstance(error, errors.Moved):
        headers["Location"] = error.location
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if isinstance(error, errors.NonceNeeded):
        headers |= {"WWW-Authenticate": 'DPoP error="use_dpop_nonce"', "DPoP-Nonce": error.nonce}
    return problem(status, error.code, error.message, fields=error.errors, headers=headers)


def _on_http_error(error: HTTPException) -> Response:
    if error.response is not None:  # redirects of the router
        return error.response  # type: ignore[return-value]
    status = error.code or 500
    headers = {name: value for name, value in error.get_headers() if name in ("Allow", "Retry-After")}
    return problem(status, FRAMEWORK_CODES.get(status, error.name.lower().replace(" ", "_")), error.description or error.name, headers=headers)


def _on_database_error(error: Exception) -> Response:
    origin = getattr(error, "orig", None)
    if isinstance(origin, pg_errors.QueryCanceled):
        return problem(503, "query_timeout", "the question took too long: ask for a smaller area or fewer rows", headers={"Retry-After": "5"})
    if isinstance(origin, pg_errors.LockNotAvailable | pg_errors.DeadlockDetected | pg_errors.SerializationFailure):
        return problem(503, "busy", "another change holds the row: try again", headers={"Retry-After": "1"})
    if isinstance(error, OperationalError | PoolTimeout) or getattr(error, "connection_invalidated", False):
        _log.warning("database unavailable: %s", str(origin or error).splitlines()[0], extra={"fields": {"request_id": request_id()}})
        return problem(503, "database_unavailable", "the database does not answer: try again", headers={"Retry-After": "2"})
    if isinstance(error, IntegrityError):
        _log.warning("a constraint spoke: %s", str(origin).splitlines()[0], extra={"fields": {"request_id": request_id()}})
        return problem(409, "conflict", "the change contradicts what is stored, or another change came first: read it again and retry")
    return _on_surprise(error)


def _on_surprise(error: Exception) -> Response:
    _log.exception("unexpected failure", exc_info=error, extra={"fields": {"request_id": request_id()}})
    return problem(500, "internal_error", f"something failed here; quote request {request_id()} when you report it")


_WORDS = {
    "304": "the caller has it already",
    "308": "the store has a new id, in Location",
    "400": "the request cannot be read",
    "401": "no key, or one that is not known",
    "403": "the key has not the scope, or the thing is not the caller's",
    "404": "no such thing",
    "409": "contradicts the present state",
    "410": "removed",
    "412": "changed since it was read",
    "413": "body too large",
    "415": "not the media type expected",
    "422": "a field has the wrong shape or range",
    "428": "If-Match is missing",
    "429": "too many tries",
    "500": "a fault of this service",
    "503": "the database does not answer, or the question took too long",
}
_HEADERS = {
    "If-Match": {"description": 'the ETag of what was read, as "v3"', "required": True},
    "Idempotency-Key": {"description": "1 to 100 visible characters; sent again, the first answer comes again", "required": False},
    "If-None-Match": {"description": "the ETag that the caller has", "required": False},
    "DPoP": {"description": "a proof that the device signed for this request (RFC 9449), over the nonce of the header DPoP-Nonce", "required": True},
}
# Requests that a visitor's device signs.
_BY_DEVICES = frozenset({"/v1/devices", "/v1/check-ins/challenge", "/v1/check-ins"})
# Creating requests that find an earlier one by its key.
_IDEMPOTENT = frozenset({"/v1/stores", "/v1/offers", "/v1/districts", "/v1/check-ins"})


def document_problems(api: Api) -> None:
    """Adds to every operation of the OpenAPI document the headers it reads and the problem documents it can answer with."""
    # How apispec keeps what has been added; there is no public way to walk it.
    for path, operations in api.spec._paths.items():
        for method, operation in operations.items():
            if method in ("get", "post", "put", "patch", "delete") and isinstance(operation, dict):
                _document_headers(path, method, operation)
                _document_errors(path, method, operation)


def _document_headers(path: str, method: str, operation: dict[str, Any]) -> None:
    names = [
        *(["If-Match"] if method in ("patch", "delete") else []),
        *(["Idempotency-Key"] if method == "post" and path in _IDEMPOTENT else []),
        *(["DPoP"] if method == "post" and path in _BY_DEVICES else []),
        *(["If-None-Match"] if method == "get" and "{" in path else []),
    ]
    for name in names:
        operation.setdefault("parameters", []).append({"in": "header", "name": name, "schema": {"type": "string"}, **_HEADERS[name]})


def _document_errors(path: str, method: str, operation: dict[str, Any]) -> None:
    codes = {"500", "503"}
    if operation.get("security") != []:
        codes |= {"401", "403"}
    if operation.get("parameters") or operation.get("requestBody"):
        codes |= {"422"}
    if path == "/v1/check-ins":
        codes |= {"429"}
    if "{" in path or path in ("/v1/check-ins", "/v1/check-ins/challenge", "/v1/stores", "/v1/heat/supply"):
        codes |= {"404", "410"}
    if "{" in path and method == "get":
        codes |= {"304"}
    if "/stores/{" in path or (path, method) == ("/v1/stores", "post"):
        codes |= {"308"}
    if method in ("post", "put", "patch"):
        codes |= {"400", "409", "413", "415"}
    if method in ("patch", "delete"):
        codes |= {"409", "412", "428"}
    responses = operation.setdefault("responses", {})
    responses.pop("default", None)
    for code in sorted(codes):
        body = {"content": {PROBLEM_JSON: {"schema": {"$ref": "#/components/schemas/Problem"}}}} if code != "304" else {}
        responses[code] = {"description": _WORDS[code], **body}
