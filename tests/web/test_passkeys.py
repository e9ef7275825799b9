"""Staff sign in at the counter with a passkey, in a browser with an authenticator of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from ..conftest import own_port
from ..ops.test_service import get, wait_for
from .conftest import Site, api, start, violations

Open = Callable[..., Page]


@pytest.fixture(scope="module")
def named(site: Site) -> Iterator[str]:
    """The address of a server that has a name: browsers keep passkeys for no number."""
    port = own_port(8_950)
    base = f"http://localhost:{port}"
    server = start("serve", {**site.environment, "GEO_O2O_PORT": str(port), "GEO_O2O_PUBLIC_URL": base})
    assert wait_for(lambda: get(f"http://127.0.0.1:{port}/health/ready")[0] == 200, 60)
    yield base
    server.terminate()
    server.wait(30)


@pytest.fixture
def counter(browser: Browser, named: str, site: Site) -> Iterator[Page]:
    """A counter that is signed in with its key and is a till, on a device that asks its owner for a finger."""
    context = browser.new_context(locale="en-GB", viewport={"width": 1_180, "height": 820})
    page = context.new_page()
    trouble: list[str] = []
    page.on("pageerror", lambda error: trouble.append(str(error)))
    page.goto(f"{named}/counter#key={site.store}")
    page.locator("#enrol").get_by_role("button").click()
    page.locator("#code svg").wait_for()
    yield page
    context.close()
    assert trouble == []


def give_authenticator(page: Page, *, verified: bool = True) -> tuple[Any, str]:
    session = page.context.new_cdp_session(page)
    session.send("WebAuthn.enable")
    options = {"protocol": "ctap2", "transport": "internal", "hasResidentKey": True, "hasUserVerification": True, "isUserVerified": verified}
    made = session.send("WebAuthn.addVirtualAuthenticator", {"options": {**options, "automaticPresenceSimulation": True}})
    return session, made["authenticatorId"]


def make_passkey(page: Page) -> None:
    page.locator("#passkeys").click()
    page.locator("#passkey-make").click()
    expect(page.locator("#passkey-said")).to_have_text("The passkey is made. Sign in with it next time.")


def sign_out(page: Page) -> None:
    page.locator("#passkey-close").click()
    page.locator("#signout").click()
    expect(page.locator("#passkey-in")).to_be_visible()


def test_staff_sign_in_by_a_passkey_and_the_till_goes_on(counter: Page, site: Site) -> None:
    give_authenticator(counter)
    make_passkey(counter)
    expect(counter.locator("#passkey-list li")).to_have_count(1)
    # One device makes one.
    counter.locator("#passkey-make").click()
    expect(counter.locator("#passkey-said")).to_contain_text("has one already")
    assert violations(counter) == []
    own = "import('/static/counter/till.js').then(one => one.till.id)"
    before = counter.evaluate(own)
    sign_out(counter)
    counter.locator("#passkey-in").click()
    counter.locator("#code svg").wait_for()
    expect(counter.locator("#online")).to_have_text("Online")
    kept = counter.evaluate("import('/static/kept.js').then(({ get }) => get('keys', 'account'))")
    assert kept.startswith("go_store_")
    assert kept != site.store
    # The same till, which the store's key had enrolled.
    assert counter.evaluate(own) == before
    counter.locator("#passkeys").click()
    expect(counter.locator("#passkey-list li")).to_contain_text("used")
    # What ends by itself gives nothing that does not.
    counter.locator("#passkey-make").click()
    expect(counter.locator("#passkey-said")).to_have_text("Sign in with the store’s key to make a passkey.")


def test_a_passkey_that_was_revoked_is_told_so(counter: Page, site: Site) -> None:
    give_authenticator(counter)
    make_passkey(counter)
    for name in ("Revoke", "Revoke for good?"):
        counter.locator("#passkey-list li").first.get_by_role("button", name=name).click()
    expect(counter.locator("#passkey-list li")).to_have_count(len(api("GET", f"{site.base}/v1/passkeys", site.store)["items"]))
    sign_out(counter)
    counter.locator("#passkey-in").click()
    expect(counter.locator("#signin-why")).to_have_text("This passkey is not known here, or was revoked.")
    counter.locator("#key").fill(site.store)
    counter.locator("#signin .yes").click()
    counter.locator("#code svg").wait_for()


def test_whoever_finds_the_tablet_does_not_sign_in(counter: Page) -> None:
    """The device asks for a finger, and it is not its owner's."""
    session, id_ = give_authenticator(counter)
    make_passkey(counter)
    sign_out(counter)
    session.send("WebAuthn.setUserVerified", {"authenticatorId": id_, "isUserVerified": False})
    counter.locator("#passkey-in").click()
    expect(counter.locator("#signin-why")).to_contain_text("Nobody signed in", timeout=70_000)


def test_where_browsers_keep_no_passkeys_none_is_offered(open_page: Open, site: Site) -> None:
    page = open_page("/counter")
    expect(page.locator("#signin")).to_be_visible()
    expect(page.locator("#or-passkey")).to_be_hidden()
