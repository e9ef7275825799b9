"""The operator's page: how it goes, imports, merchants, keys, and profiles that are tried before they are used."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from playwright.sync_api import Page, Route, expect

from geo_o2o.db import Database
from geo_o2o.ingest.recording import recorded
from geo_o2o.ops.jobs import JOBS
from geo_o2o.web.words import words

from .conftest import Site, api, pictures, violations, weigh

Open = Callable[..., Page]
SIZES = [("light", 1_100, 680), ("dark", 390, 844), ("light", 3_840, 2_160)]


@pytest.fixture
def open_admin(open_page: Open, site: Site) -> Open:
    def go(section: str = "health", **more: Any) -> Page:
        page = open_page(f"/admin#key={site.admin}", **more)
        page.locator("#rooms").wait_for()
        page.locator(f"#rooms a[href='#{section}']").click()
        expect(page.locator(f"#{section}")).to_be_visible()
        return page

    return go


def rows(page: Page, table: str) -> Any:
    return page.locator(f"#{table} tbody tr")


# --- sign in -----------------------------------------------------------------------------------------------------------------------


def test_only_an_operators_key_opens_it(open_page: Open, site: Site) -> None:
    page = open_page("/admin", quiet=False)
    for key in (site.planner, site.store, "nonsense", "go_admin_" + "x" * 60, "<script>"):
        page.locator("#key").fill(key)
        page.locator("#signin .go").click()
        expect(page.locator("#signin-why")).to_contain_text("not known here, or is no operator’s")
        expect(page.locator("#rooms")).to_be_hidden()
    page.locator("#key").fill(site.admin)
    page.locator("#signin .go").click()
    expect(page.locator("#h-health")).to_be_visible()
    # The key is neither in the address nor in what outlives the tab.
    assert site.admin not in page.url
    assert site.admin not in str(page.evaluate("() => JSON.stringify(localStorage)"))
    page.locator("#signout").click()
    expect(page.locator("#signin")).to_be_visible()


def test_a_key_that_is_revoked_meanwhile_ends_the_session(open_page: Open, site: Site) -> None:
    own = api("POST", f"{site.base}/v1/keys", site.admin, {"role": "admin", "name": "soon gone"})
    page = open_page(f"/admin#key={own['key']}", quiet=False)
    expect(page.locator("#facts")).to_be_visible()
    api("POST", f"{site.base}/v1/keys/{own['prefix']}/revoke", site.admin, {})
    expect(page.locator("#signin")).to_be_visible(timeout=45_000)


def test_an_address_with_another_key_is_taken_in_the_same_tab(open_page: Open, site: Site) -> None:
    page = open_page("/admin", quiet=False)
    expect(page.locator("#signin")).to_be_visible()
    page.evaluate("key => { location.hash = `key=${key}`; }", site.admin)
    expect(page.locator("#facts")).to_be_visible()
    assert site.admin not in page.url
    # No section is called so.
    page.evaluate("() => { location.hash = 'constructor'; }")
    expect(page.locator("#health")).to_be_visible()


# --- every section, in every size ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("scheme", "width", "height"), SIZES)
def test_every_section_fits_and_can_be_read_by_everybody(open_admin: Open, scheme: str, width: int, height: int) -> None:
    page = open_admin(scheme=scheme, width=width, height=height)
    for section in ("health", "imports", "merchants", "keys", "ranking"):
        page.locator(f"#rooms a[href='#{section}']").click()
        expect(page.locator(f"#{section} h2")).to_be_visible()
        if section == "ranking":
            expect(page.locator("#summary")).to_contain_text("hits")
        assert page.evaluate("document.documentElement.scrollWidth") <= width, section
        if width != 3_840:
            assert violations(page) == [], section
    page.screenshot(path=str(pictures() / f"admin-{scheme}-{width}.png"))
    if width == 3_840:
        # Nothing is lost in a corner of a wall: letters grow with it.
        assert page.evaluate("document.querySelector('#ranking h2').getBoundingClientRect().height") > 36


@pytest.mark.parametrize("language", ["zh-Hans", "zh-Hant", "fi"])
def test_the_page_speaks_the_language_of_its_reader(open_admin: Open, language: str) -> None:
    page = open_admin("ranking", locale={"zh-Hans": "zh-CN", "zh-Hant": "zh-TW", "fi": "fi-FI"}[language])
    known = words("admin", language)
    expect(page.locator("h1")).to_have_text(known["Operations"])
    expect(page.locator("#h-preview")).to_have_text(known["What would change"])
    expect(page.locator("#summary")).not_to_be_empty()
    page.screenshot(path=str(pictures() / f"admin-{language}.png"))


def test_everything_can_be_done_by_keyboard(open_admin: Open) -> None:
    page = open_admin()
    page.locator("#theme").focus()
    for section in ("health", "imports", "merchants", "keys"):
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.hash") == f"#{section}"
    page.keyboard.press("Enter")
    expect(page.locator("#keys")).to_be_visible()
    assert page.evaluate("document.activeElement.id") == "main"


def test_the_page_is_light(open_page: Open, site: Site) -> None:
    page = open_page(f"/admin#key={site.admin}")
    expect(page.locator("#facts")).to_be_visible()
    assert weigh(page, "admin", without="/v1/") < 60_000


# --- health ------------------------------------------------------------------------------------------------------------------------


def test_the_worker_and_the_log_are_seen_at_work(open_admin: Open) -> None:
    page = open_admin()
    expect(page.locator("#warnings .good")).to_have_text("Nothing to worry about.")
    expect(rows(page, "jobs")).to_have_count(len(JOBS))
    expect(page.locator("#jobs .state.bad")).to_have_count(0)
    expect(page.locator("#logs .state").first).to_have_text(re.compile("up to date|behind"))


def test_a_job_that_fails_is_seen_with_its_reason(open_admin: Open) -> None:
    page = open_admin()
    expect(rows(page, "jobs")).to_have_count(len(JOBS))

    def fail(route: Route) -> None:
        answer = route.fetch()
        body = answer.json()
        body["jobs"][3]["trouble"] = "ValueError: <b>the disk is full</b>"
        body["warnings"] = [{"code": "job_fails", "text": "x"}, {"code": "of_tomorrow", "text": "Something <i>new</i>"}]
        route.fulfill(json=body)

    page.route("**/v1/status", fail)
    page.evaluate("() => { document.dispatchEvent(new Event('visibilitychange')); }")
    expect(page.locator("#jobs .why")).to_have_text("ValueError: <b>the disk is full</b>", timeout=10_000)
    expect(page.locator("#warnings .bad")).to_have_text(["A job of the worker fails; the table says which one and why.", "Something <i>new</i>"])


def test_a_service_that_is_gone_is_told_and_comes_back(open_admin: Open) -> None:
    page = open_admin(quiet=False)
    expect(rows(page, "jobs")).to_have_count(len(JOBS))
    look = "() => { document.dispatchEvent(new Event('visibilitychange')); }"
    page.context.set_offline(True)
    page.evaluate(look)
    expect(page.locator("#trouble")).to_have_text("The service does not answer.")
    expect(rows(page, "jobs")).to_have_count(len(JOBS))
    page.context.set_offline(False)
    page.evaluate(look)
    expect(page.locator("#trouble")).to_be_hidden()


# --- imports -----------------------------------------------------------------------------------------------------------------------


def load(site: Site, path: Path, *more: str) -> None:
    command = [sys.executable, "-m", "geo_o2o", "load", "csv", str(path), "--source", f"test-{uuid4().hex[:6]}", *more]
    subprocess.run(command, env={**os.environ, **site.environment}, capture_output=True, check=False, timeout=60)


def test_an_import_is_seen_while_it_runs_and_when_it_has_ended(open_admin: Open, site_database: Database, site: Site, tmp_path: Path) -> None:
    page = open_admin("imports")
    name = f"town-{uuid4().hex[:6]}.csv"
    with recorded(site_database, kind="csv", file=name, source="mine") as found:
        line = page.locator("#loads > li", has_text=name)
        expect(line.locator("progress")).to_be_visible()
        expect(line.locator(".state")).to_have_text("running")
        found.progress(12_345)
        expect(line).to_contain_text("12,345 rows read", timeout=10_000)
    expect(line.locator(".state")).to_have_text("loaded", timeout=10_000)
    expect(line.locator("progress")).to_have_count(0)


def test_an_import_says_what_it_did_and_what_it_refused(open_admin: Open, site: Site, tmp_path: Path) -> None:
    path = tmp_path / f"mixed-{uuid4().hex[:6]}.csv"
    path.write_text("id,name,lat,lng\n1,Good,61.5,23.76\n2,<script>alert(1)</script>,999,23.76\n3,,61.5,23.76\n")
    load(site, path, "--dry-run")
    page = open_admin("imports")
    line = page.locator("#loads > li", has_text=path.name)
    expect(line.locator(".state")).to_have_text("tried only; nothing was changed")
    expect(line.locator("tbody").first).to_contain_text("stores")
    summary = line.locator("summary")
    expect(summary).to_have_text("2 refused rows")
    summary.click()
    expect(line.locator("details tbody tr")).to_have_count(2)
    page.wait_for_timeout(2_500)
    expect(line.locator("details")).to_have_attribute("open", "")
    broken = tmp_path / f"broken-{uuid4().hex[:6]}.csv"
    broken.write_text("neither,this\n1,2\n")
    load(site, broken)
    failed = page.locator("#loads > li", has_text=broken.name)
    expect(failed.locator(".state")).to_have_text("failed", timeout=10_000)
    expect(failed.locator("p.bad")).not_to_be_empty()


# --- merchants and keys --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["Leipomo Oy", "x" * 200, "قهوة السوق", "☕️ <script>alert(1)</script>"])
def test_a_merchant_is_added_and_gets_a_key(open_admin: Open, site: Site, name: str) -> None:
    page = open_admin("merchants")
    page.locator("#merchant-name").fill(name)
    page.locator("#merchant-form .go").click()
    expect(page.locator("#merchant-said")).to_contain_text("is here")
    line = rows(page, "merchant-list").filter(has_text=name)
    expect(line).to_have_count(1)
    line.locator("button").click()
    expect(page.locator("#keys")).to_be_visible()
    expect(page.locator("#key-role")).to_have_value("store")
    assert page.locator("#key-merchant option:checked").inner_text() == " ".join(name.split())
    page.locator("#key-name").fill("till at the door")
    page.locator("#key-form .go").click()
    expect(page.locator("#made-key")).to_have_value(re.compile("^go_store_"))
    key = page.locator("#made-key").input_value()
    assert api("GET", f"{site.base}/v1/stores?limit=1", key)["items"] == []
    page.locator("#made-done").click()
    expect(page.locator("#made")).to_be_hidden()
    assert key not in page.content()


def test_keys_are_replaced_and_revoked_after_being_asked_twice(open_admin: Open, site: Site) -> None:
    page = open_admin("keys", quiet=False)
    page.locator("#key-role").select_option("planner")
    page.locator("#key-name").fill("for a moment")
    page.locator("#key-form .go").click()
    expect(page.locator("#made-key")).to_have_value(re.compile("^go_planner_"))
    first = page.locator("#made-key").input_value()
    line = page.locator(f"#key-list tr[data-id='{first.split('_')[2]}']")
    expect(line).to_contain_text("for a moment")
    line.get_by_role("button", name="Replace").click()
    page.wait_for_function("first => document.querySelector('#made-key').value !== first", arg=first)
    second = page.locator("#made-key").input_value()
    line.get_by_role("button", name="Revoke").click()
    expect(line.get_by_role("button", name="Revoke for good?")).to_be_visible()
    assert api("GET", f"{site.base}/v1/heat/releases", first), "once is not enough"
    line.get_by_role("button", name="Revoke for good?").click()
    expect(line).to_have_count(0)
    page.locator("#revoked-too").check()
    expect(line).to_contain_text("revoked")
    assert api("GET", f"{site.base}/v1/heat/releases", second)


def test_the_operators_last_key_stays(open_admin: Open, site: Site) -> None:
    page = open_admin("keys", quiet=False)
    page.route("**/revoke", lambda route: route.fulfill(status=409, json={"code": "last_operator_key", "detail": "x"}))
    line = page.locator(f"#key-list tr[data-id='{site.admin.split('_')[2]}']")
    line.get_by_role("button", name="Revoke").click()
    line.get_by_role("button", name="Revoke for good?").click()
    expect(page.locator("#key-said")).to_have_text("This is the last key of the operator. Make another one first.")
    expect(line).to_have_count(1)


# --- ranking -----------------------------------------------------------------------------------------------------------------------


def weight(page: Page, name: str) -> Any:
    return page.locator(f"#w-{name}")


def test_a_draft_shows_what_it_would_change_as_one_types(open_admin: Open, site: Site) -> None:
    page = open_admin("ranking")
    expect(page.locator(".place")).to_have_count(5)
    expect(page.locator("#summary")).to_contain_text("Against balanced-1: of 100 hits 100 were there before, and each of these moves by 0 places")
    weight(page, "distance_weight").fill("100")
    weight(page, "rating_weight").fill("900")
    expect(page.locator("#summary")).not_to_contain_text("100 were there before")
    expect(page.locator(".place[open] .step", has_text="new").first).to_be_visible()
    # The very order that everybody would see.
    names = page.locator(".place[open] tbody tr td.name > span > bdi").all_inner_texts()
    lat, lng = (page.locator(".place[open]").get_attribute("data-at") or "").split(",")
    page.locator("#profile-name").fill("ratings-7")
    page.locator("#draft .go").click()
    expect(page.locator("#profile-said")).to_have_text("ratings-7 is added.")
    found = api("GET", f"{site.base}/v1/offers/nearby?lat={lat}&lng={lng}&radius_m=2000&limit=20&profile=ratings-7", site.app)
    assert [one["title"] for one in found["items"]] == names[:20]


def test_a_profile_is_put_to_use_and_taken_back_without_a_deployment(open_admin: Open, site: Site) -> None:
    page = open_admin("ranking")

    def profile() -> str:
        return str(api("GET", f"{site.base}/v1/stores/nearby?lat=60.169&lng=24.9414&limit=1", site.app)["items"][0]["score"]["profile"])

    for name in ("nearest-1", "balanced-1"):
        page.locator(f"#profiles [data-id='{name}']").get_by_role("button").click()
        expect(page.locator(f"#profiles [data-id='{name}']")).to_contain_text("in use")
        assert profile() == name
    expect(page.locator("#summary")).to_contain_text("Against balanced-1")


def test_what_is_no_profile_is_not_added(open_admin: Open) -> None:
    page = open_admin("ranking", quiet=False)
    expect(page.locator("#summary")).to_contain_text("hits")
    page.locator("#profile-name").fill("balanced-1")
    page.locator("#draft .go").click()
    expect(page.locator("#profile-said")).to_contain_text("already")
    weight(page, "half_distance_m").fill("")
    expect(page.locator("#summary")).to_have_text("A number is missing or out of range.")
    weight(page, "half_distance_m").fill("1")
    page.locator("#draft .go").click()
    assert page.evaluate("document.querySelector('#w-half_distance_m').validity.rangeUnderflow")
    page.locator("#reset").click()
    expect(page.locator("#summary")).to_contain_text("hits")


def test_places_are_added_by_name_and_by_degrees_and_left_out(open_admin: Open) -> None:
    page = open_admin("ranking")
    expect(page.locator(".place")).to_have_count(5)
    for typed, shown in (("60.1690, 24.9414", "60.1690, 24.9414"), ("Eteläespl", "Eteläesplanadi")):
        page.locator("#place-at").fill(typed)
        page.locator("#place-form button").click()
        expect(page.locator(".place").first.locator("summary bdi")).to_have_text(shown)
    for typed in ("91, 0", "nowhere at all", "0,0,0", "<script>"):
        page.locator("#place-at").fill(typed)
        page.locator("#place-form button").click()
        expect(page.locator("#place-said")).to_contain_text("No such place is known")
    page.locator("#place-at").fill("0, 0")
    page.locator("#place-form button").click()
    expect(page.locator(".place").first).to_contain_text("nothing is near")
    page.locator(".place").first.locator("summary").click()
    # A second click in haste leaves out nothing else.
    page.locator(".place").first.get_by_role("button", name="Leave this place out").dblclick()
    expect(page.locator(".place")).to_have_count(7)
