"""PostgreSQL's COPY text format: values in, lines out. Pure."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from .geo.point import Point

_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})
_SRID_WGS84 = 4326
_EWKB_POINT = 0x20000001


def line(values: Sequence[Any]) -> str:
    """One row. None is NULL; numbers, text, booleans, lists of text and dicts (JSON) are known."""
    return "\t".join([_text(value) for value in values]) + "\n"


def point_hex(point: Point) -> str:
    """EWKB of a point in hexadecimal, WGS 84."""
    return struct.pack("<BIIdd", 1, _EWKB_POINT, _SRID_WGS84, point.lon, point.lat).hex()


def _text(value: Any) -> str:
    if value is None:
        return "\\N"
    if isinstance(value, str):
        return value.translate(_ESCAPES)
    if isinstance(value, bool):
        return "t" if value else "f"
    if isinstance(value, dict):
        return json.dumps(value, ensure_ascii=False).translate(_ESCAPES) if value else "{}"
    if isinstance(value, list | tuple):
        return _array(value).translate(_ESCAPES) if value else "{}"
    return str(value)


def _array(values: Sequence[Any]) -> str:
    return "{" + ",".join('"' + str(value).replace("\\", "\\\\").replace('"', '\\"') + '"' for value in values) + "}"


class Stream:
    """Lines as the file that COPY reads from; they are made while it reads, so memory does not grow with their number."""

    def __init__(self, lines: Iterable[str], *, progress: Callable[[int], None] | None = None):
        self._lines: Iterator[str] = iter(lines)
        self._left = b""
        self._progress = progress
        # COPY reports what went wrong in here only as text, so the failure itself is kept for the caller.
        self.failure: Exception | None = None

    def read(self, size: int = -1) -> bytes:
        try:
            return self._read(size)
        except Exception as failure:
            self.failure = failure
            raise

    def _read(self, size: int) -> bytes:
        pieces, length = [self._left], len(self._left)
        count = 0
        while size < 0 or length < size:
            text = next(self._lines, None)
            if text is None:
                break
            piece = text.encode()
            pieces.append(piece)
            length += len(piece)
            count += 1
        if self._progress and count:
            self._progress(count)
        whole = b"".join(pieces)
        cut = len(whole) if size < 0 else size
        self._left = whole[cut:]
        return whole[:cut]
