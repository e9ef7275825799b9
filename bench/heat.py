"""Heat: screens and tiles from rolled-up rows, a release, a roll-up of millions of check-ins, and the privacy audit of the shipped build."""

from __future__ import annotations

import random
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import sqlalchemy as sa
from flask.testing import FlaskClient
from shapely.geometry import MultiPolygon, box

from geo_o2o.app import create_app
from geo_o2o.auth import service as auth
from geo_o2o.checkins.samples import Sample, add_samples
from geo_o2o.config import Settings
from geo_o2o.db import Database
from geo_o2o.geo.cells import cell_of
from geo_o2o.geo.point import Point
from geo_o2o.geo.tiles import Tile
from geo_o2o.ops.service import upgrade
from geo_o2o.releases import queries as release_queries
from geo_o2o.releases import service as releases
from geo_o2o.releases.periods import parse_period
from geo_o2o.releases.products import VISITS
from geo_o2o.supply import queries as supply_queries
from geo_o2o.supply.service import roll_due

from .data import ensure_london
from .databases import bench_settings
from .report import machine

_SEED = 11
_ROOT = Path(__file__).parents[1]
_SCREEN_CELLS = 3_000
_QUESTIONS = 200
# Mean edge of a cell in degrees of latitude, about; a screen is as many cells as fit.
_CELL_KM2 = {6: 36.1, 7: 5.16, 8: 0.737, 9: 0.105, 10: 0.015, 11: 0.00215}
_WEEK = parse_period("2026-W45", "week")
_NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


def measure_heat(data: Path, *, visits: int, check_ins: int) -> dict[str, Any]:
    settings = bench_settings("geo_o2o_bench")
    upgrade(settings)
    database = Database(settings, statement_timeout_ms=0, lock_timeout_ms=0)
    stores = ensure_london(database, data)
    rolled_s = _roll_up(database)
    with database.write() as session:
        _, key = auth.create_key(session, role="planner", name="bench", merchant=None, now=_NOW)
        everything = session.scalar(sa.text("SELECT count(*) FROM stores WHERE status = 'live'"))
        places = [Point(row.lon, row.lat) for row in session.execute(sa.text(_PLACES))]
    app = create_app(settings, database=Database(settings))
    client = app.test_client()
    cases = {"screens, any resolution": _screens(client, key, places), **_tiles(app, client, key, places)}
    plan = _plan(database, places[0])
    release = _apart("release", str(visits))
    rolled = _apart("rollup", str(check_ins))
    database.close()
    return {
        "machine": machine(settings.write_url()),
        "data": {"stores": stores, "stores_in_all": everything, "visits_of_the_week": visits, "check_ins": check_ins},
        "cases": cases,
        "ratios": {},
        "more": {
            "rolling up all stores_s": rolled_s, "release_s": release["s"], "release_mb": release["mb"], "release_shown": release["rows"],
            "rollup_s": rolled["s"], "rollup_mb": rolled["mb"], "rollup_rows": rolled["rows"], **_audit(), "plan of a screen": "\n" + plan,
        },
    }  # fmt: skip


_PLACES = "SELECT ST_X(location::geometry) AS lon, ST_Y(location::geometry) AS lat FROM stores WHERE status = 'live' ORDER BY md5(id::text) LIMIT 400"


def _roll_up(database: Database) -> float:
    """Everything anew, as after a load."""
    with database.write() as session:
        session.execute(sa.text("TRUNCATE supply_blocks, supply_cells, supply_changes, supply_history"))
    began = time.perf_counter()
    done = 1
    while done:
        with database.write() as session:
            done = roll_due(session, now=datetime.now(UTC))
    taken_s = time.perf_counter() - began
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(sa.text("VACUUM ANALYZE supply_cells, supply_blocks, supply_changes"))
    return taken_s


def _screens(client: FlaskClient, key: str, places: list[Point]) -> dict[str, Any]:
    """Boxes of at most 3,000 cells around real stores, half of them with a category."""
    chance = random.Random(_SEED)
    paths = []
    for number in range(_QUESTIONS):
        resolution, place = chance.choice(list(_CELL_KM2)), chance.choice(places)
        side_km = (0.8 * _SCREEN_CELLS * _CELL_KM2[resolution]) ** 0.5
        high, wide = side_km / 111.2 / 2, side_km / 111.2 / 2 / np.cos(np.radians(place.lat))
        bounds = f"{place.lon - wide:.5f},{place.lat - high:.5f},{place.lon + wide:.5f},{place.lat + high:.5f}"
        paths.append(f"/v1/heat/supply?bbox={bounds}&resolution={resolution}{'&category=food' if number % 2 else ''}")
    return _ask(client, key, paths)


