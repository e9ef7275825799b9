"""What views share: the database, the caller, cursors, strict parsing, and one problem document for every failure (RFC 9457)."""

from __future__ import annotations

import json
import logging
import re
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import flask
import flask_smorest
import marshmallow as ma
import orjson
from flask import Flask, Response, current_app, g, request
from flask.json.provider import JSONProvider
from psycopg2 import errors as pg_errors
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from webargs.flaskparser import FlaskParser
from webargs.multidictproxy import MultiDictProxy
from werkzeug.exceptions import HTTPException

from . import errors
from .caller import Caller
from .config import Settings
from .cursor import read_cursor, sign_cursor
from .db import Database

PROBLEM_JSON = "application/problem+json"
_REQUEST_ID = re.compile(r"^[A-Za-z0-9._-]{1,64}$")
_JSON_OPTIONS = orjson.OPT_UTC_Z | orjson.OPT_NON_STR_KEYS
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


def database() -> Database:
    return current_app.extensions["database"]


def settings() -> Settings:
    return current_app.extensions["settings"]


def caller() -> Caller:
    """The caller that the access hook found; only for views that are not public."""
    return g.caller


def utcnow() -> datetime:
    return datetime.now(UTC)


def request_id() -> str:
    """The id of this request, in its log line, its problem document and its X-Request-Id header."""
    if "request_id" not in g:
        sent = request.headers.get("X-Request-Id", "")
        g.request_id = sent if _REQUEST_ID.match(sent) else secrets.token_hex(8)
    return g.request_id


# --- cursors -----------------------------------------------------------------------------------------------------------------


def question_of(args: Mapping[str, Any]) -> str:
    """What a list was asked with, as text; how much is shown of it does not belong to the question."""
    asked = {name: str(value) for name, value in args.items() if name not in ("cursor", "limit", "explain") and value is not None}
    return json.dumps([request.path, asked], sort_keys=True)


def position_of(args: Mapping[str, Any]) -> list[Any] | None:
    """Where the caller's cursor stands; None at the start."""
    cursor = args.get("cursor")
    return read_cursor(cursor, question=question_of(args), secret=settings().secret_key) if cursor else None


def next_cursor(position: list[Any] | None, args: Mapping[str, Any]) -> str | None:
    return sign_cursor(position, question=question_of(args), secret=settings().secret_key) if position else None


# --- what comes in -----------------------------------------------------------------------------------------------------------


class StrictParser(FlaskParser):
    """Refuses unknown names, scalar parameters given twice, bodies that are not JSON, and JSON too deep or with a name twice."""

    DEFAULT_UNKNOWN_BY_LOCATION = {  # noqa: RUF012 - the library's own attribute
        **FlaskParser.DEFAULT_UNKNOWN_BY_LOCATION,
        "query": ma.RAISE,
        "json": ma.RAISE,
    }

    def load_querystring(self, req: Any, schema: ma.Schema) -> Any:
        for name, values in req.args.lists():
            field = schema.fields.get(name)
            if len(values) > 1 and not isinstance(field, ma.fields.List):
                raise errors.InvalidInput(f"{name} was given {len(values)} times", errors={name: ["given more than once"]})
        return MultiDictProxy(req.args, schema)

    def load_json(self, req: Any, schema: ma.Schema) -> Any:
        if not req.is_json:
            flask.abort(415, "expected a body of type application/json")
        try:
            return json.loads(req.get_data(cache=True), object_pairs_hook=_without_twins)
        except RecursionError as failure:
            raise errors.Malformed("the JSON body is nested too deeply") from failure
        except ValueError as failure:
            raise errors.Malformed(f"the body is not JSON: {str(failure)[:200]}") from failure

    def handle_error(self, error: ma.ValidationError, *args: Any, **kwargs: Any) -> Any:
        messages = error.messages if isinstance(error.messages, dict) else {"body": error.messages}
        # webargs nests the messages under the location they came from.
        inner = {key: value for location in messages.values() if isinstance(location, dict) for key, value in location.items()}
        flat = _flatten(inner or messages)
        raise errors.InvalidInput("; ".join(f"{name}: {texts[0]}" for name, texts in list(flat.items())[:5]), errors=flat)


def _without_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("an object has the same name twice")
    return found


def _flatten(messages: Any, prefix: str = "") -> dict[str, list[str]]:
    if isinstance(messages, Mapping):
        return {name: texts for key, value in messages.items() for name, texts in _flatten(value, f"{prefix}.{key}" if prefix else str(key)).items()}
    return {prefix or "body": [str(text)[:300] for text in (messages if isinstance(messages, list) else [messages])]}


class Blueprint(flask_smorest.Blueprint):
    """A room's routes, with the strict parser."""

    ARGUMENTS_PARSER = StrictParser()


