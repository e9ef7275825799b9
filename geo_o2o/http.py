"""What views share: the database, the caller, cursors, strict parsing and plain answers."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar
from uuid import UUID

import flask
import flask_smorest
import marshmallow as ma
import orjson
from flask import Response, current_app, g, request
from flask.json.provider import JSONProvider
from flask_compress import Compress
from webargs.fields import DelimitedList
from webargs.flaskparser import FlaskParser
from webargs.multidictproxy import MultiDictProxy

from . import errors
from .caller import Caller
from .config import Settings
from .cursor import read_cursor, sign_cursor
from .db import Database

Row = TypeVar("Row")
_REQUEST_ID = re.compile(r"^[A-Za-z0-9._-]{1,64}$")
_JSON_OPTIONS = orjson.OPT_UTC_Z | orjson.OPT_NON_STR_KEYS


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
    known = g.get("request_id")
    if known is None:
        sent = request.environ.get("HTTP_X_REQUEST_ID", "")
        known = g.request_id = sent if _REQUEST_ID.match(sent) else f"{random.getrandbits(64):016x}"
    return str(known)


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


def page_of(found: Sequence[Row], args: Mapping[str, Any], position: Callable[[Row], list[Any]]) -> tuple[Sequence[Row], str | None]:
    """The rows of a page and the cursor of the next one. found: one row more than args["limit"], where there are more."""
    page = found[: args["limit"]]
    return page, next_cursor(position(page[-1]) if len(found) > len(page) else None, args)


# --- what comes in -----------------------------------------------------------------------------------------------------------


# A value of a query that needs no decoding.
_PLAIN = re.compile(rb"[A-Za-z0-9._-]+")
_MOST_REMEMBERED = 4_096
NOTES = "(notes)"
_remembered: dict[Any, dict[str, Any]] = {}


class StrictParser(FlaskParser):
    """Refuses unknown names, scalar parameters given twice, bodies that are not JSON, and JSON too deep or with a name twice."""

    DEFAULT_UNKNOWN_BY_LOCATION = {  # noqa: RUF012 - the library's own attribute
        **FlaskParser.DEFAULT_UNKNOWN_BY_LOCATION,
        "query": ma.RAISE,
        "json": ma.RAISE,
    }

    def parse(self, argmap: Any, req: Any = None, *, location: str | None = None, **kwargs: Any) -> Any:
        """Of a schema that names what varies (VARYING), the rest of a query is read once and remembered: the same filters come again and
        again from other places. Under NOTES lies a dict, in which the view may keep what it made of that rest.
        """
        schema = argmap
        if location != "query" or not isinstance(schema, ma.Schema) or not hasattr(schema, "VARYING"):
            return super().parse(argmap, req, location=location, **kwargs)
        rest, varying = [], {}
        for part in (req or request).query_string.split(b"&"):
            name, _, value = part.partition(b"=")
            if name in schema.VARYING and name not in varying and _PLAIN.fullmatch(value):
                varying[name] = value.decode()
            else:
                rest.append(part)
        try:
            found = {name.decode(): schema.fields[name.decode()].deserialize(value) for name, value in varying.items()}
        except ma.ValidationError:
            return super().parse(argmap, req, location=location, **kwargs)
        key = (type(schema), tuple(rest), tuple(varying))
        remembered = _remembered.get(key)
        if remembered is None:
            remembered = super().parse(argmap, req, location=location, **kwargs)
            if len(_remembered) >= _MOST_REMEMBERED:
                _remembered.clear()
            _remembered[key] = remembered
            remembered[NOTES] = {}
        return {**remembered, **found}

    def load_querystring(self, req: Any, schema: ma.Schema) -> Any:
        for name, values in req.args.lists():
            field = schema.fields.get(name)
            # Lists here are written with commas, so that nothing is said twice in two ways.
            if len(values) > 1 and (not isinstance(field, ma.fields.List) or isinstance(field, DelimitedList)):
                raise errors.InvalidInput(f"{name} was given {len(values)} times", errors={name: ["given more than once"]})
        return MultiDictProxy(req.args, schema)

    def load_json(self, req: Any, schema: ma.Schema) -> Any:
        if not req.is_json:
            flask.abort(415, "expected a body of type application/json")
        body = req.get_data(cache=True)
        # A chunked body announces no length: what reaches the limit has been cut there.
        if not req.content_length and len(body) >= req.max_content_length:
            flask.abort(413)
        try:
            return json.loads(body, object_pairs_hook=_without_twins)
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
    if any(0xD800 <= ord(char) <= 0xDFFF for name in found for char in name):
        raise ValueError("a name is no text")
    return found


def _flatten(messages: Any, prefix: str = "") -> dict[str, list[str]]:
    if isinstance(messages, Mapping):
        return {name: texts for key, value in messages.items() for name, texts in _flatten(value, f"{prefix}.{key}" if prefix else str(key)).items()}
    return {prefix or "body": [str(text)[:300] for text in (messages if isinstance(messages, list) else [messages])]}


def _path(prefix: str, key: Any) -> str:
    """A field's path; marshmallow calls a whole object `_schema`, and the value of a mapping `value`."""
    if key in ("_schema", "value", "key"):
        return prefix
    return f"{prefix}.{key}" if prefix else str(key)


