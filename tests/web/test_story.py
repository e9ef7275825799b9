"""The whole story in real browsers: a visitor finds a place, walks there, scans the counter's code; staff scan the visitor's; the visitor
keeps the receipt, an auditor checks it, and a forged one is refused. Each camera sees what the other screen shows.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Browser, Locator, Page, expect

from .conftest import Site, pictures
from .test_verify import check

Open = Callable[..., Page]


def film(code: Locator, camera: Path, studio: Browser) -> None:
    """What a camera sees that is held in front of a code on a screen: pictures of a size that a camera has."""
    page = studio.new_page(viewport={"width": 640, "height": 480})
    page.set_content(
        f"<style>body{{margin:0;background:#777}}svg{{display:block;width:440px;margin:20px auto}}</style>{code.evaluate('e => e.outerHTML')}"
    )
    camera.write_bytes(page.screenshot(type="jpeg", quality=90) * 3)
    page.close()


def frame(page: Page, number: int, name: str) -> None:
    """A picture of the story, for whoever wants to look."""
    page.screenshot(path=str(pictures() / f"story-{number}-{name}.png"))


def open_counter(open_page: Open, site: Site, of: Browser, **more: object) -> Page:
    """A counter that is signed in, and a till."""
    page = open_page(f"/counter#key={site.store}", of=of, width=1_180, height=820, **more)
    page.locator("#enrol").wait_for()
    page.locator("#till-name").fill("Till 1")
    page.get_by_role("button", name="Make it a till").click()
    page.locator("#code svg").wait_for()
    return page


def near(site: Site) -> dict[str, float]:
    return {"latitude": site.cafe["lat"], "longitude": site.cafe["lng"], "accuracy": 15}


def test_a_visitor_walks_in_and_an_auditor_believes_it(
    open_page: Open, site: Site, launch: Callable[..., Browser], browser: Browser, tmp_path: Path
) -> None:
    phone_sees, till_sees = tmp_path / "phone.mjpeg", tmp_path / "till.mjpeg"
    phones, tills = launch(phone_sees), launch(till_sees)
    counter = open_counter(open_page, site, tills)
    frame(counter, 1, "counter")

    # The visitor stands some streets away, finds the café, and walks there.
    away = {"latitude": site.cafe["lat"] + 0.002, "longitude": site.cafe["lng"] + 0.004, "accuracy": 20}
    phone = open_page("/", of=phones, width=390, height=844, permissions=["geolocation"], geolocation=away, is_mobile=True, has_touch=True)
    phone.get_by_role("button", name="Use my position").click()
    expect(phone.locator(".found")).to_have_attribute("data-lat", f"{away['latitude']:.5f}".rstrip("0"))
    frame(phone, 2, "near-me")
    phone.locator("#q").fill(site.cafe["name"])
    phone.locator("#q").press("Enter")
    card = phone.locator(f".o[data-store='{site.cafe['id']}']").first
    expect(card).to_contain_text(site.cafe["name"])
    card.click()
    expect(phone.locator("#place h2")).to_be_visible()
    frame(phone, 3, "place")
    phone.context.set_geolocation(near(site))

    # The phone scans the counter's code.
    phone.get_by_role("button", name="Check in here").click()
    film(counter.locator("#code svg"), phone_sees, browser)
    phone.locator("#scan").click()
    expect(phone.locator("#level")).to_have_text("Level 2: coded", timeout=20_000)
    frame(phone, 4, "coded")

    # The counter sees who waits, and scans the visitor's.
    guest = counter.locator(f"#waiting li[data-id='{phone.locator('#visit').get_attribute('data-id')}']")
    expect(guest).to_be_visible(timeout=10_000)
    assert (phone.locator("#visit").inner_text()).count(guest.locator("b").inner_text().removeprefix("Guest ")) == 1
    expect(guest).to_contain_text("position, the till's code")
    film(phone.locator("#visit .qr"), till_sees, browser)
    guest.get_by_role("button", name="Confirm").click()
    expect(counter.locator("#said")).to_contain_text("is confirmed", timeout=20_000)
    expect(counter.locator(f"#earlier li[data-id='{phone.locator('#visit').get_attribute('data-id')}']")).to_contain_text("Confirmed")
    frame(counter, 5, "confirmed")

    # The visitor keeps the receipt, also after closing the page.
    expect(phone.locator("#level")).to_have_text("Level 3: confirmed", timeout=20_000)
    expect(phone.locator("#receipt")).to_have_attribute("data-state", "kept", timeout=60_000)
    frame(phone, 6, "receipt")
    phone.reload()
    phone.get_by_role("button", name="Your visits and saved places").click()
    line = phone.locator("#visits li")
    expect(line).to_contain_text("Level 3: confirmed")
    with phone.expect_download() as saving:
        line.get_by_role("button", name="Save as a file").click()
    kept = tmp_path / "coffee.visit"
    saving.value.save_as(kept)
    frame(phone, 7, "visits")

    # The auditor believes it, and not the forged one.
    auditor = open_page("/verify", of=browser)
    assert check(auditor, tmp_path, policy=None) == "good"
    expect(auditor.locator("#answer")).to_contain_text("Level 3: confirmed")
    frame(auditor, 8, "verified")
    forged = kept.read_bytes()
    kept.write_bytes(forged[:300] + bytes([forged[300] ^ 1]) + forged[301:])
    auditor.evaluate("document.querySelector('#answer').dataset.state = ''")
    assert check(auditor, tmp_path, policy=None) == "bad"
    frame(auditor, 9, "forged")
