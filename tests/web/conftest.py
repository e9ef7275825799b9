"""A real browser on a real service: Debian's Chromium, driven by playwright. Whatever a page logs as an error, and whatever it asks of
another origin, fails the test that opened it.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from geo_o2o.auth import service as auth
from geo_o2o.config import Settings
from geo_o2o.db import Database
from geo_o2o.geo.bounds import Bounds
from geo_o2o.ingest import osm
from geo_o2o.ingest import service as ingest
from geo_o2o.ingest.rows import DistrictRow
from geo_o2o.insights.proposing import Shape
from geo_o2o.insights.service import propose_districts
from geo_o2o.ops.invented import Invented, invent_visits

# A fixture for whoever asks for it by name.
from ..client.test_whole_way import running as running
from ..conftest import FIXTURES, own_port
from ..ops.test_service import get, wait_for

CITY = FIXTURES / "helsinki.osm.pbf"
FLAGS = [
    "--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--ignore-gpu-blocklist",
    # The page is painted by the processor: half the time where there is no graphics card.
    "--disable-gpu-compositing", "--disable-gpu-rasterization",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-default-apps", "--no-first-run", "--hide-scrollbars",
    "--font-render-hinting=none", "--force-color-profile=srgb",
    # No name is found but those of this machine: nothing can leave.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
]  # fmt: skip
NO_WEBGL = """
const get = HTMLCanvasElement.prototype.getContext;
HTMLCanvasElement.prototype.getContext = function (kind, ...rest) { return kind.startsWith('webgl') ? null : get.call(this, kind, ...rest); };
"""
IDLE = "() => document.querySelector('#map')?.dataset.state === 'idle'"


def pictures() -> Path:
    """Where pictures of a run are kept for whoever wants to look."""
    folder = Path(tempfile.gettempdir()) / "geo-o2o-pictures"
    folder.mkdir(exist_ok=True)
    return folder


@dataclass(frozen=True)
class Site:
    """A running service with central Helsinki, its districts and eight weeks of released visits, and its worker.

    planner, app, store, admin: keys. cafe: a store of the store's key, as the API shows it, with an offer. database_url: to look behind it.
    """

    base: str
    planner: str
    app: str
    store: str
    admin: str
    cafe: dict[str, Any]
    database_url: str
    environment: dict[str, str]


@pytest.fixture(scope="session")
def site(fresh_database: Callable[..., Any]) -> Iterator[Site]:
    folder = Path(tempfile.mkdtemp(prefix="geo-o2o-web-"))
    settings = replace(fresh_database(), data_dir=folder)
    database, now = Database(settings, statement_timeout_ms=0), datetime.now(UTC)
    with database.write() as session:
        ingest.load_stores(session, source="osm", rows=osm.stores(CITY), now=now, horizon_d=35)
        ingest.load_basemap(session, source="osm", rows=osm.basemap(CITY), now=now)
        ingest.load_samples(session, source="osm", seed=1, now=now)
        ingest.write_attribution(session, source="osm", attribution=osm.ATTRIBUTION, licence=osm.LICENCE, now=now)
        found = propose_districts(session, Bounds(24.93, 60.16, 24.96, 60.18), Shape(bandwidth_m=60, least_per_km2=250, valley=0.2))
        rows = [DistrictRow(source_id=f"{min(one.cells):x}", name=one.name.partition(" · ")[0], area=one.area, names={}) for one in found]
        ingest.load_districts(session, source="proposed", layer="proposed", rows=rows, attribution="", now=now)
        keys = {role: auth.create_key(session, role=role, name="", merchant=None, now=now)[1] for role in ("planner", "app", "web", "admin")}
        merchant = auth.add_merchant(session, name="Kahvila Oy", now=now)
        keys["store"] = auth.create_key(session, role="store", name="", merchant=merchant, now=now)[1]
        owner = str(merchant.id)
    list(invent_visits(settings, Invented(seed=1, people=6_000, weeks=8), now=now))
    database.close()
    port = own_port(8_800)
    plain = {name: value for name, value in os.environ.items() if not name.startswith("GEO_O2O_")}
    environment = {
        **plain, "GEO_O2O_DATABASE_URL": settings.database_url, "GEO_O2O_PORT": str(port), "GEO_O2O_DATA_DIR": str(folder), "GEO_O2O_WORKERS": "1",
        "GEO_O2O_PUBLIC_URL": f"http://127.0.0.1:{port}", "GEO_O2O_WEB_KEY": keys["web"], "GEO_O2O_HOME": "60.1690,24.9414", "GEO_O2O_WORKER_INTERVAL_S": "1", "GEO_O2O_KEY_CACHE_S": "1",
    }  # fmt: skip
    base = f"http://127.0.0.1:{port}"
    processes = [start(name, environment) for name in ("serve", "worker")]
    try:
        assert wait_for(lambda: get(f"{base}/health/ready")[0] == 200, 60)
        cafe = give_store(base, keys["admin"], owner)
        yield Site(base, keys["planner"], keys["app"], keys["store"], keys["admin"], cafe, settings.database_url, environment)
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait(30)
        shutil.rmtree(folder, ignore_errors=True)


def start(name: str, environment: dict[str, str]) -> subprocess.Popen[bytes]:
    """A process in a group of its own, so that a crash can take its children too."""
    quiet: Any = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    return subprocess.Popen([sys.executable, "-m", "geo_o2o", name], env=environment, start_new_session=True, **quiet)


def give_store(base: str, key: str, merchant_id: str) -> dict[str, Any]:
    """The store of the best offer belongs to a merchant from now on."""
    [offer] = api("GET", f"{base}/v1/offers/nearby?lat=60.169&lng=24.9414&limit=1", key)["items"]
    address = f"{base}/v1/stores/{offer['store']['id']}"
    version = api("GET", address, key)["version"]
    return {**api("PATCH", address, key, {"merchant_id": merchant_id}, version=version), "offer": offer}


def api(method: str, address: str, key: str, body: Any = None, *, version: int = 0) -> Any:
    """The JSON of an answer of the public API."""
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json", "If-Match": f'"v{version}"'}
    request = urllib.request.Request(address, data=None if body is None else json.dumps(body).encode(), headers=headers, method=method)
    with urllib.request.urlopen(request, timeout=20) as response:
        return json.load(response)


@pytest.fixture
def site_database(site: Site) -> Iterator[Database]:
    """The database behind the site, to look at or to write to."""
    found = Database(Settings(database_url=site.database_url))
    yield found
    found.close()


@pytest.fixture(scope="session")
def launch() -> Iterator[Callable[..., Browser]]:
    """Starts a browser. camera: a file of pictures (Motion JPEG) that its camera sees, read when the camera is switched on."""
    with sync_playwright() as playwright:
        yield lambda camera=None: playwright.chromium.launch(executable_path=chromium(), args=[*FLAGS, *(camera_of(camera) if camera else [])])


def chromium() -> str:
    """The browser; where there is one without the windows that nobody sees, that: half the work for each page."""
    found = shutil.which("chromium-headless-shell") or shutil.which("chromium") or shutil.which("google-chrome")
    assert found, "script/test installs it"
    return found


def camera_of(pictures_file: Path) -> list[str]:
    return ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream", f"--use-file-for-fake-video-capture={pictures_file}"]


@pytest.fixture(scope="session")
def browser(launch: Callable[..., Browser]) -> Iterator[Browser]:
    made = launch()
    yield made
    made.close()


@dataclass
class Watch:
    """What went wrong on pages, and what they asked of others."""

    base: str
    contexts: list[BrowserContext] = field(default_factory=list)
    trouble: list[str] = field(default_factory=list)
    outside: list[str] = field(default_factory=list)

    def open(
        self,
        browser: Browser,
        path: str,
        *,
        width: int = 1_100,
        height: int = 680,
        scheme: str = "light",
        quiet: bool = True,
        webgl: bool = True,
        **more: Any,
    ) -> Page:
        """A page in a context of its own, without a service worker unless one is asked for (`service_workers="allow"`).

        quiet: False where the browser will log failures that the test provokes. webgl: False for no map.
        """
        context = browser.new_context(
            viewport={"width": width, "height": height},
            color_scheme=scheme,
            reduced_motion="reduce",
            **{"locale": "en-GB", "service_workers": "block", **more},
        )
        self.contexts.append(context)
        if not webgl:
            context.add_init_script(NO_WEBGL)
        page = context.new_page()
        if quiet:
            page.on("console", lambda message: self.trouble.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: self.trouble.append(str(error)))
        page.on("request", lambda request: None if request.url.startswith((self.base, "data:", "blob:")) else self.outside.append(request.url))
        page.goto(self.base + path, wait_until="domcontentloaded")
        return page

    def close(self) -> None:
        """Fails where anything was wrong."""
        errors = [error for context in self.contexts for page in context.pages for error in page.evaluate("window.mapErrors ?? []")]
        for context in self.contexts:
            context.close()
        assert (self.trouble, self.outside, errors) == ([], [], [])


@pytest.fixture
def open_page(browser: Browser, site: Site) -> Iterator[Callable[..., Page]]:
    """Opens a page in the browser that all tests share, or in one of the test's own (`of`)."""
    watch = Watch(site.base)
    yield lambda path, *, of=browser, **more: watch.open(of, path, **more)
    watch.close()


