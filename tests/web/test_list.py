"""The visitor's page as the service renders it, without scripts: the list, and the pages of offers and stores."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from flask import Flask
from flask.testing import FlaskClient
from geoalchemy2.shape import from_shape
from shapely.geometry import Point as ShapelyPoint
from sqlalchemy.orm import Session

from geo_o2o.app import create_app
from geo_o2o.config import BadSettings, Settings
from geo_o2o.geo.cells import SHARD_RESOLUTION, cell_of, parent
from geo_o2o.geo.ids import located_id
from geo_o2o.geo.point import Point
from geo_o2o.http import utcnow
from geo_o2o.stores.models import Store
from geo_o2o.web.files import icon
from geo_o2o.web.words import words

from ..conftest import NOW, Api
from ..factories import HELSINKI, make_offer, make_store, north_of

HERE = "lat=60.16900&lng=24.94140"
EVERY_HOUR = "24/7"


@pytest.fixture
def client(app: Flask, client: FlaskClient) -> Iterator[FlaskClient]:
    """A page that begins in Helsinki."""
    before: Settings = app.extensions["settings"]
    app.extensions["settings"] = replace(before, home="60.1690,24.9414")
    yield client
    app.extensions["settings"] = before


def cards(page: str) -> list[str]:
    return [html.unescape(one) for one in re.findall(r'<a class="o".*?</a>', page, re.S)]


def ids(page: str) -> list[str]:
    return re.findall(r'<a class="o"[^>]* data-id="([^"]+)"', page)


def words_of(markup: str) -> str:
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", markup)).split())


def test_the_list_is_that_of_the_api(client: FlaskClient, session: Session, app_api: Api) -> None:
    for number in range(30):
        store = make_store(session, at=north_of(HELSINKI, 37 * (number % 7) + 11 * number), name=f"Store {number}", rating=(4 * number, number))
        make_offer(session, store, title=f"Offer {number}", price_minor=100 * number + 50, currency="EUR")
    session.commit()
    for query, asked in (
        (HERE, {}), ("", {}), (f"{HERE}&q=offer+2", {"q": "offer 2"}), (f"{HERE}&walk_min=5", {"walk_min": 5}), (f"{HERE}&min_rating=4", {"min_rating": 4}),
        (f"{HERE}&price_max=1000&currency=EUR", {"price_max": 1_000, "currency": "EUR"}), (f"{HERE}&category=shop", {"category": "shop"}),
        (f"{HERE}&limit=40", {"limit": 40}),
    ):  # fmt: skip
        api = app_api.get("/v1/offers/nearby", lat=60.169, lng=24.9414, **asked).get_json()
        assert ids(client.get(f"/?{query}").text) == [one["id"] for one in api["items"]], query
    stores = app_api.get("/v1/stores/nearby", lat=60.169, lng=24.9414).get_json()
    assert ids(client.get(f"/?{HERE}&kind=stores").text) == [one["id"] for one in stores["items"]]


def test_a_card_says_why_it_is_there_and_whether_one_can_go_in(client: FlaskClient, session: Session) -> None:
    store = make_store(
        session,
        name="Kahvila",
        names={"en": "The Café", "zh-Hant": "咖啡館"},
        at=north_of(HELSINKI, 320),
        rating=(975, 212),
        opening_hours=EVERY_HOUR,
    )
    make_offer(session, store, title="Pulla", titles={"en": "A bun", "zh-Hans": "面包"}, price_minor=545, list_price_minor=700, currency="EUR")
    session.commit()
    [card] = cards(client.get(f"/?{HERE}").text)
    assert words_of(card) == "A bun €5.45 €7.00 Place 1 The Café Kahvila Café 4 mins · 320 m 4.6 from 212 ratings Open day and night"
    [card] = cards(client.get(f"/?{HERE}&lang=fi").text)
    assert "5,45 €" in words_of(card)
    assert "320 m" in words_of(card)
    assert words("visitor", "fi")["Open day and night"] in words_of(card)
    [card] = cards(client.get(f"/?{HERE}", headers={"Accept-Language": "zh-CN"}).text)
    assert words_of(card).startswith("面包 €5.45")
    [card] = cards(client.get(f"/?{HERE}", headers={"Accept-Language": "zh-TW"}).text)
    assert "咖啡館" in words_of(card)


def test_opening_hours_are_said_as_a_person_would(client: FlaskClient, session: Session) -> None:
    now = utcnow()
    soon, later = (now + timedelta(minutes=90)).strftime("%H:%M"), (now + timedelta(minutes=180)).strftime("%H:%M")
    ago = (now - timedelta(minutes=90)).strftime("%H:%M")
    for name, hours in (
        ("open", f"Mo-Su {ago}-{soon}"),
        ("shut", f"Mo-Su {soon}-{later}"),
        ("never", "off"),
        ("unknown", None),
        ("always", EVERY_HOUR),
    ):
        make_store(session, name=name, opening_hours=hours, time_zone="UTC", country="GB")
    session.commit()
    said = {words_of(card).split()[0]: words_of(card) for card in cards(client.get(f"/?{HERE}&kind=stores").text)}
    assert f"Open until {soon}" in said["open"]
    assert re.search(rf"Closed now, opens (\w+day )?{soon}", said["shut"])
    assert "Closed this week" in said["never"]
    assert "Hours not known" in said["unknown"]
    assert "Open day and night" in said["always"]
    american = client.get(f"/?{HERE}&kind=stores", headers={"Accept-Language": "en-US"}).text
    assert re.search(r"Open until \d{1,2}:\d\d\s[AP]M", words_of(american))


HOSTILE = ["x" * 200, "قهوة السوق", "☕️🥐 👩‍👩‍👧", "<script>alert(1)</script>", "\"' onmouseover=alert(1) x='", "{{ 7*7 }}", "a‮b"]


def test_whatever_a_store_calls_itself_is_text(client: FlaskClient, session: Session) -> None:
    for name in HOSTILE:
        store = make_store(session, name=name, website="javascript:alert(1)", phone='"><b>', address={"street": "<i>"})
        make_offer(session, store, title=name, titles={"en": name})
    session.commit()
    page = client.get(f"/?{HERE}").text
    assert len(cards(page)) == len(HOSTILE)
    for name in HOSTILE:
        assert page.count(f"<bdi>{html.escape(name).replace('&#x27;', '&#39;').replace('&quot;', '&#34;')}</bdi>") == 2, name
    for card, where in ((one, re.search(r'href="([^"]+)"', one)) for one in cards(page)):
        assert where is not None, card
        place = client.get(where[1]).text
        assert "javascript:" not in place
        assert "<script>alert" not in place
        assert "<b>" not in place.replace('<b class="price">', "")
        assert "<i>" not in place


@pytest.mark.parametrize(
    ("query", "names"),
    [("lat=nan&lng=1", ["lat"]), ("lat=91&lng=1", ["lat"]), ("lat=60.169", ["lat"]), ("lng=24", ["lng"]), ("lat=61.5&walk_min=5", ["lat"]), (f"{HERE}&walk_min=x", ["walk_min"]), (f"{HERE}&category=no.such", ["category"]),
     (f"{HERE}&min_rating=9&walk_min=-1", ["min_rating", "walk_min"]), (f"{HERE}&limit=100000", ["limit"]), (f"{HERE}&open_now=maybe", ["open_now"]), (f"{HERE}&q=%00", ["q"]),
     (f"{HERE}&q=!!!", ["q"]), (f"{HERE}&q={'x' * 5_000}", ["q"]), (f"{HERE}&price_max=-5&currency=EUR", ["price_max"]), (f"{HERE}&price_max=500&currency=XX", ["currency"]),
     (f"{HERE}&lang=%3Cscript%3E", []), (f"{HERE}&nonsense=1&cursor=x&profile=x&radius_m=-1", []), (f"{HERE}&price_max=5", [])],
)  # fmt: skip
def test_what_cannot_be_read_is_left_out_and_said(client: FlaskClient, session: Session, query: str, names: list[str]) -> None:
    make_offer(session, make_store(session))
    session.commit()
    response = client.get(f"/?{query}")
    assert response.status_code == 200
    assert len(cards(response.text)) == 1
    said = re.search(r"Not understood, and left out: ([^<]*)<", response.text)
    assert sorted(said[1].split(", ") if said else []) == sorted(names)
    assert "<script>" not in response.text


def test_nothing_is_said_where_nothing_is(client: FlaskClient) -> None:
    response = client.get(f"/?{HERE}&walk_min=5")
    assert "Nothing is here that you ask for" in response.text
    assert "Look farther away" in response.text


def test_of_ten_thousand_the_best_hundred_are_shown(client: FlaskClient, session: Session, app_api: Api) -> None:
    first = make_store(session, name="Store")
    columns = [one.name for one in Store.__table__.columns if not one.computed]
    like = {name: getattr(first, name) for name in columns} | {"location": None}
    rows = []
    for number in range(1, 10_000):
        # A square kilometre of a hundred rows.
        at = Point(HELSINKI.lon + number % 100 * 0.00018, HELSINKI.lat + number // 100 * 0.00009)
        cell = cell_of(at)
        id_ = located_id(cell, now=NOW, chance=number)
        where = {"cell": cell, "shard_cell": parent(cell, SHARD_RESOLUTION), "location": from_shape(ShapelyPoint(at.lon, at.lat), srid=4326)}
        rows.append({**like, **where, "id": id_, "name": f"Store {number}", "source_id": str(number)})
    session.execute(sa.insert(Store), rows)
    session.commit()
    assert session.scalar(sa.text("/* test */ SELECT count(*) FROM stores")) == 10_000
    page = client.get(f"/?{HERE}&kind=stores").text
    more = re.search(r'id="more" href="([^"]+)"', page)
    counts = [len(cards(page))]
    while more:
        page = client.get("/" + html.unescape(more[1])).text
        counts.append(len(cards(page)))
        more = re.search(r'id="more" href="([^"]+)"', page)
    assert counts == [20, 40, 60, 80, 100]
    assert "The best hundred are shown" in page


def test_the_part_that_changes_comes_alone(client: FlaskClient, session: Session) -> None:
    store = make_store(session, name="Kahvila")
    session.commit()
    part = client.get(f"/?{HERE}&kind=stores&part=1").text
    assert part.startswith('<div class="found"')
    assert "<html" not in part
    assert client.get(f"/stores/{store.id}?part=1").text.startswith('<div class="one"')


@pytest.mark.parametrize("path", [f"/?{HERE}", "/", "/stores/01a20573-538d-8112-9b65-7d52302ae626", "/offers/01a20573-538d-8112-9b65-7d52302ae626"])
@pytest.mark.parametrize("language", ["en", "zh-Hant"])
def test_without_its_database_the_page_says_so_to_a_person(tmp_path: Path, path: str, language: str) -> None:
    """Nobody listens on port 1."""
    away = create_app(Settings(database_url="postgresql+psycopg2://nobody@127.0.0.1:1/nothing", data_dir=tmp_path)).test_client()
    response = away.get(path, headers={"Accept-Language": language})
    said = "The service cannot reach its data"
    assert (response.status_code, response.mimetype) == (503, "text/html")
    assert words("visitor", language).get(said, said) in response.text
    assert int(response.headers["Retry-After"]) > 0
    assert 'id="ask"' in response.text


# --- one place ---------------------------------------------------------------------------------------------------------------------


def test_an_offer_has_a_page_with_hours_and_reasons(client: FlaskClient, session: Session) -> None:
    store = make_store(
        session, name="Kahvila", rating=(975, 212), opening_hours="Mo-Fr 08:00-18:00; Sa 10:00-02:00", address={"street": "Aleksanterinkatu", "housenumber": "52", "postcode": "00100",
        "city": "Helsinki"}, website="https://kahvila.example", phone="+358 9 123",
    )  # fmt: skip
    offer = make_offer(session, store, title="Pulla", price_minor=545, currency="EUR", valid_until=utcnow() + timedelta(days=9))
    make_offer(session, store, title="Lunch")
    session.commit()
    said = words_of(client.get(f"/offers/{offer.id}?{HERE}").text)
    for expected in (
        "Pulla €5.45", "Kahvila · Café".replace(" · ", " "), "4.6 from 212 ratings", "Why this place", "0 m away: 600 of 600 points", "Other offers here Lunch", "Aleksanterinkatu 52, 00100 Helsinki",
        "+358 9 123", "https://kahvila.example", "10:00 – 02:00", "closed", "until ",
    ):  # fmt: skip
        assert expected in said, expected
    assert len(re.findall(r'<th scope="row">', client.get(f"/stores/{store.id}").text)) == 7
    # Without a position there is no distance, and no reason.
    assert "Why this place" not in client.get(f"/offers/{offer.id}").text


def test_an_offer_of_many_stores_is_shown_at_the_wanted_one(client: FlaskClient, session: Session) -> None:
    stores = [make_store(session, name=name) for name in ("First", "Second")]
    offer, other = make_offer(session, *stores, title="Pulla"), make_store(session, name="Third")
    session.commit()
    assert "<bdi>Second</bdi>" in client.get(f"/offers/{offer.id}?store={stores[1].id}").text
    assert "<bdi>Third</bdi>" not in client.get(f"/offers/{offer.id}?store={other.id}").text


def test_what_is_over_or_unknown_is_said_to_a_person(client: FlaskClient, session: Session, admin_api: Api) -> None:
    store = make_store(session, name="Kahvila")
    offer = make_offer(session, store, title="Pulla")
    session.commit()
    for path in (
        "/stores/nonsense",
        "/offers/01a20573-538d-8112-9b65-7d52302ae626",
        "/stores/01a20573-538d-8112-9b65-7d52302ae626",
        f"/offers/{offer.id}?store=x",
    ):
        response = client.get(path)
        assert (response.status_code, "This place is not known here" in response.text) == (404, True), path
    version = admin_api.get(f"/v1/offers/{offer.id}").get_json()["version"]
    assert admin_api.patch(f"/v1/offers/{offer.id}", {"status": "paused"}, version).status_code == 200
    page = client.get(f"/offers/{offer.id}").text
    assert "This offer does not hold here at the moment" in page
    assert admin_api.delete(f"/v1/stores/{store.id}", admin_api.get(f"/v1/stores/{store.id}").get_json()["version"]).status_code in (200, 204)
    response = client.get(f"/stores/{store.id}")
    assert (response.status_code, "This is over" in response.text) == (410, True)


def test_a_draft_is_nobodys_to_see(client: FlaskClient, session: Session) -> None:
    offer = make_offer(session, make_store(session), title="Secret", status="draft")
    session.commit()
    response = client.get(f"/offers/{offer.id}")
    assert response.status_code == 404
    assert "Secret" not in response.text


def test_a_store_that_moved_is_found_where_it_is(client: FlaskClient, session: Session, admin_api: Api) -> None:
    store = make_store(session, name="Kahvila")
    session.commit()
    moved = admin_api.patch(f"/v1/stores/{store.id}", {"lat": 61.5, "lng": 23.76}, 1).get_json()
    assert moved["id"] != str(store.id)
    response = client.get(f"/stores/{store.id}")
    assert (response.status_code, response.headers["Location"]) == (308, f"/stores/{moved['id']}")


def test_a_closed_store_is_closed_for_good(client: FlaskClient, session: Session) -> None:
    store = make_store(session, status="closed", opening_hours=EVERY_HOUR)
    session.commit()
    page = client.get(f"/stores/{store.id}").text
    assert "Closed for good" in page
    assert "Open day and night" not in page


# --- where it begins ---------------------------------------------------------------------------------------------------------------


def test_without_a_setting_the_page_begins_at_a_store(app: Flask, client: FlaskClient, session: Session) -> None:
    app.extensions["settings"] = replace(app.extensions["settings"], home="")
    assert 'data-lat="0.0"' in client.get("/").text
    make_offer(session, make_store(session, at=HELSINKI))
    session.commit()
    assert len(cards(client.get("/").text)) == 1


@pytest.mark.parametrize("home", ["60", "60,24,1", "x,y", "91,0", "0,181", "nan,0"])
def test_a_home_that_is_no_place_is_refused(home: str) -> None:
    with pytest.raises(BadSettings, match="GEO_O2O_HOME"):
        Settings(home=home)


def test_every_icon_is_there() -> None:
    from geo_o2o.web.cards import ICONS

    assert all(icon(name).startswith("<svg") and icon(name).endswith("</svg>") for name in {*ICONS.values(), "store", "search"})
    assert icon("moon").count("<svg") == 1
