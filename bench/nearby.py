"""How fast nearby is, beside what one would write first and beside an empty answer of the same framework and server."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import UUID

import numpy as np
import sqlalchemy as sa
from sqlalchemy.orm import Session

from geo_o2o.auth import service as auth
from geo_o2o.caller import Caller
from geo_o2o.config import Settings
from geo_o2o.db import Database
from geo_o2o.ops.service import upgrade
from geo_o2o.ports import free_port
from geo_o2o.stores import service as stores

from .client import ask, summarize
from .data import ensure_london, ensure_venues
from .databases import bench_settings
from .peers import load_redis
from .report import machine

# The one that is compared with the peers stands last, next to the empty answer: turns that follow each other meet the same machine.
RADII_M = (500, 10_000, 2_000)
LIMIT = 20
_QUESTIONS = 400
_SEED = 7
# Charing Cross and Times Square, and how far around them people ask.
_LONDON, _NEW_YORK, _AROUND_M = (-0.1276, 51.5072), (-73.9857, 40.7580), 3_000
# Open now and a category, each half of the time.
_FILTERS = ("", "&open_now=true", "&category=food", "&open_now=true&category=food")
_TAGGED = 10_000
_WRITES = 100


def measure_nearby(data: Path, venues: Path, *, seconds: float, rounds: int, clients: int, peers: bool) -> dict[str, Any]:
    settings = bench_settings("geo_o2o_bench")
    upgrade(settings)
    database = Database(settings, statement_timeout_ms=0, lock_timeout_ms=0)
    london = ensure_london(database, data)
    others, offers = ensure_venues(database, venues) if peers else (0, 0)
    key, points = _key(database), _places(database, _LONDON)
    asked = [_query(point, 2_000, number) for number, point in enumerate(points)]
    paths: dict[str, list[str]] = {
        **{f"shelf {radius} m": [f"/v1/stores/nearby?{_query(point, radius, number)}" for number, point in enumerate(points)] for radius in RADII_M},
        "empty Flask answer": ["/bench/empty/"],
        "shelf, suggest": _typed(database, points),
        "SQL path 2000 m": [f"/bench/sql/v1/stores/nearby?{query}" for query in asked],
        "naive PostGIS 2000 m": [f"/bench/naive/?{query}" for query in asked],
    }  # fmt: skip
    with _redis(database if peers else None) as redis_port, _server(settings, redis_port) as port:
        if redis_port:
            paths["Redis GEOSEARCH 2000 m"] = [f"/bench/redis/?{query}" for query in asked]
        if peers:
            there = _places(database, _NEW_YORK)
            paths["shelf, offers 2000 m"] = [f"/v1/offers/nearby?{_query(point, 2_000, number)}" for number, point in enumerate(there)]
        _fill_the_shelf(port, key, settings)
        for warming in paths.values():
            ask(port, warming, key=key, clients=clients, seconds=1.0)
        found: dict[str, list[dict[str, Any]]] = {case: [] for case in paths}
        for _ in range(rounds):
            for case, questions in paths.items():
                found[case].append(ask(port, questions, key=key, clients=clients, seconds=seconds))
        cases = {case: summarize(measured) for case, measured in found.items()}
        more = _freshness(port, key, database, points[0]) | _tags(port, key, database, points) if peers else {}
        more |= {"memory_mb": _memory_mb(port)}
    database.close()
    named = {
        "empty_flask": "empty Flask answer",
        "redis": "Redis GEOSEARCH 2000 m",
        "naive_postgis": "naive PostGIS 2000 m",
        "sql_path": "SQL path 2000 m",
    }
    return {
        "machine": machine(settings.write_url()),
        "data": {
            "places": london, "venues": others, "offers": offers, "questions": f"{len(points)} places within {_AROUND_M} m of Charing Cross",
            "filters": "none, open_now, category, both in turn", "hits": LIMIT, "clients": clients, "workers": settings.workers,
        },
        "peers": {
            "naive": "ST_DWithin, sort by the same score", "empty": "a Flask route that answers {}", "sql": "our own statement, shelf switched off",
            "redis": "GEOSEARCH of all within the radius, ranked by numpy, MGET of the page",
        },
        "cases": cases,
        "ratios": {
            **{name: _ratio(found["shelf 2000 m"], found[case]) for name, case in named.items() if case in found},
            **({"offers_empty_flask": _ratio(found["shelf, offers 2000 m"], found["empty Flask answer"])} if peers else {}),
            "suggest_p95_to_budget": cases["shelf, suggest"]["p95_ms"] / settings.nearby_budget_ms,
            "p50_10000_m_to_500_m": cases["shelf 10000 m"]["p50_ms"] / cases["shelf 500 m"]["p50_ms"],
        },
        "more": more,
    }  # fmt: skip


def _ratio(ours: list[dict[str, Any]], other: list[dict[str, Any]]) -> float:
    """The median over the rounds of what one case answered a second by what another did in the same round: a machine has better and worse
    seconds, and both cases of a round meet the same ones."""
    return statistics.median(one["per_s"] / two["per_s"] for one, two in zip(ours, other, strict=True))


def _key(database: Database) -> str:
    with database.write() as session:
        return auth.create_key(session, role="app", name="bench", merchant=None, now=datetime.now(UTC))[1]


def _places(database: Database, centre: tuple[float, float]) -> list[tuple[float, float]]:
    """Where people ask from: places of the city, a few steps away from the door."""
    with database.read() as session:
        found = session.execute(
            sa.text(
                "SELECT ST_X(location::geometry), ST_Y(location::geometry) FROM stores"
                " WHERE ST_DWithin(location, ST_SetSRID(ST_MakePoint(:lon, :lat), 4326)::geography, :around) ORDER BY source_id"
            ),
            {"lon": centre[0], "lat": centre[1], "around": _AROUND_M},
        ).all()
    chance = random.Random(_SEED)
    chosen = chance.sample(found, min(_QUESTIONS, len(found)))
    return [(row[0] + chance.gauss(0, 0.0005), row[1] + chance.gauss(0, 0.0003)) for row in chosen]


def _typed(database: Database, points: list[tuple[float, float]]) -> list[str]:
    """What somebody asks for who has typed two to eight letters of a name of this city."""
    with database.read() as session:
        names = session.scalars(
            sa.text("SELECT DISTINCT name FROM stores TABLESAMPLE SYSTEM (2) REPEATABLE (7) WHERE length(name) > 8 ORDER BY 1")
        ).all()
    chance = random.Random(_SEED)
    texts = [chance.choice(names)[: chance.randint(2, 8)] for _ in points]
    return [f"/v1/suggest?lat={y:.6f}&lng={x:.6f}&q={quote(text)}" for (x, y), text in zip(points, texts, strict=True)]


def _query(point: tuple[float, float], radius_m: int, number: int) -> str:
    return f"lat={point[1]:.6f}&lng={point[0]:.6f}&radius_m={radius_m}&limit={LIMIT}{_FILTERS[number % len(_FILTERS)]}"


def _get(port: int, path: str, key: str = "") -> tuple[Any, str]:
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers={"Authorization": f"Bearer {key}"})
    with urllib.request.urlopen(request, timeout=30) as response:
        return json.load(response), response.headers.get("ETag", "")


def _fill_the_shelf(port: int, key: str, settings: Settings) -> None:
    """Everything on the shelf: the files are written by `geo-o2o shelf build`; each process maps them when it is asked for the first time."""
    environment = {**os.environ, "GEO_O2O_DATABASE_URL": settings.database_url}
    subprocess.run([sys.executable, "-m", "geo_o2o", "shelf", "build"], env=environment, check=True, stdout=subprocess.DEVNULL)
    seen: dict[int, int] = {}
    ask(port, ["/v1/stores/nearby?lat=51.5&lng=-0.12"], key=key, clients=24, seconds=1.0)  # starts the shelf of each process
    for _ in range(1_200):
        for _ in range(4):
            state, _ = _get(port, "/bench/shelf")
            before, seen[state["pid"]] = seen.get(state["pid"], -1), state["stores"]
        if len(seen) >= settings.workers and state["stores"] == before > 0 and len(set(seen.values())) == 1:
            return
        time.sleep(0.5)
    raise RuntimeError("the processes did not map the shelf")


def _memory_mb(port: int) -> float:
    """Of all workers together, shared pages counted once (PSS)."""
    pids = {_get(port, "/bench/shelf")[0]["pid"] for _ in range(24)}
    total = 0
    for pid in pids:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
        total += sum(int(one) for one in re.findall(r"^Pss:\s+(\d+)", text, re.MULTILINE))
    return round(total / 1024, 1)


def _freshness(port: int, key: str, database: Database, point: tuple[float, float]) -> dict[str, Any]:
    """Milliseconds from a commit to the first answer that shows it, asked for on every process in turn."""
    query = f"/v1/stores/nearby?lat={point[1]:.6f}&lng={point[0]:.6f}&limit=1"
    id_ = UUID(_get(port, query, key)[0]["items"][0]["id"])
    times = []
    for number in range(_WRITES):
        with database.write() as session:
            _rename(session, id_, f"Store {number}")
        committed = time.perf_counter()
        while _get(port, query, key)[0]["items"][0]["name"] != f"Store {number}":
            pass
        times.append((time.perf_counter() - committed) * 1000)
        time.sleep(0.05)
    p50, p99 = np.percentile(times, [50, 99])
    return {"write_to_answer_p50_ms": round(float(p50), 1), "write_to_answer_p99_ms": round(float(p99), 1)}


def _tags(port: int, key: str, database: Database, points: list[tuple[float, float]]) -> dict[str, Any]:
    """One store is renamed: of 10,000 other answers, how many get another tag though nothing that they show changed."""
    chance = random.Random(_SEED)
    queries = [
        f"/v1/stores/nearby?{_query((x + chance.gauss(0, 0.01), y + chance.gauss(0, 0.006)), 2_000, number)}"
        for number, (x, y) in enumerate(chance.choices(points, k=_TAGGED))
    ]
    id_ = UUID(_get(port, queries[0], key)[0]["items"][0]["id"])
    # Within one minute, because an answer shows it.
    half = len(queries) // 2
    changed = counted = 0
    for part in (queries[:half], queries[half:]):
        time.sleep(60.5 - time.time() % 60)
        before = [_get(port, query, key) for query in part[: _TAGGED // 2]]
        with database.write() as session:
            _rename(session, id_, f"Store {counted}")
        time.sleep(0.5)
        for query, (body, tag) in zip(part, before, strict=True):
            later, other = _get(port, query, key)
            if later["at"] != body["at"] or str(id_) in json.dumps(body):
                continue
            counted += 1
            changed += tag != other and later["items"] == body["items"]
    return {"other_answers": counted, "tags_changed_without_need_share": changed / max(counted, 1)}


def _rename(session: Session, id_: UUID, name: str) -> None:
    version = stores.get_store(session, id_).version
    stores.change_store(session, caller=_OPERATOR, store_id=id_, version=version, fields={"name": name}, now=datetime.now(UTC), horizon_d=35)


@contextmanager
def _redis(database: Database | None) -> Iterator[int | None]:
    """Debian's redis-server with the places in it, on a port of its own; None where it is not installed or not asked for."""
    program = shutil.which("redis-server")
    if database is None or program is None or find_spec("redis") is None:
        if database is not None:
            print("without Redis: it needs redis-server, and the extra `bench` of this package", file=sys.stderr)
        yield None
        return
    port = free_port(7_300)
    with tempfile.TemporaryDirectory() as folder:
        command = [program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", folder]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
            try:
                time.sleep(1)
                load_redis(database, port, source="fhrs")
                yield port
            finally:
                process.terminate()


@contextmanager
def _server(settings: Settings, redis_port: int | None) -> Iterator[int]:
    port = free_port(settings.port + 500)
    root = Path(__file__).resolve().parents[1]
    environment = {**os.environ, "GEO_O2O_DATABASE_URL": settings.database_url, "PYTHONPATH": str(root)}
    if redis_port:
        environment["BENCH_REDIS_PORT"] = str(redis_port)
    with tempfile.TemporaryDirectory() as metrics:
        environment["PROMETHEUS_MULTIPROC_DIR"] = metrics
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


_OPERATOR = Caller(key_id=UUID(int=0), role="admin", merchant_id=None)
