"""The demonstration: from an empty data folder to a running service on a real city, and back to nothing running."""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from sqlalchemy.orm import Session

from .. import cluster
from ..auth import service as auth
from ..auth.access import ROLES
from ..config import PREFIX, BadSettings, Settings
from ..db import Database
from ..errors import Unauthenticated
from ..geo.bounds import Bounds
from ..geo.point import Point
from ..ingest import osm, queries
from ..ingest import service as ingest
from ..ingest.recording import recorded
from ..ingest.report import Report
from ..ingest.rows import DistrictRow
from ..insights.proposing import Shape
from ..insights.service import propose_districts
from ..ports import free_port, is_free
from .invented import Invented, invent_visits
from .service import upgrade

FIXTURE = Path(__file__).parents[2] / "fixtures" / "helsinki.osm.pbf"
SEED = 20
# The corner of Aleksanterinkatu and Mannerheimintie, where the loaded city begins.
LAT, LNG = 60.1690, 24.9414
CITY = Bounds(24.93, 60.16, 24.96, 60.18)
# A dense city centre: smaller hills than the usual, and higher.
_QUARTERS = Shape(bandwidth_m=60.0, least_per_km2=250.0, valley=0.2)
_MERCHANT = "Demonstration merchant"
# So many stores it has.
_GIVEN = 3
_NEAR_M = 2_000.0
_READY_TIMEOUT_S = 60
_STOP_TIMEOUT_S = 15
_PORTS_TRIED = 5
# What a shell calls a program that ended by Ctrl-C before it was done.
_INTERRUPTED = 130


def run_demo(settings: Settings, *, once: bool, visit_weeks: int) -> int:
    """Runs until it is told to stop, or with `once` until it has printed one answer. Returns the exit code."""
    settings = replace(settings, data_dir=settings.data_dir.resolve())
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    try:
        with _alone(settings.data_dir), _database(settings, visit_weeks=visit_weeks), _services(settings) as (base, keys):
            if once:
                sys.stdout.write(json.dumps(_first_answer(base, keys), ensure_ascii=False, indent=2) + "\n")
                return 0
            _show(base, keys)
            while True:
                time.sleep(3600)
    except KeyboardInterrupt:
        _say("stopped")
        return _INTERRUPTED if once else 0


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


