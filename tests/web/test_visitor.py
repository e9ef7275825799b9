"""The visitor's page, as a visitor uses it."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, Route, expect

from geo_o2o.web.words import words

from ..conftest import own_port
from ..ops.test_service import get, wait_for
from .conftest import IDLE, Site, pictures, settle, start

Open = Callable[..., Page]
HERE = {"latitude": 60.1690, "longitude": 24.9414, "accuracy": 20}


@pytest.fixture
def open_visitor(open_page: Open) -> Open:
    def go(path: str = "/", **more: Any) -> Page:
        page = open_page(path, **more)
        page.wait_for_function(IDLE, timeout=45_000)
        settle(page)
        return page

    return go


def located(**more: Any) -> dict[str, Any]:
    return {"permissions": ["geolocation"], "geolocation": {**HERE, **more}}


def pins(page: Page) -> list[dict[str, Any]]:
    """What the map draws, by rank."""
    found = page.evaluate("() => window.visitorMap.queryRenderedFeatures({ layers: ['pins'] }).map(f => f.properties)")
    return sorted(found, key=lambda one: one["rank"])


def picked(page: Page) -> list[str]:
    return page.evaluate("() => window.visitorMap.queryRenderedFeatures({ layers: ['picked'] }).map(f => f.properties.id)")


def violations(page: Page) -> list[Any]:
    found = Axe().run(page, options={"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]})
    serious = [one for one in found.response["violations"] if one["impact"] in ("serious", "critical")]
    return [(one["id"], [node["html"] for node in one["nodes"]]) for one in serious]


# --- list and map ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("scheme", "width", "height"), [("light", 1_360, 850), ("dark", 1_360, 850), ("light", 390, 844), ("dark", 390, 844)])
def test_pins_and_cards_are_the_same_places_and_move_together(open_visitor: Open, scheme: str, width: int, height: int) -> None:
    page = open_visitor(scheme=scheme, width=width, height=height)
    cards = page.locator(".o")
    expect(cards).to_have_count(20)
    drawn = pins(page)
    assert len(drawn) >= 8
    for one in drawn:
        card = page.locator(f".o[data-id='{one['id']}']")
        assert card.get_attribute("data-rank") == str(one["rank"])
    second = cards.nth(1)
    second.focus()
    expect(second).to_have_attribute("aria-current", "true")
    page.wait_for_function("() => window.visitorMap.queryRenderedFeatures({ layers: ['picked'] }).length === 1")
    assert picked(page) == [second.get_attribute("data-id")]
    x, y = page.evaluate(
        "rank => { const f = window.visitorMap.queryRenderedFeatures({ layers: ['pins'] }).find(f => f.properties.rank === rank);"
        " const p = window.visitorMap.project(f.geometry.coordinates); const box = document.querySelector('#map').getBoundingClientRect(); return [p.x + box.x, p.y + box.y]; }",
        drawn[-1]["rank"],
    )  # fmt: skip
    page.mouse.click(x, y)
    expect(page.locator(".o[aria-current]")).to_have_count(1)
    top = page.locator(".o[aria-current]").get_attribute("data-id")
    assert any(one["id"] == top for one in drawn)
    assert page.locator(".maplibregl-ctrl-attrib").inner_text().find("OpenStreetMap") >= 0
    assert violations(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.screenshot(path=str(pictures() / f"visitor-{scheme}-{width}.png"))


def test_the_list_stands_before_the_map_and_without_it(open_page: Open, browser: Browser, site: Site) -> None:
    """No scripts: the list, its filters and the places are plain pages."""
    page = open_page("/", java_script_enabled=False)
    expect(page.locator(".o")).to_have_count(20)
    page.locator("input[name=open_now]").check(force=True)
    page.locator("select[name=category]").select_option("food")
    page.locator("#show").click()
    assert "category=food" in page.url
    assert "open_now=true" in page.url
    page.goto(site.base + "/?kind=stores")
    page.locator(".o").first.click()
    expect(page.locator("#place h2")).to_be_visible()
    page.locator("#back").click()
    expect(page.locator(".o").first).to_be_visible()


def test_the_list_does_without_webgl(open_page: Open) -> None:
    page = open_page("/", webgl=False)
    expect(page.locator("body")).to_have_class("visitor no-map")
    page.locator(".o").first.click()
    expect(page.locator("#place h2")).to_be_visible()
    assert violations(page) == []


def test_the_page_is_light_and_its_list_is_first(open_visitor: Open) -> None:
    page = open_visitor(width=390, height=844, service_workers="block")
    page.wait_for_load_state("networkidle")
    weights = page.evaluate(
        "performance.getEntriesByType('navigation').concat(performance.getEntriesByType('resource')).map(one => [one.name, one.encodedBodySize])"
    )
    own = [(name, size) for name, size in weights if "/v1/tiles/" not in name]
    assert sum(size for _, size in own) < 650_000, own
    figures = page.evaluate(
        "() => ({ firstByte: performance.getEntriesByType('navigation')[0].responseStart, list: performance.getEntriesByName('first-contentful-paint')[0]?.startTime,"
        " shifted: performance.getEntriesByType('layout-shift').reduce((sum, one) => sum + one.value, 0) })"
    )
    # The list is painted before the map's library has even come.
    library = page.evaluate("performance.getEntriesByType('resource').find(one => one.name.endsWith('maplibre-gl.mjs')).responseEnd")
    assert figures["list"] < library
    figures |= {"bytes": sum(size for _, size in own), "library": library}
    (pictures() / "visitor-figures.json").write_text(json.dumps(figures, indent=1))


def test_filters_change_the_list_the_map_and_the_address(open_visitor: Open) -> None:
    page = open_visitor()
    page.locator("select[name=category]").select_option("shop")
    expect(page.locator("#list[aria-busy]")).to_have_count(0)
    page.wait_for_url("**category=shop**")
    kinds = {page.locator(".o .ic").nth(at).get_attribute("title") for at in range(5)}
    assert "Café" not in kinds
    page.locator("select[name=min_rating]").select_option("4.5")
    page.wait_for_url("**min_rating=4.5**")
    page.locator("select[name=walk_min]").select_option("5")
    page.wait_for_url("**walk_min=5**")
    settle(page)
    assert {one["id"] for one in pins(page)} <= {one.get_attribute("data-id") for one in page.locator(".o").all()}
    page.go_back()
    page.go_back()
    page.wait_for_url(lambda url: "min_rating" not in url)
    page.reload()
    expect(page.locator("select[name=category]")).to_have_value("shop")


@pytest.mark.parametrize(("typed", "text"), [("kahvi", "Kahvila"), ("咖啡", "咖啡"), ("caf", "Caf")])
def test_search_suggests_in_any_language_as_one_types(open_page: Open, typed: str, text: str) -> None:
    page = open_page("/", webgl=False)
    page.locator("#q[role=combobox]").wait_for()
    page.locator("#q").press_sequentially(typed)
    options = page.locator("#suggestions li")
    expect(options.first).to_be_visible()
    assert any(text.casefold() in one.casefold() for one in options.all_inner_texts()), options.all_inner_texts()
    expect(page.locator("#q")).to_have_attribute("aria-expanded", "true")
    page.keyboard.press("ArrowDown")
    expect(options.first).to_have_attribute("aria-selected", "true")
    page.keyboard.press("Enter")
    expect(page.locator("#suggestions")).to_be_hidden()
    expect(page.locator("#place h2").or_(page.locator(".o").first).first).to_be_visible()


def test_a_typed_place_is_where_the_list_is_made(open_visitor: Open) -> None:
    page = open_visitor()
    page.locator("#q").press_sequentially("Eteläespl")
    page.locator("#suggestions li", has_text="Eteläesplanadi").filter(has_text="go there").first.click()
    page.wait_for_url("**lat=**")
    assert page.locator(".found").get_attribute("data-home") == "0"
    expect(page.locator("#q")).to_have_value("")


def test_the_map_asks_for_another_list(open_visitor: Open) -> None:
    page = open_visitor()
    before = page.locator(".o").first.get_attribute("data-id")
    page.locator("#map canvas").focus()
    for _ in range(6):
        page.keyboard.press("ArrowDown")
    page.locator("#look").click()
    page.wait_for_url("**lat=**")
    expect(page.locator("#look")).to_be_hidden()
    page.wait_for_function("before => document.querySelector('.o')?.dataset.id !== before", arg=before)


# --- where the reader is -----------------------------------------------------------------------------------------------------------


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


# --- a place -----------------------------------------------------------------------------------------------------------------------


def test_a_place_is_saved_shared_and_found_again(open_visitor: Open, site: Site) -> None:
    page = open_visitor(permissions=["clipboard-read", "clipboard-write"])
    card = page.locator(".o").first
    name = card.get_attribute("data-name")
    card.click()
    expect(page.locator("#place")).to_contain_text(name or "")
    expect(page.locator("#place .hours tr").first.or_(page.locator("#place", has_text="Hours not known"))).to_be_visible()
    expect(page.locator(".reasons li")).to_have_count(2)
    page.locator("#save").click()
    expect(page.locator("#save")).to_have_attribute("aria-pressed", "true")
    page.evaluate("Object.defineProperty(navigator, 'share', { value: undefined })")
    page.locator("#share").click()
    expect(page.locator("#notice")).to_have_text("The address is copied.")
    shared = page.evaluate("navigator.clipboard.readText()")
    assert shared.startswith(f"{site.base}/offers/")
    assert "lat=" not in shared
    page.locator("#back").click()
    expect(page.locator(".o").first).to_be_visible()
    page.goto(shared)
    expect(page.locator("#place")).to_contain_text(name or "")
    page.wait_for_function(IDLE)
    page.locator("#kept").click()
    expect(page.locator("#saved li")).to_have_count(1)
    assert violations(page) == []
    page.locator("#saved button").click()
    expect(page.locator("#saved li")).to_have_count(0)


@pytest.mark.parametrize("language", ["zh-Hans", "zh-Hant", "fi"])
def test_the_page_speaks_the_language_of_its_reader(open_page: Open, site: Site, language: str) -> None:
    page = open_page("/", webgl=False, locale={"zh-Hans": "zh-CN", "zh-Hant": "zh-TW", "fi": "fi-FI"}[language], width=390, height=844)
    known = words("visitor", language)
    expect(page.locator("h1")).to_have_text(known["Worth walking to"])
    assert page.locator("html").get_attribute("lang") == language
    price = page.locator(".o .price").first.inner_text()
    assert ("," in price) == (language == "fi")
    page.locator(".o").first.click()
    expect(page.locator("#checkin")).to_contain_text(known["Check in here"])
    page.screenshot(path=str(pictures() / f"visitor-{language}.png"))
    page.goto(site.base + "/?lang=en&q=caf")
    assert page.locator(".tongues [aria-current]").inner_text() == "English"
    assert "q=caf" in (page.locator(".tongues a").last.get_attribute("href") or "")


# --- check-in ----------------------------------------------------------------------------------------------------------------------


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
    for code in ("000000", "XC1:NONSENSE", "<script>"):
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


# --- without a connection ----------------------------------------------------------------------------------------------------------


def test_without_a_connection_the_last_answer_is_there_and_says_of_when_it_is(open_page: Open, site: Site) -> None:
    page = open_page("/", quiet=False, webgl=False)
    page.evaluate(
        "() => navigator.serviceWorker.ready.then(() => new Promise(done => navigator.serviceWorker.controller ? done() : navigator.serviceWorker.addEventListener('controllerchange', done)))"
    )
    page.goto(site.base + "/?kind=stores")
    first = page.locator(".o").first.get_attribute("data-id")
    page.locator(".o").first.click()
    expect(page.locator("#place h2")).to_be_visible()
    page.go_back()
    expect(page.locator(".stale")).to_have_count(0)
    page.context.set_offline(True)
    page.goto(site.base + "/?kind=stores")
    expect(page.locator(".stale:visible")).to_contain_text("No connection. This is the answer from")
    assert page.locator(".o").first.get_attribute("data-id") == first
    page.locator(".o").first.click()
    expect(page.locator("#place h2")).to_be_visible()
    expect(page.locator(".stale:visible")).to_contain_text("No connection. This is the answer from")
    # A place that was looked at, by its address.
    page.reload()
    expect(page.locator("#place h2")).to_be_visible()
    expect(page.locator(".stale:visible")).to_contain_text("No connection. This is the answer from")
    page.goto(site.base + "/?kind=stores")
    page.locator("select[name=category]").select_option("lodging")
    expect(page.locator("#notice")).to_contain_text("this was not asked before")
    expect(page.locator(".o").first).to_be_visible()
    # A list that nobody asked for: the page, with the last one, and it says so.
    page.goto(site.base + "/?lat=61.5&lng=23.7&q=pizza")
    expect(page.locator("#notice")).to_contain_text("this was not asked before")
    expect(page.locator("#q")).to_have_value("pizza")
    # No key lies in what is kept.
    kept = page.evaluate(
        "async () => (await Promise.all((await caches.keys()).map(async name => (await (await caches.open(name)).keys()).map(one => one.headers.get('Authorization'))))).flat()"
    )
    assert len(kept) > 5
    assert set(kept) == {None}
    page.context.set_offline(False)
    page.goto(site.base + "/")
    expect(page.locator(".stale")).to_have_count(0)
