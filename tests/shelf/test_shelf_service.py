"""The shelf behind the real service: a database that goes away under load, a full disk, files of another time."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa

from geo_o2o import cluster
from geo_o2o.auth import service as auth
from geo_o2o.config import Settings
from geo_o2o.db import Database
from geo_o2o.districts.models import District
from geo_o2o.ops.service import upgrade
from geo_o2o.stores import service as stores

from ..conftest import NOW, own_port
from ..factories import HELSINKI, OPERATOR, make_district, make_store, north_of
from ..ops.test_service import get, wait_for


class Service:
    """A service with a database of its own, and what tests ask of it."""

    def __init__(self, folder: Path, port: int, key: str, database: Database, *, district: UUID):
        self.folder, self.key, self.database, self.district = folder, key, database, district
        self.base = f"http://127.0.0.1:{port}"

    def nearby(self, **more: Any) -> tuple[int, Any]:
        asked = "".join(f"&{name}={value}" for name, value in more.items())
        return get(f"{self.base}/v1/stores/nearby?lat={HELSINKI.lat}&lng={HELSINKI.lon}{asked}", self.key)

    def ask(self, path: str) -> tuple[int, float, Any]:
        """Status, seconds and body."""
        began = time.monotonic()
        status, body = get(f"{self.base}/v1/{path}", self.key)
        return status, time.monotonic() - began, body

    def on_shelf(self) -> bool:
        text = subprocess.run(["curl", "-s", f"{self.base}/metrics"], capture_output=True, text=True, check=True).stdout
        before = sum(float(line.split()[-1]) for line in text.splitlines() if line.startswith('geo_o2o_nearby_total{path="shelf"}'))
        for _ in range(6):
            self.nearby()
        text = subprocess.run(["curl", "-s", f"{self.base}/metrics"], capture_output=True, text=True, check=True).stdout
        return sum(float(line.split()[-1]) for line in text.splitlines() if line.startswith('geo_o2o_nearby_total{path="shelf"}')) >= before + 6


@contextmanager
def serving(folder: Path, environment: dict[str, str], **more: str) -> Iterator[Service]:
    found = cluster.up(folder, durable=False)
    upgrade(Settings(data_dir=folder, database_url=found.url))
    database = Database(Settings(data_dir=folder, database_url=found.url))
    with database.write() as session:
        _, key = auth.create_key(session, role="app", name="", merchant=None, now=NOW)
        for number in range(30):
            make_store(session, name=f"store {number}", at=north_of(HELSINKI, 20 * number))
        # A service that is started again finds the one of before.
        district = session.scalar(sa.select(District)) or make_district(session)
    port = own_port(8_750)
    env = {**environment, "GEO_O2O_DATABASE_URL": found.url, "GEO_O2O_PORT": str(port), "GEO_O2O_DATA_DIR": str(folder), **more}
    with subprocess.Popen([sys.executable, "-m", "geo_o2o", "serve"], env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            service = Service(folder, port, key, database, district=district.id)
            assert wait_for(lambda: get(f"{service.base}/health/ready")[0] == 200)
            yield service
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(20)
            database.close()


@pytest.fixture
def own_folder(data_dir: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    path = data_dir / f"shelf-{request.node.name[:20]}"
    path.mkdir(exist_ok=True)
    yield path
    cluster.destroy(path)


@pytest.mark.parametrize("how", ["killed", "stopped"])
def test_nearby_goes_on_while_the_database_is_away(own_folder: Path, environment: dict[str, str], how: str) -> None:
    with serving(own_folder, environment, GEO_O2O_KEY_CACHE_S="1") as service:
        assert wait_for(service.on_shelf, 20)
        # When, how long, status, stale_since, hits: of thousands of answers no more is kept, or this process would pause to tidy up.
        seen: list[tuple[float, float, int, str | None, int]] = []
        done = threading.Event()

        def ask_on_and_on() -> None:
            while not done.is_set():
                began = time.monotonic()
                status, body = service.nearby()
                seen.append((began, time.monotonic() - began, status, body.get("stale_since"), len(body.get("items", ()))))

        askers = [threading.Thread(target=ask_on_and_on) for _ in range(3)]
        for one in askers:
            one.start()
        time.sleep(0.5)
        district = f"stores/nearby?district={service.district}"
        asked_beside = [
            f"offers/nearby?lat={HELSINKI.lat}&lng={HELSINKI.lon}&sponsored=2&radius_m=2000", district, "clusters?bbox=20,59,30,65",
            f"clusters?bbox=24.93,60.16,24.96,60.18&lat={HELSINKI.lat}&lng={HELSINKI.lon}", f"suggest?q=store&lat={HELSINKI.lat}&lng={HELSINKI.lon}",
        ]  # fmt: skip
        # Often enough that every process has been asked, and has had the time to bring what was missing.
        for _ in range(3):
            for path in asked_beside * 6:
                assert service.ask(path)[0] == 200, path
            time.sleep(1)
        gone_at = time.monotonic()
        processes = _postgres(own_folder)
        if how == "killed":
            cluster.kill(cluster.find(own_folder) or pytest.fail("no cluster"))
        else:
            _signal(processes, signal.SIGSTOP)
        time.sleep(2.5)
        others = [service.ask(path) for path in asked_beside]
        time.sleep(5.5 - sum(took for _, took, _ in others) if sum(took for _, took, _ in others) < 5.5 else 0)
        if how == "killed":
            cluster.up(own_folder, durable=False)
        else:
            _signal(processes, signal.SIGCONT)
        back_at = time.monotonic()
        time.sleep(4)
        done.set()
        for one in askers:
            one.join(20)
        assert {status for _, _, status, _, _ in seen} == {200}
        assert max(took for _, took, *_ in seen) < 2.0, "something hung"
        away = [stale for began, _, _, stale, _ in seen if gone_at + 2 < began < back_at - 0.2]
        assert away
        assert all(away), "not every answer says how old it is"
        assert not any(stale for began, _, _, stale, _ in seen if began > back_at + 2), "it was not fresh within 2 s"
        assert {hits for *_, hits in seen} == {20}
        # What needs the database says so at once; the rest goes on and says how old it is.
        assert [status for status, _, _ in others] == [200, 200, 503, 200, 200]
        assert max(took for _, took, _ in others) < 4.0, "something hung"
        assert [body.get("code", "stale_since" in body) for _, _, body in others] == [True, True, "database_unavailable", True, True]
        assert len({stale for began, _, _, stale, _ in seen if gone_at + 3 < began < back_at - 0.2}) <= 2, "one tag for each process"


def _signal(processes: list[int], number: signal.Signals) -> None:
    for process in processes:
        # Some of a server's processes live for a moment only.
        with suppress(ProcessLookupError):
            os.kill(process, number)


def _postgres(folder: Path) -> list[int]:
    """All processes of a cluster."""
    found = cluster.find(folder)
    assert found is not None
    first = int((Path(found.directory) / "postmaster.pid").read_text().splitlines()[0])
    return [first, *(int(one) for one in Path(f"/proc/{first}/task/{first}/children").read_text().split())]


def test_a_write_is_seen_by_every_process_at_once(own_folder: Path, environment: dict[str, str]) -> None:
    with serving(own_folder, environment) as service:
        assert wait_for(service.on_shelf, 20)
        with service.database.read() as session:
            id_ = service.nearby()[1]["items"][0]["id"]
            assert stores.get_store(session, UUID(id_)).name == "store 0"
        for number in range(10):
            with service.database.write() as session:
                store = stores.get_store(session, UUID(id_))
                stores.change_store(
                    session, caller=OPERATOR, store_id=store.id, version=store.version, fields={"name": f"named {number}"}, now=NOW, horizon_d=35
                )
            written_at = time.monotonic()
            while any(service.nearby()[1]["items"][0]["name"] != f"named {number}" for _ in range(4)):
                assert time.monotonic() < written_at + 1.0


def test_a_full_disk_means_sql_and_is_said(own_folder: Path, environment: dict[str, str]) -> None:
    folder = own_folder / "shelf"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", str(folder)], capture_output=True)
    if mounted.returncode:
        pytest.skip("only root may mount a small disk")
    try:
        (folder / "filler").write_bytes(bytes(100_000))
        with serving(own_folder, environment) as service:
            for _ in range(10):
                status, body = service.nearby()
                assert (status, len(body["items"])) == (200, 20)
                time.sleep(0.1)
            ready = get(f"{service.base}/health/ready")[1]
            assert any("cannot be written" in warning for warning in ready["warnings"]), ready
            metrics = subprocess.run(["curl", "-s", f"{service.base}/metrics"], capture_output=True, text=True, check=True).stdout
            assert "geo_o2o_shelf_trouble 1.0" in metrics
            (folder / "filler").unlink()
            subprocess.run(["mount", "-o", "remount,size=8m", str(folder)], check=True)
            assert wait_for(service.on_shelf, 20)
            assert get(f"{service.base}/health/ready")[1]["warnings"] == []
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_restart_uses_the_files_and_another_boot_does_not(own_folder: Path, environment: dict[str, str]) -> None:
    with serving(own_folder, environment) as service:
        assert wait_for(service.on_shelf, 20)
    [first] = (own_folder / "shelf").glob("*/*.arrow")
    born = first.stat().st_ino
    with serving(own_folder, environment) as service:
        # serving() adds thirty stores more, so the file is another; a second start without a change uses it as it is.
        assert wait_for(service.on_shelf, 20)
        files = {path.stat().st_ino for path in (own_folder / "shelf").glob("*/*.arrow")}
        assert born not in files
    (next((own_folder / "shelf").glob("*/boot"))).write_text("another boot")
    with serving(own_folder, environment) as service:
        assert wait_for(service.on_shelf, 20)
        assert not files & {path.stat().st_ino for path in (own_folder / "shelf").glob("*/*.arrow") if path.stat().st_mtime < time.time() - 60}
