"""Releases against a real database: what counts, what is refused, what stands, and who may read it."""

from __future__ import annotations

import hashlib
import json
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa
from shapely.geometry import MultiPolygon, box
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.orm import Session

from geo_o2o.config import Settings
from geo_o2o.db import Base, Database, take_role
from geo_o2o.errors import Conflict, InvalidInput, NotFound
from geo_o2o.geo.point import Point
from geo_o2o.ledger import service as ledger
from geo_o2o.ledger.service import LogFrozen
from geo_o2o.releases import queries, service
from geo_o2o.releases.models import HeatArea
from geo_o2o.releases.periods import parse_period, period_of
from geo_o2o.releases.products import PRODUCTS, RETURNS, VISITS
from geo_o2o.releases.service import BudgetSpent, TooEarly

from ..conftest import NOW
from ..factories import HELSINKI, make_store, make_visits

WEEK = parse_period("2026-W45", "week")
MONDAY = datetime(2026, 11, 2, 12, tzinfo=UTC)
CENTRE = MultiPolygon([box(24.9352, 60.1642, 24.9534, 60.1791)])


def helsinki(session: Session, **fields: Any) -> HeatArea:
    wanted: dict[str, Any] = {"name": "helsinki", "title": "Helsinki", "area": CENTRE, "time_zone": "Europe/Helsinki", "attested_only": False}
    return service.add_area(session, **{**wanted, **fields}, now=NOW)


def people(count: int) -> list[UUID]:
    return [uuid4() for _ in range(count)]


def silent(counts: Any, scale: float) -> Any:
    return counts


def never(counts: Any, scale: float) -> Any:
    raise AssertionError("noise was drawn again")


def released(session: Session, settings: Settings, area: HeatArea, period: Any = WEEK, product: Any = VISITS) -> int:
    """The sum of what is published, without noise."""
    made, _ = service.release(session, settings, area, product, period, now=NOW, draw=silent)
    return sum(row.value for row in queries.cells_of(session, area=area.name, product=product.name, periods=[made.period]))


# --- periods -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "cadence", "first", "year"),
    [("2026-W01", "week", "2025-12-29", 2026), ("2020-W53", "week", "2020-12-28", 2020), ("2026-W45", "week", "2026-11-02", 2026),
     ("2026-02", "month", "2026-02-01", 2026), ("2026-12", "month", "2026-12-01", 2026)],
)  # fmt: skip
def test_periods_are_whole_weeks_and_months(text: str, cadence: Any, first: str, year: int) -> None:
    period = parse_period(text, cadence)
    assert (str(period), period.first.isoformat(), period.year) == (text, first, year)
    assert period.before().following() == period
    assert period_of(period.after - timedelta(days=1), cadence) == period


@pytest.mark.parametrize("text", ["2026-W54", "2021-W53", "2026-13", "2026", "26-W01", "2026-W1", "", "0000-W01", "2026-W45 ", "9999-W53"])
def test_what_is_no_period_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected a week"):
        parse_period(text, "week")


def test_a_week_is_the_city_s_own() -> None:
    begin, end = parse_period("2026-W13", "week").instants("Europe/Helsinki")
    # On the last Sunday of March an hour is missing.
    assert (end - begin).total_seconds() == 7 * 24 * 3600
    assert end.astimezone(UTC) - begin.astimezone(UTC) == timedelta(days=7, hours=-1)


# --- what counts -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("columns", "at", "counts"),
    [
        ({}, MONDAY, True),
        ({"level": 4}, MONDAY, True),
        ({"level": 0}, MONDAY, False),
        ({"state": "voided"}, MONDAY, False),
        ({"findings": [{"code": "R03", "points": 30}]}, MONDAY, False),
        ({"findings": [{"code": "R07"}, {"code": "R09"}]}, MONDAY, False),
        ({"findings": [{"code": "R07"}, {"code": "R08"}, {"code": "R12"}]}, MONDAY, True),
        ({}, datetime(2026, 11, 1, 21, 59, tzinfo=UTC), False),
        ({}, datetime(2026, 11, 1, 22, 0, tzinfo=UTC), True),
        ({}, datetime(2026, 11, 8, 21, 59, tzinfo=UTC), True),
        ({}, datetime(2026, 11, 8, 22, 0, tzinfo=UTC), False),
    ],
)  # fmt: skip
def test_only_located_visits_of_the_week_without_a_fault_of_the_account_count(
    session: Session, settings: Settings, columns: dict[str, Any], at: datetime, counts: bool
) -> None:
    area = helsinki(session)
    make_visits(session, make_store(session), people(300), at=at, **columns)
    assert released(session, settings, area) == (300 if counts else 0)


