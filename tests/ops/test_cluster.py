"""The private cluster, with real servers in folders of their own."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import psycopg2
import pytest

from geo_o2o import cluster


@pytest.fixture
def folder(data_dir: Path) -> Iterator[Path]:
    """A data folder whose name has spaces and a sign that URLs do not like."""
    path = data_dir / "a folder with spaces & more"
    path.mkdir(exist_ok=True)
    yield path
    cluster.destroy(path)


def ask(found: cluster.Cluster, sql: str = "SELECT 1") -> object:
    connection = psycopg2.connect(found.url.replace("+psycopg2", ""))
    with connection, connection.cursor() as cursor:
        cursor.execute(sql)
        answer = cursor.fetchone()[0]
    connection.close()
    return answer


def test_up_down_and_up_again_keep_the_data(folder: Path) -> None:
    first = cluster.up(folder, durable=False)
    ask(first, "CREATE TABLE kept AS SELECT 42 AS answer; SELECT 1")
    assert cluster.up(folder) == first
    assert cluster.down(folder) is True
    assert cluster.down(folder) is False
    again = cluster.up(folder, durable=False)
    assert ask(again, "SELECT answer FROM kept") == 42
    assert (folder / "cluster.json").stat().st_mode & 0o077 == 0


def test_a_server_that_was_killed_starts_again(folder: Path) -> None:
    found = cluster.up(folder, durable=False)
    cluster.kill(found)
    assert not cluster.is_running(found)
    assert (Path(found.directory) / "postmaster.pid").exists()
    assert ask(cluster.up(folder, durable=False)) == 1


def test_a_stale_pid_that_now_belongs_to_a_stranger_is_no_obstacle(folder: Path) -> None:
    found = cluster.up(folder, durable=False)
    cluster.kill(found)
    lock = Path(found.directory) / "postmaster.pid"
    lines = lock.read_text().splitlines()
    lock.write_text("\n".join([str(os.getpid()), *lines[1:]]) + "\n")
    assert ask(cluster.up(folder, durable=False)) == 1


def test_a_busy_port_is_left_to_its_owner(folder: Path) -> None:
    found = cluster.up(folder, durable=False)
    cluster.down(folder)
    with socket.create_server(("127.0.0.1", found.port)):
        moved = cluster.up(folder, durable=False)
        assert moved.port > found.port
        assert ask(moved) == 1


def test_two_folders_have_two_clusters(folder: Path, server: cluster.Cluster) -> None:
    mine = cluster.up(folder, durable=False)
    assert mine.port != server.port
    assert ask(mine, "SELECT current_setting('data_directory')") != ask(server, "SELECT current_setting('data_directory')")


def test_the_server_is_no_root_and_listens_on_loopback_alone(server: cluster.Cluster) -> None:
    pid = int((Path(server.directory) / "postmaster.pid").read_text().splitlines()[0])
    assert Path(f"/proc/{pid}").stat().st_uid != 0
    assert ask(server, "SELECT current_setting('listen_addresses')") == "127.0.0.1"


def test_a_wrong_password_is_refused(server: cluster.Cluster) -> None:
    with pytest.raises(psycopg2.OperationalError, match="password"):
        psycopg2.connect(host="127.0.0.1", port=server.port, user="geo_o2o", password="guess", dbname="geo_o2o")


def test_a_folder_that_the_server_cannot_enter_is_worked_around(data_dir: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root has to drop to a user that may not enter")
    closed = data_dir / "closed"
    closed.mkdir(mode=0o700)
    found = cluster.up(closed / "var", durable=False)
    assert ask(found) == 1
    assert not found.directory.startswith(str(closed))
    cluster.destroy(closed / "var")
    assert not Path(found.directory).exists()


def test_a_cluster_that_cannot_be_understood_is_never_touched(folder: Path) -> None:
    found = cluster.up(folder, durable=False)
    ask(found, "CREATE TABLE precious AS SELECT 7 AS answer; SELECT 1")
    cluster.down(folder)
    kept = (folder / "cluster.json").read_text()
    for broken in ("", "{", "[]", '{"port": 1}'):
        (folder / "cluster.json").write_text(broken)
        with pytest.raises(cluster.ClusterFailed, match=r"cluster\.json"):
            cluster.up(folder, durable=False)
    (folder / "cluster.json").unlink()
    with pytest.raises(cluster.ClusterFailed, match="nothing was touched"):
        cluster.up(folder, durable=False)
    (folder / "cluster.json").write_text(json.dumps({**json.loads(kept), "of_a_later_release": True}))
    assert ask(cluster.up(folder, durable=False), "SELECT answer FROM precious") == 7


def test_a_cluster_kept_by_hand_is_not_kept_over_a_reboot(folder: Path) -> None:
    cluster.keep(folder, kept=True)
    assert cluster.is_kept(folder)
    (folder / "cluster.kept").write_text("another boot")
    assert not cluster.is_kept(folder)
    cluster.keep(folder, kept=False)
    assert not cluster.is_kept(folder)
