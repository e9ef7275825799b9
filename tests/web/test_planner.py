"""The planner's page, as a planner uses it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h3
import pytest
from playwright.sync_api import Page, expect

from geo_o2o.web.words import words

from .conftest import Site, pictures, settle, violations

Open = Callable[..., Page]


def place(page: Page, lng: float, lat: float) -> tuple[float, float]:
    """Where a point of the map lies on the page."""
    x, y = page.evaluate("([lng, lat]) => { const p = window.plannerMap.project([lng, lat]); return [p.x, p.y]; }", [lng, lat])
    box = page.locator("#map").bounding_box()
    assert box is not None
    return box["x"] + x, box["y"] + y


def shown_cells(page: Page) -> dict[str, Any]:
    """What the map draws: cell to value, None where it is not shown."""
    return page.evaluate(
        "() => Object.fromEntries(window.plannerMap.queryRenderedFeatures({ layers: ['cells', 'hidden'] }).map(f => [f.properties.cell, f.properties.hidden ? null : f.properties.shown]))"
    )


def test_the_map_shows_the_release_and_says_what_it_does_not_show(open_planner: Open, site: Site) -> None:
    # Near enough for the names of streets.
    page = open_planner(width=1_200, height=800)
    release = page.evaluate("key => fetch('/v1/heat/visits', { headers: { Authorization: `Bearer ${key}` } }).then(r => r.json())", site.planner)
    published = dict(zip(release["columns"]["cell"], release["columns"]["value"], strict=True))
    drawn = shown_cells(page)
    assert {cell: value for cell, value in drawn.items() if value is not None}.items() <= published.items()
    assert {cell for cell, value in drawn.items() if value is None} <= set(release["hidden"])
    assert len(drawn) > 8
    expect(page.locator("#swatches")).to_contain_text("not shown: fewer than 20 people, or too few to tell")
    expect(page.locator("#sample")).to_be_visible()
    expect(page.locator("#whensub")).to_contain_text("±")
    names = page.evaluate("() => window.plannerMap.queryRenderedFeatures({ layers: ['road-names'] }).map(f => f.properties.name)")
    assert "Eteläesplanadi" in names
    assert "OpenStreetMap" in page.locator(".maplibregl-ctrl-attrib").inner_text()
    page.screenshot(path=str(pictures() / "planner-light.png"))


def test_a_hexagon_tells_its_value_with_its_interval(open_planner: Open) -> None:
    page = open_planner()
    cell, value = next((cell, value) for cell, value in shown_cells(page).items() if value and h3.get_resolution(cell) == 9)
    lat, lng = h3.cell_to_latlng(cell)
    page.mouse.move(*place(page, lng, lat))
    tip = page.locator("#tip")
    expect(tip).to_contain_text(f"{value:,}")
    expect(tip).to_contain_text("with 95 %")
    assert tip.get_attribute("data-cell") == cell
    page.mouse.click(*place(page, lng, lat))
    page.mouse.move(5, 5)
    expect(tip).to_be_visible()


def test_the_map_is_read_by_keyboard(open_planner: Open) -> None:
    page = open_planner()
    page.locator("#map canvas").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("+")
    settle(page)
    page.keyboard.press("Enter")
    tip = page.locator("#tip")
    expect(tip).to_be_visible()
    centre = page.evaluate("() => window.plannerMap.getCenter().toArray()")
    cell = tip.get_attribute("data-cell")
    assert cell is not None
    assert h3.latlng_to_cell(centre[1], centre[0], 9) in h3.cell_to_children(cell, 9)
    page.locator("#period").focus()
    before = page.locator("#when").inner_text()
    page.keyboard.press("ArrowLeft")
    expect(page.locator("#when")).not_to_have_text(before)
    assert re.fullmatch(r"Week of .*, [\d,]+ ± \d+ people", page.locator("#period").get_attribute("aria-valuetext") or "")


def test_a_district_opens_its_profile_and_a_second_one_stands_beside_it(open_planner: Open) -> None:
    page = open_planner()
    first = page.locator(".d").first
    name = first.locator(".n").inner_text()
    first.click()
    detail = page.locator("#detail")
    expect(detail.locator("h2")).to_have_text(name)
    for said in (
        "Visits a week",
        " to ",
        "came back within a month",
        "Stores by category",
        "Open hours",
        "Districts like it",
        "parts of the day are released no finer",
    ):
        expect(detail).to_contain_text(said)
    assert detail.locator("svg.chart").count() >= 4
    page.select_option("#beside", index=1)
    expect(detail.locator("h2")).to_have_count(2)
    expect(page.locator(".d[aria-pressed=true]")).to_have_count(2)
    settle(page)
    page.screenshot(path=str(pictures() / "planner-compare.png"))
    first.click()
    expect(page.locator(".d[aria-pressed=true]")).to_have_count(1)


def test_layers_parts_of_the_day_and_periods_change_the_map(open_planner: Open) -> None:
    page = open_planner()
    weeks = shown_cells(page)
    page.select_option("#layer", "day_parts")
    expect(page.locator("#parts")).to_be_visible()
    expect(page.locator("#legend-title")).to_contain_text("part of the day")
    settle(page)
    morning = shown_cells(page)
    page.locator("#parts label", has_text="midday").click()
    settle(page)
    assert shown_cells(page) != morning != weeks
    for layer, title in (("returns", "came back"), ("origins", "from elsewhere"), ("rating", "rating"), ("open", "open now"), ("offers", "Offers")):
        page.select_option("#layer", layer)
        expect(page.locator("#legend-title")).to_contain_text(title)
        settle(page)
    page.select_option("#layer", "stores")
    settle(page)
    stores = shown_cells(page)
    assert {h3.get_resolution(cell) for cell in stores} <= {9, 10, 11}
    expect(page.locator("#time")).to_be_hidden()
    page.evaluate("() => window.plannerMap.zoomTo(window.plannerMap.getZoom() + 2, { animate: false })")
    page.wait_for_function(
        "before => !window.plannerMap.queryRenderedFeatures({ layers: ['cells'] }).some(f => before.includes(f.properties.cell))", arg=list(stores)
    )
    page.select_option("#layer", "visits")
    settle(page)
    expect(page.locator("#time")).to_be_visible()
    page.locator("#play").click()
    expect(page.locator("#play")).to_have_attribute("aria-label", "Pause")
    page.locator("#play").click()


def test_what_the_map_shows_can_be_taken_home(open_planner: Open, tmp_path: Path) -> None:
    page = open_planner()
    taken: dict[str, bytes] = {}
    for form in ("csv", "geojson", "png"):
        with page.expect_download() as waiting:
            page.locator(f"[data-form={form}]").click()
        target = tmp_path / waiting.value.suggested_filename
        waiting.value.save_as(target)
        assert re.fullmatch(rf"visits-\d{{4}}-W\d\d\.{form}", target.name)
        taken[form] = target.read_bytes()
    assert taken["csv"].startswith(b"cell,lat,lng,resolution,value,low,high\r\n")
    assert json.loads(taken["geojson"])["terms"]["least_accounts"] == 20
    assert taken["png"].startswith(b"\x89PNG")
    assert len(taken["png"]) > 20_000


@pytest.mark.parametrize(("width", "height", "scheme"), [(1_100, 680, "light"), (1_100, 680, "dark"), (390, 844, "light")])
def test_everybody_can_use_it(open_planner: Open, width: int, height: int, scheme: str) -> None:
    page = open_planner(width=width, height=height, scheme=scheme, bypass_csp=True)
    assert page.evaluate("() => document.documentElement.dataset.theme") == scheme
    page.locator(".d").first.click()
    expect(page.locator("#detail h2")).to_be_visible()
    settle(page)
    page.screenshot(path=str(pictures() / f"planner-{scheme}-{width}.png"))
    assert violations(page) == []
    assert page.evaluate("() => document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize(("language", "locale", "width"), [("zh-Hans", "zh-CN", 1_000), ("zh-Hant", "zh-TW", 1_000), ("fi", "fi-FI", 390)])
def test_the_page_speaks_the_language_of_its_reader(open_planner: Open, language: str, locale: str, width: int) -> None:
    known = words("planner", language)
    page = open_planner(locale=locale, width=width)
    assert page.locator("html").get_attribute("lang") == language
    expect(page.locator("h1")).to_have_text(known["Districts and heat"])
    expect(page.locator("#legend-title")).to_have_text(known["People a week, per cell"])
    expect(page.locator("#kpis")).to_contain_text(known["People this week"])
    page.locator(".d").first.click()
    expect(page.locator("#detail")).to_contain_text(known["came back within a month"])
    expect(page.locator("#detail")).to_contain_text({"zh-Hans": "餐厅", "zh-Hant": "餐廳", "fi": "Ravintola"}[language])
    # What is English in all of it: names of places and of whom the data is, and nothing that is translated.
    text = page.locator("body").inner_text()
    assert [english for english in known if len(english) > 12 and "{" not in english and english in text] == []
    assert page.evaluate("() => document.documentElement.scrollWidth") <= width
    page.screenshot(path=str(pictures() / f"planner-{language}.png"))


def test_the_theme_changes_in_place(open_planner: Open) -> None:
    page = open_planner()
    before = shown_cells(page)
    page.locator("#theme").click()
    settle(page)
    page.wait_for_function("() => window.plannerMap.isStyleLoaded() && window.plannerMap.queryRenderedFeatures({ layers: ['cells'] }).length > 0")
    assert page.evaluate("() => document.documentElement.dataset.theme") == "dark"
    assert shown_cells(page).keys() == before.keys()


def test_it_is_light_and_keeps_the_key_out_of_the_address(open_planner: Open, open_page: Open, site: Site) -> None:
    page = open_page("/planner")
    session = page.context.new_cdp_session(page)
    session.send("Network.enable")
    sizes: list[float] = []
    session.on("Network.loadingFinished", lambda event: sizes.append(event["encodedDataLength"]))
    session.send("Network.setCacheDisabled", {"cacheDisabled": True})
    page.goto("about:blank")
    page.goto(f"{site.base}/planner#key={site.planner}")
    page.wait_for_function("() => document.querySelector('#map')?.dataset.state === 'idle'", timeout=45_000)
    settle(page)
    assert 100_000 < sum(sizes) < 1_500_000
    assert page.url == f"{site.base}/planner"


def test_who_has_no_planner_s_key_is_asked_for_one(open_page: Open, site: Site) -> None:
    page = open_page("/planner", quiet=False)
    expect(page.locator("#signin")).to_be_visible()
    page.fill("#key", site.app)
    page.locator(".go").click()
    expect(page.locator("#signin-why")).to_contain_text("not known here")
    page.fill("#key", site.planner)
    page.locator(".go").click()
    expect(page.locator("#sub")).to_have_text("Helsinki")
