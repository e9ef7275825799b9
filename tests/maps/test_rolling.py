"""Supply rolled up ahead and written down: the answer is that of the tables, now and as of any moment."""

from __future__ import annotations

import random
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
from geoalchemy2.shape import from_shape
from shapely.geometry import MultiPolygon, box
from shapely.geometry import Point as ShapelyPoint
from sqlalchemy.orm import Session

from geo_o2o.changes.service import note_change
from geo_o2o.config import Settings
from geo_o2o.geo.cells import cell_of, parent, to_hex
from geo_o2o.geo.point import Point
from geo_o2o.http import utcnow
from geo_o2o.ops.jobs import run_jobs
from geo_o2o.stores.categories import tree, with_ancestors, with_descendants
from geo_o2o.stores.models import Store
from geo_o2o.stores.queries import place_stores_in_districts
from geo_o2o.supply.rolling import Stock, coarsen, merge, roll, roll_by_category
from geo_o2o.supply.service import supply_in

from ..conftest import NOW, Api
from ..factories import HELSINKI, make_district, make_offer, make_store
from ..test_http import problem_of
from .asking import BOX, by_hand, close, rolled_up, rows_of, shown


def versions(session: Session) -> dict[int, int]:
    return {row.block: row.version for row in session.execute(sa.text("/* test */ SELECT block, version FROM supply_blocks"))}


def good_until(session: Session) -> set[datetime | None]:
    return set(session.scalars(sa.text("/* test */ SELECT good_until FROM supply_blocks")))


def test_whatever_was_written_the_answer_is_that_of_the_tables(planner_api: Api, session: Session) -> None:
    """Writes and rolling up in any order: what is rolled up, what is not yet, and what has changed since are seen as one."""
    chance = random.Random(21)
    stores = []
    for step in range(30):
        at = Point(chance.uniform(24.90, 25.00), chance.uniform(60.15, 60.20))
        stores.append(
            make_store(session, at=at, category=chance.choice(["food.cafe", "food.bar", "shop.books"]), rating=chance.choice([(0, 0), (7, 2)]))
        )
        if chance.random() < 0.5:
            make_offer(session, chance.choice(stores), valid_until=NOW + timedelta(days=chance.choice([-1, 400])), valid_from=NOW - timedelta(days=9))
        if chance.random() < 0.3:
            victim = stores.pop(chance.randrange(len(stores)))
            close(session, victim)
        session.commit()
        if chance.random() < 0.4:
            rolled_up(session)
        resolution, category = chance.choice([6, 7, 8, 9, 10, 11]), chance.choice([None, "food", "food.cafe", "shop"])
        asked = {"bbox": "24.88,60.14,25.02,60.21", "resolution": resolution, **({"category": category} if category else {})}
        body = planner_api.get("/v1/heat/supply", **asked).get_json()
        assert shown(body) == by_hand(session, resolution, with_descendants(category) if category else None), step


def test_rolling_up_is_done_once_and_again_after_a_change(planner_api: Api, session: Session) -> None:
    store = make_store(session)
    session.commit()
    # A block, and the shard that it lies in.
    assert rolled_up(session) == 2
    assert rolled_up(session) == 0
    before = versions(session)
    assert len(before) == 2
    make_offer(session, store)
    session.commit()
    assert rolled_up(session) == 2
    assert all(versions(session)[block] > version for block, version in before.items())


def test_the_worker_rolls_up(database: Any, session: Session, settings: Settings) -> None:
    make_store(session)
    session.commit()
    assert run_jobs(database, settings, clock=utcnow)["roll up supply"] == 2
    assert run_jobs(database, settings, clock=utcnow)["roll up supply"] == 0


@pytest.mark.parametrize("category", [None, "food", "food.cafe"])
def test_a_wide_screen_is_read_from_whole_shards_until_something_in_them_changes(session: Session, database: Any, category: str | None) -> None:
    stores = [make_store(session, at=Point(24.0 + number / 10, 60.2), category=("food.cafe", "shop.books")[number % 2]) for number in range(20)]
    session.commit()
    rolled_up(session)
    # If anything but the shards' own rows is read, it shows.
    session.execute(sa.text("/* test */ UPDATE supply_cells SET stores = stores + 1000 WHERE block <> shard_cell"))
    session.commit()
    wide = MultiPolygon([box(23.5, 59.9, 26.5, 60.5)])

    def ask(resolution: int) -> dict[str, int]:
        with database.planner() as reader:
            found = supply_in(reader, wide, resolution=resolution, category=category, now=utcnow())
        return {to_hex(cell): count for cell, count in zip(found.cell.tolist(), found.stores.tolist(), strict=True)}

    def expected(resolution: int) -> dict[str, int]:
        return {cell: sums[0] for cell, sums in by_hand(session, resolution, with_descendants(category) if category else None).items()}

    for resolution in (4, 5, 6):
        assert ask(resolution) == expected(resolution)
    session.execute(sa.text("/* test */ UPDATE supply_cells SET stores = stores - 1000 WHERE block <> shard_cell"))
    for store in stores[:4]:
        close(session, store)
        session.commit()
        assert ask(6) == expected(6)
    rolled_up(session)
    assert ask(6) == expected(6)