def _tiles(app: Any, client: FlaskClient, key: str, places: list[Point]) -> dict[str, dict[str, Any]]:
    chance = random.Random(_SEED)
    found: dict[str, dict[str, Any]] = {}
    kept = app.extensions["tiles"]
    kept.moment()
    kept._listener.wait_until_heard(time.monotonic(), patience_s=5)
    for layer, zooms in (("hexagons", (7, 9, 11, 13, 15)), ("clusters", (6, 8, 10, 12)), ("stores", (13, 14, 16))):
        tiles = {_tile(chance.choice(places), chance.choice(zooms)) for _ in range(_QUESTIONS)}
        paths = [f"/v1/tiles/{layer}/{tile.z}/{tile.x}/{tile.y}.mvt" for tile in sorted(tiles, key=lambda one: (one.z, one.x, one.y))]
        chance.shuffle(paths)
        found[f"tile of {layer}, uncached"] = _ask(client, key, paths)
        tags = {path: client.get(path, headers=_headers(key)).headers["ETag"] for path in paths}
        found[f"tile of {layer}, 304"] = _ask(client, key, paths, tags=tags)
    return found


def _tile(place: Point, zoom: int) -> Tile:
    side = 1 << zoom
    y = (1 - np.arcsinh(np.tan(np.radians(place.lat))) / np.pi) / 2 * side
    return Tile(zoom, int((place.lon + 180) / 360 * side), int(y))


def _headers(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}", "Accept-Encoding": "gzip"}


def _ask(client: FlaskClient, key: str, paths: list[str], *, tags: dict[str, str] | None = None) -> dict[str, Any]:
    """Each path once, one after the other, within the process: what the answer costs, without the network."""
    taken, sizes = [], []
    for path in paths:
        more = {"If-None-Match": tags[path]} if tags else {}
        began = time.perf_counter()
        response = client.get(path, headers={**_headers(key), **more})
        taken.append((time.perf_counter() - began) * 1_000)
        assert response.status_code in (200, 204, 304), (path, response.status_code, response.text[:300])
        assert not tags or response.status_code == 304, path
        sizes.append(len(response.data))
    taken.sort()
    return {
        "asked": len(paths), "p50_ms": statistics.median(taken), "p95_ms": taken[int(0.95 * len(taken))], "max_ms": taken[-1],
        "mean_bytes": round(statistics.mean(sizes)),
    }  # fmt: skip


def _plan(database: Database, place: Point) -> str:
    """EXPLAIN ANALYZE of the query behind a screen."""
    block = cell_of(place, 7)
    asked = {"shard_cells": [cell_of(place, 4)], "blocks": [block], "resolution": 10, "category_id": 0}
    with database.read() as session:
        rows = session.execute(sa.text(f"EXPLAIN (ANALYZE, BUFFERS) {supply_queries._CELLS}"), asked).scalars()
        return "\n".join(rows)


# --- in processes of their own, whose memory is measured ------------------------------------------------------------------------------


def _apart(what: str, size: str) -> dict[str, Any]:
    done = subprocess.run([sys.executable, "-m", "bench.heat", what, size], capture_output=True, text=True, check=False, cwd=_ROOT)
    if done.returncode:
        raise RuntimeError(done.stderr[-2_000:])
    seconds, megabytes, rows = done.stdout.split()[-3:]
    return {"s": float(seconds), "mb": int(megabytes), "rows": int(rows)}


def _timed(run: Callable[[], int]) -> None:
    began = time.perf_counter()
    rows = run()
    print(f"{time.perf_counter() - began:.2f} {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1_024} {rows}")


def _release(visits: int) -> None:
    """A city week of so many visits of a quarter as many people at 2,000 stores, then its release."""
    settings = bench_settings("geo_o2o_bench_heat")
    upgrade(settings)
    database = Database(settings, statement_timeout_ms=0, lock_timeout_ms=0)
    if not _has_week(database, visits):
        _invent_week(database, visits)
    # In a process whose memory has held nothing else.
    subprocess.run([sys.executable, "-m", "bench.heat", "only-release", str(visits)], check=True, cwd=_ROOT)
    database.close()


def _has_week(database: Database, visits: int) -> bool:
    with database.read() as session:
        return bool(session.scalar(sa.text("SELECT count(*) FROM check_ins WHERE EXISTS (SELECT FROM heat_areas WHERE sample)")) == visits)


