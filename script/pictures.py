"""Takes the pictures of the pages that docs/pictures shows, from a running demonstration: `.venv/bin/python -m script.pictures`.

Keys are read from `var/keys.json` (or the file that is named), the service is asked at 127.0.0.1:8000 (or the address that is named).
"""

from __future__ import annotations

import argparse
import json
import tempfile
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

from playwright.sync_api import Browser, Page, sync_playwright

from geo_o2o.client import Device, Position, Till, TillKey, Visitor
from tests.web.conftest import FLAGS, IDLE, chromium

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "docs" / "pictures"
WIDE, PHONE = (1360, 850), (390, 844)


def nothing(page: Page) -> None:
    """The page as it opens."""


def one_district(page: Page) -> None:
    page.locator(".d").first.click()


def two_districts(page: Page) -> None:
    page.locator(".d").nth(0).click()
    page.locator(".d").nth(1).click(modifiers=["Shift"])


# Name, size, theme, and what is done before.
PLANNER: tuple[tuple[str, tuple[int, int], str, Callable[[Page], None]], ...] = (
    ("planner-light", WIDE, "light", nothing),
    ("planner-dark", WIDE, "dark", one_district),
    ("planner-compare", WIDE, "light", two_districts),
    ("planner-phone-light", PHONE, "light", nothing),
    ("planner-phone-dark", PHONE, "dark", nothing),
)


def take(page: Page, name: str, *, whole: bool = False) -> None:
    path = FOLDER / f"{name}.png"
    page.screenshot(path=path, full_page=whole)
    print(f"{path.relative_to(ROOT)}: {path.stat().st_size // 1024} kB")


def planner(browser: Browser, base: str, key: str) -> None:
    for name, (width, height), theme, act in PLANNER:
        viewport = {"width": width, "height": height}
        context = browser.new_context(viewport=viewport, color_scheme=theme, reduced_motion="reduce")  # type: ignore[arg-type]
        page = context.new_page()
        page.goto(f"{base}/planner#key={key}")
        page.wait_for_function(IDLE)
        act(page)
        # What an action asks for has been answered and drawn.
        page.wait_for_load_state("networkidle")
        page.wait_for_function(IDLE)
        take(page, name)
        context.close()


def first_place(page: Page) -> None:
    page.locator(".o").first.click()
    page.locator("#place h2").wait_for()


def check_in(page: Page) -> None:
    first_place(page)
    page.locator("#checkin").click()
    page.locator("#plain").click()
    page.locator("#level").wait_for()
    page.locator("#visit").evaluate("one => one.scrollIntoView()")


VISITOR: tuple[tuple[str, tuple[int, int], str, Callable[[Page], None]], ...] = (
    ("visitor-light", WIDE, "light", nothing),
    ("visitor-dark", WIDE, "dark", first_place),
    ("visitor-phone-light", PHONE, "light", nothing),
    ("visitor-phone-dark", PHONE, "dark", first_place),
    ("visitor-phone-check-in", PHONE, "light", check_in),
)
COUNTER = (
    ("counter-light", (1180, 820), "light"),
    ("counter-dark", (1180, 820), "dark"),
    ("counter-phone-light", PHONE, "light"),
    ("counter-phone-dark", PHONE, "dark"),
)


VERIFY = (
    ("verify-light", (900, 850), "light"),
    ("verify-dark", (900, 850), "dark"),
    ("verify-phone-light", PHONE, "light"),
    ("verify-phone-dark", PHONE, "dark"),
)


def visitor(browser: Browser, base: str, place: dict[str, float]) -> None:
    for name, (width, height), theme, act in VISITOR:
        context = browser.new_context(
            viewport={"width": width, "height": height}, color_scheme=theme, reduced_motion="reduce", locale="en-GB",  # type: ignore[arg-type]
            permissions=["geolocation"], geolocation={"latitude": place["lat"], "longitude": place["lng"], "accuracy": 12},
        )  # fmt: skip
        page = context.new_page()
        page.goto(base)
        page.wait_for_function(IDLE)
        page.locator("#here").click()
        page.wait_for_load_state("networkidle")
        act(page)
        page.wait_for_function(IDLE)
        take(page, name)
        context.close()