@contextlib.contextmanager
def _alone(data_dir: Path) -> Iterator[None]:
    """Only one demonstration at a time in a data folder; the lock dies with its holder, also by SIGKILL."""
    with (data_dir / "demo.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as failure:
            raise BadSettings(f"another demonstration runs in {data_dir}; set {PREFIX}DATA_DIR to another folder") from failure
        yield


@contextlib.contextmanager
def _database(settings: Settings, *, visit_weeks: int) -> Iterator[None]:
    """The database, up to date and with the city in it; the private cluster stops again unless `db up` asked to keep it."""
    private = not settings.database_url
    try:
        if private:
            _say("starting the private PostGIS cluster")
            cluster.up(settings.data_dir, say=_say)
        upgrade(settings)
        _load_city(settings)
        if visit_weeks:
            for text in invent_visits(settings, Invented(seed=SEED, weeks=visit_weeks), now=datetime.now(UTC)):
                _say(text)
        yield
    finally:
        # A second Ctrl-C must not leave half of it running.
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        if private and not cluster.is_kept(settings.data_dir):
            cluster.down(settings.data_dir)


def _load_city(settings: Settings) -> None:
    database = Database(settings, statement_timeout_ms=0)
    try:
        with database.read() as session:
            if any(row.source == "osm" for row in queries.loaded_sources(session)):
                return
        _say("loading central Helsinki with sample ratings and offers")
        now = datetime.now(UTC)
        with recorded(database, kind="osm", file=FIXTURE.name, source="osm") as recording, database.write() as session:
            told = recording.progress
            areas = ingest.load_districts(session, source="osm", layer="business", rows=osm.districts(FIXTURE), attribution=osm.ATTRIBUTION, now=now)
            stores = ingest.load_stores(session, source="osm", rows=osm.stores(FIXTURE), now=now, horizon_d=settings.hours_horizon_d, progress=told)
            basemap = ingest.load_basemap(session, source="osm", rows=osm.basemap(FIXTURE), now=now, progress=told)
            samples = ingest.load_samples(session, source="osm", seed=SEED, now=now)
            proposed = _load_proposed(session, now)
            recording.reports = [areas, stores, basemap, samples, proposed]
            ingest.write_attribution(session, source="osm", attribution=osm.ATTRIBUTION, licence=osm.LICENCE, now=now)
            queries.analyze(session, "stores", "offer_store", "store_districts", "basemap_features")
        _say(f"{stores.new:,} stores, {samples.notes['offers']} sample offers")
    finally:
        database.close()


def _load_proposed(session: Session, now: datetime) -> Report:
    """The districts that the stores themselves make: nobody has drawn any here that are larger than a block."""
    found = propose_districts(session, CITY, _QUARTERS)
    rows = [DistrictRow(source_id=f"{min(one.cells):x}", name=one.name.partition(" · ")[0], area=one.area, names={}) for one in found]
    return ingest.load_districts(session, source="proposed", layer="proposed", rows=rows, attribution=osm.ATTRIBUTION, now=now)


def _keys(settings: Settings) -> dict[str, str]:
    """One key per role, kept in the data folder and made anew where one is missing or was revoked."""
    target = settings.data_dir / "keys.json"
    kept: dict[str, str] = {}
    with contextlib.suppress(OSError, ValueError):
        kept = json.loads(target.read_text())
    database = Database(settings)
    now = datetime.now(UTC)
    try:
        with database.write() as session:
            for role in ROLES:
                with contextlib.suppress(Unauthenticated):
                    auth.identify(session, kept.get(role, ""))
                    continue
                merchant = auth.add_merchant(session, name=_MERCHANT, now=now) if role == "store" else None
                _, kept[role] = auth.create_key(session, role=role, name="demonstration", merchant=merchant, now=now)
    finally:
        database.close()
    target.touch(mode=0o600)
    target.write_text(json.dumps(kept, indent=2))
    return kept


@contextlib.contextmanager
def _services(settings: Settings) -> Iterator[tuple[str, dict[str, str]]]:
    """The web service and the worker as processes of our own; yields the address and the keys."""
    keys = _keys(settings)
    settings = replace(settings, web_key=settings.web_key or keys["web"], home=settings.home or _home(settings))
    log_path = settings.data_dir / "service.log"
    with log_path.open("ab") as log:
        server, port = _start_server(settings, log, log_path)
        processes = [server, _start("worker", settings, port, log)]
        try:
            base = f"http://{settings.host}:{port}"
            _give_stores(base, keys)
            yield base, keys
        finally:
            _stop(processes)


def _start_server(settings: Settings, log: IO[bytes], log_path: Path) -> tuple[subprocess.Popen[bytes], int]:
    """The web service on the first port from the wanted one on that nobody holds; another start may take one before our eyes."""
    port = settings.port
    for _ in range(_PORTS_TRIED):
        free = free_port(port, settings.host)
        if free != port:
            _say(f"port {port} is busy, taking {free}")
        server = _start("serve", settings, free, log)
        if _wait_until_ready(f"http://{settings.host}:{free}", server):
            return server, free
        _stop([server])
        if is_free(free, settings.host):
            break
        port = free
    tail = "\n".join(log_path.read_text(errors="replace").splitlines()[-10:])
    raise BadSettings(f"the service did not start; the end of {log_path}:\n{tail}")


def _start(command: str, settings: Settings, port: int, log: IO[bytes]) -> subprocess.Popen[bytes]:
    public_url = os.environ.get(f"{PREFIX}PUBLIC_URL") or _named(f"http://{settings.host}:{port}")
    environment = {
        **os.environ, f"{PREFIX}PORT": str(port), f"{PREFIX}DATA_DIR": str(settings.data_dir), f"{PREFIX}PUBLIC_URL": public_url,
        f"{PREFIX}WEB_KEY": settings.web_key, f"{PREFIX}HOME": settings.home,
    }  # fmt: skip
    libc = ctypes.CDLL(None)
    return subprocess.Popen(
        [sys.executable, "-m", "geo_o2o", command],
        env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
        # Ctrl-C reaches us alone, and we stop them in order; should we be killed, the kernel tells them (PR_SET_PDEATHSIG = 1).
        start_new_session=True,
        preexec_fn=lambda: libc.prctl(1, signal.SIGTERM),
    )  # fmt: skip


def _stop(processes: list[subprocess.Popen[bytes]]) -> None:
    for process in processes:
        process.terminate()
    for process in processes:
        try:
            process.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_until_ready(base: str, server: subprocess.Popen[bytes]) -> bool:
    """Whether our own server answers; False where it ended."""
    deadline = time.monotonic() + _READY_TIMEOUT_S
    while time.monotonic() < deadline and server.poll() is None:
        with contextlib.suppress(OSError, ValueError):
            _get(f"{base}/health/ready", key=None)
            # Another server may answer on a port that ours failed to get.
            time.sleep(0.2)
            return server.poll() is None
        time.sleep(0.1)
    return False


def _first_answer(base: str, keys: dict[str, str]) -> Any:
    return _get(f"{base}/v1/offers/nearby?{_place(base, keys)}&radius_m=800&limit=5", key=keys["app"])


def _place(base: str, keys: dict[str, str]) -> str:
    """Where to ask: at the fixture city's corner, or, in a catalogue of the caller's own, at any store of it."""
    if _get(f"{base}/v1/stores/nearby?lat={LAT}&lng={LNG}&limit=1", key=keys["app"])["items"]:
        return f"lat={LAT}&lng={LNG}"
    stores = _get(f"{base}/v1/stores?limit=1", key=keys["admin"])["items"]
    return f"lat={stores[0]['lat']}&lng={stores[0]['lng']}" if stores else f"lat={LAT}&lng={LNG}"


def _home(settings: Settings) -> str:
    """Where the visitor's page begins: at the fixture city's corner, or, in a catalogue of the caller's own, at any store of it."""
    database = Database(settings)
    try:
        with database.read() as session:
            return f"{LAT},{LNG}" if queries.any_store_near(session, Point(LNG, LAT), radius_m=_NEAR_M) else ""
    finally:
        database.close()


def _give_stores(base: str, keys: dict[str, str]) -> None:
    """The nearest stores belong to the demonstration's merchant, so that its counter has somebody to wait for."""
    merchant = next(one["id"] for one in _get(f"{base}/v1/merchants", key=keys["admin"])["items"] if one["name"] == _MERCHANT)
    if _get(f"{base}/v1/stores?limit=1", key=keys["store"])["items"]:
        return
    for hit in _get(f"{base}/v1/stores/nearby?{_place(base, keys)}&limit={_GIVEN}", key=keys["app"])["items"]:
        address = f"{base}/v1/stores/{hit['id']}"
        store = _get(address, key=keys["admin"])
        if store["merchant_id"] is None:
            headers = {"Authorization": f"Bearer {keys['admin']}", "Content-Type": "application/json", "If-Match": f'"v{store["version"]}"'}
            body = json.dumps({"merchant_id": merchant}).encode()
            with urllib.request.urlopen(urllib.request.Request(address, data=body, headers=headers, method="PATCH"), timeout=10):
                pass


def _get(url: str, *, key: str | None) -> Any:
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {key}"} if key else {})
    with urllib.request.urlopen(request, timeout=10) as response:
        return json.load(response)


def _show(base: str, keys: dict[str, str]) -> None:
    place = _place(base, keys)
    lines = [
        "",
        f"geo_o2o runs at {base} (API page: {base}/docs). Ctrl-C stops it.",
        "",
        "Its pages (a key in an address stays in the browser):",
        f"  {base}/    what is worth walking to, for visitors",
        f"  {_named(base)}/counter#key={keys['store']}    the counter of a store",
        f"  {base}/planner#key={keys['planner']}    how the districts live, for planners",
        f"  {base}/admin#key={keys['admin']}    operations",
        f"  {base}/verify    the check of a receipt",
        "",
        *(f"  {role:8} {key}" for role, key in keys.items()),
        "",
        "Offers worth walking to:",
        f"  curl -s -H 'Authorization: Bearer {keys['app']}' '{base}/v1/offers/nearby?{place}&radius_m=800&open_now=true&limit=3'",
        "",
        *_check_in_lines(base, keys, place),
        "A heat map of supply:",
        f"  curl -s -H 'Authorization: Bearer {keys['planner']}' '{base}/v1/heat/supply?bbox=24.93,60.16,24.96,60.18&resolution=9'",
        "",
        "Map data © OpenStreetMap contributors (ODbL). Ratings and offers are samples, invented for this demonstration.",
        "",
    ]
    sys.stdout.write("\n".join(lines))
    sys.stdout.flush()


def _named(base: str) -> str:
    """The same address by the name of this machine: browsers keep passkeys for names alone."""
    return base.replace("//127.0.0.1:", "//localhost:")


def _check_in_lines(base: str, keys: dict[str, str], place: str) -> list[str]:
    """A check-in at the nearest store, by a phone that stands at its door; nothing where there is no store."""
    stores = _get(f"{base}/v1/stores/nearby?{place}&limit=1", key=keys["app"])["items"]
    if not stores:
        return []
    store = stores[0]
    return [
        f"A check-in at {store['name']}, signed by a phone whose key is kept in device.pem:",
        f"  {sys.executable} -m geo_o2o visit check-in --url {base} --key {keys['app']} --store {store['id']} --at {store['lat']},{store['lng']}",
        "",
    ]


def _say(text: str) -> None:
    sys.stderr.write(f"geo_o2o: {text}\n")
    sys.stderr.flush()
