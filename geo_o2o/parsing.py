"""What comes in, read strictly: queries and JSON bodies."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, TypeVar
from urllib.parse import unquote_to_bytes

import flask
import flask_smorest
import marshmallow as ma
from flask import request
from flask.globals import request_ctx
from webargs.fields import DelimitedList
from webargs.flaskparser import FlaskParser
from webargs.multidictproxy import MultiDictProxy

from . import errors

View = TypeVar("View", bound=Callable[..., Any])

# A value of a query that needs no decoding.
_PLAIN = re.compile(r"[A-Za-z0-9._-]+")
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
        known: Any = argmap
        if location != "query" or isinstance(known, type) or not hasattr(known, "VARYING"):
            return super().parse(argmap, req, location=location, **kwargs)
        found: dict[str, Any] = {}
        rest = []
        try:
            for part in (request if req is None else req).query_string.decode("latin-1").split("&"):
                name, _, value = part.partition("=")
                if name in known.VARYING and name not in found and _PLAIN.fullmatch(value):
                    found[name] = known.fields[name].deserialize(value)
                else:
                    rest.append(part)
        except ma.ValidationError:
            return super().parse(argmap, req, location=location, **kwargs)
        key = (known, tuple(rest), tuple(found))
        remembered = _remembered.get(key)
        if remembered is None:
            remembered = super().parse(argmap, req, location=location, **kwargs)
            if len(_remembered) >= _MOST_REMEMBERED:
                _remembered.clear()
            _remembered[key] = remembered
            remembered[NOTES] = {}
        return {**remembered, **found}

    def load_querystring(self, req: Any, schema: ma.Schema) -> Any:
        try:
            unquote_to_bytes(req.query_string).decode()
        except UnicodeDecodeError as failure:
            # The framework would hand on such bytes as the letters by which they were escaped.
            raise errors.Malformed("the query is not UTF-8") from failure
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


class Blueprint(flask_smorest.Blueprint):
    """A room's routes, with the strict parser. What the library wraps around a view serves the API page alone here."""

    ARGUMENTS_PARSER = StrictParser()

    def arguments(self, schema: Any, *, location: str = "json", **kwargs: Any) -> Callable[[View], View]:
        """Reads what was sent and hands it to the view as its first argument."""
        document, parse = super().arguments(schema, location=location, **kwargs), self.ARGUMENTS_PARSER.parse

        def decorate(view: View) -> Any:
            @wraps(document(view))
            def wrapper(**path: Any) -> Any:
                return view(parse(schema, request_ctx.request, location=location), **path)

            return wrapper

        return decorate

    def answers(self, status: int, schema: Any = None, **kwargs: Any) -> Callable[[View], View]:
        """As `response`, for views that make their answer themselves."""
        document = self.response(status, schema, **kwargs)

        def decorate(view: View) -> View:
            view._apidoc = document(view)._apidoc  # type: ignore[attr-defined]
            return view

        return decorate
