"""Tiles of one process that were drawn already, and whether anything that they show has changed since.

Every write says which cells it changes (changes.service), and the listener hears it in the order of the commits. So a tile stands until
a change is heard of in a cell that reaches into it; then it is drawn again, and has its old tag where it shows the same as before.
"""

from __future__ import annotations

import gzip
import os
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache

from xxhash import xxh3_128_hexdigest

from ..changes.service import CHANNEL, parse_told
from ..geo.bounds import Bounds
from ..geo.cells import VERSIONED_RESOLUTION, boundary, parent
from ..geo.tiles import Tile
from ..listen import Listener

Key = tuple[str, Tile]
# Changes that are remembered; who has not looked since the oldest draws anew.
_MOST_CHANGES = 5_000
_TICKS_PER_STALENESS = 8
# Descendants overhang their cell by less than this share of its width on each side.
_OVERHANG = 0.2
# Three fifths of the time of the usual 6, and two bytes more in a hundred.
_COMPRESSION = 4


@dataclass(frozen=True)
class Drawn:
    """A tile. packed: gzipped, empty where it shows nothing. tag: of what it shows, and of nothing else. since: number of the newest change
    that was known before it was drawn. layers: version of what does not belong to cells.
    """

    packed: bytes
    tag: str
    since: int
    layers: int


def drawn(body: bytes, *, since: int, layers: int) -> Drawn:
    return Drawn(gzip.compress(body, _COMPRESSION, mtime=0) if body else b"", xxh3_128_hexdigest(body), since, layers)


class Tiles:
    """See above. url: where to listen; None keeps nothing (tests, whose transactions nobody else can see).

    layers: asks for the version of what does not belong to cells. reach: the resolution of the coarsest cells that a tile sums up: a change
    in one of them is seen wherever that cell is. staleness_s: no tile is older.
    """

    def __init__(self, *, url: str | None, layers: Callable[[], int], reach: Callable[[Key], int], staleness_s: float, most_bytes: int):
        self._reach = reach
        self._layers, self._staleness_s, self._most_bytes = layers, staleness_s, most_bytes
        self._kept: OrderedDict[Key, Drawn] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()
        self._changes: deque[tuple[int, int]] = deque(maxlen=_MOST_CHANGES)
        self._newest = self._forgotten = 0
        self._layers_known: tuple[float, int] = (float("-inf"), 0)
        self._listener: Listener | None = None
        self._owner = 0
        if url:
            every_s = staleness_s / _TICKS_PER_STALENESS
            self._listener = Listener(
                url, CHANNEL, told=self._hear, look=self._forget, noticed=lambda away: None, every_s=every_s, patience_s=staleness_s / 2
            )

    def moment(self) -> tuple[int, int]:
        """What a tile that is drawn from now on is kept with: number of the newest change, version of the layers."""
        if self._listener is not None and self._owner != os.getpid():
            self._owner = os.getpid()
            self._listener.start()
        return self._newest, self._layer_version()

    def find(self, key: Key) -> Drawn | None:
        """A tile that shows what is true now; None where it must be drawn."""
        found = self._kept.get(key)
        if found is None or self._listener is None or time.monotonic() - self._listener.heard_at > self._staleness_s:
            return None
        newest = self._newest
        if found.since < self._forgotten or found.layers != self._layer_version() or self._is_touched(key, found.since):
            self._drop(key)
            return None
        with self._lock:
            if key in self._kept:
                self._kept[key] = replace(found, since=newest)
                self._kept.move_to_end(key)
        return found

    def keep(self, key: Key, tile: Drawn) -> None:
        if self._listener is None:
            return
        self._drop(key)
        with self._lock:
            self._kept[key] = tile
            self._bytes += _size(tile)
            while self._bytes > self._most_bytes:
                _, oldest = self._kept.popitem(last=False)
                self._bytes -= _size(oldest)

    def _drop(self, key: Key) -> None:
        with self._lock:
            gone = self._kept.pop(key, None)
            if gone is not None:
                self._bytes -= _size(gone)

    def _is_touched(self, key: Key, since: int) -> bool:
        bounds, resolution = key[1].bounds(), min(self._reach(key), VERSIONED_RESOLUTION)
        return any(number > since and _meet(bounds, _box_of(parent(cell, resolution))) for number, cell in list(self._changes))

    def _hear(self, text: str) -> None:
        told = parse_told(text)
        if told is None:
            self._forget()
            return
        for cell in told:
            if len(self._changes) == _MOST_CHANGES:
                self._forgotten = self._changes[0][0]
            # The change stands before its number is said, so that nobody believes to know it who does not.
            self._changes.append((self._newest + 1, cell))
            self._newest += 1

    def _forget(self) -> None:
        """Something may have been missed: whatever was drawn before counts no more."""
        self._newest += 1
        self._forgotten = self._newest

    def _layer_version(self) -> int:
        asked_at, version = self._layers_known
        now = time.monotonic()
        if now - asked_at > self._staleness_s or self._listener is None:
            version = self._layers()
            self._layers_known = now, version
        return version


def _size(tile: Drawn) -> int:
    return len(tile.packed) + 200


@lru_cache(maxsize=65_536)
def _box_of(cell: int) -> Bounds:
    """A box that holds everything stored in a cell; the whole way around where it crosses the date line."""
    corners = boundary(cell)
    lons, lats = [lon for lon, _ in corners], [lat for _, lat in corners]
    wide, high = (_OVERHANG * (max(values) - min(values)) for values in (lons, lats))
    west, east = min(lons) - wide, max(lons) + wide
    if west < -180.0 or east > 180.0 or east - west > 180.0:
        west, east = -180.0, 180.0
    return Bounds(west, max(min(lats) - high, -90.0), east, min(max(lats) + high, 90.0))


def _meet(one: Bounds, other: Bounds) -> bool:
    return one.west <= other.east and other.west <= one.east and one.south <= other.north and other.south <= one.north
