"""Heat layers through the API."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import random
from collections import Counter
from datetime import timedelta
from typing import Any
from uuid import uuid4

import h3.api.basic_int as h3
import numpy as np
import pyarrow as pa
import pytest
import sqlalchemy as sa
from shapely.geometry import MultiPolygon, box, shape
from sqlalchemy.orm import Session

from geo_o2o.changes.service import note_change
from geo_o2o.config import Settings
from geo_o2o.geo.cells import cell_of, parent, parse_hex, to_hex
from geo_o2o.geo.point import Point
from geo_o2o.http import utcnow
from geo_o2o.maps.outlines import outline
from geo_o2o.maps.schemas import Heat
from geo_o2o.maps.service import hidden_cells
from geo_o2o.releases import service as releases
from geo_o2o.releases.periods import parse_period
from geo_o2o.releases.products import PRODUCTS
from geo_o2o.stores.categories import with_descendants
from geo_o2o.stores.models import Store
from geo_o2o.supply.rolling import Stock, merge, roll
from geo_o2o.supply.service import roll_due

from ..conftest import NOW, Api
from ..factories import HELSINKI, make_district, make_offer, make_store, make_visits
from ..test_http import problem_of

BOX = "24.93,60.16,24.96,60.18"


def rows_of(body: dict[str, Any]) -> list[dict[str, Any]]:
    columns = body["columns"]
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def rolled_up(session: Session) -> int:
    """Everything is rolled up, as by the worker; returns how many blocks were."""
    total = 0
    while done := roll_due(session, now=utcnow()):
        total += done
    session.commit()
    return total


def scatter(session: Session, count: int) -> list[Point]:
    chance = random.Random(9)
    points = [Point(chance.uniform(24.935, 24.955), chance.uniform(60.162, 60.178)) for _ in range(count)]
    for number, point in enumerate(points):
        make_store(
            session,
            name=f"Store {number}",
            at=point,
            rating=(4 * (number % 3), number % 3),
            category="shop.books" if number % 4 == 0 else "food.cafe",
        )
    return points


@pytest.mark.parametrize("resolution", [6, 8, 9, 11])
def test_supply_counts_every_store_once_in_the_cell_that_holds_its_index(planner_api: Api, session: Session, resolution: int) -> None:
    points = scatter(session, 60)
    outside = Point(24.97, 60.17)
    make_store(session, name="outside the box", at=outside)
    make_store(session, name="closed", status="closed")
    session.commit()
    touching = box(24.93, 60.16, 24.96, 60.18)
    cells = Counter(h3.cell_to_parent(cell_of(point), resolution) for point in [*points, outside])
    expected = {cell: count for cell, count in cells.items() if shape(outline(cell)).intersects(touching)}
    for _ in range(2):
        # Summed up with the question, and then from what was rolled up.
        body = planner_api.get("/v1/heat/supply", bbox=BOX, resolution=resolution).get_json()
        assert {parse_hex(one["cell"]): one["stores"] for one in rows_of(body)} == expected
        assert set(body) <= set(Heat().fields)
        for one in rows_of(body):
            assert one["area_km2"] == pytest.approx(h3.cell_area(parse_hex(one["cell"]), unit="km^2"), abs=1e-6)
            assert one["stores_per_km2"] == pytest.approx(one["stores"] / one["area_km2"], abs=0.001 + one["stores_per_km2"] * 1e-3)
        rolled_up(session)


def test_offers_ratings_and_open_share_are_the_cells(planner_api: Api, session: Session) -> None:
    always = make_store(session, opening_hours="24/7", rating=(9, 2), now=utcnow())
    make_store(session, opening_hours="off", rating=(3, 1), now=utcnow())
    make_store(session)
    make_offer(session, always)
    make_offer(session, always, status="draft")
    session.commit()
    (cell,) = rows_of(planner_api.get("/v1/heat/supply", bbox=BOX, resolution=9).get_json())
    assert cell["sample"] is False
    assert (cell["stores"], cell["offers"], cell["rating_mean"], cell["rating_count"], cell["open_share"]) == (3, 1, 4.0, 3, 0.5)


def test_figures_made_from_samples_say_so(planner_api: Api, session: Session) -> None:
    make_store(session, rating=(9, 2), rating_sample=True)
    session.commit()
    assert [one["sample"] for one in rows_of(planner_api.get("/v1/heat/supply", bbox=BOX).get_json())] == [True]


def test_a_districts_supply_is_that_of_its_stores_and_sums_to_them(planner_api: Api, session: Session) -> None:
    district = make_district(session, half_deg=0.005)
    inside = sum(abs(point.lon - HELSINKI.lon) <= 0.005 and abs(point.lat - HELSINKI.lat) <= 0.005 for point in scatter(session, 80))
    session.commit()
    sums = {
        resolution: sum(
            one["stores"] for one in rows_of(planner_api.get("/v1/heat/supply", district=str(district.id), resolution=resolution).get_json())
        )
        for resolution in (6, 9, 11)
    }
    assert set(sums.values()) == {inside}
    assert 0 < inside < 80
    books = rows_of(planner_api.get("/v1/heat/supply", district=str(district.id), category="shop").get_json())
    assert 0 < sum(one["stores"] for one in books) < inside


def test_supply_as_geojson_has_outlines(planner_api: Api, session: Session) -> None:
    scatter(session, 20)
    session.commit()
    response = planner_api.get("/v1/heat/supply", bbox=BOX, resolution=10, format="geojson")
    assert response.mimetype == "application/geo+json"
    body = response.get_json()
    assert body["type"] == "FeatureCollection"
    for one in body["features"]:
        hexagon = shape(one["geometry"])
        assert hexagon.is_valid
        assert hexagon.exterior.is_ccw
        assert hexagon.contains(shape({"type": "Point", "coordinates": [one["properties"]["lng"], one["properties"]["lat"]]}))


def test_a_box_across_the_date_line_counts_both_sides(planner_api: Api, session: Session) -> None:
    make_store(session, at=Point(179.99, -17), time_zone="UTC")
    make_store(session, at=Point(-179.99, -17), time_zone="UTC")
    make_store(session, at=Point(179.0, -17), time_zone="UTC")
    session.commit()
    items = rows_of(planner_api.get("/v1/heat/supply", bbox="179.9,-17.1,-179.9,-16.9", resolution=8).get_json())
    assert sum(one["stores"] for one in items) == 2


def test_an_outline_across_the_date_line_is_cut_in_two() -> None:
    cell = cell_of(Point(180, 10), 5)
    geometry = shape(outline(cell))
    assert geometry.geom_type == "MultiPolygon"
    west, _, east, _ = geometry.bounds
    assert (west, east) == (-180.0, 180.0)


@pytest.mark.parametrize(
    ("params", "field"),
    [
        ({}, "district"), ({"bbox": BOX, "district": "01a1fff2-6630-8112-9b5c-a9272055c5ec"}, "district"), ({"bbox": "24,60,25"}, "bbox"), ({"bbox": "24,61,25,60"}, "bbox"),
        ({"bbox": "nan,60,25,61"}, "bbox"), ({"bbox": "60,24,61,125"}, "bbox"), ({"bbox": BOX, "resolution": 5}, "resolution"), ({"bbox": BOX, "resolution": 12}, "resolution"),
        ({"bbox": BOX, "category": "x"}, "category"), ({"bbox": BOX, "format": "xml"}, "format"), ({"bbox": "-180,-90,180,90"}, "bbox"),
    ],
)  # fmt: skip
def test_supply_refuses_nonsense_by_name(planner_api: Api, params: dict[str, Any], field: str) -> None:
    response = planner_api.get("/v1/heat/supply", **params)
    assert response.status_code == 422, response.text
    assert response.get_json()["errors"][0]["field"] == field


def test_supply_of_a_district_that_is_not_there(planner_api: Api) -> None:
    problem_of(planner_api.get("/v1/heat/supply", district="01a1fff2-6630-8112-9b5c-a9272055c5ec"), 404, "not_found")


# --- rolled up ahead -------------------------------------------------------------------------------------------------------------


def by_hand(session: Session, resolution: int, codes: list[int] | None) -> dict[str, tuple[Any, ...]]:
    """Supply per cell straight from the tables: stores, offers, sum and number of ratings."""
    rows = session.execute(
        sa.text(
            "/* test */ SELECT cell, category_id, rating_sum, rating_count, (SELECT count(*) FROM offer_store o WHERE o.shard_cell = s.shard_cell AND o.store_id = s.id"
            " AND o.valid_from <= :now AND (o.valid_until IS NULL OR o.valid_until > :now)) AS offers FROM stores s WHERE status = 'live'"
        ),
        {"now": utcnow()},
    )
    found: dict[str, np.ndarray] = {}
    for row in rows:
        if codes is None or row.category_id in codes:
            cell = to_hex(h3.cell_to_parent(row.cell, resolution))
            found[cell] = found.get(cell, np.zeros(4, dtype=int)) + np.array([1, row.offers, row.rating_sum, row.rating_count])
    return {cell: tuple(one.tolist()) for cell, one in found.items()}


def shown(body: dict[str, Any]) -> dict[str, tuple[Any, ...]]:
    return {
        one["cell"]: (one["stores"], one["offers"], round((one["rating_mean"] or 0) * one["rating_count"]), one["rating_count"])
        for one in rows_of(body)
    }


def close(session: Session, store: Store) -> None:
    store.status = "closed"
    session.flush()
    note_change(session, [store.cell])


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
    assert rolled_up(session) == 1
    assert rolled_up(session) == 0
    version = session.scalar(sa.text("/* test */ SELECT version FROM supply_blocks"))
    make_offer(session, store)
    session.commit()
    assert rolled_up(session) == 1
    assert session.scalar(sa.text("/* test */ SELECT version FROM supply_blocks")) > version


def test_an_offer_that_begins_or_ends_by_itself_is_counted_from_that_minute(planner_api: Api, session: Session) -> None:
    store = make_store(session)
    make_offer(session, store, valid_from=NOW, valid_until=utcnow() + timedelta(days=1))
    session.commit()
    rolled_up(session)
    assert session.scalar(sa.text("/* test */ SELECT good_until FROM supply_blocks")) is not None
    (cell,) = rows_of(planner_api.get("/v1/heat/supply", bbox=BOX).get_json())
    assert cell["offers"] == 1
    # As if the day had passed: the offer is over, and what was rolled up is good no longer.
    session.execute(sa.text("/* test */ UPDATE offer_store SET valid_until = now() - interval '1 second'"))
    session.execute(sa.text("/* test */ UPDATE supply_blocks SET good_until = now() - interval '1 second'"))
    session.commit()
    (cell,) = rows_of(planner_api.get("/v1/heat/supply", bbox=BOX).get_json())
    assert cell["offers"] == 0
    assert rolled_up(session) == 1
    assert session.scalar(sa.text("/* test */ SELECT good_until FROM supply_blocks")) is None


def test_sums_of_parts_are_the_sum_of_the_whole() -> None:
    chance = random.Random(3)
    cells = [cell_of(Point(chance.uniform(24.9, 25), chance.uniform(60.1, 60.2))) for _ in range(200)]
    rows = [(cell, chance.randrange(1, 4), chance.randrange(3), 8, 2, chance.choice([0, 11, 12]), 0) for cell in cells]
    one, other, whole = Stock.of(rows[:80]), Stock.of(rows[80:]), Stock.of(rows)
    for resolution in (7, 9, 11):
        merged = merge([roll(part, resolution, categories=[1, 2, 3]) for part in (one, other)])
        direct = roll(whole, resolution, categories=[1, 2, 3])
        assert all(np.array_equal(a, b) for a, b in zip(merged.columns(), direct.columns(), strict=True))
        assert 0 < merged.hours[:, 2].sum() == direct.hours[:, 2].sum()
        assert merge([direct], resolution=6).stores.sum() == 200


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


# --- as it was ---------------------------------------------------------------------------------------------------------------------


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


@pytest.mark.parametrize(
    ("params", "field"),
    [
        ({"bbox": BOX, "as_of": "2026-11-01T00:00:00Z", "since": "2026-11-02T00:00:00Z"}, "since"),
        ({"bbox": BOX, "as_of": "yesterday"}, "as_of"),
        ({"bbox": BOX, "as_of": "2026-11-01T00:00:00Z", "open_at": "2026-11-02T00:00:00Z"}, "open_at"),
        ({"district": str(uuid4()), "as_of": "2026-11-01T00:00:00Z"}, "as_of"),
        ({"bbox": BOX, "within": "{}"}, "within"),
        ({"within": "nonsense"}, "within"),
        ({"within": json.dumps({"type": "Polygon", "coordinates": [[[0, 0], [1, 1], [1, 0], [0, 1], [0, 0]]]})}, "within"),
        ({"bbox": BOX, "zoom": 23}, "zoom"),
        ({"bbox": BOX, "resolution": 15}, "resolution"),
    ],
)
def test_questions_that_cannot_be_are_refused_by_name(planner_api: Api, params: dict[str, Any], field: str) -> None:
    assert problem_of(planner_api.get("/v1/heat/supply", **params), 422, "invalid_input")["errors"][0]["field"] == field


def test_a_country_at_the_finest_resolution_is_refused_with_the_reason(planner_api: Api) -> None:
    body = problem_of(planner_api.get("/v1/heat/supply", bbox="-8,50,2,59", resolution=11), 422, "too_many_cells")
    assert "coarser" in body["errors"][0]["message"]
    assert planner_api.get("/v1/heat/supply", bbox="-8,50,2,59").get_json()["resolution"] == 6


@pytest.mark.parametrize(("zoom", "resolution"), [(0, 6), (10, 6), (12, 8), (14, 9), (16, 10), (22, 11)])
def test_the_zoom_chooses_the_resolution(planner_api: Api, zoom: int, resolution: int) -> None:
    assert planner_api.get("/v1/heat/supply", bbox=BOX, zoom=zoom).get_json()["resolution"] == resolution


def test_without_either_the_area_chooses_it(planner_api: Api) -> None:
    assert planner_api.get("/v1/heat/supply", bbox=BOX).get_json()["resolution"] == 11
    assert planner_api.get("/v1/heat/supply", bbox="24.5,60.0,25.5,60.5").get_json()["resolution"] == 7


# --- four forms ----------------------------------------------------------------------------------------------------------------------


def test_every_form_says_the_same(planner_api: Api, session: Session) -> None:
    scatter(session, 30)
    session.commit()
    rolled_up(session)

    def ask(form: str) -> Any:
        return planner_api.get("/v1/heat/supply", bbox=BOX, resolution=10, format=form)

    rows = rows_of(ask("json").get_json())
    assert len(rows) > 10
    assert [one["properties"] for one in ask("geojson").get_json()["features"]] == rows
    answer = ask("csv")
    assert answer.mimetype == "text/csv"
    read = list(csv.DictReader(io.StringIO(answer.text)))
    assert [(one["cell"], int(one["stores"]), one["rating_mean"]) for one in read] == [
        (one["cell"], one["stores"], "" if one["rating_mean"] is None else str(one["rating_mean"])) for one in rows
    ]
    answer = ask("arrow")
    assert answer.mimetype == "application/vnd.apache.arrow.stream"
    table = pa.ipc.open_stream(answer.data).read_all()
    assert table.to_pylist() == rows
    assert table.schema.metadata[b"layer"] == b'"supply"'
    tag = ask("csv").headers["ETag"]
    assert planner_api("GET", f"/v1/heat/supply?bbox={BOX}&resolution=10&format=csv", headers={"If-None-Match": tag}).status_code == 304


def test_an_outline_shows_the_cells_that_touch_it(planner_api: Api, session: Session) -> None:
    scatter(session, 60)
    session.commit()
    triangle = {"type": "Polygon", "coordinates": [[[24.935, 60.162], [24.955, 60.162], [24.945, 60.178], [24.935, 60.162]]]}
    found = rows_of(planner_api.get("/v1/heat/supply", within=json.dumps(triangle), resolution=10).get_json())
    everywhere = rows_of(planner_api.get("/v1/heat/supply", bbox=BOX, resolution=10).get_json())
    expected = [one for one in everywhere if shape(outline(parse_hex(one["cell"]))).intersects(shape(triangle))]
    assert 0 < len(found) < len(everywhere)
    assert found == expected


# --- demand --------------------------------------------------------------------------------------------------------------------------

WEEKS = [parse_period(f"2026-W{week}", "week") for week in (43, 44, 45)]
CENTRE = box(24.9352, 60.1642, 24.9534, 60.1791)


@pytest.fixture
def city(session: Session, settings: Settings) -> Any:
    """Central Helsinki with three weeks and a month of visits, released."""
    area = releases.add_area(
        session,
        name="helsinki",
        title="Helsinki",
        area=MultiPolygon([CENTRE]),
        time_zone="Europe/Helsinki",
        attested_only=False,
        sample=True,
        now=NOW,
    )
    chance = random.Random(8)
    stores = [make_store(session, at=Point(chance.uniform(24.936, 24.953), chance.uniform(60.165, 60.178))) for _ in range(12)]
    crowd = [uuid4() for _ in range(900)]
    for week in WEEKS:
        begin = week.instants("Europe/Helsinki")[0]
        for number, store in enumerate(stores):
            make_visits(session, store, chance.sample(crowd, 40 * (number + 1)), at=begin + timedelta(days=number % 7, hours=8 + number), sample=True)
        releases.release(session, settings, area, PRODUCTS["visits"], week, now=NOW)
    for product in ("day_parts", "returns", "origins"):
        releases.release(session, settings, area, PRODUCTS[product], parse_period("2026-10", "month"), now=NOW)
    session.commit()
    return area


def test_demand_is_the_release_with_its_interval_and_what_it_does_not_show(planner_api: Api, city: Any) -> None:
    body = planner_api.get("/v1/heat/visits").get_json()
    assert (body["period"], body["sample"], body["city"]) == ("2026-W45", True, "helsinki")
    assert set(body) <= set(Heat().fields)
    assert body["terms"]["epsilon"] == 1.0
    rows = rows_of(body)
    assert rows
    for one in rows:
        assert one["value"] >= 100
        assert one["high"] - one["value"] == 18
        assert one["low"] == max(one["value"] - 18, 0)
    shown_cells = {parse_hex(one["cell"]) for one in rows}
    hidden = {parse_hex(cell) for cell in body["hidden"]}
    assert hidden == set(hidden_cells(city.cells, shown_cells, (7, 8, 9)))
    # Together they are the whole grid, and nothing twice.
    fine = [cell for one in shown_cells | hidden for cell in h3.cell_to_children(one, 9)]
    assert sorted(fine) == sorted(cell for one in city.cells for cell in h3.cell_to_children(one, 9))
    assert planner_api.get("/v1/heat/visits", period="2026-W43").get_json()["period"] == "2026-W43"
    for form in ("geojson", "csv", "arrow"):
        assert planner_api.get("/v1/heat/visits", format=form).status_code == 200
    assert {one["part"] for one in rows_of(planner_api.get("/v1/heat/day_parts").get_json())} <= {"morning", "midday", "afternoon", "evening"}
    assert {one["part"] for one in rows_of(planner_api.get("/v1/heat/returns").get_json())} <= {"seen", "again"}
    assert all("origin" in one for one in rows_of(planner_api.get("/v1/heat/origins").get_json()))


def test_releases_are_listed_with_what_they_spent_and_can_be_checked(planner_api: Api, city: Any) -> None:
    body = planner_api.get("/v1/heat/releases").get_json()
    assert [(one["product"], one["period"]) for one in body["items"]][-3:] == [("visits", "2026-W43"), ("visits", "2026-W44"), ("visits", "2026-W45")]
    (found,) = body["cities"]
    assert [(year["year"], year["epsilon"], year["releases"], year["limit"]) for year in found["spent"]] == [(2026, 6.0, 6, 100)]
    for one in body["items"]:
        answer = planner_api.get(f"/v1/heat/releases/{one['city']}/{one['product']}/{one['period']}")
        assert hashlib.sha256(answer.data).hexdigest() == one["sha256"]
    assert [one["product"] for one in planner_api.get("/v1/heat/releases", product="returns").get_json()["items"]] == ["returns"]


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/v1/heat/visits?period=2026-W30", 404, "not_released"),
        ("/v1/heat/visits?period=2026-10", 422, "invalid_input"),
        ("/v1/heat/visits?period=x", 422, "invalid_input"),
        ("/v1/heat/day_parts?period=2026-W45", 422, "invalid_input"),
        ("/v1/heat/visits?city=atlantis", 404, "not_found"),
        ("/v1/heat/footfall", 404, "not_found"),
        ("/v1/heat/visits?bbox=-180,-85,180,85", 422, "area_too_large"),
        ("/v1/heat/releases/helsinki/visits/2026-W30", 404, "not_released"),
        ("/v1/heat/releases/atlantis/visits/2026-W45", 404, "not_found"),
    ],
)
def test_what_was_not_released_is_said_plainly(planner_api: Api, city: Any, path: str, status: int, code: str) -> None:
    problem_of(planner_api("GET", path), status, code)


def test_where_nothing_is_released_the_reason_is_said(planner_api: Api) -> None:
    problem_of(planner_api.get("/v1/heat/visits"), 404, "not_found")


def test_a3_no_pair_of_answers_tells_more_than_the_release(planner_api: Api, session: Session, city: Any) -> None:
    """Ten thousand pairs of questions: every answer is the release's rows that touch the area, so a difference is one of rows too."""
    chance = random.Random(14)
    published: dict[str, dict[str, int]] = {}
    for row in session.execute(sa.text("/* test */ SELECT period, cell, value FROM heat_release_cells WHERE product = 'visits'")):
        published.setdefault(row.period, {})[to_hex(row.cell)] = row.value
    hexagons = {cell: shape(outline(parse_hex(cell))) for cells in published.values() for cell in cells}
    answers = []
    for _ in range(400):
        west, south = chance.uniform(24.92, 24.95), chance.uniform(60.155, 60.175)
        area = box(west, south, west + chance.uniform(0.0005, 0.03), south + chance.uniform(0.0005, 0.02))
        period = str(chance.choice(WEEKS))
        where = {"bbox": ",".join(map(str, area.bounds))} if chance.random() < 0.5 else {"within": json.dumps(area.__geo_interface__)}
        found = {one["cell"]: one["value"] for one in rows_of(planner_api.get("/v1/heat/visits", period=period, **where).get_json())}
        assert found == {cell: value for cell, value in published[period].items() if hexagons[cell].intersects(area)}
        answers.append((period, found))
    for _ in range(10_000):
        (one_period, one), (other_period, other) = chance.sample(answers, 2)
        difference = sum(one.values()) - sum(other.values())
        rows = Counter({(one_period, cell): 1 for cell in one})
        rows.subtract({(other_period, cell): 1 for cell in other})
        assert difference == sum(times * published[period][cell] for (period, cell), times in rows.items())
    # The same question again is the same answer, byte by byte: there is no noise to average away.
    assert len({planner_api.get("/v1/heat/visits", bbox=BOX).data for _ in range(20)}) == 1


@pytest.mark.parametrize(("path", "table"), [("/v1/heat/visits", "heat_release_cells"), (f"/v1/heat/supply?bbox={BOX}", "supply_blocks")])
def test_the_planner_s_routes_have_no_right_but_the_planner_s(planner_api: Api, city: Any, session: Session, path: str, table: str) -> None:
    assert planner_api("GET", path).status_code == 200
    session.execute(sa.text(f"/* test */ REVOKE SELECT ON {table} FROM geo_o2o_planner"))
    session.commit()
    assert planner_api("GET", path).status_code == 500