def test_an_offer_that_begins_or_ends_by_itself_is_counted_from_that_minute(planner_api: Api, session: Session) -> None:
    store = make_store(session)
    make_offer(session, store, valid_from=NOW, valid_until=utcnow() + timedelta(days=1))
    session.commit()
    rolled_up(session)
    assert None not in good_until(session)
    (cell,) = rows_of(planner_api.get("/v1/heat/supply", bbox=BOX).get_json())
    assert cell["offers"] == 1
    # As if the day had passed: the offer is over, and what was rolled up is good no longer.
    session.execute(sa.text("/* test */ UPDATE offer_store SET valid_until = now() - interval '1 second'"))
    session.execute(sa.text("/* test */ UPDATE supply_blocks SET good_until = now() - interval '1 second'"))
    session.commit()
    (cell,) = rows_of(planner_api.get("/v1/heat/supply", bbox=BOX).get_json())
    assert cell["offers"] == 0
    assert rolled_up(session) == 2
    assert good_until(session) == {None}


def test_a_store_counts_in_its_category_in_what_is_above_and_in_all() -> None:
    cell = cell_of(HELSINKI)
    cafe, food, books = tree()["food.cafe"].id, tree()["food"].id, tree()["shop.books"].id
    stock = Stock.of([(cell, cafe, 2, 9, 2, 11, 0), (cell, food, 1, 0, 0, 11, 1), (cell, books, 0, 5, 1, 0, 0)])
    rolled = roll_by_category(stock, 9, above=with_ancestors())
    rows = dict(zip(rolled.category.tolist(), zip(rolled.stores.tolist(), rolled.offers.tolist(), rolled.sample.tolist(), strict=True), strict=True))
    assert rows == {0: (3, 3, 1), food: (2, 3, 1), cafe: (1, 2, 0), tree()["shop"].id: (1, 0, 0), books: (1, 0, 0)}
    hours = {(rolled.category[row], id_): count for row, id_, count in rolled.hours.tolist()}
    assert hours == {(0, 11): 2, (food, 11): 2, (cafe, 11): 1}
    coarse = coarsen(rolled, 5)
    assert [column.tolist() for column in coarse.columns()[1:]] == [column.tolist() for column in rolled.columns()[1:]]
    assert coarse.hours.tolist() == rolled.hours.tolist()
    assert set(coarse.cell.tolist()) == {parent(cell, 5)}


def test_sums_of_parts_are_the_sum_of_the_whole() -> None:
    chance = random.Random(3)
    cells = [cell_of(Point(chance.uniform(24.9, 25), chance.uniform(60.1, 60.2))) for _ in range(200)]
    rows = [(cell, chance.randrange(1, 4), chance.randrange(3), 8, 2, chance.choice([0, 11, 12]), 0) for cell in cells]
    one, other, whole = Stock.of(rows[:80]), Stock.of(rows[80:]), Stock.of(rows)
    for resolution in (7, 9, 11):
        merged = merge([roll(part, resolution, categories=[1, 2, 3]) for part in (one, other)], resolution)
        direct = roll(whole, resolution, categories=[1, 2, 3])
        assert all(np.array_equal(a, b) for a, b in zip(merged.columns(), direct.columns(), strict=True))
        assert 0 < merged.hours[:, 2].sum() == direct.hours[:, 2].sum()
        assert merge([direct], 6).stores.sum() == 200


