"""The service as real processes: the demonstration, a database that goes away and comes back, a graceful stop."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from geo_o2o import cluster
from geo_o2o.auth import service as auth
from geo_o2o.config import Settings
from geo_o2o.db import Database
from geo_o2o.ops.service import upgrade

from ..conftest import NOW, own_port

ROOT = Path(__file__).parents[2]


def get(url: str, key: str | None = None) -> tuple[int, Any]:
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {key}"} if key else {})
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as failure:
        return failure.code, json.load(failure)


def wait_for(condition: Any, timeout_s: float = 30) -> bool:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        try:
            if condition():
                return True
        except OSError:
            pass
        time.sleep(0.1)
    return False


def children_of(pid: int) -> list[int]:
    path = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(one) for one in path.read_text().split()] if path.exists() else []


@pytest.fixture
def own_folder(data_dir: Path) -> Iterator[Path]:
    path = data_dir / "service"
    path.mkdir(exist_ok=True)
    yield path
    cluster.destroy(path)


def test_the_service_heals_when_the_database_goes_and_comes_back(own_folder: Path, environment: dict[str, str]) -> None:
    found = cluster.up(own_folder, durable=False)
    settings = Settings(data_dir=own_folder, database_url=found.url)
    upgrade(settings)
    database = Database(settings)
    with database.write() as session:
        _, key = auth.create_key(session, role="app", name="", merchant=None, now=NOW)
    database.close()
    port = own_port(8_700)
    base, env = (
        f"http://127.0.0.1:{port}",
        {**environment, "GEO_O2O_DATABASE_URL": found.url, "GEO_O2O_PORT": str(port), "GEO_O2O_DATA_DIR": str(own_folder)},
    )
    nearby = f"{base}/v1/stores/nearby?lat=60&lng=24"
    with subprocess.Popen([sys.executable, "-m", "geo_o2o", "serve"], env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            assert wait_for(lambda: get(f"{base}/health/ready")[0] == 200)
            assert get(nearby, key)[0] == 200
            cluster.kill(found)
            walk = f"{base}/v1/stores?limit=1"
            statuses = [get(walk, key) for _ in range(6)]
            assert {status for status, _ in statuses} == {503}
            assert {body["code"] for _, body in statuses} == {"database_unavailable"}
            assert get(f"{base}/health/live")[0] == 200
            assert get(f"{base}/health/ready")[0] == 503
            cluster.up(own_folder, durable=False)
            assert wait_for(lambda: get(walk, key)[0] == 200, 15)
            assert all(get(walk, key)[0] == 200 for _ in range(20)), "a dead connection was left in the pool"
            assert get(nearby, key)[0] == 200
            assert "geo_o2o_requests_total" in urllib.request.urlopen(f"{base}/metrics", timeout=5).read().decode()
        finally:
            server.send_signal(signal.SIGTERM)
            assert server.wait(20) == 0
    assert not wait_for(lambda: socket.create_connection(("127.0.0.1", port), 0.2), 0.5)


def test_the_worker_survives_a_missing_database_and_stops_when_told(own_folder: Path, environment: dict[str, str]) -> None:
    env = {**environment, "GEO_O2O_DATABASE_URL": "postgresql://x:x@127.0.0.1:1/none", "GEO_O2O_WORKER_INTERVAL_S": "1"}
    with subprocess.Popen([sys.executable, "-m", "geo_o2o", "worker"], env=env, stderr=subprocess.PIPE, text=True) as worker:
        assert worker.stderr is not None
        assert "does not answer" in worker.stderr.readline()
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(10) == 0


def demo(environment: dict[str, str], folder: Path, *arguments: str, **more: str) -> subprocess.Popen[str]:
    env = {**environment, "GEO_O2O_DATA_DIR": str(folder), **more}
    return subprocess.Popen(
        [sys.executable, "-m", "geo_o2o", "demo", "--visit-weeks", "2", *arguments],
        env=env,
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_the_demonstration_once_prints_one_answer_and_leaves_nothing_running(own_folder: Path, environment: dict[str, str]) -> None:
    port = own_port(8_800)
    with socket.create_server(("127.0.0.1", port)):  # a busy port is named, and the next one taken
        done = demo(environment, own_folder, "--once", GEO_O2O_PORT=str(port))
        out, err = done.communicate(timeout=120)
    assert done.returncode == 0, err
    answer = json.loads(out)
    assert len(answer["items"]) == 5
    assert all(hit["sample"] and hit["rating"]["sample"] for hit in answer["items"])
    assert answer["attribution"][0]["attribution"] == "© OpenStreetMap contributors"
    assert f"port {port} is busy, taking {port + 1}" in err
    found = cluster.find(own_folder)
    assert found is not None
    assert not cluster.is_running(found)

    started = time.monotonic()
    again = demo(environment, own_folder, "--once", GEO_O2O_PORT=str(port))
    out, err = again.communicate(timeout=60)
    assert again.returncode == 0, err
    assert [hit["id"] for hit in json.loads(out)["items"]] == [hit["id"] for hit in answer["items"]]
    assert "loading" not in err
    assert time.monotonic() - started < 60


def test_the_demonstration_runs_until_stopped_and_its_three_commands_work(own_folder: Path, environment: dict[str, str]) -> None:
    port = own_port(8_850)
    running = demo(environment, own_folder, GEO_O2O_PORT=str(port))
    assert running.stdout is not None
    lines: list[str] = []
    while not any("Ratings and offers are samples" in line for line in lines):
        line = running.stdout.readline()
        assert line, running.stderr.read() if running.stderr else ""
        lines.append(line)
    commands = [line.strip() for line in lines if line.strip().startswith("curl") or " visit check-in " in line]
    assert len(commands) == 3
    answers = [
        json.loads(subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True, cwd=own_folder).stdout) for command in commands
    ]
    assert "items" in answers[0]
    assert answers[1]["level_name"] == "located"
    assert sum(answers[2]["columns"]["stores"]) > 900
    other = demo(environment, own_folder, "--once")
    assert "another demonstration runs" in other.communicate(timeout=30)[1]
    assert other.returncode == 1
    running.send_signal(signal.SIGINT)
    assert running.wait(30) == 0
    found = cluster.find(own_folder)
    assert found is not None
    assert not cluster.is_running(found)


def test_a_demonstration_that_was_killed_is_no_obstacle(own_folder: Path, environment: dict[str, str]) -> None:
    port = own_port(8_900)
    running = demo(environment, own_folder, GEO_O2O_PORT=str(port))
    assert wait_for(lambda: get(f"http://127.0.0.1:{port}/health/ready")[0] == 200, 60)
    services = children_of(running.pid)
    os.kill(running.pid, signal.SIGKILL)
    running.communicate()
    assert wait_for(
        lambda: not any(Path(f"/proc/{pid}").exists() and "Z" not in Path(f"/proc/{pid}/stat").read_text().split()[2] for pid in services), 20
    )
    again = demo(environment, own_folder, "--once", GEO_O2O_PORT=str(port))
    out, err = again.communicate(timeout=60)
    assert again.returncode == 0, err
    assert json.loads(out)["items"]
    found = cluster.find(own_folder)
    assert found is not None
    assert not cluster.is_running(found)


def test_two_services_never_share_a_port(own_folder: Path, environment: dict[str, str]) -> None:
    port = own_port(8_950)
    running = demo(environment, own_folder, GEO_O2O_PORT=str(port))
    try:
        assert wait_for(lambda: get(f"http://127.0.0.1:{port}/health/ready")[0] == 200, 60)
        env = {
            **environment,
            "GEO_O2O_DATABASE_URL": "postgresql://x:x@127.0.0.1:1/none",
            "GEO_O2O_PORT": str(port),
            "GEO_O2O_DATA_DIR": str(own_folder / "b"),
        }
        second = subprocess.run([sys.executable, "-m", "geo_o2o", "serve"], env=env, capture_output=True, text=True, timeout=30, check=False)
        assert second.returncode == 1
        assert f"port {port}" in second.stderr
        assert "Traceback" not in second.stderr
    finally:
        running.send_signal(signal.SIGINT)
        running.communicate(timeout=30)


@pytest.mark.parametrize("role", ["serve", "worker"])
def test_many_signals_at_once_end_a_process_as_one_does(role: str, fresh_database: Any, own_folder: Path, environment: dict[str, str]) -> None:
    port = own_port(8_930)
    env = {
        **environment, "GEO_O2O_DATABASE_URL": fresh_database().database_url, "GEO_O2O_PORT": str(port), "GEO_O2O_DATA_DIR": str(own_folder),
    }  # fmt: skip
    for _ in range(3):
        with subprocess.Popen([sys.executable, "-m", "geo_o2o", role], env=env, stderr=subprocess.DEVNULL) as process:
            try:
                if role == "serve":
                    assert wait_for(lambda: get(f"http://127.0.0.1:{port}/health/live")[0] == 200, 60)
                else:
                    time.sleep(3)
                for _ in range(200):
                    process.send_signal(signal.SIGTERM)
                process.wait(30)
            finally:
                process.kill()


def test_stalled_bodies_do_not_stop_the_service(own_folder: Path, environment: dict[str, str]) -> None:
    port = own_port(8_970)
    running = demo(environment, own_folder, GEO_O2O_PORT=str(port))
    try:
        assert wait_for(lambda: get(f"http://127.0.0.1:{port}/health/ready")[0] == 200, 60)
        key = json.loads((own_folder / "keys.json").read_text())["app"]
        head = f"POST /v1/check-ins HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\nContent-Type: application/json\r\nIdempotency-Key: a\r\nContent-Length: 500\r\n\r\n{{"
        # One less than a process has threads: the kernel may hand them all to the same one.
        stalled = [socket.create_connection(("127.0.0.1", port)) for _ in range(7)]
        for one in stalled:
            one.sendall(head.encode())
        time.sleep(0.5)
        assert all(get(f"http://127.0.0.1:{port}/health/live")[0] == 200 for _ in range(10))
        for one in stalled:
            one.close()
    finally:
        running.send_signal(signal.SIGINT)
        running.communicate(timeout=30)


def test_a_catalogue_of_ones_own_is_shown_where_it_lies(own_folder: Path, environment: dict[str, str], tmp_path: Path) -> None:
    env = {**environment, "GEO_O2O_DATA_DIR": str(own_folder / "own")}
    path = tmp_path / "vienna.csv"
    path.write_text("id,name,lat,lng\n1,Trafik,48.2,16.37\n")
    for arguments in (["db", "up"], ["db", "upgrade"], ["load", "csv", str(path), "--source", "osm", "--attribution", "somebody"], ["db", "down"]):
        subprocess.run([sys.executable, "-m", "geo_o2o", *arguments], env=env, check=True, capture_output=True, timeout=60)
    running = demo(environment, own_folder / "own", GEO_O2O_PORT=str(own_port(8_990)))
    assert running.stdout is not None
    try:
        lines: list[str] = []
        while "A heat map" not in "".join(lines[-1:]):
            lines.append(running.stdout.readline())
        assert any("A check-in at Trafik" in line for line in lines), lines
        # The visitor's page begins there too.
        base = next(line.split()[3] for line in lines if "geo_o2o runs at" in line)
        page = urllib.request.urlopen(f"{base}/?kind=stores").read().decode()
        assert "Trafik" in page
    finally:
        running.send_signal(signal.SIGINT)
        running.communicate(timeout=30)
        cluster.destroy(own_folder / "own")
