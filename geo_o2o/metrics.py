"""Counters and clocks for /metrics. Several processes of a host count each for itself, and whoever is asked adds them up."""

from __future__ import annotations

import os

from prometheus_client import Counter, Gauge, Histogram, values

from .process import pid

__all__ = ["Counter", "Gauge", "Histogram"]

# Four times a request the library asks which process it is in.
if os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
    values.ValueClass = values.MultiProcessValue(pid)  # type: ignore[no-untyped-call]