def version_asked() -> int:
    """The version in If-Match.

    Raises PreconditionRequired without one, PreconditionFailed where it cannot be one of ours.
    """
    text = request.headers.get("If-Match", "")
    if not text:
        raise errors.PreconditionRequired('send If-Match with the ETag of what you read, as If-Match: "v3"')
    match = re.fullmatch(r'"v(\d{1,9})"', text.strip())
    if not match:
        raise errors.PreconditionFailed(f'the ETag {text[:40]!r} is not the present one: read it again; it looks like "v3"')
    return int(match[1])


def with_version(body: Mapping[str, Any], version: int, *, status: int = 200, location: str | None = None, lasting: bool = True) -> Response:
    """One thing with its version as ETag; 304 where the caller has it already.

    lasting: False where the body also depends on other things, such as the time of day; the ETag then serves If-Match only.
    """
    response = answer(body, status=status)
    response.set_etag(f"v{version}")
    if location:
        response.headers["Location"] = location
    if not lasting:
        response.headers["Cache-Control"] = "no-store"
    if lasting and status == 200 and request.method == "GET":
        response.make_conditional(request)
    return response


def idempotency_key() -> str | None:
    """The caller's Idempotency-Key, if any. Raises InvalidInput where it is not 1 to 100 visible characters."""
    key = request.headers.get("Idempotency-Key")
    if key is not None and not re.fullmatch(r"[\x21-\x7e]{1,100}", key):
        raise errors.InvalidInput(
            "Idempotency-Key must have 1 to 100 visible ASCII characters", errors={"Idempotency-Key": ["1 to 100 visible characters"]}
        )
    return key


# --- what goes out -----------------------------------------------------------------------------------------------------------


class Json(JSONProvider):
    """orjson outwards; the standard library inwards, whose NaN and 1e400 reach the fields, which refuse them by name."""

    def dumps(self, obj: Any, **kwargs: Any) -> str:
        return orjson.dumps(obj, option=_JSON_OPTIONS).decode()

    def loads(self, s: str | bytes, **kwargs: Any) -> Any:
        return json.loads(s)

    def response(self, *args: Any, **kwargs: Any) -> Response:
        return answer(self._prepare_response_obj(args, kwargs))


def answer(body: Any, *, status: int = 200, content_type: str = "application/json") -> Response:
    """A JSON answer. Views that fill their body themselves use it; a test holds such bodies and their schemas together."""
    return Response(orjson.dumps(body, option=_JSON_OPTIONS), status=status, content_type=content_type)


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
        "errors": [{"field": name, "message": text} for name, texts in (fields or {}).items() for text in texts],
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
    if isinstance(error, errors.Unavailable):
        headers["Retry-After"] = str(error.retry_after_s)
    if isinstance(error, errors.Moved):
        headers["Location"] = error.location
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
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
        _log.warning("database unavailable: %s", str(origin or error).splitlines()[0])
        return problem(503, "database_unavailable", "the database does not answer: try again", headers={"Retry-After": "2"})
    return _on_surprise(error)


def _on_surprise(error: Exception) -> Response:
    _log.exception("unexpected failure", exc_info=error)
    return problem(500, "internal_error", f"something failed here; quote request {request_id()} when you report it")


def path_id(text: str) -> UUID:
    """An id out of a URL. Raises NotFound where it is none: such a thing cannot exist."""
    try:
        return UUID(text) if len(text) == 36 else _no_id(text)
    except ValueError:
        return _no_id(text)


def _no_id(text: str) -> UUID:
    raise errors.NotFound(f"there is nothing with the id {text[:40]!r}")


def document_problems(api: Api) -> None:
    """Adds to every operation of the OpenAPI document the problem documents that it can answer with."""
    schema = {"$ref": "#/components/schemas/Problem"}
    words = {
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
        "500": "a fault of this service",
        "503": "the database does not answer, or the question took too long",
    }
    # How apispec keeps what has been added; there is no public way to walk it.
    for path, operations in api.spec._paths.items():
        for method, operation in operations.items():
            if method not in ("get", "post", "put", "patch", "delete") or not isinstance(operation, dict):
                continue
            codes = {"500", "503"}
            if operation.get("security") != []:
                codes |= {"401", "403"}
            if operation.get("parameters") or operation.get("requestBody"):
                codes |= {"422"}
            if "{" in path:
                codes |= {"404", "410"}
            if method in ("post", "put", "patch"):
                codes |= {"400", "409", "413", "415"}
            if method in ("patch", "delete"):
                codes |= {"412", "428"}
            responses = operation.setdefault("responses", {})
            responses.pop("default", None)
            for code in sorted(codes):
                responses[code] = {"description": words[code], "content": {PROBLEM_JSON: {"schema": schema}}}
