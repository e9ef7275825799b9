"""A check-in with the phone, on the visitor's page."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from geo_o2o.client import Till, TillKey

from ..conftest import own_port
from ..ops.test_service import get, wait_for
from .conftest import Site, api, start, violations

Open = Callable[..., Page]


def open_place(open_page: Open, site: Site, **more: Any) -> Page:
    at = {"latitude": site.cafe["lat"], "longitude": site.cafe["lng"], "accuracy": 15}
    page = open_page(f"/stores/{site.cafe['id']}", **{"permissions": ["geolocation"], "geolocation": at, "webgl": False, **more})
    page.locator("#checkin").click()
    return page


def test_a_check_in_says_its_level_and_what_is_missing(open_page: Open, site: Site) -> None:
    page = open_place(open_page, site)
    page.locator("#plain").click()
    expect(page.locator("#level")).to_have_text("Level 1: located", timeout=20_000)
    expect(page.locator(".ladder .reached")).to_have_count(2)
    expect(page.locator("#visit")).to_contain_text("let staff scan this code")
    expect(page.locator("#visit .qr")).to_be_visible()
    page.locator("#keep").click()
    expect(page.locator("#receipt")).to_have_attribute("data-state", "kept", timeout=60_000)
    assert violations(page) == []


def test_who_is_elsewhere_is_told_so(open_page: Open, site: Site) -> None:
    page = open_place(open_page, site, geolocation={"latitude": site.cafe["lat"] + 0.01, "longitude": site.cafe["lng"], "accuracy": 15})
    page.locator("#plain").click()
    expect(page.locator("#level")).to_have_text("Level 0: claimed", timeout=20_000)
    expect(page.locator("#visit")).to_contain_text("probably not in the store")


def at(latitude: float, longitude: float, accuracy: float = 20) -> dict[str, float]:
    return {"latitude": latitude, "longitude": longitude, "accuracy": accuracy}


def fake_fixes(page: Page, fixes: list[dict[str, float]]) -> None:
    page.evaluate(
        "fixes => { navigator.geolocation.watchPosition = done => { setTimeout(() => { for (const coords of fixes) done({ coords, timestamp: Date.now() }); }); return 0; }; }",
        fixes,
    )


@pytest.mark.parametrize(
    "fixes", [[at(60.169, 24.94), at(60.2, 24.99), at(60.15, 24.9)], [at(60.169, 24.94, 50_000)]], ids=["jumping", "wildly inaccurate"]
)
def test_a_phone_that_does_not_know_where_it_is_is_told_so(open_page: Open, site: Site, fixes: list[dict[str, float]]) -> None:
    page = open_place(open_page, site, quiet=False)
    fake_fixes(page, fixes)
    page.locator("#plain").click()
    expect(page.locator("#visit [role=alert]")).to_contain_text("does not know where it is", timeout=20_000)


def test_a_phone_whose_clock_is_wrong_is_told_so(open_page: Open, site: Site) -> None:
    page = open_place(open_page, site, quiet=False)
    page.evaluate("() => { const real = Date.now; Date.now = () => real() + 3_600_000; }")
    fake_fixes(page, [at(site.cafe["lat"], site.cafe["lng"])])
    page.locator("#plain").click()
    expect(page.locator("#visit [role=alert]")).to_contain_text("The clock of this phone is wrong", timeout=20_000)


def test_a_position_that_is_refused_ends_no_page(open_page: Open, site: Site) -> None:
    page = open_place(open_page, site)
    page.evaluate("() => { navigator.geolocation.watchPosition = (done, failed) => { setTimeout(() => failed({ code: 1 })); return 0; }; }")
    page.locator("#plain").click()
    expect(page.locator("#visit [role=alert]")).to_contain_text("Without a position there is no check-in")


def test_a_wrong_code_is_told_so(open_page: Open, site: Site) -> None:
    page = open_place(open_page, site, quiet=False)
    for code in ("000000", "XC1:<script>"):
        page.locator("#visit summary").click()
        page.locator("#code").fill(code)
        page.locator("#send-code").click()
        expect(page.locator("#visit .step")).to_be_visible()
        expect(page.locator("#visit [role=alert]")).to_contain_text("no code of this store", timeout=20_000)


def test_a_camera_that_cannot_be_used_leaves_typing(open_page: Open, site: Site) -> None:
    page = open_place(open_page, site)
    page.evaluate("() => { navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException('', 'NotAllowedError')); }")
    page.locator("#scan").click()
    expect(page.locator("#visit [role=alert]")).to_contain_text("The camera cannot be used")
    expect(page.locator("#code")).to_be_visible()


def test_a_service_that_is_started_again_during_a_check_in_counts_it_once(browser: Browser, site: Site) -> None:
    """Another server on the same database is killed while the claim is on its way, and comes back."""
    port = own_port(8_900)
    base = f"http://127.0.0.1:{port}"
    environment = {**site.environment, "GEO_O2O_PORT": str(port), "GEO_O2O_PUBLIC_URL": base}
    servers = [start("serve", environment)]
    assert wait_for(lambda: get(f"{base}/health/ready")[0] == 200, 60)
    at = {"latitude": site.cafe["lat"], "longitude": site.cafe["lng"], "accuracy": 15}
    context = browser.new_context(permissions=["geolocation"], geolocation=at, service_workers="block")  # type: ignore[arg-type]
    page = context.new_page()
    sent: list[str] = []

    def cut(route: Route) -> None:
        """The first claim arrives, and its answer does not."""
        sent.append(route.request.headers["idempotency-key"])
        if len(sent) > 1:
            return route.continue_()
        route.fetch()
        os.killpg(servers[0].pid, signal.SIGKILL)
        servers[0].wait()
        servers.append(start("serve", environment))
        return route.abort()

    try:
        page.route("**/v1/check-ins", cut)
        page.goto(f"{base}/stores/{site.cafe['id']}")
        page.locator("#checkin").click()
        page.locator("#plain").click()
        expect(page.locator("#level")).to_contain_text("Level 1", timeout=45_000)
        assert len(sent) > 1
        assert len(set(sent)) == 1
    finally:
        context.close()
        for server in servers[1:]:
            server.terminate()
            server.wait(20)


def kept_visits(page: Page) -> list[dict[str, Any]]:
    return page.evaluate(
        "() => import('/static/kept.js').then(({ all }) => all('visits')).then(found => found.map(({ file, ...one }) => ({ ...one, bytes: file?.size ?? 0 })))"
    )


def test_a_page_that_is_closed_before_the_answer_sends_again_and_counts_once(open_page: Open, site: Site) -> None:
    page = open_place(open_page, site, service_workers="block", quiet=False)
    sent: list[str] = []

    def swallow(route: Route) -> None:
        """The service takes it, and nobody hears so."""
        sent.append(route.fetch().json()["id"])

    page.context.route("**/v1/check-ins", swallow)
    page.locator("#plain").click()
    page.wait_for_function(
        "() => import('/static/kept.js').then(({ all }) => all('visits')).then(found => found.length === 1 && Boolean(found[0].sent))"
    )
    assert wait_for(lambda: bool(page.evaluate("1")) and len(sent) == 1, 10)
    again = page.context.new_page()
    page.close()
    again.context.unroute("**/v1/check-ins")
    again.goto(f"{site.base}/")
    again.locator("#kept").click()
    expect(again.locator("#visits li")).to_contain_text("Level 1: located", timeout=20_000)
    assert [one["id"] for one in kept_visits(again)] == sent


def test_a_receipt_that_is_replaced_while_it_is_fetched_is_fetched_anew(open_page: Open, site: Site) -> None:
    """Staff confirm at the very moment in which the receipt of the lower level arrives."""
    page = open_place(open_page, site, service_workers="block")
    till = Till(site.base, site.store, site.cafe["id"], TillKey.make())
    till.enrol()
    scans: list[str] = []
    fetched: list[str] = []

    def hear(route: Route) -> None:
        answer = route.fetch()
        scans.append(answer.json()["scan"])
        route.fulfill(response=answer)

    def confirm_meanwhile(route: Route) -> None:
        answer = route.fetch()
        if answer.status == 200 and not fetched:
            till.confirm(scans[0])
        if answer.status == 200:
            fetched.append(route.request.url.split("/")[-2])
        route.fulfill(response=answer)

    page.route("**/v1/check-ins", hear)
    page.route("**/v1/receipts/*/visit", confirm_meanwhile)
    page.locator("#plain").click()
    page.locator("#keep").click()
    expect(page.locator("#level")).to_have_text("Level 3: confirmed", timeout=20_000)
    expect(page.locator("#receipt")).to_have_attribute("data-state", "kept", timeout=60_000)
    [kept] = kept_visits(page)
    now = api("GET", f"{site.base}/v1/check-ins/{kept['id']}", site.store)
    assert len(set(fetched)) == 2
    assert (kept["receipt"], kept["level"], kept["bytes"] > 0) == (now["receipt_id"], 3, True)
