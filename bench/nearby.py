"""How fast nearby is, beside what one would write first and beside an empty answer of the same framework and server."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from geo_o2o import cluster
from geo_o2o.auth import service as auth
from geo_o2o.config import Settings, from_environment
from geo_o2o.db import Database
from geo_o2o.ingest import fhrs, queries
from geo_o2o.ingest import service as ingest
from geo_o2o.ops.service import upgrade
from geo_o2o.ports import free_port

from .client import ask, summarize
from .report import machine

RADII_M = (500, 2_000, 10_000)
LIMIT = 20
_QUESTIONS = 400
_SEED = 7
# Charing Cross, and how far around it people ask.
_CENTRE, _AROUND_M = (-0.1276, 51.5072), 3_000


@contextmanager
def private_cluster() -> Iterator[cluster.Cluster]:
    """The private cluster, stopped again where it did not run before."""
    data_dir = from_environment().data_dir
    before = cluster.find(data_dir)
    ran = before is not None and cluster.is_running(before)
    try:
        yield cluster.up(data_dir)
    finally:
        if not ran:
            cluster.down(data_dir)


def bench_settings(name: str) -> Settings:
    """A database of its own in the private cluster, so that no measurement meets another's rows."""
    settings = from_environment()
    found = cluster.up(settings.data_dir)
    cluster.create_database(found, name)
    return replace(settings, database_url=cluster.database_url(found, name))


def measure_nearby(data: Path, *, seconds: float, rounds: int, clients: int) -> dict[str, Any]:
    settings = bench_settings("geo_o2o_bench")
    upgrade(settings)
    rows = _ensure_loaded(settings, data)
    points, key = _questions(settings)
    paths: dict[str, list[str]] = {
        **{f"ours {radius} m": [f"/v1/stores/nearby?{_query(point, radius)}" for point in points] for radius in RADII_M},
        **{f"naive {radius} m": [f"/bench/naive/?{_query(point, radius)}" for point in points] for radius in RADII_M},
        "empty Flask answer": ["/bench/empty/"],
    }
    with _server(settings) as port:
        for warming in paths.values():
            ask(port, warming, key=key, clients=clients, seconds=0.5)
        found: dict[str, list[dict[str, Any]]] = {case: [] for case in paths}
        for _ in range(rounds):
            for case, asked in paths.items():
                found[case].append(ask(port, asked, key=key, clients=clients, seconds=seconds))
    cases = {case: summarize(measured) for case, measured in found.items()}
    rate = {case: figures["answers_per_s"] for case, figures in cases.items()}
    return {
        "machine": machine(settings.write_url()),
        "data": {
            "file": data.name, "places": rows, "questions": f"{len(points)} places within {_AROUND_M} m of Charing Cross",
            "hits": LIMIT, "clients": clients, "workers": settings.workers,
        },
        "peers": {"naive": "ST_DWithin, sort by the same score", "empty": "a Flask route that answers {}"},
        "cases": cases,
        "ratios": {
            **{f"naive_postgis_{radius}_m": rate[f"ours {radius} m"] / rate[f"naive {radius} m"] for radius in RADII_M},
            "empty_flask": rate["ours 2000 m"] / rate["empty Flask answer"],
            "p50_10000_m_to_500_m": cases["ours 10000 m"]["p50_ms"] / cases["ours 500 m"]["p50_ms"],
        },
    }  # fmt: skip


def _ensure_loaded(settings: Settings, data: Path) -> int:
    database = Database(settings, statement_timeout_ms=0)
    with database.write() as session:
        if not any(row.source == "fhrs" for row in queries.loaded_sources(session)):
            now = datetime.now(UTC)
            ingest.load_stores(session, source="fhrs", rows=fhrs.stores(data), now=now, horizon_d=settings.hours_horizon_d)
            ingest.write_attribution(session, source="fhrs", attribution=fhrs.ATTRIBUTION, licence=fhrs.LICENCE, now=now)
            queries.analyze(session, "stores")
        rows = session.scalar(sa.text("SELECT count(*) FROM stores"))
    database.close()
    return int(rows or 0)


def _questions(settings: Settings) -> tuple[list[tuple[float, float]], str]:
    """Where people ask from: places in central London, a few steps away from the door. And a key to ask with."""
    database = Database(settings)
    with database.write() as session:
        found = session.execute(
            sa.text(
                "SELECT ST_X(location::geometry), ST_Y(location::geometry) FROM stores"
                " WHERE ST_DWithin(location, ST_SetSRID(ST_MakePoint(:lon, :lat), 4326)::geography, :around) ORDER BY source_id"
            ),
            {"lon": _CENTRE[0], "lat": _CENTRE[1], "around": _AROUND_M},
        ).all()
        _, key = auth.create_key(session, role="app", name="bench", merchant=None, now=datetime.now(UTC))
    database.close()
    chance = random.Random(_SEED)
    chosen = chance.sample(found, min(_QUESTIONS, len(found)))
    return [(row[0] + chance.gauss(0, 0.0005), row[1] + chance.gauss(0, 0.0003)) for row in chosen], key


def _query(point: tuple[float, float], radius_m: int) -> str:
    return f"lat={point[1]:.6f}&lng={point[0]:.6f}&radius_m={radius_m}&limit={LIMIT}"


@contextmanager
def _server(settings: Settings) -> Iterator[int]:
    port = free_port(settings.port + 500)
    root = Path(__file__).resolve().parents[1]
    environment = {**os.environ, "GEO_O2O_DATABASE_URL": settings.database_url, "PYTHONPATH": str(root)}
    command = [
        sys.executable, "-m", "granian", "--interface", "wsgi", "--factory", "--host", "127.0.0.1", "--port", str(port),
        "--workers", str(settings.workers), "--blocking-threads", str(settings.threads), "--no-ws", "bench.app:create",
    ]  # fmt: skip
    with subprocess.Popen(command, env=environment, cwd=root, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            _wait(f"http://127.0.0.1:{port}/health/ready")
            yield port
        finally:
            process.terminate()


def _wait(url: str) -> None:
    for _ in range(300):
        try:
            urllib.request.urlopen(url, timeout=2).close()
            return
        except OSError:
            time.sleep(0.1)
    raise RuntimeError("the server did not start")