def counter(browser: Browser, base: str, keys: dict[str, str]) -> None:
    """A till of the demonstration's merchant, and somebody who waits."""
    for name, (width, height), theme in COUNTER:
        context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=theme, locale="en-GB")  # type: ignore[arg-type]
        page = context.new_page()
        page.goto(f"{base}/counter#key={keys['store']}")
        page.locator("#enrol").get_by_role("button").click()
        page.locator("#code svg").wait_for()
        store = page.evaluate("import('/static/counter/till.js').then(one => one.till.store.id)")
        at = api(f"{base}/v1/stores/{store}", keys["app"])
        someone = Visitor(base, key=keys["web"], device=Device.make())
        someone.enrol()
        code = page.locator("#code").get_attribute("data-code")
        waiting = someone.check_in(store, [Position(at["lat"], at["lng"], accuracy_m=12)], code=code)
        page.locator(f"#waiting li[data-id='{waiting['id']}']").wait_for()
        take(page, name, whole=width == PHONE[0])
        context.close()


def api(address: str, key: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(urllib.request.urlopen(urllib.request.Request(address, headers={"Authorization": f"Bearer {key}"})).read())
    return found


def confirmed_visit(base: str, keys: dict[str, str], folder: Path) -> Path:
    """A receipt of a visit that a till has confirmed, at the first store there is."""
    store = api(f"{base}/v1/stores?limit=1", keys["app"])["items"][0]
    till = Till(base, keys["admin"], store["id"], TillKey.make())
    till.enrol()
    visitor = Visitor(base, key=keys["app"], device=Device.kept(folder / "device.pem"), account=f"somebody {uuid4()}")
    visitor.enrol()
    visit = visitor.check_in(store["id"], [Position(store["lat"], store["lng"], accuracy_m=12)], code=till.code())
    till.confirm(visit["scan"])
    visitor.keep(visitor.receipt(visit), folder / "coffee.visit")
    return folder / "coffee.visit"


def verify(browser: Browser, base: str, keys: dict[str, str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        kept = confirmed_visit(base, keys, Path(folder))
        for name, (width, height), theme in VERIFY:
            context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=theme, locale="en-GB")  # type: ignore[arg-type]
            page = context.new_page()
            page.goto(f"{base}/verify")
            page.locator("#file").set_input_files(kept)
            page.locator(".good").wait_for()
            take(page, name, whole=True)
            context.close()


def other_weights(page: Page) -> None:
    """The rating counts for more than the way."""
    page.locator("#w-distance_weight").fill("300")
    page.locator("#w-rating_weight").fill("700")
    page.locator(".place[open] .up, .place[open] .down").first.wait_for()


ADMIN: tuple[tuple[str, tuple[int, int], str, str, Callable[[Page], None]], ...] = (
    ("admin-health-light", WIDE, "light", "health", nothing),
    ("admin-ranking-dark", WIDE, "dark", "ranking", other_weights),
    ("admin-imports-phone-light", PHONE, "light", "imports", nothing),
    ("admin-keys-phone-dark", PHONE, "dark", "keys", nothing),
)


def admin(browser: Browser, base: str, key: str) -> None:
    for name, (width, height), theme, section, act in ADMIN:
        context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=theme, locale="en-GB")  # type: ignore[arg-type]
        page = context.new_page()
        page.goto(f"{base}/admin#key={key}")
        page.locator("#facts dd").first.wait_for()
        page.locator(f"#rooms a[href='#{section}']").click()
        page.wait_for_load_state("networkidle")
        act(page)
        take(page, name)
        context.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--keys", type=Path, default=ROOT / "var" / "keys.json")
    parser.add_argument("--base", default="http://127.0.0.1:8000")
    asked = parser.parse_args()
    keys = json.loads(asked.keys.read_text())
    FOLDER.mkdir(exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=[flag for flag in FLAGS if "gpu-compositing" not in flag])
        visitor(browser, asked.base, api(f"{asked.base}/v1/stores?limit=1", keys["store"])["items"][0])
        counter(browser, asked.base, keys)
        planner(browser, asked.base, keys["planner"])
        verify(browser, asked.base, keys)
        admin(browser, asked.base, keys["admin"])
        browser.close()


if __name__ == "__main__":
    main()