class Blueprint(flask_smorest.Blueprint):
    """A room's routes, with the strict parser."""

    ARGUMENTS_PARSER = StrictParser()


def version_asked() -> int:
    """The version in If-Match.

    Raises PreconditionRequired without one, PreconditionFailed where it cannot be one of ours.
    """
    text = request.headers.get("If-Match", "")
    if not text:
        message = 'send If-Match with the ETag of what you read, as If-Match: "v3"'
        raise errors.PreconditionRequired(message, errors={"If-Match": [message]})
    match = re.fullmatch(r'"v(\d{1,9})"', text.strip())
    if not match:
        message = f'the ETag {text[:40]!r} is not the present one: read it again; it looks like "v3"'
        raise errors.PreconditionFailed(message, errors={"If-Match": [message]})
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
    return unless_known(response) if lasting and status == 200 and request.method == "GET" else response


def unless_known(response: Response) -> Response:
    """The response, or 304 where the caller's If-None-Match names its ETag."""
    tag, _ = response.get_etag()
    if tag is None or not request.if_none_match.contains_weak(tag):
        return response
    return Response(status=304, headers={"ETag": response.headers["ETag"]})


def idempotency_key() -> str | None:
    """The caller's Idempotency-Key, if any. Raises InvalidInput where it is not 1 to 100 visible characters."""
    key = request.headers.get("Idempotency-Key")
    if key is not None and not re.fullmatch(r"[\x21-\x7e]{1,100}", key):
        raise errors.InvalidInput(
            "Idempotency-Key must have 1 to 100 visible ASCII characters", errors={"Idempotency-Key": ["1 to 100 visible characters"]}
        )
    return key


# --- compression --------------------------------------------------------------------------------------------------------------

_SMALLEST_COMPRESSED_BYTES = 500


def compress(app: flask.Flask) -> None:
    """Brotli or gzip for whoever accepts it; quick levels, because every answer is made anew."""
    app.config.update(
        COMPRESS_ALGORITHM=["br", "gzip"],
        COMPRESS_MIMETYPES=["application/json", "application/problem+json", "application/geo+json", "text/html", "text/css", "text/javascript"],
        COMPRESS_BR_LEVEL=4,
        COMPRESS_LEVEL=5,
        COMPRESS_MIN_SIZE=_SMALLEST_COMPRESSED_BYTES,
    )
    Compress(app)


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


def path_id(text: str) -> UUID:
    """An id out of a URL. Raises NotFound where it is none: such a thing cannot exist."""
    try:
        return UUID(text) if len(text) == 36 else _no_id(text)
    except ValueError:
        return _no_id(text)


def _no_id(text: str) -> UUID:
    raise errors.NotFound(f"there is nothing with the id {text[:40]!r}")
