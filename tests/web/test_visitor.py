"""The visitor's page: list, map, filters, search, and the page of a place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from geo_o2o.web.words import words

from .conftest import Site, pictures, settle, violations, weigh

Open = Callable[..., Page]


def pins(page: Page) -> list[dict[str, Any]]:
    """What the map draws, by rank."""
    found = page.evaluate("() => window.visitorMap.queryRenderedFeatures({ layers: ['pins'] }).map(f => f.properties)")
    return sorted(found, key=lambda one: one["rank"])


def picked(page: Page) -> list[str]:
    return page.evaluate("() => window.visitorMap.queryRenderedFeatures({ layers: ['picked'] }).map(f => f.properties.id)")


@pytest.mark.parametrize(("scheme", "width", "height"), [("light", 1_100, 680), ("dark", 390, 844)])
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
    page.screenshot(path=str(pictures() / f"visitor-{scheme}-{width}.png"))


@pytest.mark.parametrize(("scheme", "width"), [("light", 1_360), ("dark", 390), ("light", 3_840)])
def test_everybody_can_use_it_in_every_size(open_page: Open, scheme: str, width: int) -> None:
    page = open_page("/", scheme=scheme, width=width, height=844, webgl=False)
    for step in (".o", "#place h2"):
        expect(page.locator(step).first).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        if width != 3_840:
            assert violations(page) == [], step
        if step == ".o":
            page.locator(step).first.click()


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
    page = open_visitor(width=390, height=844)
    page.wait_for_load_state("networkidle")
    figures = page.evaluate(
        "() => ({ firstByte: performance.getEntriesByType('navigation')[0].responseStart, list: performance.getEntriesByName('first-contentful-paint')[0]?.startTime,"
        " shifted: performance.getEntriesByType('layout-shift').reduce((sum, one) => sum + one.value, 0) })"
    )
    # The list is painted before the map's library has even come.
    library = page.evaluate("performance.getEntriesByType('resource').find(one => one.name.endsWith('maplibre-gl.mjs')).responseEnd")
    assert figures["list"] < library
    assert weigh(page, "visitor", without="/v1/tiles/", library=library, **figures) < 650_000


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


def test_a_typed_place_is_where_the_list_is_made(open_page: Open) -> None:
    page = open_page("/", webgl=False)
    page.locator("#q[role=combobox]").wait_for()
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


def test_a_place_is_saved_shared_and_found_again(open_page: Open, site: Site) -> None:
    page = open_page("/", webgl=False, permissions=["clipboard-read", "clipboard-write"])
    page.locator("#kept").wait_for()
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
