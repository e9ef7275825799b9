"""Demand through the API: releases, and nothing else."""

from __future__ import annotations

import hashlib
import json
import random
from collections import Counter
from datetime import timedelta
from typing import Any
from uuid import uuid4

import h3.api.basic_int as h3
import pytest
import sqlalchemy as sa
from shapely.geometry import MultiPolygon, box, shape
from sqlalchemy.orm import Session

from geo_o2o.config import Settings
from geo_o2o.geo.cells import parse_hex, to_hex
from geo_o2o.geo.point import Point
from geo_o2o.maps.outlines import outline
from geo_o2o.maps.schemas import Heat
from geo_o2o.maps.service import hidden_cells
from geo_o2o.releases import service as releases
from geo_o2o.releases.periods import parse_period
from geo_o2o.releases.products import PRODUCTS

from ..conftest import NOW, Api
from ..factories import make_store, make_visits
from ..test_http import problem_of
from .asking import BOX, rows_of

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
