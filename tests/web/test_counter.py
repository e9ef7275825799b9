"""The store's counter, as staff use it: the code, guests, and what happens while there is no connection."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa
from playwright.sync_api import Page, expect

from geo_o2o.auth import service as auth
from geo_o2o.checkins.tillcode import is_fresh, make_scan, parse_till_code, short_store
from geo_o2o.client import Device, Position, Visitor
from geo_o2o.db import Database
from geo_o2o.http import utcnow
from geo_o2o.signers.totp import make_totp
from geo_o2o.web.words import words

from .conftest import Site, api, pictures, violations, weigh

Open = Callable[..., Page]
IN_CHARGE = "() => navigator.serviceWorker.ready.then(() => navigator.serviceWorker.controller || new Promise(done => navigator.serviceWorker.addEventListener('controllerchange', done)))"


@pytest.fixture
def counter(open_page: Open, site: Site) -> Page:
    return open_counter(open_page, site)


def open_counter(open_page: Open, site: Site, *, key: str = "", path: str = "/counter", **more: Any) -> Page:
    page = open_page(f"{path}#key={key or site.store}", **{"width": 1_180, "height": 820, **more})
    page.locator("#enrol").get_by_role("button").click()
    page.locator("#code svg").wait_for()
    return page


def guest(site: Site, *, code: str | None = None) -> dict[str, Any]:
    """A visitor who stands in the café and waits."""
    someone = Visitor(site.base, site.app, Device.make())
    someone.enrol()
    return someone.check_in(site.cafe["id"], [Position(site.cafe["lat"], site.cafe["lng"], 12)], code=code)


def by_hand(page: Page, scan: str) -> None:
    """What a hand-held scanner types."""
    page.locator("#scan").click()
    page.locator("#handheld").fill(scan)
    page.locator("#handheld").press("Enter")


def line(page: Page, visit: dict[str, Any]) -> Any:
    return page.locator(f"#earlier li[data-id='{visit['id']}']")


def level(site: Site, visit: dict[str, Any]) -> int:
    return int(api("GET", f"{site.base}/v1/check-ins/{visit['id']}", site.store)["level"])


# --- the code ----------------------------------------------------------------------------------------------------------------------


def test_the_code_is_the_tills_own_and_of_this_moment(counter: Page, site: Site, site_database: Database) -> None:
    text = counter.locator("#code").get_attribute("data-code") or ""
    code = parse_till_code(text)
    tills = api("GET", f"{site.base}/v1/stores/{site.cafe['id']}/tills", site.store)["items"]
    own = counter.evaluate("import('/static/counter/till.js').then(one => one.till.id)")
    with site_database.read() as session:
        public, secret = session.execute(sa.text("/* test */ SELECT public, totp_secret FROM tills WHERE id = :id"), {"id": own}).one()
    assert own in {one["till_id"] for one in tills}
    assert code.is_of(bytes(public))
    assert is_fresh(code, at_s=utcnow().timestamp())
    assert code.store == short_store(UUID(site.cafe["id"]))
    digits = counter.locator("#digits").inner_text().replace(" ", "")
    assert digits in {make_totp(bytes(secret), at_s=utcnow().timestamp() + away) for away in (-30, 0, 30)}
    assert guest(site, code=text)["level"] == 2
    assert guest(site, code=digits)["level"] == 2


def test_the_key_cannot_be_taken_out(counter: Page) -> None:
    kinds = counter.evaluate(
        "import('/static/kept.js').then(({ get }) => get('keys', 'till')).then(till => Promise.allSettled([crypto.subtle.exportKey('jwk', till.key), crypto.subtle.exportKey('raw', till.digits)]))"
        ".then(found => found.map(one => one.status))"
    )
    assert kinds == ["rejected", "rejected"]


def test_the_code_changes_and_goes_on_without_a_connection(open_page: Open, site: Site) -> None:
    counter = open_counter(open_page, site, quiet=False)
    before = counter.locator("#code").get_attribute("data-code")
    counter.context.set_offline(True)
    # A quarter of a minute goes by.
    counter.evaluate("() => { const real = Date.now; Date.now = () => real() + 15_000; }")
    counter.wait_for_function("before => document.querySelector('#code').dataset.code !== before", arg=before)
    code = parse_till_code(counter.locator("#code").get_attribute("data-code") or "")
    assert is_fresh(code, at_s=utcnow().timestamp() + 15)
    assert not is_fresh(parse_till_code(before or ""), at_s=utcnow().timestamp() + 60)
    expect(counter.locator("#online")).to_have_text("Offline: codes and confirmations go on")


def test_a_till_whose_clock_is_wrong_goes_by_the_services(open_page: Open, site: Site) -> None:
    page = open_page("/verify")
    page.add_init_script("const real = Date.now; Date.now = () => real() + 600_000")
    page.goto(f"{site.base}/counter#key={site.store}")
    page.locator("#enrol").get_by_role("button").click()
    page.wait_for_function("() => import('/static/counter/till.js').then(one => one.drift_ms < -590_000)")
    page.wait_for_timeout(1_000)
    text = page.locator("#code").get_attribute("data-code") or ""
    assert is_fresh(parse_till_code(text), at_s=utcnow().timestamp())
    assert guest(site, code=text)["level"] == 2


def test_the_code_fills_the_screen_and_leaves_it(counter: Page) -> None:
    counter.locator("#full").click()
    counter.wait_for_function("() => document.fullscreenElement?.id === 'show'")
    code = counter.locator("#code svg").bounding_box()
    assert code
    assert code["height"] > 400
    expect(counter.locator("#left")).to_contain_text("to the next code")
    counter.locator("#full").click()
    counter.wait_for_function("() => !document.fullscreenElement")


# --- guests ------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("scheme", "width"), [("light", 1_180), ("dark", 390)])
def test_guests_wait_are_confirmed_and_refused(open_page: Open, site: Site, scheme: str, width: int) -> None:
    counter = open_counter(open_page, site, scheme=scheme, width=width, height=820)
    good, bad = guest(site), guest(site)
    waiting = counter.locator("#waiting li")
    expect(counter.locator(f"#waiting li[data-id='{good['id']}']")).to_contain_text("position", timeout=10_000)
    assert violations(counter) == []
    assert counter.evaluate("document.documentElement.scrollWidth") <= width
    counter.screenshot(path=str(pictures() / f"counter-{scheme}-{width}.png"), full_page=True)
    by_hand(counter, good["scan"])
    expect(counter.locator("#said")).to_contain_text("is confirmed")
    expect(line(counter, good)).to_contain_text("Confirmed")
    refuse = counter.locator(f"#waiting li[data-id='{bad['id']}'] .no")
    refuse.click()
    expect(refuse).to_have_text("Refuse for good?")
    refuse.click()
    expect(line(counter, bad)).to_contain_text("Refused")
    expect(waiting.filter(has_text="x" * 99)).to_have_count(0)
    assert level(site, good) == 3
    assert api("GET", f"{site.base}/v1/check-ins/{bad['id']}", site.store)["state"] == "voided"


def test_the_same_code_twice_counts_once(counter: Page, site: Site, site_database: Database) -> None:
    visit = guest(site)
    by_hand(counter, visit["scan"])
    expect(counter.locator("#said")).to_contain_text("is confirmed")
    by_hand(counter, visit["scan"])
    expect(counter.locator("#said")).to_contain_text("was scanned before")
    assert receipts(site_database, visit) == 1


def receipts(site_database: Database, visit: dict[str, Any]) -> int:
    """How many receipts of a visit say that it was confirmed and are in force."""
    with site_database.read() as session:
        rows = session.execute(sa.text("/* test */ SELECT count(*) FROM receipts WHERE check_in_id = :id AND voided_at IS NULL"), {"id": visit["id"]})
        return int(rows.scalar_one())


def test_what_another_till_has_confirmed_is_said(open_page: Open, counter: Page, site: Site) -> None:
    visit = guest(site)
    other = open_counter(open_page, site, quiet=False)
    by_hand(counter, visit["scan"])
    expect(counter.locator("#said")).to_contain_text("is confirmed")
    by_hand(other, visit["scan"])
    expect(line(other, visit)).to_contain_text("Confirmed")


@pytest.mark.parametrize("text", ["", "hello", "XC1:ABC", "XCV1:", "XCV1:" + "A" * 71, "xcv1:abc", "<script>alert(1)</script>", "XCV1:" + "☕" * 40])
def test_what_is_no_visitors_code_is_not_taken(counter: Page, text: str) -> None:
    by_hand(counter, text)
    expect(counter.locator("#scan-why")).to_have_text("This is no visitor’s code.")
    counter.locator("#scan-close").click()
    expect(counter.locator("#n-unsent")).to_have_text("0")


def test_a_code_that_nobody_made_is_refused_by_the_service(open_page: Open, site: Site) -> None:
    counter = open_counter(open_page, site, quiet=False)
    scan = make_scan(uuid4(), b"x" * 32)
    by_hand(counter, scan)
    expect(counter.locator("#said")).to_contain_text("Not of this store")
    visit = guest(site)
    changed = make_scan(UUID(visit["id"]), b"x" * 32)
    by_hand(counter, changed)
    expect(counter.locator("#said")).to_contain_text("Code was changed")
    # And the right one after all.
    by_hand(counter, visit["scan"])
    expect(counter.locator("#said")).to_contain_text("is confirmed")


# --- without a connection ----------------------------------------------------------------------------------------------------------


def test_what_is_confirmed_without_a_connection_is_sent_later_once_each(open_page: Open, site: Site, site_database: Database) -> None:
    counter = open_counter(open_page, site, quiet=False, service_workers="allow")
    counter.evaluate(IN_CHARGE)
    counter.reload()
    counter.locator("#code svg").wait_for()
    visits = [guest(site) for _ in range(4)]
    counter.context.set_offline(True)
    for number, visit in enumerate(visits[:3], 1):
        by_hand(counter, visit["scan"])
        expect(counter.locator("#said")).to_contain_text("is kept, and sent when there is a connection")
        expect(counter.locator("#n-unsent")).to_have_text(str(number))
    # The page is closed and opened again, still without a connection.
    counter.reload()
    counter.locator("#code svg").wait_for()
    expect(counter.locator("#n-unsent")).to_have_text("3")
    by_hand(counter, visits[0]["scan"])
    expect(counter.locator("#said")).to_contain_text("was scanned before")
    by_hand(counter, visits[3]["scan"])
    expect(counter.locator("#n-unsent")).to_have_text("4")
    for visit in visits:
        expect(line(counter, visit)).to_contain_text("Waits to be sent")
        assert level(site, visit) == 1
    counter.context.set_offline(False)
    expect(counter.locator("#n-unsent")).to_have_text("0", timeout=20_000)
    for visit in visits:
        expect(line(counter, visit)).to_contain_text("Confirmed")
        assert level(site, visit) == 3
        assert receipts(site_database, visit) == 1
    with site_database.read() as session:
        late = session.scalars(sa.text("/* test */ SELECT convert_from(decode(translate(split_part(confirmation, '.', 2), '-_', '+/') || repeat('=', (4 - length(split_part(confirmation, '.', 2)) % 4) % 4), 'base64'), 'UTF8')::jsonb ->> 'late' FROM check_in_evidence WHERE check_in_id = ANY(CAST(:ids AS uuid[]))"),
                               {"ids": [visit["id"] for visit in visits]}).all()  # fmt: skip
    assert late == ["true"] * 4


def test_an_answer_that_is_lost_is_no_second_confirmation(open_page: Open, site: Site, site_database: Database) -> None:
    """The confirmation arrives, and its answer does not: it is sent again, and counts once."""
    counter = open_counter(open_page, site, quiet=False, service_workers="block")
    visit, sent = guest(site), []

    def cut(route: Any) -> None:
        sent.append(route.request.post_data)
        if len(sent) == 1:
            route.fetch()
            route.abort()
        else:
            route.continue_()

    counter.route("**/confirmations", cut)
    by_hand(counter, visit["scan"])
    expect(line(counter, visit)).to_contain_text("Confirmed", timeout=15_000)
    expect(counter.locator("#n-unsent")).to_have_text("0")
    assert len(sent) == 2
    assert receipts(site_database, visit) == 1


# --- keys --------------------------------------------------------------------------------------------------------------------------


def test_a_key_that_is_revoked_while_the_counter_is_open_loses_nothing(open_page: Open, site: Site, site_database: Database) -> None:
    with site_database.write() as session:
        merchant = auth.add_merchant(session, name="Kahvila Oy", now=utcnow())
        row, key = auth.create_key(session, role="store", name="", merchant=merchant, now=utcnow())
        prefix = row.prefix
    counter = open_counter(open_page, site, key=key, quiet=False)
    visit = guest(site)
    with site_database.write() as session:
        auth.revoke_key(session, prefix=prefix, now=utcnow())
    expect(counter.locator("#signin-why")).to_contain_text("This key was revoked", timeout=20_000)
    by_hand(counter, visit["scan"])
    expect(line(counter, visit)).to_contain_text("Waits to be sent")
    expect(counter.locator("#code svg")).to_be_visible()
    counter.locator("#key").fill(site.store)
    counter.locator("#signin").get_by_role("button").click()
    expect(line(counter, visit)).to_contain_text("Confirmed", timeout=20_000)
    expect(counter.locator("#signin")).to_be_hidden()


def test_a_till_that_is_revoked_says_so_and_can_be_enrolled_anew(open_page: Open, site: Site) -> None:
    counter = open_counter(open_page, site, quiet=False)
    own = counter.evaluate("import('/static/counter/till.js').then(one => one.till.id)")
    api("POST", f"{site.base}/v1/stores/{site.cafe['id']}/tills/{own}/revoke", site.store, {})
    visit = guest(site)
    by_hand(counter, visit["scan"])
    expect(counter.locator("#said")).to_contain_text("Till is revoked")
    counter.reload()
    expect(counter.locator("#revoked-why")).to_contain_text("This till was revoked on")
    expect(counter.locator("#code")).to_be_hidden()
    counter.locator("#again").click()
    counter.locator("#enrol").get_by_role("button").click()
    counter.locator("#code svg").wait_for()
    assert counter.evaluate("import('/static/counter/till.js').then(one => one.till.id)") != own


@pytest.mark.parametrize("key", ["nonsense", "go_store_00000000_" + "0" * 64])
def test_a_wrong_key_is_told_so(open_page: Open, key: str) -> None:
    page = open_page("/counter", quiet=False)
    page.locator("#key").fill(key)
    page.locator("#signin").get_by_role("button").click()
    expect(page.locator("#signin-why")).to_contain_text("This key is not known here")
    page.reload()
    expect(page.locator("#key")).to_be_visible()


def test_a_wrong_key_meanwhile_loses_no_confirmation(open_page: Open, site: Site, site_database: Database) -> None:
    """What waits is not given up because the key that was typed is a planner's or another merchant's."""
    with site_database.write() as session:
        other = auth.add_merchant(session, name="Another Oy", now=utcnow())
        foreign = auth.create_key(session, role="store", name="", merchant=other, now=utcnow())[1]
    counter = open_counter(open_page, site, quiet=False, service_workers="block")
    visit = guest(site)
    counter.route("**/confirmations", lambda route: route.abort())
    by_hand(counter, visit["scan"])
    expect(line(counter, visit)).to_contain_text("Waits to be sent")
    for key in (site.planner, foreign, site.app):
        counter.goto(f"{site.base}/verify")
        counter.goto(f"{site.base}/counter#key={key}")
        expect(counter.locator("#signin-why")).to_contain_text("This key is not known here")
    counter.unroute("**/confirmations")
    counter.reload()
    expect(line(counter, visit)).to_contain_text("Confirmed", timeout=20_000)


def test_confirm_takes_the_code_of_the_chosen_guest_alone(open_page: Open, site: Site) -> None:
    counter = open_counter(open_page, site)
    chosen, other = guest(site), guest(site)
    counter.locator(f"#waiting li[data-id='{chosen['id']}'] .yes").click(timeout=10_000)
    counter.locator("#handheld").fill(other["scan"])
    counter.locator("#handheld").press("Enter")
    expect(counter.locator("#scan-why")).to_contain_text("and not of the one you chose")
    assert level(site, other) == 1


def test_who_signs_out_leaves_no_key(counter: Page) -> None:
    counter.locator("#signout").click()
    expect(counter.locator("#key")).to_be_visible()
    assert counter.evaluate("import('/static/kept.js').then(({ get }) => get('keys', 'account'))") is None
    assert counter.evaluate("sessionStorage.length") == 0


# --- the page ----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("language", ["zh-Hans", "zh-Hant", "fi"])
def test_the_page_speaks_the_language_of_its_reader(open_page: Open, site: Site, language: str) -> None:
    page = open_counter(open_page, site, locale={"zh-Hans": "zh-CN", "zh-Hant": "zh-TW", "fi": "fi-FI"}[language])
    known = words("counter", language)
    expect(page.locator(".hello")).to_have_text(known["Scan to check in"])
    expect(page.locator("#online")).to_have_text(known["Online"])
    page.screenshot(path=str(pictures() / f"counter-{language}.png"))


def test_the_page_is_light(open_page: Open, site: Site) -> None:
    """As packed on the way, the camera's library included."""
    # What comes through a service worker is counted unpacked.
    counter = open_counter(open_page, site, service_workers="block")
    counter.locator("#scan").click()
    counter.wait_for_function("() => performance.getEntriesByType('resource').some(one => one.name.endsWith('decode.js'))")
    assert weigh(counter, "counter", without="/v1/") < 150_000
