"""A private PostgreSQL cluster in the data folder: its own port, socket and password, never the system's cluster.

PostgreSQL refuses to run as root, so as root the server runs as an unprivileged user. Where that user cannot reach the data folder
(a checkout below /root), the server's files go to a folder of their own under /var/lib, and the data folder remembers which.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from urllib.parse import quote

import psycopg2

from .config import CLUSTER_FILE
from .ports import free_port, hold, is_free

FIRST_PORT = 54_320
_USER = "geo_o2o"
_DATABASE = "geo_o2o"
_START_TIMEOUT_S = 60
# Set in the server's folder once its password is remembered; a folder without it was never used.
_COMPLETE = "geo_o2o.complete"
# Longest path of a Unix socket on Linux, less the name that PostgreSQL appends.
_LONGEST_SOCKET_DIR = 80
_UNPRIVILEGED = ("postgres", "nobody")
_MEMORY = {"shared_buffers": "256MB", "maintenance_work_mem": "256MB", "work_mem": "32MB", "max_wal_size": "4GB"}
_CONFIG = {
    **_MEMORY,
    "listen_addresses": "127.0.0.1",
    "max_connections": "60",
    "random_page_cost": "1.1",
    "log_min_duration_statement": "2000",
    "logging_collector": "off",
}


class ClusterFailed(Exception):
    """The server could not be found, made or started; the message says what to do."""


@dataclass(frozen=True)
class Cluster:
    """Where a private cluster lives and how to reach it."""

    directory: str
    socket_dir: str
    port: int
    password: str
    url: str


def up(data_dir: Path, *, durable: bool = True, say: Callable[[str], None] | None = None) -> Cluster:
    """Starts the cluster of a data folder, making it first where there is none; does nothing where it runs.

    durable: False drops fsync, for tests. say: is told where the cluster had to give way.
    Raises ClusterFailed.
    """
    data_dir.mkdir(parents=True, exist_ok=True)
    with _one_at_a_time(data_dir):
        cluster = find(data_dir) or _make(data_dir)
        if is_running(cluster):
            return cluster
        _clear_stale_lock(cluster)
        # Between looking for a free port and listening on it nobody else must look.
        with hold("the start of a cluster", wait_s=_START_TIMEOUT_S):
            return _start_on_free_port(data_dir, cluster, durable=durable, say=say)


def _start_on_free_port(data_dir: Path, cluster: Cluster, *, durable: bool, say: Callable[[str], None] | None) -> Cluster:
    if not is_free(cluster.port):
        busy = cluster.port
        cluster = _remember(data_dir, cluster, port=free_port(busy + 1))
        if say:
            say(f"port {busy} is busy, the database takes {cluster.port}")
    _write_config(cluster, durable=durable)
    _start(cluster)
    create_database(cluster, _DATABASE)
    return cluster


def down(data_dir: Path) -> bool:
    """Stops the cluster; True where one was running."""
    cluster = find(data_dir)
    if cluster is None or not is_running(cluster):
        return False
    _run(_program("pg_ctl"), "-D", cluster.directory, "-m", "fast", "-w", "stop", cluster=cluster)
    return True


def destroy(data_dir: Path) -> None:
    """Stops the cluster and removes its files."""
    down(data_dir)
    cluster = find(data_dir)
    if cluster is not None:
        for path in (cluster.directory, cluster.socket_dir):
            shutil.rmtree(path, ignore_errors=True)
        with contextlib.suppress(OSError):
            Path(cluster.directory).parent.rmdir()
        (data_dir / CLUSTER_FILE).unlink(missing_ok=True)


def keep(data_dir: Path, *, kept: bool) -> None:
    """Remembers whether somebody asked for the cluster by hand, so that a demonstration that ends leaves it running."""
    mark = data_dir / "cluster.kept"
    if kept:
        mark.write_text(_boot())
    else:
        mark.unlink(missing_ok=True)


def is_kept(data_dir: Path) -> bool:
    try:
        return (data_dir / "cluster.kept").read_text() == _boot()
    except OSError:
        return False


def _boot() -> str:
    """Tells this run of the machine from the next: what was kept running before a reboot is not any more."""
    path = Path("/proc/sys/kernel/random/boot_id")
    return path.read_text() if path.exists() else ""


def find(data_dir: Path) -> Cluster | None:
    """The cluster of a data folder, None where there is none. Raises ClusterFailed where there is one that cannot be understood."""
    target = data_dir / CLUSTER_FILE
    try:
        known = json.loads(target.read_text())
        found = Cluster(**{one.name: known[one.name] for one in fields(Cluster)})
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError) as failure:
        raise ClusterFailed(f"{target} cannot be read ({failure}); it tells where the database lies, so nothing is touched") from failure
    return found if (Path(found.directory) / "PG_VERSION").exists() else None


def is_running(cluster: Cluster) -> bool:
    pid = _server_pid(cluster)
    return pid is not None and _is_server(pid, cluster)


def database_url(cluster: Cluster, name: str) -> str:
    return _url(cluster.port, cluster.password, name)


def create_database(cluster: Cluster, name: str) -> bool:
    """Makes a database where there is none of that name; True where it was made."""
    found = _psql(cluster, "postgres", f"SELECT 1 FROM pg_database WHERE datname = '{name}'")
    if found.strip() == "1":
        return False
    _psql(cluster, "postgres", f"CREATE DATABASE \"{name}\" TEMPLATE template0 ENCODING 'UTF8'")
    return True


def drop_database(cluster: Cluster, name: str) -> None:
    """Removes a database and whoever is connected to it."""
    _psql(cluster, "postgres", f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


# --- making and starting ---------------------------------------------------------------------------------------------------


def _make(data_dir: Path) -> Cluster:
    directory, owner = _place(data_dir)
    if (directory / _COMPLETE).exists():
        raise ClusterFailed(f"{directory} holds a database, but {data_dir / CLUSTER_FILE} does not say how to reach it; nothing was touched")
    shutil.rmtree(directory, ignore_errors=True)  # left by a run that was killed while making it
    socket_dir = directory.parent / "socket"
    if len(str(socket_dir)) > _LONGEST_SOCKET_DIR:
        socket_dir = Path(tempfile.mkdtemp(prefix="geo-o2o-", dir="/tmp"))
    for path in (directory, socket_dir):
        path.mkdir(parents=True, exist_ok=True)
        path.chmod(0o700)
        if owner is not None:
            os.chown(path, owner.pw_uid, owner.pw_gid)
    password = secrets.token_urlsafe(18)
    port = free_port(FIRST_PORT)
    cluster = Cluster(str(directory), str(socket_dir), port, password, _url(port, password, _DATABASE))
    with tempfile.NamedTemporaryFile("w", dir=socket_dir, suffix=".pw") as handed:
        handed.write(password)
        handed.flush()
        if owner is not None:
            os.chown(handed.name, owner.pw_uid, owner.pw_gid)
        _run(
            _program("initdb"), "-D", str(directory), "-U", _USER, "--pwfile", handed.name, "--auth=scram-sha-256",
            "-E", "UTF8", "--locale=C.UTF-8", "--no-instructions", cluster=cluster,
        )  # fmt: skip
    _remember(data_dir, cluster, port=port)
    (directory / _COMPLETE).touch()
    return cluster


def _place(data_dir: Path) -> tuple[Path, pwd.struct_passwd | None]:
    """Folder of the server's files, and the user to run as (None: ourselves)."""
    inside = data_dir.resolve() / "postgres"
    if os.geteuid() != 0:
        return inside / "data", None
    owner = _unprivileged_user()
    inside.mkdir(parents=True, exist_ok=True)
    if all(_may_enter(folder, owner) for folder in inside.parents):
        os.chown(inside, owner.pw_uid, owner.pw_gid)
        return inside / "data", owner
    tag = hashlib.sha256(str(inside).encode()).hexdigest()[:12]
    outside = Path("/var/lib") / f"geo-o2o-{tag}"
    outside.mkdir(exist_ok=True)
    if outside.is_symlink() or outside.lstat().st_uid not in (0, owner.pw_uid):
        raise ClusterFailed(f"{outside} belongs to somebody else; set GEO_O2O_DATA_DIR to a folder that {owner.pw_name} can enter")
    os.chown(outside, owner.pw_uid, owner.pw_gid)
    return outside / "data", owner


