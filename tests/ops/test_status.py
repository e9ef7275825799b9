"""How it goes, for the operator: the worker's jobs, the logs, what to look at."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from flask.testing import FlaskClient
from psycopg2.errors import DeadlockDetected, LockNotAvailable, QueryCanceled
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from geo_o2o.config import Settings
from geo_o2o.http import utcnow
from geo_o2o.ops import jobs
from geo_o2o.ops.jobs import JOBS, run_jobs

from ..conftest import NOW, Api
from ..factories import make_store


def status(api: Api) -> Any:
    return api.get("/v1/status").get_json()


def codes(api: Api) -> list[str]:
    return [one["code"] for one in status(api)["warnings"]]


def job(api: Api, name: str) -> Any:
    return next(one for one in status(api)["jobs"] if one["name"] == name)


def test_before_a_worker_has_run_nothing_is_known_of_it(admin_api: Api) -> None:
    found = status(admin_api)
    assert (found["worker_seen_at"], found["jobs"], [one["code"] for one in found["warnings"]]) == (None, [], ["worker_never"])
    assert found["migration"].isdigit()


def test_each_job_says_when_it_ran_and_what_it_did(admin_api: Api, database: Any, session: Session, settings: Settings) -> None:
    make_store(session, opening_hours="24/7", now=NOW - timedelta(days=30))
    session.commit()
    run_jobs(database, settings, clock=utcnow)
    assert [one["name"] for one in status(admin_api)["jobs"]] == [one.name for one in JOBS]
    extended = job(admin_api, "extend opening hours")
    assert (extended["rows"], extended["worked_at"], extended["trouble"]) == (1, extended["ran_at"], None)
    # Rounds that find nothing to do are written now and then; what was done last stays.
    later = utcnow() + timedelta(seconds=60)
    run_jobs(database, settings, clock=lambda: later)
    idle = job(admin_api, "extend opening hours")
    assert (idle["rows"], idle["worked_at"]) == (1, extended["worked_at"])
    assert idle["ran_at"] > extended["ran_at"]
    assert status(admin_api)["worker_seen_at"] == max(one["ran_at"] for one in status(admin_api)["jobs"])


def test_an_idle_round_soon_after_another_is_not_written(admin_api: Api, database: Any, settings: Settings) -> None:
    moment = utcnow()
    run_jobs(database, settings, clock=lambda: moment)
    first = status(admin_api)["worker_seen_at"]
    run_jobs(database, settings, clock=lambda: moment + timedelta(seconds=2))
    assert status(admin_api)["worker_seen_at"] == first


def test_a_job_that_fails_says_why_until_it_succeeds(
    admin_api: Api, client: FlaskClient, database: Any, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> int:
        raise ValueError("the disk is full\nDETAIL: secret row")

    broken = tuple(replace(one, run=fail) if one.name == "release heat" else one for one in JOBS)
    monkeypatch.setattr(jobs, "JOBS", broken)
    done = run_jobs(database, settings, clock=utcnow)
    assert len(done) == len(JOBS) - 1
    assert job(admin_api, "release heat")["trouble"] == "ValueError: the disk is full"
    told = [one for one in client.get("/health/ready").get_json()["warnings"] if "release heat" in one]
    assert told
    assert "disk" not in told[0], "a stranger may read this one"
    monkeypatch.setattr(jobs, "JOBS", JOBS)
    run_jobs(database, settings, clock=utcnow)
    assert job(admin_api, "release heat")["trouble"] is None
    assert codes(admin_api) == []


@pytest.mark.parametrize("trouble", [QueryCanceled, LockNotAvailable, DeadlockDetected])
def test_a_job_that_takes_too_long_keeps_no_other_from_its_work(
    admin_api: Api, database: Any, settings: Settings, monkeypatch: pytest.MonkeyPatch, trouble: type[Exception]
) -> None:
    """The library reports it as it reports a database that is gone."""

    def fail(*_: Any) -> int:
        raise OperationalError("UPDATE", {}, trouble("canceling statement"))

    monkeypatch.setattr(jobs, "JOBS", tuple(replace(one, run=fail) if one.name == "erase again" else one for one in JOBS))
    assert len(run_jobs(database, settings, clock=utcnow)) == len(JOBS) - 1
    assert "canceling statement" in job(admin_api, "erase again")["trouble"]
    gone = tuple(replace(one, run=lambda *_: _raise(OperationalError("UPDATE", {}, Exception("server closed")))) for one in JOBS)
    monkeypatch.setattr(jobs, "JOBS", gone)
    with pytest.raises(OperationalError):
        run_jobs(database, settings, clock=utcnow)


def _raise(failure: Exception) -> int:
    raise failure


def test_a_worker_that_is_silent_is_told_of(admin_api: Api, database: Any, settings: Settings) -> None:
    run_jobs(database, settings, clock=lambda: utcnow() - timedelta(minutes=6))
    assert codes(admin_api) == ["worker_silent"]
    run_jobs(database, settings, clock=utcnow)
    assert codes(admin_api) == []


def test_the_logs_say_what_waits_and_what_is_seen(admin_api: Api, database: Any, session: Session, settings: Settings) -> None:
    assert status(admin_api)["logs"] == []
    session.execute(
        sa.text(
            "/* test */ INSERT INTO log_queue (id, shard, entry, queued_at) VALUES (gen_random_uuid(), '2020h1', '\\x00', now() - interval '5 min')"
        )
    )
    session.commit()
    [log] = status(admin_api)["logs"]
    assert (log["shard"], log["waiting"], log["size"], log["published_at"], log["frozen"]) == ("2020h1", 1, 0, None, False)
    assert log["waiting_since"] < status(admin_api)["at"]
    assert codes(admin_api) == ["log", "worker_never"]


@pytest.mark.parametrize("role", ["app", "store", "planner"])
def test_only_the_operator_may_look(role: str, request: pytest.FixtureRequest) -> None:
    api: Api = request.getfixturevalue(f"{role}_api")
    assert api.get("/v1/status").status_code == 403
    assert api.get("/v1/loads").status_code == 403
