"""A real browser on a real service: Debian's Chromium, driven by playwright. Whatever a page logs as an error, and whatever it asks of
another origin, fails the test that opened it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from geo_o2o.auth import service as auth
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
    # No name is found but our own address: nothing can leave.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
]  # fmt: skip
IDLE = "() => document.querySelector('#map')?.dataset.state === 'idle'"


def pictures() -> Path:
    """Where pictures of a run are kept for whoever wants to look."""
    folder = Path(tempfile.gettempdir()) / "geo-o2o-pictures"
    folder.mkdir(exist_ok=True)
    return folder


@dataclass(frozen=True)
class Site:
    """A running service with central Helsinki, its districts and eight weeks of released visits."""

    base: str
    planner: str
    app: str


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
        keys = {role: auth.create_key(session, role=role, name="", merchant=None, now=now)[1] for role in ("planner", "app")}
    list(invent_visits(settings, Invented(seed=1, people=6_000, weeks=8), now=now))
    database.close()
    port = own_port(8_800)
    plain = {name: value for name, value in os.environ.items() if not name.startswith("GEO_O2O_")}
    environment = {
        **plain, "GEO_O2O_DATABASE_URL": settings.database_url, "GEO_O2O_PORT": str(port), "GEO_O2O_DATA_DIR": str(folder), "GEO_O2O_WORKERS": "1",
    }  # fmt: skip
    with subprocess.Popen(
        [sys.executable, "-m", "geo_o2o", "serve"], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as server:
        try:
            assert wait_for(lambda: get(f"http://127.0.0.1:{port}/health/ready")[0] == 200, 60)
            yield Site(f"http://127.0.0.1:{port}", keys["planner"], keys["app"])
        finally:
            server.terminate()
            server.wait(20)
            shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    found = shutil.which("chromium") or shutil.which("google-chrome")
    assert found, "script/test installs chromium"
    with sync_playwright() as playwright:
        made = playwright.chromium.launch(executable_path=found, args=FLAGS)
        yield made
        made.close()


@pytest.fixture
def open_page(browser: Browser, site: Site) -> Iterator[Callable[..., Page]]:
    """Opens a page and waits until its map stands still."""
    contexts, trouble, outside = [], [], []

    def go(path: str, *, width: int = 1_200, height: int = 800, scheme: str = "light", quiet: bool = True, **more: Any) -> Page:
        context = browser.new_context(
            viewport={"width": width, "height": height}, color_scheme=scheme, reduced_motion="reduce", **{"locale": "en-GB", **more}
        )
        contexts.append(context)
        page = context.new_page()
        if quiet:
            page.on("console", lambda message: trouble.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: trouble.append(str(error)))
        page.on("request", lambda request: None if request.url.startswith((site.base, "data:", "blob:")) else outside.append(request.url))
        page.goto(site.base + path, wait_until="domcontentloaded")
        return page

    yield go
    errors = [error for context in contexts for page in context.pages for error in page.evaluate("window.plannerErrors ?? []")]
    for context in contexts:
        context.close()
    assert (trouble, outside, errors) == ([], [], [])


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


def settle(page: Page) -> None:
    page.wait_for_timeout(80)
    page.wait_for_function(IDLE, timeout=30_000)