def _invent_week(database: Database, visits: int) -> None:
    chance = random.Random(_SEED)
    with database.write() as session:
        session.execute(sa.text("TRUNCATE check_ins, stores, heat_release_cells, heat_releases, heat_areas CASCADE"))
        stores = [(uuid4(), cell_of(Point(chance.gauss(-0.1276, 0.05), chance.gauss(51.5072, 0.03)))) for _ in range(2_000)]
        for id_, cell in stores:
            session.execute(sa.text(_STORE), {"id": id_, "cell": cell})
        people = [uuid4() for _ in range(visits // 4)]
        begin = _WEEK.instants("Europe/London")[0]

        def samples() -> Any:
            for _ in range(visits):
                id_, cell = stores[min(int(chance.expovariate(1 / 400)), 1_999)]
                yield Sample(id_, None, cell, chance.choice(people), begin + timedelta(seconds=chance.randrange(7 * 86_400)))

        add_samples(session, samples())
        releases.add_area(
            session, name="london", title="London", area=MultiPolygon([box(-0.4, 51.38, 0.15, 51.62)]), time_zone="Europe/London",
            attested_only=False, sample=True, now=_NOW,
        )  # fmt: skip
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(sa.text("VACUUM ANALYZE check_ins, stores"))


_STORE = """
INSERT INTO stores (shard_cell, id, cell, location, category_id, rating_sum, rating_count, rating_sample, status, name, names, address, tags,
                    time_zone, source, source_id, version, created_at, updated_at)
VALUES (h3_parent(:cell, 4), :id, :cell, 'SRID=4326;POINT(-0.12 51.5)', 3, 0, 0, false, 'live', 'Store', '{}', '{}', '{}', 'Europe/London',
        'bench', CAST(:id AS text), 1, now(), now())
"""


def _only_release() -> None:
    settings: Settings = bench_settings("geo_o2o_bench_heat")
    database = Database(settings, statement_timeout_ms=0)
    with database.write() as session:
        # What was released is released once: this is as if it never had been.
        for table in ("heat_release_cells", "heat_releases", "log_queue"):
            session.execute(sa.text(f"DELETE FROM {table}"))

    def run() -> int:
        with database.write() as session:
            made, _ = releases.release(session, settings, releases.get_area(session, "london"), VISITS, _WEEK, now=_NOW)
            return len(release_queries.cells_of(session, area="london", product="visits", periods=[made.period]))

    _timed(run)


def _rollup(check_ins: int) -> None:
    """Seven days of so many check-ins of a tenth as many people in 200,000 places, summed up by (cell of resolution 6, hour)."""
    folder = Path(tempfile.mkdtemp(prefix="geo-o2o-rollup-"))
    try:
        subprocess.run([sys.executable, "-m", "bench.heat", "invent", str(check_ins), str(folder)], check=True, cwd=_ROOT)
        from geo_o2o.insights.rollup import roll_up

        _timed(lambda: roll_up(folder / "days", folder / "sums", resolution=6))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _invent(check_ins: int, folder: Path) -> None:
    rng, each = np.random.default_rng(_SEED), check_ins // 7
    (folder / "days").mkdir()
    places = zip(rng.normal(5, 8, 200_000).tolist(), rng.normal(48, 5, 200_000).tolist(), strict=True)
    cells = np.array([cell_of(Point(lon, lat)) for lon, lat in places])
    for number in range(7):
        seconds = np.sort(rng.integers(86_400, size=each)) + number * 86_400
        table = pa.table({
            "visited_at": pa.array((np.datetime64("2026-11-02") + seconds.astype("timedelta64[s]")).astype("datetime64[us]")),
            "cell": cells[(rng.zipf(1.2, size=each) - 1) % len(cells)], "account": rng.integers(check_ins // 10, size=each),
            "level": np.ones(each, dtype=np.int8),
        })  # fmt: skip
        parquet.write_table(table, folder / "days" / f"2026-11-{2 + number:02}.parquet", compression="zstd")


def _audit() -> dict[str, float]:
    """The empirical lower bound on epsilon of the shipped build, and of two that are broken on purpose (tests/releases)."""
    from dataclasses import replace

    from geo_o2o.releases import noise
    from tests.releases.attacks import attack, quick, two_worlds

    def drawn_again(counts: Any, scale: float) -> Any:
        total = sum(quick(np.zeros(len(counts), dtype=np.int64), scale) for _ in range(100))
        return np.rint(counts + total / 100).astype(np.int64)

    return {
        "audit, shipped build (promise 1)": attack(VISITS, *two_worlds(VISITS, cells=2), noise.laplace),
        "audit, contributions not bounded": attack(VISITS, *two_worlds(replace(VISITS, kept=40), cells=40), quick),
        "audit, noise drawn a hundred times": attack(VISITS, *two_worlds(VISITS, cells=2), drawn_again, runs=20_000),
    }


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["release", size]:
            _release(int(size))
        case ["only-release", size]:
            _only_release()
        case ["rollup", size]:
            _rollup(int(size))
        case ["invent", size, folder]:
            _invent(int(size), Path(folder))
