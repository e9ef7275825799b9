"""What views share: the database, the caller, cursors, versions and plain answers."""

from __future__ import annotations

import json
import random
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

import flask
import orjson
from flask import Response, current_app, request
from flask.json.provider import JSONProvider
from flask.sessions import NullSession, SessionInterface
from flask_compress import Compress
from xxhash import xxh3_128_hexdigest

from . import errors
from .caller import Caller
from .config import Settings
from .cursor import read_cursor, sign_cursor
from .db import Database

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

Row = TypeVar("Row")
_REQUEST_ID = re.compile(r"^[A-Za-z0-9._-]{1,64}$")
_JSON_OPTIONS = orjson.OPT_UTC_Z | orjson.OPT_NON_STR_KEYS


def database() -> Database:
    return current_app.extensions["database"]


def settings() -> Settings:
    return current_app.extensions["settings"]


def caller() -> Caller:
    """The caller that the access hook found; only for views that are not public."""
    return request.environ["geo_o2o.caller"]


def utcnow() -> datetime:
    return datetime.now(UTC)


def this_minute() -> datetime:
    """When the minute began that it is."""
    return _minute(int(time.time()) // 60)


@lru_cache(maxsize=1)
def _minute(number: int) -> datetime:
    return datetime.fromtimestamp(60 * number, UTC)


def request_id() -> str:
    """The id of this request, in its log line, its problem document and its X-Request-Id header."""
    return id_of(request.environ)


def id_of(environ: dict[str, Any]) -> str:
    """The same of the request that a WSGI environment belongs to: what its caller sent, or else one made here, the same each time."""
    known = environ.get("geo_o2o.request_id")
    if known is None:
        sent = environ.get("HTTP_X_REQUEST_ID", "")
        known = environ["geo_o2o.request_id"] = sent if sent and _REQUEST_ID.match(sent) else f"{random.getrandbits(64):016x}"
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
        COMPRESS_LEVEL=4,
        COMPRESS_MIN_SIZE=_SMALLEST_COMPRESSED_BYTES,
        COMPRESS_REGISTER=False,
    )
    library = Compress(app)

    @app.after_request
    def compressed(response: Response) -> Response:
        if "HTTP_ACCEPT_ENCODING" in request.environ:
            return library.after_request(response)
        response.headers.add("Vary", "Accept-Encoding")
        return response


def tag(app: flask.Flask) -> None:
    """A tag for every answer to a GET that has none of its own: of what it shows and of nothing else (decision 0008)."""

    @app.after_request
    def tagged(response: Response) -> Response:
        if not isinstance(response, Answer) or "ETag" in response.headers or response.status_code != 200 or request.method not in ("GET", "HEAD"):
            return response
        response.headers.add("ETag", f'"{xxh3_128_hexdigest(response.get_data())}"')
        return unless_known(response)


# --- what goes out -----------------------------------------------------------------------------------------------------------


class Json(JSONProvider):
    """orjson outwards; the standard library inwards, whose NaN and 1e400 reach the fields, which refuse them by name."""

    def dumps(self, obj: Any, **kwargs: Any) -> str:
        return orjson.dumps(obj, option=_JSON_OPTIONS).decode()

    def loads(self, s: str | bytes, **kwargs: Any) -> Any:
        return json.loads(s)

    def response(self, *args: Any, **kwargs: Any) -> Response:
        return answer(self._prepare_response_obj(args, kwargs))


class Answer(Response):
    """An answer in one piece, whose headers are complete when it is made: the server takes both as they are. Not for 204."""

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response(self.status, self.headers.to_wsgi_list())
        # What is known already has no body, whoever found that out. A list of one: of many pieces the server would make a stream.
        return [] if environ["REQUEST_METHOD"] == "HEAD" or self.status_code == 304 else self.response  # type: ignore[return-value]


def answer(body: Any, *, status: int = 200, content_type: str = "application/json") -> Response:
    """A JSON answer. Views that fill their body themselves use it; a test holds such bodies and their schemas together."""
    return Answer(orjson.dumps(body, option=_JSON_OPTIONS), status=status, content_type=content_type)


class NoSessions(SessionInterface):
    """Nobody is known by a cookie here, so that no request looks for one."""

    _nothing = NullSession()

    def open_session(self, app: flask.Flask, request: flask.Request) -> NullSession:
        return self._nothing


def path_id(text: str) -> UUID:
    """An id out of a URL. Raises NotFound where it is none: such a thing cannot exist."""
    try:
        return UUID(text) if len(text) == 36 else _no_id(text)
    except ValueError:
        return _no_id(text)


def _no_id(text: str) -> UUID:
    raise errors.NotFound(f"there is nothing with the id {text[:40]!r}")
