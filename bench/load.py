"""How long loading takes, and how much memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from geo_o2o import cluster
from geo_o2o.config import from_environment
from geo_o2o.ops.service import upgrade

from .databases import bench_settings
from .report import machine

_DATABASE = "geo_o2o_bench_load"
COLUMNS = {"source_id": "wof_id", "lng": "lon", "street": "address", "region": "province"}
# From the words of this source to ours, where it is plain.
_CATEGORIES = {
    "Restaurant": "food.restaurant", "Food & Drink": "food", "Cafe": "food.cafe", "Bar": "food.bar", "Retail": "shop", "Services": "service",
    "Health": "health", "Entertainment": "leisure", "Lodging": "lodging",
}  # fmt: skip


def measure_load(data: Path) -> dict[str, Any]:
    found = cluster.up(from_environment().data_dir)
    cluster.drop_database(found, _DATABASE)
    settings = bench_settings(_DATABASE)
    upgrade(settings)
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder) / "venues.parquet"
        rows = _with_categories(data, table)
        cases = {"empty database": _load(settings.database_url, table), "again, all unchanged": _load(settings.database_url, table)}
    first, again = cases.values()
    cluster.drop_database(found, _DATABASE)
    return {
        "machine": machine(found.url),
        "data": {"file": data.name, "venues": rows},
        "peers": {},
        "cases": cases,
        "ratios": {"rows_per_s": rows / first["seconds"], "rows_per_s_unchanged": rows / again["seconds"]},
    }


def categories_of(table: pa.Table) -> pa.Array:
    """Our own categories of the file's rows."""
    words = pc.coalesce(table["category"], table["type"]).to_pylist()
    return pa.array([_CATEGORIES.get(word) or "other" for word in words])


def _with_categories(data: Path, target: Path) -> int:
    """The file with a column of our own categories; everything else as it is."""
    table = pq.read_table(data)
    pq.write_table(table.set_column(table.schema.get_field_index("category"), "category", categories_of(table)), target)
    return int(table.num_rows)


def _load(url: str, table: Path) -> dict[str, Any]:
    """One `geo-o2o load csv` in a process of its own: seconds, peak memory, counts."""
    columns = [argument for ours, theirs in COLUMNS.items() for argument in ("--column", f"{ours}={theirs}")]
    command = [sys.executable, "-m", "geo_o2o", "load", "csv", str(table), "--source", "wof", *columns, "--json"]
    before = os.times()
    with subprocess.Popen(command, env={**os.environ, "GEO_O2O_DATABASE_URL": url}, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        output = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise RuntimeError("the load failed")
    report = json.loads(output)["reports"][0]
    return {
        "seconds": os.times().elapsed - before.elapsed,
        "cpu_s": usage.ru_utime + usage.ru_stime,
        "peak_mb": usage.ru_maxrss / 1024,
        **{name: report[name] for name in ("new", "changed", "unchanged")},
        "refused": sum(report["refused"].values()),
    }
