"""Loads as the operator sees them: while they run, when they have ended, and when they were killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from flask.testing import FlaskClient

from geo_o2o.app import create_app
from geo_o2o.auth import service as auth
from geo_o2o.config import Settings
from geo_o2o.db import Database
from geo_o2o.http import utcnow
from geo_o2o.ingest import recording
from geo_o2o.ingest.recording import recorded
from geo_o2o.ingest.report import RECORDED, Report
from geo_o2o.ingest.rows import Refused

from .test_loads import run, write_csv


@pytest.fixture(scope="module")
def own(fresh_database: Any) -> Settings:
    return fresh_database()  # type: ignore[no-any-return]


@pytest.fixture
def database(own: Settings) -> Iterator[Database]:
    found = Database(own)
    yield found
    with found.write() as session:
        session.execute(sa.text("DELETE FROM loads"))
    found.close()


@pytest.fixture
def loads(own: Settings, database: Database) -> Any:
    """What the API says of all loads, by file, the newest last."""
    with database.write() as session:
        key = auth.create_key(session, role="admin", name="", merchant=None, now=utcnow())[1]
    client: FlaskClient = create_app(own).test_client()

    def ask() -> dict[str, Any]:
        items = client.get("/v1/loads", headers={"Authorization": f"Bearer {key}"}).get_json()["items"]
        return {one["file"]: one for one in reversed(items)}

    return ask


def test_a_load_is_seen_with_what_it_did_and_what_it_refused(own: Settings, environment: dict[str, str], tmp_path: Path, loads: Any) -> None:
    path = write_csv(tmp_path / "stores.csv", 300)
    path.write_text(path.read_text() + "last,,Nameless,999,999\n")
    assert run(own, environment, "csv", str(path), "--source", "mine").returncode == 0
    found = loads()["stores.csv"]
    assert (found["kind"], found["source"], found["state"], found["dry_run"], found["trouble"]) == ("csv", "mine", "loaded", False, None)
    [report] = found["reports"]
    assert (report["what"], report["new"], sum(report["refused"].values())) == ("stores", 300, 1)
    assert report["rows"][0]["reason"] in report["refused"]
    assert found["rows"] == 300
    assert found["finished_at"] >= found["started_at"]
    assert run(own, environment, "csv", str(path), "--source", "mine", "--dry-run").returncode == 0
    assert loads()["stores.csv"]["dry_run"] is True


def test_a_load_that_fails_says_why(own: Settings, environment: dict[str, str], tmp_path: Path, loads: Any) -> None:
    path = tmp_path / "broken.csv"
    path.write_text("neither,this\n1,2\n")
    assert run(own, environment, "csv", str(path), "--source", "mine").returncode == 1
    found = loads()["broken.csv"]
    assert (found["state"], found["reports"]) == ("failed", [])
    assert "column" in found["trouble"] or "name" in found["trouble"]


def test_the_progress_is_seen_before_the_end(database: Database, loads: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The load's own transaction is open all the while."""
    monkeypatch.setattr(recording, "_EVERY_S", 0.05)
    with recorded(database, kind="csv", file="half.csv", source="mine") as found, database.write() as session:
        session.execute(sa.text("/* test */ SELECT 1"))
        found.progress(1_234)
        until = time.monotonic() + 10
        while loads()["half.csv"]["rows"] != 1_234 and time.monotonic() < until:
            time.sleep(0.02)
        seen = loads()["half.csv"]
        assert (seen["rows"], seen["state"], seen["finished_at"]) == (1_234, "running", None)
    assert loads()["half.csv"]["state"] == "loaded"


@pytest.mark.parametrize("failure", [KeyboardInterrupt, SystemExit])
def test_who_presses_ctrl_c_has_interrupted_it(database: Database, loads: Any, failure: type[BaseException]) -> None:
    with pytest.raises(failure), recorded(database, kind="csv", file="half.csv", source="mine"):
        raise failure
    assert (loads()["half.csv"]["state"], loads()["half.csv"]["trouble"]) == ("failed", "it was interrupted")


