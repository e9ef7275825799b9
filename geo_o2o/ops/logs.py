"""Log lines: readable in development, one JSON object a line in production. Pure apart from writing where logging writes."""

from __future__ import annotations

import json
import logging
import time
from typing import Any


class JsonLines(logging.Formatter):
    """One JSON object a line; what is passed as extra={"fields": {...}} becomes members."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": self.formatTime(record, "%Y-%m-%dT%H:%M:%S") + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["trace"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


class PlainLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        fields = " ".join(f"{name}={value}" for name, value in getattr(record, "fields", {}).items())
        line = f"{self.formatTime(record, '%H:%M:%S')} {record.levelname.lower():7} {record.getMessage()} {fields}".rstrip()
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


def set_up(*, production: bool, level: int = logging.INFO) -> None:
    handler = logging.StreamHandler()
    formatter: logging.Formatter = JsonLines() if production else PlainLines()
    formatter.converter = time.gmtime
    handler.setFormatter(formatter)
    root = logging.getLogger("geo_o2o")
    root.handlers[:] = [handler]
    root.setLevel(level)
    root.propagate = False
