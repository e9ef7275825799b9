"""Pages that are walked while others write: nothing comes twice, and nothing that nobody touched is missing."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy.orm import Session

from geo_o2o.app import create_app
from geo_o2o.auth import service as auth
from geo_o2o.db import Database
from geo_o2o.geo.cells import VERSIONED_RESOLUTION, cell_of
from geo_o2o.http import utcnow
from geo_o2o.stores import service as stores

from ..conftest import Api
from ..factories import HELSINKI, OPERATOR, make_offer, make_store, north_of
from .places import at

STORES = 160


@pytest.fixture
def busy(fresh_database: Any, tmp_path: Path) -> Iterator[tuple[Database, Api]]:
    conf = replace(fresh_database(), data_dir=tmp_path)
    database = Database(conf)
    app = create_app(conf, database=database)
    with database.write() as session:
        _, key = auth.create_key(session, role="app", name="", merchant=None, now=utcnow())
        for number in range(STORES):
            store = make_store(session, name=f"{'left alone' if number % 2 else 'touched'} {number}", at=north_of(HELSINKI, 11 * number))
            make_offer(session, store, title=store.name)
    yield database, Api(app.test_client(), key)
    app.extensions["finder"].shelf.close()
    database.close()


@pytest.mark.parametrize(("kind", "sort"), [("stores", "points"), ("stores", "distance"), ("offers", "points"), ("offers", "rating")])
def test_pages_walked_while_others_write(busy: tuple[Database, Api], kind: str, sort: str) -> None:
    database, api = busy
    with database.read() as session:
        touched = [row.id for row in stores.queries.walk_stores(session, after=None, limit=STORES) if row.name.startswith("touched")]
    done = threading.Event()
    failures: list[Exception] = []

    def write_on_and_on(seed: int) -> None:
        chance = random.Random(seed)
        while not done.is_set():
            id_ = chance.choice(touched[seed::2])
            try:
                with database.write() as session:
                    store = stores.get_store(session, id_, lock=True)
                    fields = {"name": f"touched {chance.random()}", "at": north_of(HELSINKI, chance.randrange(0, 1_700))}
                    stores.change_store(session, caller=OPERATOR, store_id=id_, version=store.version, fields=fields, now=utcnow(), horizon_d=35)
            except Exception as failure:
                failures.append(failure)

    writers = [threading.Thread(target=write_on_and_on, args=(seed,)) for seed in (0, 1)]
    for one in writers:
        one.start()
    try:
        for _ in range(4):
            seen: list[Any] = []
            cursor: dict[str, Any] = {}
            while True:
                found = api.get(f"/v1/{kind}/nearby", lat=HELSINKI.lat, lng=HELSINKI.lon, sort=sort, limit=17, **cursor)
                assert found.status_code == 200, found.text
                body = found.get_json()
                seen += body["items"]
                if body["next"] is None:
                    break
                cursor = {"cursor": body["next"]}
            alone = [hit["id"] for hit in seen if (hit.get("name") or hit["title"]).startswith("left alone")]
            assert len(alone) == len(set(alone)) == STORES // 2, "what nobody touched comes once"
    finally:
        done.set()
        for one in writers:
            one.join()
    assert not failures


def test_offers_of_an_earlier_page_make_room_for_those_behind_them(ask: Any, session: Session) -> None:
    """Two offers were shown at good stores far away. At bad stores near by they stand before everything else of the next page, until the
    walk comes by the good ones; what it has passed by meanwhile must not be missing.
    """
    places = {title: at(east_m, north_m) for title, east_m, north_m in (
        ("bad", 1_000, 0), ("first", 1_020, 0), ("second", -1_040, 0), ("third", 1_060, 0), ("good", 3_800, 0),
    )}  # fmt: skip
    cells = {title: cell_of(place, VERSIONED_RESOLUTION) for title, place in places.items()}
    assert cells["bad"] == cells["first"] == cells["third"] == cell_of(HELSINKI, VERSIONED_RESOLUTION)
    assert len(set(cells.values())) == 3
    bad, good = make_store(session, at=places["bad"], rating=(400, 400)), make_store(session, at=places["good"], rating=(40_000, 8_000))
    for number in range(2):
        make_offer(session, bad, good, title=f"shown {number}")
    for title in ("first", "second", "third"):
        make_offer(session, make_store(session, at=places[title], rating=(400, 400)), title=title)
    session.commit()
    asked = {"lat": HELSINKI.lat, "lng": HELSINKI.lon, "radius_m": 6_000, "limit": 2}
    titles: list[str] = []
    page = ask("offers/nearby", **asked)
    while True:
        titles += [hit["title"] for hit in page["items"]]
        if page["next"] is None:
            break
        page = ask("offers/nearby", **asked, cursor=page["next"])
    assert sorted(titles[:2]) == ["shown 0", "shown 1"]
    assert titles[2:] == ["first", "second", "third"]


@pytest.mark.parametrize("seed", range(6))
def test_pages_of_offers_in_many_stores_are_together_the_whole(ask: Any, session: Session, seed: int) -> None:
    """Few stores over many cells, of all ratings, and each offer in several of them: what is best for an offer may lie anywhere."""
    chance = random.Random(seed)
    stores = [
        make_store(session, at=at(chance.gauss(0, 2_500), chance.gauss(0, 2_500)), rating=(count * chance.randint(1, 5), count))
        for count in (chance.choice((0, 3, 400)) for _ in range(40))
    ]
    for number in range(60):
        make_offer(session, *chance.sample(stores, chance.choice((1, 2, 2, 3, 6))), title=f"{number}", price_minor=chance.choice((None, 100, 200)))
    session.commit()
    for sort in ("points", "distance", "rating", "price"):
        asked = {"lat": HELSINKI.lat, "lng": HELSINKI.lon, "radius_m": 8_000, "sort": sort, "currency": "EUR"}
        whole = ask("offers/nearby", **asked, limit=100)
        assert whole["next"] is None
        limit, walked = chance.choice((1, 2, 3, 7)), []
        page = ask("offers/nearby", **asked, limit=limit)
        while page["next"] is not None:
            walked += page["items"]
            page = ask("offers/nearby", **asked, limit=limit, cursor=page["next"])
        assert walked + page["items"] == whole["items"]


def test_open_now_means_the_moment_that_is_asked_for_on_every_page(ask: Any, session: Session) -> None:
    """Offers are asked for that hold on another day, on which some of the stores are closed: then `open_now` means that day."""
    day = utcnow() + timedelta(days=3)
    closed_then = f"Mo-Su 00:00-24:00; {day.astimezone(ZoneInfo('Europe/Helsinki')):%a}"[:-1] + " off"
    for number in range(6):
        store = make_store(session, at=north_of(HELSINKI, 10 * number), opening_hours=closed_then if number % 2 else "24/7")
        make_offer(session, store, title=f"offer {number}")
    session.commit()
    asked = {"lat": HELSINKI.lat, "lng": HELSINKI.lon, "open_now": "true", "valid_at": day.isoformat(), "limit": 2}
    titles: list[str] = []
    page = ask("offers/nearby", **asked)
    while True:
        titles += [hit["title"] for hit in page["items"]]
        assert all(hit["store"]["open"] for hit in page["items"])
        assert page["at"][:16] == day.isoformat()[:16]
        if page["next"] is None:
            break
        page = ask("offers/nearby", **asked, cursor=page["next"])
    assert titles == [f"offer {number}" for number in (0, 2, 4)]