@pytest.fixture
def open_planner(open_page: Callable[..., Page], site: Site) -> Callable[..., Page]:
    def go(**more: Any) -> Page:
        page = open_page(f"/planner#key={site.planner}", **more)
        page.wait_for_function(IDLE, timeout=45_000)
        page.wait_for_function(
            "() => document.querySelectorAll('.d .v').length > 0 && [...document.querySelectorAll('.d .v')].every(v => v.textContent)"
        )
        settle(page)
        return page

    return go


@pytest.fixture
def open_visitor(open_page: Callable[..., Page]) -> Callable[..., Page]:
    def go(path: str = "/", **more: Any) -> Page:
        page = open_page(path, **more)
        page.wait_for_function(IDLE, timeout=45_000)
        settle(page)
        return page

    return go


def violations(page: Page) -> list[Any]:
    """What stands in the way of who uses a keyboard, a screen reader or large letters: serious and critical, of WCAG 2.2 A and AA."""
    found = Axe().run(page, options={"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]})
    serious = [one for one in found.response["violations"] if one["impact"] in ("serious", "critical")]
    return [(one["id"], [node["html"] for node in one["nodes"]]) for one in serious]


def weigh(page: Page, name: str, *, without: str = "", **more: Any) -> int:
    """Bytes of the page and of all that it loaded, as packed; kept beside the pictures. without: addresses that do not count."""
    found = page.evaluate(
        "performance.getEntriesByType('navigation').concat(performance.getEntriesByType('resource')).map(one => [one.name, one.encodedBodySize])"
    )
    parts = {name: size for name, size in found if not without or without not in name}
    assert len(parts) > 8, parts
    figures = {"bytes": sum(parts.values()), **more, "parts": parts}
    (pictures() / f"{name}-figures.json").write_text(json.dumps(figures, indent=1))
    return sum(parts.values())


def settle(page: Page) -> None:
    page.wait_for_timeout(80)
    page.wait_for_function(IDLE, timeout=30_000)
