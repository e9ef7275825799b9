"""Takes the pictures of the pages that docs/pictures shows, from a running demonstration: `.venv/bin/python -m script.pictures`.

Keys are read from `var/keys.json` (or the file that is named), the service is asked at 127.0.0.1:8000 (or the address that is named).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from tests.web.conftest import FLAGS, IDLE

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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--keys", type=Path, default=ROOT / "var" / "keys.json")
    parser.add_argument("--base", default="http://127.0.0.1:8000")
    asked = parser.parse_args()
    keys = json.loads(asked.keys.read_text())
    FOLDER.mkdir(exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=FLAGS)
        for name, (width, height), theme, act in PLANNER:
            viewport = {"width": width, "height": height}
            context = browser.new_context(viewport=viewport, color_scheme=theme, reduced_motion="reduce")  # type: ignore[arg-type]
            page = context.new_page()
            page.goto(f"{asked.base}/planner#key={keys['planner']}")
            page.wait_for_function(IDLE)
            act(page)
            # What an action asks for has been answered and drawn.
            page.wait_for_load_state("networkidle")
            page.wait_for_function(IDLE)
            path = FOLDER / f"{name}.png"
            page.screenshot(path=path)
            print(f"{path.relative_to(ROOT)}: {path.stat().st_size // 1024} kB")
            context.close()
        browser.close()


if __name__ == "__main__":
    main()