def test_sensitive_places_elsewhere_and_erased_people_do_not_count(session: Session, settings: Settings) -> None:
    area = helsinki(session)
    for category in ("health.doctor", "health", "service.education", "service.funeral"):
        make_visits(session, make_store(session, category=category), people(300), at=MONDAY)
    make_visits(session, make_store(session, at=Point(25.6, 60.5)), people(300), at=MONDAY)
    make_visits(session, make_store(session), people(300), at=MONDAY, subject_id=None)
    assert released(session, settings, area) == 0


def test_an_account_counts_once_in_a_cell_and_in_two_cells_at_most(session: Session, settings: Settings) -> None:
    area = helsinki(session)
    stores = [make_store(session, at=Point(HELSINKI.lon + east * 0.006, HELSINKI.lat)) for east in range(4)]
    crowd = people(1_000)
    for store in stores:
        for hour in range(3):
            make_visits(session, store, crowd, at=MONDAY + timedelta(hours=hour))
    assert released(session, settings, area) <= 2_000
    assert released(session, settings, area, parse_period("2026-10", "month"), RETURNS) == 0


def test_where_only_attested_devices_count_accounts_alone_show_nothing(session: Session, settings: Settings) -> None:
    area = helsinki(session, attested_only=True)
    make_visits(session, make_store(session), people(300), at=MONDAY, device_id="unknown")
    assert released(session, settings, area) == 0
    session.execute(
        sa.text(
            "/* test */ INSERT INTO devices (id, jwk, platform, attested, enrolled_by, enrolled_at) VALUES ('vouched', '{}', 'android', true, :nobody, :now)"
        ),
        {"nobody": UUID(int=0), "now": NOW},
    )
    make_visits(session, make_store(session), people(300), at=MONDAY + timedelta(days=7), device_id="vouched")
    assert released(session, settings, area, WEEK.following()) == 300


def test_what_was_invented_and_what_was_not_are_never_in_one_release(session: Session, settings: Settings) -> None:
    real, store = helsinki(session), make_store(session)
    make_visits(session, store, people(300), at=MONDAY, sample=True)
    made, _ = service.release(session, settings, real, VISITS, WEEK, now=NOW, draw=silent)
    assert (made.sample, queries.cells_of(session, area="helsinki", product="visits", periods=[str(WEEK)])) == (False, [])
    far = Point(25.6, 60.5)
    invented = helsinki(session, name="invented", area=MultiPolygon([box(25.5, 60.45, 25.7, 60.55)]), sample=True)
    other = make_store(session, at=far)
    make_visits(session, other, people(300), at=MONDAY)
    make_visits(session, other, people(150), at=MONDAY, sample=True)
    assert released(session, settings, invented) == 150
    assert service.release(session, settings, invented, VISITS, WEEK, now=NOW)[0].sample


def test_what_others_do_never_decides_whether_an_account_counts(session: Session, settings: Settings) -> None:
    """A visit that rules of graph and venue refused counts as located; a device that others use, too."""
    area, store = helsinki(session), make_store(session)
    make_visits(session, store, people(150), at=MONDAY, level=0, state="rejected", methods=["geo"], findings=[{"code": "R10"}, {"code": "R12"}])
    make_visits(session, store, people(150), at=MONDAY, findings=[{"code": "R08"}])
    make_visits(session, store, people(150), at=MONDAY, level=0, state="rejected", methods=["geo"], findings=[{"code": "R01"}])
    make_visits(session, store, people(150), at=MONDAY, level=0, state="rejected", methods=[], findings=[{"code": "R12"}])
    assert released(session, settings, area) == 300


# --- once, within the budget, in the log ---------------------------------------------------------------------------------------


