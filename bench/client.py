"""A load generator: processes of its own, one keep-alive connection each, over loopback."""

from __future__ import annotations

import multiprocessing
import socket
import time
from collections.abc import Sequence
from typing import Any

import numpy as np


def ask(port: int, paths: Sequence[str], *, key: str, clients: int, seconds: float) -> dict[str, Any]:
    """Asks the paths in turn from `clients` connections at once; answers a second, and milliseconds of each answer."""
    context = multiprocessing.get_context("fork")
    with context.Pool(clients) as pool:
        work = [(port, paths[number::clients] or paths, key, seconds) for number in range(clients)]
        found = pool.starmap(_one_connection, work)
    times = [time for answers, _ in found for time in answers]
    return {"answers": len(times), "per_s": len(times) / max(elapsed for _, elapsed in found), "ms": times}


def summarize(rounds: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Percentiles over all rounds of a case, and the median of its rates."""
    times = np.concatenate([np.asarray(one["ms"]) for one in rounds])
    p50, p95, p99 = np.percentile(times, [50, 95, 99])
    return {
        "answers_per_s": float(np.median([one["per_s"] for one in rounds])),
        "p50_ms": float(p50), "p95_ms": float(p95), "p99_ms": float(p99), "answers": len(times),
    }  # fmt: skip


def _one_connection(port: int, paths: Sequence[str], key: str, seconds: float) -> tuple[list[float], float]:
    requests = [f"GET {path} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {key}\r\n\r\n".encode() for path in paths]
    times: list[float] = []
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        reader = connection.makefile("rb")
        started = time.perf_counter()
        while (now := time.perf_counter()) - started < seconds:
            connection.sendall(requests[len(times) % len(requests)])
            _read_answer(reader)
            times.append((time.perf_counter() - now) * 1000)
        return times, time.perf_counter() - started


def _read_answer(reader: Any) -> None:
    status = reader.readline()
    if b" 200 " not in status:
        raise RuntimeError(f"the server answered {status!r}")
    length = 0
    while (line := reader.readline()) != b"\r\n":
        if line.lower().startswith(b"content-length:"):
            length = int(line[15:])
    reader.read(length)
