"""Files of the pages: types, packing, tags, policy, and what others wrote."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from geo_o2o.web.views import POLICY

ROOT = Path(__file__).parents[2]
MAP = "/static/vendor/maplibre-gl@6.17.0/maplibre-gl.mjs"


@pytest.mark.parametrize(
    ("name", "kind"),
    [("planner.js", "text/javascript"), ("base.css", "text/css"), ("icon.svg", "image/svg+xml"), ("vendor/inter@5.3.0/inter-latin-wght-normal.woff2", "font/woff2"),
     ("vendor/maplibre-gl@6.17.0/maplibre-gl.mjs", "text/javascript"), ("vendor/maplibre-gl@6.17.0/maplibre-gl-worker.mjs", "text/javascript")],
)  # fmt: skip
def test_files_have_the_type_that_a_browser_asks_for(client: FlaskClient, name: str, kind: str) -> None:
    response = client.get(f"/static/{name}")
    assert response.status_code == 200
    assert response.mimetype == kind
    assert response.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("encoding", ["br", "gzip", ""])
def test_files_are_packed_and_known_again(client: FlaskClient, encoding: str) -> None:
    response = client.get(MAP, headers={"Accept-Encoding": encoding})
    assert response.headers.get("Content-Encoding", "") == encoding
    assert (len(response.data) < 400_000) == bool(encoding)
    assert "immutable" in response.headers["Cache-Control"]
    assert client.get(MAP, headers={"Accept-Encoding": encoding, "If-None-Match": response.headers["ETag"]}).status_code == 304
    assert client.get("/static/planner.js").headers["Cache-Control"] == "no-cache"


@pytest.mark.parametrize(
    "name", ["../views.py", "..%2fviews.py", "vendor", "", "nothing.js", "%00", "vendor/../../views.py", "a" * 300, "a/" * 2_000]
)
def test_there_is_nothing_else(client: FlaskClient, name: str) -> None:
    assert client.get(f"/static/{name}").status_code in (404, 400)


@pytest.mark.parametrize("path", ["/planner", "/admin", "/verify", "/verify?lang=zh-Hant", "/planner?lang=%3Cscript%3E"])
def test_the_page_takes_nothing_from_elsewhere_and_runs_nothing_inline(client: FlaskClient, path: str) -> None:
    response = client.get(path)
    assert response.headers["Content-Security-Policy"] == POLICY
    assert "unsafe" not in POLICY
    assert "http" not in POLICY
    page = response.text
    assert " style=" not in page
    assert " onclick=" not in page
    # One script, and its words, which are data.
    assert page.count("<script") == page.count('<script type="module" src="/static/') + page.count('<script type="application/json" id="words">') == 2
    assert response.headers["Vary"] == "Accept-Language"


def test_the_pages_can_be_installed(client: FlaskClient) -> None:
    for page, name in (("/", "app"), ("/counter", "counter")):
        assert f'<link rel="manifest" href="/static/{name}.webmanifest">' in client.get(page).text
        response = client.get(f"/static/{name}.webmanifest")
        assert response.mimetype == "application/manifest+json"
        manifest = response.get_json(force=True)
        assert manifest["start_url"] == page
        assert manifest["display"] in ("standalone", "fullscreen")
        for one in manifest["icons"]:
            assert client.get(one["src"]).mimetype == one["type"]
    # Without it a service worker would be in charge of /static/ alone.
    assert client.get("/static/offline.js").headers["Service-Worker-Allowed"] == "/"
    assert "Service-Worker-Allowed" not in client.get("/static/dom.js").headers


def test_what_others_wrote_is_what_was_recorded() -> None:
    done = subprocess.run([sys.executable, ROOT / "script" / "vendor", "--check"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