def test_open_share_at_another_time(planner_api: Api, session: Session) -> None:
    make_store(session, opening_hours="Mo-Su 08:00-10:00", now=utcnow())
    make_store(session, opening_hours="24/7", now=utcnow())
    make_store(session)
    session.commit()
    tomorrow = (utcnow() + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
    for _ in range(2):
        for hour, share in ((7, 1.0), (15, 0.5)):
            at = (tomorrow + timedelta(hours=hour)).isoformat()
            (cell,) = rows_of(planner_api.get("/v1/heat/supply", bbox=BOX, resolution=9, open_at=at).get_json())
            assert cell["open_share"] == share
        rolled_up(session)
    problem_of(planner_api.get("/v1/heat/supply", bbox=BOX, open_at="2099-01-01T00:00:00Z"), 422, "open_at_out_of_range")


def test_supply_is_known_as_of_any_moment_since_it_was_first_rolled_up(planner_api: Api, session: Session) -> None:
    problem_of(planner_api.get("/v1/heat/supply", bbox=BOX, as_of="2026-01-01T00:00:00Z"), 422, "past_not_known")
    first = make_store(session, rating=(9, 2))
    session.commit()
    moments, counts = [], []
    for change in (lambda: None, lambda: make_store(session, at=Point(24.95, 60.17)), lambda: make_offer(session, first)):
        change()
        session.commit()
        rolled_up(session)
        moments.append(utcnow())
        counts.append(shown(planner_api.get("/v1/heat/supply", bbox=BOX, resolution=9).get_json()))
    close(session, first)
    session.commit()
    rolled_up(session)
    for moment, count in zip(moments, counts, strict=True):
        assert shown(planner_api.get("/v1/heat/supply", bbox=BOX, resolution=9, as_of=moment.isoformat()).get_json()) == count
    body = planner_api.get("/v1/heat/supply", bbox=BOX, resolution=9, since=moments[0].isoformat()).get_json()
    changes = {one["cell"]: (one["stores_change"], one["offers_change"], one["rating_mean_before"]) for one in rows_of(body)}
    assert changes == {to_hex(parent(first.cell, 9)): (-1, 0, 4.5), to_hex(parent(cell_of(Point(24.95, 60.17)), 9)): (1, 0, None)}
    body = planner_api.get("/v1/heat/supply", bbox=BOX, resolution=9, since=moments[0].isoformat(), as_of=moments[2].isoformat()).get_json()
    assert {one["cell"]: one["offers_change"] for one in rows_of(body)}[to_hex(parent(first.cell, 9))] == 1


def test_whatever_was_changed_the_past_is_what_was_answered_then(planner_api: Api, session: Session) -> None:
    """Of a box, of a district and of its part: stores come, move, close, come back and change category; offers begin."""
    chance = random.Random(5)
    whole = make_district(session, half_deg=0.008, name="Whole")
    part = make_district(session, half_deg=0.003, name="Part")
    stores: list[Store] = []
    areas = ({"bbox": BOX}, {"district": str(whole.id)}, {"district": str(part.id)}, {"district": str(whole.id), "category": "food"})

    def ask(area: dict[str, str], **more: Any) -> Any:
        return shown(planner_api.get("/v1/heat/supply", **area, resolution=10, **more).get_json())

    known = []
    for _ in range(14):
        at = Point(chance.uniform(24.932, 24.951), chance.uniform(60.160, 60.178))
        stores.append(make_store(session, at=at, category=chance.choice(["food.cafe", "shop.books"]), rating=(8, 2)))
        one = chance.choice(stores)
        match chance.randrange(4):
            case 0:
                close(session, one)
            case 1:
                move(session, one, Point(chance.uniform(24.932, 24.951), chance.uniform(60.160, 60.178)))
            case 2:
                make_offer(session, one)
            case 3:
                one.status, one.category_id = "live", tree()["food.bar"].id
                note_change(session, [one.cell])
        session.commit()
        rolled_up(session)
        known.append((utcnow(), [ask(area) for area in areas]))
    assert len({str(answers) for _, answers in known}) > 10
    assert all(known[-1][1])
    for moment, answers in known:
        assert [ask(area, as_of=moment.isoformat()) for area in areas] == answers
    (_, [_, then, *_]), (_, [_, now, *_]) = known[3], known[-1]
    body = planner_api.get("/v1/heat/supply", district=str(whole.id), resolution=10, since=known[3][0].isoformat()).get_json()
    nothing = (0, 0, 0, 0)
    expected = {cell: now.get(cell, nothing)[0] - then.get(cell, nothing)[0] for cell in now.keys() | then.keys()}
    assert {one["cell"]: one["stores_change"] for one in rows_of(body)} == expected


def move(session: Session, store: Store, at: Point) -> None:
    """Within its shard, where it keeps its id."""
    note_change(session, [store.cell, cell_of(at)])
    store.cell, store.location = cell_of(at), from_shape(ShapelyPoint(at.lon, at.lat), srid=4326)
    session.flush()
    place_stores_in_districts(session, [store.id])
