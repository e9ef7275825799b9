from __future__ import annotations

import gzip
import hashlib
import mimetypes
from functools import lru_cache
from pathlib import Path

import brotli
from flask import Blueprint, Response, render_template, request

from ..auth.access import public
from ..errors import NotFound
from ..http import unless_known
from .words import LANGUAGES, language_of, words

_HERE = Path(__file__).parent
_STATIC = _HERE / "static"
blueprint = Blueprint("web", __name__, template_folder="templates")

# Nothing comes from anywhere else, and nothing runs that is written into a page.
POLICY = (
    "default-src 'none'; script-src 'self'; worker-src 'self'; connect-src 'self'; img-src 'self' data: blob:; style-src 'self'; font-src 'self';"
    " manifest-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
# The versions of what others wrote are in the names of their folders, so a browser may keep them for good.
_FOR_GOOD = "public, max-age=31536000, immutable"
_TYPES = {".mjs": "text/javascript; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".woff2": "font/woff2"}
_SMALL_ENOUGH = frozenset({".woff2", ".png"})
_QUALITY = 6


@blueprint.get("/planner")
@public
def planner() -> Response:
    """The planner's map: the page itself tells nothing; it asks the API with the planner's key."""
    return _page("planner.html")


@blueprint.get("/verify")
@public
def verify() -> Response:
    """The auditor's check of a receipt: all of it happens in the browser."""
    return _page("verify.html")


@blueprint.get("/static/<path:name>")
@public
def static_file(name: str) -> Response:
    """A file of the pages: style, script, font."""
    body, tag, encoding = _file(name, _encoding())
    response = Response(body, content_type=_content_type(name))
    response.set_etag(tag)
    response.headers["Cache-Control"] = _FOR_GOOD if name.startswith("vendor/") else "no-cache"
    response.headers["Vary"] = "Accept-Encoding"
    if encoding:
        response.headers["Content-Encoding"] = encoding
    return unless_known(response)


def _page(template: str) -> Response:
    language = language_of(request.args.get("lang"), [tag for tag, _ in request.accept_languages])
    known = words(template.removesuffix(".html"), language)
    text = render_template(template, language=language, languages=LANGUAGES, words=dict(known), _=lambda text: known.get(text, text))
    response = Response(text, content_type="text/html; charset=utf-8")
    response.headers["Vary"] = "Accept-Language"
    response.headers["Content-Language"] = language
    response.headers["Content-Security-Policy"] = POLICY
    response.headers["Referrer-Policy"] = "no-referrer"
    response.headers["Cache-Control"] = "no-cache"
    return response


def _encoding() -> str:
    return next((name for name in ("br", "gzip") if request.accept_encodings.quality(name) > 0), "")


@lru_cache(maxsize=256)
def _file(name: str, encoding: str) -> tuple[bytes, str, str]:
    """The bytes of a file as they are sent, its tag, and how they are packed. Raises NotFound."""
    path = (_STATIC / name.replace("\0", "/")).resolve()
    if _STATIC not in path.parents or not path.is_file():
        raise NotFound(f"there is no file {name[:100]!r}")
    body = path.read_bytes()
    tag = hashlib.sha256(body).hexdigest()[:32]
    if not encoding or path.suffix in _SMALL_ENOUGH:
        return body, tag, ""
    packed = brotli.compress(body, quality=_QUALITY) if encoding == "br" else gzip.compress(body, _QUALITY, mtime=0)
    return packed, f"{tag}-{encoding}", encoding


def _content_type(name: str) -> str:
    suffix = Path(name).suffix
    guessed = _TYPES.get(suffix) or mimetypes.guess_type(name)[0] or "application/octet-stream"
    return f"{guessed}; charset=utf-8" if guessed.startswith("text/") and "charset" not in guessed else guessed
