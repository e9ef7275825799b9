"""How fast a visit is proven: the claim, the sequencer, the way to a published proof, and the offline verification."""

from __future__ import annotations

import http.client
import json
import multiprocessing
import os
import secrets
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import sqlalchemy as sa
from geoalchemy2.shape import to_shape

from geo_o2o import cluster
from geo_o2o.auth import service as auth
from geo_o2o.client import Device, Position, Visitor
from geo_o2o.config import Settings
from geo_o2o.db import Database
from geo_o2o.ingest import osm
from geo_o2o.ingest import service as ingest
from geo_o2o.ledger import service as ledger
from geo_o2o.ops.demo import FIXTURE
from geo_o2o.ops.service import upgrade
from geo_o2o.ports import free_port
from geo_o2o.stores.models import Store
from visit_verify.file import parse_visit
from visit_verify.policy import parse_policy
from visit_verify.receipt import verify

from .databases import bench_settings
from .report import machine

_ENTRIES, _ONE_BY_ONE = 50_000, 300
_PROVEN = 60
_VERIFIED, _COLD_STARTS = 500, 11
_STORES = 200


def measure_checkins(*, claims: int, clients: int) -> dict[str, Any]:
    """claims: how many are sent in each of three turns."""
    settings = _empty("geo_o2o_bench_checkins")
    with tempfile.TemporaryDirectory() as folder:
        settings = replace(settings, data_dir=Path(folder))
        database = Database(settings, statement_timeout_ms=0)
        batches, single = _sequenced(database, settings)
        stores, key = _a_city(database, settings)
        with _running(settings) as url:
            turns = [_claims(url, key, stores, claims=claims, clients=clients) for _ in range(3)]
            whole = _whole(url, key, stores, claims=claims // 4, clients=clients)
            waits, receipts, policy = _proofs(url, key, stores)
        database.close()
        verifying, cold = _verified(receipts, policy, Path(folder))
        return {
            "machine": machine(settings.write_url()),
            "data": {"stores": len(stores), "claims": 3 * claims, "clients": clients, "entries": _ENTRIES, "of": "OpenStreetMap, Helsinki"},
            "cases": {
                "claim, all checks": _figures([one for _, times in turns for one in times], statistics.median(rate for rate, _ in turns)),
                "challenge and claim": _figures(whole[1], whole[0]),
                "claim to published proof": _figures(waits),
                "verification, running": _figures(verifying),
                "verification, cold start": _figures(cold),
                "sequencer, batches of 5,000": {"per_s": batches},
                "sequencer, one by one": {"per_s": single},
            },
            "ratios": {"sequencer in batches / one by one": batches / single},
        }


def _figures(times_ms: Sequence[float], per_s: float | None = None) -> dict[str, Any]:
    p50, p95, p99 = (float(one) for one in np.percentile(times_ms, [50, 95, 99]))
    return {"per_s": per_s, "p50_ms": p50, "p95_ms": p95, "p99_ms": p99, "number": len(times_ms)}


def _empty(name: str) -> Settings:
    settings = bench_settings(name)
    found = cluster.up(settings.data_dir)
    cluster.drop_database(found, name)
    cluster.create_database(found, name)
    upgrade(settings)
    return settings


def _sequenced(database: Database, settings: Settings) -> tuple[float, float]:
    """Entries a second, in batches and with a transaction for each."""
    log = ledger.log_of(settings, ledger.shard_at(datetime.now(UTC)))

    def run(number: int, most: int) -> float:
        with database.write() as session:
            session.execute(
                sa.text(
                    "INSERT INTO log_queue (id, shard, entry) SELECT gen_random_uuid(), :shard, '\\x0101'::bytea || sha256(g::text::bytea)"
                    " FROM generate_series(1, :number) g"
                ),
                {"shard": log.shard, "number": number},
            )
        started, placed = time.perf_counter(), 0
        while placed < number:
            with database.write() as session:
                placed += ledger.sequence(session, log, most=most)
        return number / (time.perf_counter() - started)

    return run(_ENTRIES, ledger.MOST_TOGETHER), run(_ONE_BY_ONE, 1)


def _a_city(database: Database, settings: Settings) -> tuple[list[tuple[str, float, float]], str]:
    """Stores where people go, and an app's key."""
    now = datetime.now(UTC)
    with database.write() as session:
        ingest.load_stores(session, source="osm", rows=osm.stores(FIXTURE), now=now, horizon_d=settings.hours_horizon_d)
        _, key = auth.create_key(session, role="app", name="bench", merchant=None, now=now)
    with database.read() as session:
        rows = session.execute(sa.select(Store.id, Store.location).order_by(Store.id).limit(_STORES)).all()
    return [(str(id_), (point := to_shape(location)).y, point.x) for id_, location in rows], key


@contextmanager
def _running(settings: Settings) -> Iterator[str]:
    """The service with two web processes and the worker, as an installation has them."""
    port = free_port(8_700)
    url = f"http://127.0.0.1:{port}"
    environment = {
        **os.environ, "GEO_O2O_PORT": str(port), "GEO_O2O_DATA_DIR": str(settings.data_dir), "GEO_O2O_DATABASE_URL": settings.database_url,
        "GEO_O2O_PUBLIC_URL": url, "GEO_O2O_WORKERS": "2",
    }  # fmt: skip
    log = (settings.data_dir / "service.log").open("wb")
    processes = [subprocess.Popen([sys.executable, "-m", "geo_o2o", name], env=environment, stdout=log, stderr=log) for name in ("serve", "worker")]
    try:
        for _ in range(300):
            try:
                urllib.request.urlopen(f"{url}/health/ready", timeout=5).read()
                break
            except OSError:
                time.sleep(0.1)
        yield url
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait(20)
        log.close()


def _claims(url: str, key: str, stores: Any, *, claims: int, clients: int) -> tuple[float, list[float]]:
    """Claims a second and milliseconds of each: signed beforehand, each by a device of its own, over a challenge of its own."""
    return _together(_signed_claims, (url, key, stores, claims // clients), clients)


def _whole(url: str, key: str, stores: Any, *, claims: int, clients: int) -> tuple[float, list[float]]:
    return _together(_whole_check_ins, (url, key, stores, claims // clients), clients)


def _together(work: Any, arguments: tuple[Any, ...], clients: int) -> tuple[float, list[float]]:
    context = multiprocessing.get_context("fork")
    ready = context.Barrier(clients)
    answers: Any = context.Queue()
    processes = [context.Process(target=_send, args=(work, arguments, number, ready, answers)) for number in range(clients)]
    for process in processes:
        process.start()
    found = [answers.get(timeout=300) for _ in processes]
    for process in processes:
        process.join()
    began, ended = min(one[0] for one in found), max(one[1] for one in found)
    times = [time_ms for one in found for time_ms in one[2]]
    return len(times) / (ended - began), times


def _send(work: Any, arguments: tuple[Any, ...], number: int, ready: Any, answers: Any) -> None:
    deeds = work(*arguments, number)
    ready.wait()
    times, began = [], time.time()
    for deed in deeds:
        started = time.perf_counter()
        deed()
        times.append((time.perf_counter() - started) * 1000)
    answers.put((began, time.time(), times))


def _signed_claims(url: str, key: str, stores: Any, count: int, number: int) -> list[Any]:
    connection = http.client.HTTPConnection(url.removeprefix("http://"))
    deeds = []
    for turn in range(count):
        visitor, store = _visitor(url, key), stores[(number + 7 * turn) % len(stores)]
        body = json.dumps(visitor.sign(store[0], [_at(store)]))
        proof = visitor.device.prove("POST", f"{url}/v1/check-ins", visitor.calls.nonce)
        headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json", "Idempotency-Key": secrets.token_hex(8), "DPoP": proof}
        deeds.append(lambda body=body, headers=headers: _post(connection, body, headers))
    return deeds


def _whole_check_ins(url: str, key: str, stores: Any, count: int, number: int) -> list[Any]:
    def deed(visitor: Visitor, store: tuple[str, float, float]) -> Any:
        return lambda: visitor.check_in(store[0], [_at(store)])

    return [deed(_visitor(url, key), stores[(number + 7 * turn) % len(stores)]) for turn in range(count)]


def _post(connection: http.client.HTTPConnection, body: str, headers: dict[str, str]) -> None:
    connection.request("POST", "/v1/check-ins", body, headers)
    answer = connection.getresponse()
    data = answer.read()
    if answer.status != 201 or json.loads(data)["level"] != 1:
        raise RuntimeError(f"the server answered {answer.status}: {data[:300]!r}")


def _visitor(url: str, key: str) -> Visitor:
    made = Visitor(url, key, Device.make(), account=secrets.token_hex(8))
    made.enrol()
    return made


def _at(store: tuple[str, float, float]) -> Position:
    """At the door, as right as receivers are."""
    return Position(store[1] + (secrets.randbelow(2_000) - 1_000) * 1e-7, store[2] + (secrets.randbelow(2_000) - 1_000) * 1e-7, 12.0)


def _proofs(url: str, key: str, stores: Any) -> tuple[list[float], list[bytes], str]:
    """Milliseconds from the claim to the file with its proof, one visit after another."""
    waits, receipts = [], []
    for number in range(_PROVEN):
        visitor, store = _visitor(url, key), stores[number % len(stores)]
        started = time.perf_counter()
        receipts.append(visitor.receipt(visitor.check_in(store[0], [_at(store)])))
        waits.append((time.perf_counter() - started) * 1000)
    policy = urllib.request.urlopen(f"{url}/v1/receipts/policy?store_ids={UUID(int=0)}").read().decode()
    return waits, receipts, policy


def _verified(receipts: Sequence[bytes], policy_text: str, folder: Path) -> tuple[list[float], list[float]]:
    """Milliseconds of one verification in a running program, and of a program that is started for it."""
    policy, running = parse_policy(policy_text), []
    for number in range(_VERIFIED):
        data, started = receipts[number % len(receipts)], time.perf_counter()
        verify(*parse_visit(data), policy)
        running.append((time.perf_counter() - started) * 1000)
    (folder / "one.visit").write_bytes(receipts[0])
    (folder / "policy.txt").write_text(policy_text)
    cold = []
    for _ in range(_COLD_STARTS):
        started = time.perf_counter()
        command = [sys.executable, "-m", "visit_verify.cli", str(folder / "one.visit"), "--policy", str(folder / "policy.txt")]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        cold.append((time.perf_counter() - started) * 1000)
    return running, cold