def test_a_period_is_released_once_and_the_log_holds_its_hash(session: Session, settings: Settings) -> None:
    area = helsinki(session)
    make_visits(session, make_store(session), people(300), at=MONDAY)
    first, made = service.release(session, settings, area, VISITS, WEEK, now=NOW)
    make_visits(session, make_store(session), people(300), at=MONDAY)
    again, made_again = service.release(session, settings, area, VISITS, WEEK, now=NOW + timedelta(days=1), draw=never)
    assert (made, made_again, again.content_hash) == (True, False, first.content_hash)
    text = service.content_of(session, first)
    assert hashlib.sha256(text).digest() == first.content_hash
    queued = session.execute(sa.text("/* test */ SELECT entry FROM log_queue WHERE id = :id"), {"id": first.log_id}).scalar_one()
    assert bytes(queued)[:2] == bytes([1, 4])
    said = json.loads(bytes(queued)[2:])
    assert said["sha256"] == first.content_hash.hex()
    assert said["release"] == {"area": "helsinki", "cells": len(json.loads(text)["cells"]), "epsilon": 1, "period": "2026-W45", "product": "visits"}
    session.execute(sa.text("/* test */ UPDATE heat_release_cells SET value = value + 1"))
    assert hashlib.sha256(service.content_of(session, first)).digest() != first.content_hash


def test_a_period_that_is_not_over_is_refused(session: Session, settings: Settings) -> None:
    area = helsinki(session)
    for moment in (MONDAY, datetime(2026, 11, 10, 21, 59, tzinfo=UTC)):
        with pytest.raises(TooEarly):
            service.release(session, settings, area, VISITS, WEEK, now=moment)
    assert service.release(session, settings, area, VISITS, WEEK, now=datetime(2026, 11, 10, 22, tzinfo=UTC))[1]


def test_where_the_year_s_budget_is_spent_the_reason_is_said_and_nothing_is_drawn(session: Session, settings: Settings) -> None:
    area, poor = helsinki(session), replace(settings, heat_epsilon_per_year=2)
    for period in (WEEK, WEEK.before()):
        service.release(session, poor, area, VISITS, period, now=NOW)
    with pytest.raises(BudgetSpent, match="epsilon 2 of 2 of 2026"):
        service.release(session, poor, area, VISITS, WEEK.before().before(), now=NOW, draw=never)
    # Another year has a budget of its own, and what stands can still be read.
    assert service.release(session, poor, area, VISITS, parse_period("2025-W45", "week"), now=NOW)[1]
    assert not service.release(session, poor, area, VISITS, WEEK, now=NOW, draw=never)[1]
    assert [(year["year"], year["epsilon"], year["releases"]) for year in service.budget(session, poor, area)] == [(2025, 1.0, 1), (2026, 2.0, 2)]


def test_a_log_that_may_not_grow_takes_no_release(session: Session, settings: Settings) -> None:
    area = helsinki(session)
    session.execute(
        sa.text("/* test */ INSERT INTO log_state (shard, verifier, size, root, frontier, epoch, frozen) VALUES (:shard, 'x', 0, '', '{}', 0, true)"),
        {"shard": ledger.shard_at(NOW)},
    )
    with pytest.raises(LogFrozen):
        service.release(session, settings, area, VISITS, WEEK, now=NOW)


def test_the_worker_releases_what_is_over_since_the_area_was_made(session: Session, settings: Settings) -> None:
    area = helsinki(session)
    later = NOW + timedelta(days=40)
    made = 0
    while service.release_due(session, settings, now=later):
        made += 1
    periods = [(one.product, one.period) for one in queries.list_releases(session, area=area.name)]
    assert made == len(periods)
    assert {product for product, _ in periods} == set(PRODUCTS)
    assert [period for product, period in periods if product == "visits"] == [f"2026-W{week}" for week in (47, 48, 49, 50, 51, 52)]
    assert [period for product, period in periods if product == "returns"] == ["2026-11"]
    assert service.release_due(session, replace(settings, heat_epsilon_per_year=1), now=later + timedelta(days=30)) in (0, 1)


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"name": "Hel sinki"}, InvalidInput),
        ({"name": ""}, InvalidInput),
        ({"time_zone": "Mars/Base"}, InvalidInput),
        ({"area": MultiPolygon([box(0, 40, 20, 60)])}, InvalidInput),
        ({"area": MultiPolygon([box(24, 60, 25, 60)])}, InvalidInput),
        ({"name": "helsinki"}, Conflict),
        ({"name": "centre"}, Conflict),
    ],
)
def test_an_area_that_cannot_be_is_refused(session: Session, fields: dict[str, Any], error: type[Exception]) -> None:
    helsinki(session)
    with pytest.raises(error):
        helsinki(session, **fields)
    with pytest.raises(NotFound):
        service.get_area(session, "nowhere")


