"""create_app: all wiring on one page, floor by floor."""

from __future__ import annotations

from importlib import import_module

from flask import Flask

from .config import Settings, from_environment
from .db import Database
from .http import Json, NoSessions, compress, tag
from .problems import Api, document_problems

_ROOMS_WITH_TABLES = (
    "auth",
    "passkeys",
    "changes",
    "ledger",
    "districts",
    "basemap",
    "stores",
    "signers",
    "receipts",
    "checkins",
    "vouchers",
    "erasure",
    "offers",
    "sponsorships",
    "releases",
    "supply",
    "discovery",
    "ingest",
    "ops",
)


def import_models() -> None:
    """Makes every table known to Base.metadata."""
    for room in _ROOMS_WITH_TABLES:
        import_module(f"{__package__}.{room}.models")


def create_app(settings: Settings | None = None, *, database: Database | None = None) -> Flask:
    """The service. Raises BadSettings where the environment asks for something that cannot be."""
    from .auth import views as auth
    from .checkins import views as checkins
    from .discovery import views as discovery
    from .districts import views as districts
    from .ingest import views as ingest
    from .insights import views as insights
    from .ledger import views as ledger
    from .maps import views as maps
    from .offers import views as offers
    from .ops import views as ops
    from .passkeys import views as passkeys
    from .places import views as places
    from .profiles import views as profiles
    from .receipts import views as receipts
    from .signers import views as signers
    from .sponsorships import views as sponsorships
    from .stores import service as stores_service
    from .stores import views as stores
    from .vouchers import views as vouchers
    from .web import views as web

    import_models()
    settings = settings or from_environment()
    app = Flask("geo_o2o", static_folder=None)
    # No view here is a coroutine, so no request needs to ask six functions whether they are.
    app.ensure_sync = lambda view: view  # type: ignore[method-assign, assignment]
    app.json = Json(app)
    app.session_interface = NoSessions()
    # Two slashes are another address, and answering them with a redirect would repeat whatever host the caller made up.
    app.url_map.merge_slashes = False
    app.config.update(
        MAX_CONTENT_LENGTH=settings.max_body_bytes,
        API_TITLE="geo_o2o",
        API_VERSION="v1",
        OPENAPI_VERSION="3.1.0",
        OPENAPI_URL_PREFIX="/",
        OPENAPI_JSON_PATH="openapi.json",
    )
    app.extensions["settings"] = settings
    app.extensions["database"] = database or Database(settings)

    ops.observe(app)
    auth.guard(app)
    api = Api(app, spec_kwargs=ops.api_page())
    catalogue = (districts, places, stores, offers, sponsorships, discovery, profiles)
    visits = (ledger, signers, receipts, checkins, vouchers)
    for room in (auth, passkeys, *catalogue, *visits, maps, insights, ingest, ops):
        api.register_blueprint(room.blueprint)
    app.register_blueprint(web.blueprint)
    discovery.set_up(app)
    maps.set_up(app)
    compress(app)
    # Behind compression here, and so ahead of it when an answer goes out.
    tag(app)
    districts.follow_changes(app, before=stores_service.stores_in_district, after=stores_service.place_again)
    ops.publish(app)
    document_problems(api)
    return app