def test_a_load_that_is_killed_is_seen_as_stopped(own: Settings, environment: dict[str, str], tmp_path: Path, database: Database, loads: Any) -> None:
    path = write_csv(tmp_path / "killed.csv", 400_000)
    command = [sys.executable, "-m", "geo_o2o", "load", "csv", str(path), "--source", "killed"]
    with subprocess.Popen(
        command, env={**environment, "GEO_O2O_DATABASE_URL": own.database_url}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        until = time.monotonic() + 30
        while "killed.csv" not in loads() and time.monotonic() < until:
            time.sleep(0.05)
        os.kill(process.pid, signal.SIGKILL)
    assert loads()["killed.csv"]["state"] == "running", "nobody can know yet"
    with database.write() as session:
        session.execute(sa.text("UPDATE loads SET seen_at = seen_at - interval '31 seconds'"))
    assert loads()["killed.csv"]["state"] == "stopped"


def test_of_many_refused_rows_the_first_are_kept_and_all_are_counted(database: Database, loads: Any) -> None:
    report = Report("stores")
    for number in range(5_000):
        report.refuse(Refused(f"row {number}" * 100, "no_name", "x" * 10_000))
    with recorded(database, kind="csv", file="bad.csv", source="mine") as found:
        found.reports = [report]
    [kept] = loads()["bad.csv"]["reports"]
    assert (len(kept["rows"]), kept["refused"]) == (RECORDED, {"no_name": 5_000})
    assert max(len(one["detail"]) + len(one["where"]) for one in kept["rows"]) <= 600


def test_a_load_goes_on_where_its_progress_cannot_be_kept(database: Database, loads: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recording, "_EVERY_S", 0.01)
    with recorded(database, kind="csv", file="lost.csv", source="mine") as found:
        with database.write() as session:
            session.execute(sa.text("ALTER TABLE loads RENAME TO elsewhere"))
        found.progress(1)
        time.sleep(0.1)
        with database.write() as session:
            session.execute(sa.text("ALTER TABLE elsewhere RENAME TO loads"))
    assert loads()["lost.csv"]["state"] == "loaded"


def test_what_is_no_text_is_kept_as_far_as_it_is(database: Database, loads: Any) -> None:
    """Bytes of another encoding in a file's name and in its rows, and NUL."""
    report = Report("stores")
    report.refuse(Refused("caf\udce9 \0", "no_name", "\udcff\0"))

    def load() -> None:
        with recorded(database, kind="csv", file="caf\udce9.csv", source="m\0ine") as found:
            found.reports = [report]
            raise ValueError("odd \0 \udce9")

    with pytest.raises(ValueError, match="odd"):
        load()
    [kept] = loads().values()
    assert (kept["file"], kept["source"], kept["state"], kept["trouble"]) == ("caf?.csv", "m?ine", "failed", "odd ? ?")
    assert kept["reports"][0]["rows"] == [{"where": "caf? ?", "reason": "no_name", "detail": "??"}]


def test_the_end_is_written_again_where_the_database_is_away_for_a_moment(database: Database, loads: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was committed must not be taken for what was killed."""
    real, tries = recording._write, []

    def sometimes(*args: Any, **kwargs: Any) -> bool:
        tries.append(1)
        return False if len(tries) == 1 else real(*args, **kwargs)

    monkeypatch.setattr(recording, "_write", sometimes)
    monkeypatch.setattr(recording, "_PAUSES_S", (0.0, 0.0))
    with recorded(database, kind="csv", file="late.csv", source="mine"):
        pass
    assert loads()["late.csv"]["state"] == "loaded"


def test_they_come_in_their_order(database: Database, loads: Any) -> None:
    for name in ("first.csv", "second.csv"):
        with recorded(database, kind="csv", file=name, source="mine"):
            pass
    assert list(loads()) == ["first.csv", "second.csv"]