# --- killed, and twice at once -------------------------------------------------------------------------------------------------


@pytest.fixture
def city(fresh_database: Callable[..., Settings], tmp_path: Path) -> Settings:
    """A database of its own with a city of 300 visitors."""
    settings = replace(fresh_database(), data_dir=tmp_path)
    with Database(settings).write() as session:
        helsinki(session)
        make_visits(session, make_store(session), people(300), at=MONDAY)
    return settings


_KILLED = """
import sys, time
from datetime import datetime
from geo_o2o.config import Settings
from geo_o2o.db import Database
from geo_o2o.releases import service
from geo_o2o.releases.products import VISITS
from geo_o2o.releases.periods import parse_period
settings = Settings(database_url=sys.argv[1])
with Database(settings).write() as session:
    service.release(session, settings, service.get_area(session, "helsinki"), VISITS, parse_period("2026-W45", "week"), now=datetime.fromisoformat(sys.argv[2]))
    session.flush()
    print("written", flush=True)
    time.sleep(60)
"""


def test_a_release_that_is_killed_leaves_nothing_half_published(city: Settings, environment: dict[str, str]) -> None:
    command = [sys.executable, "-c", _KILLED, city.database_url, NOW.isoformat()]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "written\n"
        process.send_signal(signal.SIGKILL)
        process.wait()
    with Database(city, lock_timeout_ms=10_000).write() as session:
        for table in ("heat_releases", "heat_release_cells", "log_queue"):
            assert session.scalar(sa.text(f"/* test */ SELECT count(*) FROM {table}")) == 0
        assert service.release(session, city, service.get_area(session, "helsinki"), VISITS, WEEK, now=NOW)[1]


def test_of_two_that_release_at_once_one_does(city: Settings) -> None:
    found: list[bool] = []

    def run() -> None:
        with Database(city, lock_timeout_ms=20_000).write() as session:
            found.append(service.release(session, city, service.get_area(session, "helsinki"), VISITS, WEEK, now=NOW)[1])

    threads = [threading.Thread(target=run) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == [False] * 5 + [True]


# --- the role that planners are answered by --------------------------------------------------------------------------------------

READABLE = {
    "districts", "district_versions", "store_districts", "stores", "categories", "opening_hours", "offer_store", "offers", "attributions",
    "basemap_features", "cell_versions", "heat_areas", "heat_releases", "heat_release_cells", "supply_blocks", "supply_cells", "supply_changes", "supply_history", "map_layers",
}  # fmt: skip


@pytest.mark.parametrize("table", sorted(Base.metadata.tables))
def test_the_planner_s_role_reads_nothing_that_is_about_one_person(session: Session, table: str) -> None:
    take_role(session)
    for statement in (f"/* test */ SELECT * FROM {table} LIMIT 1", f"/* test */ SELECT count(*) FROM {table}"):
        with session.begin_nested() as point:
            if table in READABLE:
                session.execute(sa.text(statement))
            else:
                with pytest.raises(ProgrammingError, match="permission denied"):
                    session.execute(sa.text(statement))
                point.rollback()
    for statement in (
        f"/* test */ DELETE FROM {table}",
        f"/* test */ UPDATE {table} SET {next(iter(Base.metadata.tables[table].columns)).name} = NULL",
        f"TRUNCATE {table}",
    ):
        with session.begin_nested() as point:
            with pytest.raises(ProgrammingError, match="permission denied"):
                session.execute(sa.text(statement))
            point.rollback()
    session.execute(sa.text("RESET ROLE"))


def test_the_planner_s_transaction_has_that_role_and_the_next_one_has_not(city: Settings) -> None:
    database = Database(city)
    with database.planner() as session:
        assert session.scalar(sa.text("/* test */ SELECT current_user")) == "geo_o2o_planner"
        with pytest.raises(ProgrammingError, match="permission denied"):
            session.execute(sa.text("/* test */ SELECT * FROM check_ins"))
    with database.read() as session:
        assert session.scalar(sa.text("/* test */ SELECT count(*) FROM check_ins")) == 300
    database.close()
