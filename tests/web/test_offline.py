"""The visitor's page without a connection: what it keeps, and what it says of its age."""

from __future__ import annotations

from collections.abc import Callable

from playwright.sync_api import Page, expect

from .conftest import Site

Open = Callable[..., Page]


def test_without_a_connection_the_last_answer_is_there_and_says_of_when_it_is(open_page: Open, site: Site) -> None:
    page = open_page("/", quiet=False, webgl=False, service_workers="allow")
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
