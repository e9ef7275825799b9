"""The machine a figure was measured on, and figures as a table."""

from __future__ import annotations

import os
import platform
import re
from pathlib import Path
from typing import Any

import psycopg2


def machine(url: str) -> dict[str, Any]:
    """Processor, memory and programs of this run."""
    cpu = re.search(r"model name\s*: (.+)", Path("/proc/cpuinfo").read_text())
    memory = re.search(r"MemTotal:\s+(\d+) kB", Path("/proc/meminfo").read_text())
    connection = psycopg2.connect(url.replace("+psycopg2", ""))
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('server_version'), postgis_lib_version(), current_setting('shared_buffers')")
        postgres, postgis, buffers = cursor.fetchone()
    connection.close()
    return {
        "cpu": cpu[1] if cpu else platform.machine(),
        "cores": os.cpu_count(),
        "memory_gb": round(int(memory[1]) / 1e6, 1) if memory else None,
        "load_before": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "postgresql": postgres,
        "postgis": postgis,
        "shared_buffers": buffers,
    }


def table(found: dict[str, Any]) -> str:
    """Machine, data, one line a case, ratios."""
    lines = ["machine  " + ", ".join(f"{name} {value}" for name, value in found["machine"].items())]
    lines.append("data     " + ", ".join(f"{name} {value}" for name, value in found["data"].items()))
    cases = found["cases"]
    names = list(next(iter(cases.values())))
    lines.append("")
    lines.append(f"{'case':28}" + "".join(f"{name:>14}" for name in names))
    for case, figures in cases.items():
        lines.append(f"{case:28}" + "".join(f"{_shown(figures.get(name)):>14}" for name in names))
    lines.append("")
    lines += [f"ratio {name}: {_shown(value)}" for name, value in found["ratios"].items()]
    lines += [f"{name}: {_shown(value)}" for name, value in found.get("more", {}).items()]
    return "\n".join(lines)


def _shown(value: Any) -> str:
    return f"{value:,.2f}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)
