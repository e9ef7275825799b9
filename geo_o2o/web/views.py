from __future__ import annotations

import uuid
from functools import partial
from typing import Any
from urllib.parse import urlencode

from flask import Blueprint, Response, current_app, redirect, render_template, request
from markupsafe import Markup
from sqlalchemy.exc import OperationalError

from ..auth.access import public
from ..caller import Caller
from ..discovery.reading import WALKING_M_PER_MIN
from ..discovery.service import Finder
from ..errors import Gone, InvalidInput, Moved, NotFound, Unavailable
from ..geo.point import Point
from ..http import database, path_id, settings, this_minute, unless_known, utcnow
from ..offers.service import get_visible_offer
from ..stores.categories import OTHER, tree
from . import service
from .files import content_type_of, icon, packed_file
from .formats import Formats, formats_of
from .words import LANGUAGES, language_of, words

blueprint = Blueprint("web", __name__, template_folder="templates")

# Nothing comes from anywhere else, and nothing runs that is written into a page.
POLICY = (
    "default-src 'none'; script-src 'self'; worker-src 'self'; connect-src 'self'; img-src 'self' data: blob:; style-src 'self'; font-src 'self';"
    " manifest-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
# The versions of what others wrote are in the names of their folders, so a browser may keep them for good.
_FOR_GOOD = "public, max-age=31536000, immutable"
# Who looks at a page without a key sees what everybody may.
_ANYBODY = Caller(key_id=uuid.UUID(int=0), role="web", merchant_id=None)
# Minutes on foot, and the way that they are.
_WALKS = tuple((minutes, minutes * WALKING_M_PER_MIN) for minutes in (5, 10, 15, 30))
_RETRY_AFTER_S = 10
_STARS = (3.5, 4.0, 4.5)


@blueprint.get("/")
@public
def visitor() -> Response:
    """The visitor's page: what is worth walking to. The list is here already; map, search and check-in come with the scripts."""
    formats = _formats("visitor")
    home = partial(service.home_of, settings(), database())
    try:
        listing = service.list_places(_finder(), database(), request.args, home=home, now=utcnow(), minute=this_minute(), formats=formats)
    except (Unavailable, OperationalError) as failure:
        return _nothing(failure)
    return _visitor_page("list.html", formats, listing=listing)


@blueprint.get("/stores/<store_id>")
@public
def place(store_id: str) -> Response:
    """The page of a store."""
    return _place(store_id, None)


@blueprint.get("/offers/<offer_id>")
@public
def offer(offer_id: str) -> Response:
    """The page of an offer, at one of its stores."""
    try:
        with database().read() as session:
            found = get_visible_offer(session, path_id(offer_id), caller=_ANYBODY)
        wanted = request.args.get("store", "")
        at = service.store_of_offer(found.store_ids, path_id(wanted) if wanted else None)
    except (NotFound, Gone, InvalidInput, Unavailable, OperationalError) as failure:
        return _nothing(failure)
    return _place(str(at), found.id)


def _place(store_id: str, offer_id: uuid.UUID | None) -> Response:
    formats, origin = _formats("visitor"), _origin()
    try:
        # Before the transaction, since looking it up may need one of its own.
        profile = _finder().profile()
        with database().read() as session:
            found = service.show_place(
                session,
                path_id(store_id),
                offer_id=offer_id,
                origin=origin,
                profile=profile,
                now=utcnow(),
                formats=formats,
            )
    except Moved as moved:
        return redirect(moved.location, 308)  # type: ignore[return-value]
    except (NotFound, Gone, Unavailable, OperationalError) as failure:
        return _nothing(failure)
    return _visitor_page("place.html", formats, place=found, here=_here(origin.lat, origin.lon) if origin else "")


def _nothing(failure: Exception) -> Response:
    """What is not here, or not any more, or not at this moment, said to a person."""
    why, status = ("over", 410) if isinstance(failure, Gone) else ("over", 404) if isinstance(failure, InvalidInput) else ("missing", 404)
    if isinstance(failure, Unavailable | OperationalError):
        why, status = "away", 503
    response = _visitor_page("nothing.html", _formats("visitor"), why=why, here="")
    response.status_code = status
    if why == "away":
        response.headers["Retry-After"] = str(_RETRY_AFTER_S)
    return response


def _origin() -> Point | None:
    """Where the reader is, as the address says it; None where it does not."""
    try:
        return Point(float(request.args["lng"]), float(request.args["lat"]))
    except (KeyError, ValueError):
        return None


def _here(lat: float, lng: float) -> str:
    return urlencode({"lat": f"{lat:.5f}", "lng": f"{lng:.5f}"})


def _visitor_page(part: str, formats: Formats, **about: Any) -> Response:
    """The whole page, or with `part` in the address only what changes in it."""
    categories = [(code, formats.name(node.names, code)) for code, node in tree().items() if "." not in code and code != OTHER]
    about |= {
        "part": part, "formats": formats, "categories": categories, "walks": _WALKS, "stars": _STARS, "asked": request.args, "most": service.MOST,
        "site": {"key": settings().web_key},
    }  # fmt: skip
    return _page(part if "part" in request.args else "visitor.html", catalogue="visitor", **about)


def _finder() -> Finder:
    return current_app.extensions["finder"]


# --- the other pages ---------------------------------------------------------------------------------------------------------


@blueprint.get("/planner")
@public
def planner() -> Response:
    """The planner's map: the page itself tells nothing; it asks the API with the planner's key."""
    return _page("planner.html")


@blueprint.get("/counter")
@public
def counter() -> Response:
    """The store's counter: the page itself tells nothing; it asks the API with the store's key, and signs with the till's."""
    return _page("counter.html")


@blueprint.get("/admin")
@public
def admin() -> Response:
    """The operator's page: the page itself tells nothing; it asks the API with the operator's key."""
    return _page("admin.html")


@blueprint.get("/verify")
@public
def verify() -> Response:
    """The auditor's check of a receipt: all of it happens in the browser."""
    return _page("verify.html")


@blueprint.get("/static/<path:name>")
@public
def static_file(name: str) -> Response:
    """A file of the pages: style, script, font."""
    body, tag, encoding = packed_file(name, _encoding())
    response = Response(body, content_type=content_type_of(name))
    response.set_etag(tag)
    response.headers["Cache-Control"] = _FOR_GOOD if name.startswith("vendor/") else "no-cache"
    response.headers["Vary"] = "Accept-Encoding"
    if encoding:
        response.headers["Content-Encoding"] = encoding
    if name == "offline.js":
        # It stands between the pages and the network, and pages are at the root.
        response.headers["Service-Worker-Allowed"] = "/"
    return unless_known(response)


def _encoding() -> str:
    return next((name for name in ("br", "gzip") if request.accept_encodings.quality(name) > 0), "")


def _language() -> str:
    return language_of(request.args.get("lang"), _accepted())


def _accepted() -> list[str]:
    return [tag for tag, _ in request.accept_languages]


def _formats(catalogue: str) -> Formats:
    language = _language()
    known = words(catalogue, language)
    return formats_of(language, _accepted(), lambda text: known.get(text, text))


def _page(template: str, *, catalogue: str | None = None, **about: Any) -> Response:
    language = _language()
    known = words(catalogue or template.removesuffix(".html"), language)
    text = render_template(
        template, language=language, languages=LANGUAGES, words=dict(known), _=lambda text: known.get(text, text), also=_also,
        icon=lambda name: Markup(icon(name)), **about,
    )  # fmt: skip
    response = Response(text, content_type="text/html; charset=utf-8")
    response.headers["Vary"] = "Accept-Language"
    response.headers["Content-Language"] = language
    response.headers["Content-Security-Policy"] = POLICY
    response.headers["Referrer-Policy"] = "no-referrer"
    response.headers["Cache-Control"] = "no-cache"
    return response


def _also(**changes: Any) -> str:
    """The address of this very page with something else asked for."""
    return "?" + urlencode({**{name: value for name, value in request.args.items() if name != "part"}, **changes})