def _unprivileged_user() -> pwd.struct_passwd:
    for name in _UNPRIVILEGED:
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    raise ClusterFailed("PostgreSQL refuses to run as root, and there is no user postgres or nobody to run it as")


def _may_enter(folder: Path, owner: pwd.struct_passwd) -> bool:
    status = folder.stat()
    if status.st_uid == owner.pw_uid:
        return bool(status.st_mode & 0o100)
    if status.st_gid == owner.pw_gid:
        return bool(status.st_mode & 0o010)
    return bool(status.st_mode & 0o001)


def _write_config(cluster: Cluster, *, durable: bool) -> None:
    lines = {**_CONFIG, "port": str(cluster.port), "unix_socket_directories": cluster.socket_dir}
    if not durable:
        lines |= {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
    target = Path(cluster.directory) / "postgresql.auto.conf"
    target.write_text("".join(f"{name} = '{value}'\n" for name, value in lines.items()))
    Path(cluster.socket_dir).mkdir(parents=True, exist_ok=True)
    if os.geteuid() == 0:
        status = Path(cluster.directory).stat()
        for path in (target, cluster.socket_dir):
            os.chown(path, status.st_uid, status.st_gid)


def _start(cluster: Cluster) -> None:
    log = Path(cluster.directory) / "server.log"
    try:
        _run(
            _program("pg_ctl"), "-D", cluster.directory, "-l", str(log), "-w", "-t", str(_START_TIMEOUT_S), "start",
            cluster=cluster,
        )  # fmt: skip
    except ClusterFailed as failure:
        tail = log.read_text(errors="replace").splitlines()[-5:] if log.exists() else []
        raise ClusterFailed("\n".join([str(failure), *tail])) from failure


def _remember(data_dir: Path, cluster: Cluster, *, port: int) -> Cluster:
    changed = Cluster(cluster.directory, cluster.socket_dir, port, cluster.password, _url(port, cluster.password, _DATABASE))
    target = data_dir / CLUSTER_FILE
    draft = target.with_suffix(".draft")
    draft.touch(mode=0o600)
    draft.write_text(json.dumps(asdict(changed)))
    draft.replace(target)
    return changed


def _url(port: int, password: str, name: str) -> str:
    return f"postgresql+psycopg2://{_USER}:{quote(password, safe='')}@127.0.0.1:{port}/{name}"


# --- the server process ------------------------------------------------------------------------------------------------------


def _server_pid(cluster: Cluster) -> int | None:
    try:
        return int((Path(cluster.directory) / "postmaster.pid").read_text().splitlines()[0])
    except (OSError, ValueError, IndexError):
        return None


def _is_server(pid: int, cluster: Cluster) -> bool:
    """Whether that process is this cluster's server, and not a stranger that got its number after a crash."""
    process = Path(f"/proc/{pid}")
    try:
        if process.stat().st_uid != Path(cluster.directory).stat().st_uid:
            return False
        return (process / "cwd").resolve() == Path(cluster.directory).resolve()
    except OSError:
        return False


def _clear_stale_lock(cluster: Cluster) -> None:
    pid = _server_pid(cluster)
    if pid is not None and not _is_server(pid, cluster):
        (Path(cluster.directory) / "postmaster.pid").unlink(missing_ok=True)
        for leftover in Path(cluster.socket_dir).glob(".s.PGSQL.*"):
            leftover.unlink(missing_ok=True)


def kill(cluster: Cluster) -> None:
    """Ends the server at once, as a crash would; for tests."""
    pid = _server_pid(cluster)
    if pid is not None and _is_server(pid, cluster):
        os.kill(pid, signal.SIGKILL)
        deadline = time.monotonic() + 10
        while Path(f"/proc/{pid}").exists() and time.monotonic() < deadline:
            time.sleep(0.05)


def _program(name: str) -> str:
    versions = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda path: int(path.parts[-3]), reverse=True)
    with_postgis = [path for path in versions if any((path.parents[1] / "lib").glob("postgis-3*.so"))]
    found = str((with_postgis or versions)[0]) if versions else shutil.which(name)
    if not found:
        raise ClusterFailed(f"{name} is missing: install PostgreSQL with PostGIS (Debian: postgresql-15-postgis-3)")
    return found


def _run(*command: str, cluster: Cluster) -> str:
    identity: dict[str, object] = {}
    if os.geteuid() == 0:
        status = Path(cluster.directory).stat()
        identity = {"user": status.st_uid, "group": status.st_gid, "extra_groups": []}
    # Not a pipe: the server inherits the handle and would keep it open for ever.
    with tempfile.TemporaryFile("w+") as output:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, cwd="/",
            env={**os.environ, "LC_ALL": "C.UTF-8"}, **identity,  # type: ignore[call-overload]
        )  # fmt: skip
        output.seek(0)
        text = output.read()
    if done.returncode != 0:
        raise ClusterFailed(f"{Path(command[0]).name} failed: {text.strip()[-2000:]}")
    return text


def _psql(cluster: Cluster, name: str, sql: str) -> str:
    connection = psycopg2.connect(_url(cluster.port, cluster.password, name).replace("+psycopg2", ""))
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(sql)
            return str(cursor.fetchone()[0]) if cursor.description and cursor.rowcount > 0 else ""
    finally:
        connection.close()


@contextlib.contextmanager
def _one_at_a_time(data_dir: Path) -> Iterator[None]:
    """Two commands started together must not both make a cluster; the lock dies with its holder."""
    with (data_dir / "cluster.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
