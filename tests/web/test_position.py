"""Where the reader of the visitor's page is: asked once, refused, unsure, walking, jumping."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from playwright.sync_api import Page, expect

Open = Callable[..., Page]
HERE = {"latitude": 60.1690, "longitude": 24.9414, "accuracy": 20}


def located(**more: Any) -> dict[str, Any]:
    return {"permissions": ["geolocation"], "geolocation": {**HERE, **more}}


def test_permission_is_asked_once_with_the_reason(open_page: Open) -> None:
    page = open_page("/", permissions=[], webgl=False)
    # A browser without a window asks nobody, so it is told what one with a window would say.
    page.add_init_script("navigator.permissions.query = async () => ({ state: 'prompt' })")
    page.reload()
    expect(page.locator("#why")).to_contain_text("May this page ask where you are?")
    page.get_by_role("button", name="No, I will type a place").click()
    page.reload()
    expect(page.locator("#here")).to_be_visible()
    expect(page.locator("#why")).to_be_hidden()


def test_a_refused_position_leaves_the_list_and_says_what_to_do(open_page: Open) -> None:
    page = open_page("/", permissions=[], webgl=False)
    page.locator("#here").wait_for()
    page.evaluate("() => { navigator.geolocation.getCurrentPosition = (done, failed) => failed({ code: 1 }); }")
    page.locator("#here").click()
    expect(page.locator("#notice")).to_contain_text("may not know where you are")
    expect(page.locator(".o")).to_have_count(20)
    page.evaluate("() => { navigator.geolocation.getCurrentPosition = (done, failed) => failed({ code: 3 }); }")
    page.locator("#here").click()
    expect(page.locator("#notice")).to_contain_text("could not be found")


def test_a_position_that_is_far_from_sure_says_so(open_page: Open) -> None:
    page = open_page("/", webgl=False, **located(accuracy=5_000))
    page.locator("#here").click()
    expect(page.locator("#notice")).to_contain_text("known to 5 km only")


def test_who_walks_on_is_offered_a_new_list_and_who_jumps_is_not(open_page: Open) -> None:
    page = open_page("/verify", webgl=False)
    page.add_init_script(
        "let told; navigator.geolocation.watchPosition = done => { told = done; return 0; };"
        "navigator.geolocation.getCurrentPosition = done => done({ coords: { latitude: 60.169, longitude: 24.9414, accuracy: 20 }, timestamp: 0 });"
        "window.walk = (latitude, timestamp, accuracy = 20) => told({ coords: { latitude, longitude: 24.9414, accuracy }, timestamp });"
    )
    page.goto(page.url.replace("/verify", "/"))
    page.locator("#here").click()
    page.wait_for_function("() => document.querySelector('.found').dataset.home === '0'")
    page.wait_for_function("() => { try { walk(60.169, 1_000); return true; } catch { return false; } }")
    look = page.locator("#look")
    # Fifty kilometres within a second, and back again.
    page.evaluate("() => { walk(60.6, 2_000); walk(60.169, 3_000); }")
    expect(look).to_be_hidden()
    # Far, but nobody knows where.
    page.evaluate("() => walk(60.172, 60_000, 4_000)")
    expect(look).to_be_hidden()
    page.evaluate("() => walk(60.1715, 120_000)")
    expect(look).to_be_visible()
    look.click()
    page.wait_for_url("**lat=60.17150**")
    expect(look).to_be_hidden()
