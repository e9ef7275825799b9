"""The shelf of one process: which snapshots it has, and whether they are fresh.

A request only looks: it takes a snapshot or learns that there is none, and is then answered by SQL. A thread of its own has the builder
bring what is missing and build anew what has changed. Files are shared by all processes of a host.
"""

from __future__ import annotations

import atexit
import hashlib
import logging
import queue
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from ..changes.service import CHANNEL, parse_told
from ..config import Settings
from ..geo.cells import parent
from ..listen import Listener, Silent
from ..process import pid
from .builder import GROUP_RESOLUTION, Builder, present_versions
from .files import BrokenFile, Folder, Held, SnapshotFile, trouble_of
from .snapshot import Snapshot, empty

_log = logging.getLogger("geo_o2o")
_RETRY_S = 5.0
_TICKS_PER_STALENESS = 8
_SWEEP_S = 10.0
_MOST_TOGETHER = 200


class NotOnShelf(Exception):
    """A snapshot that the question needs is not there, or may be older than allowed: ask the database."""


@dataclass(frozen=True)
class ShelfState:
    """For health and metrics. trouble: what keeps the shelf from being written, in words."""

    cells: int
    stores: int
    offers: int
    bytes: int
    trouble: str | None


class Shelf:
    """See above.

    reader: opens a transaction that sees one moment of the database. url: where to listen; None looks at every version anew for each
    question (tests, whose transactions nobody else can see). noticed: told True when the database falls silent, False when it answers
    again. staleness_s: no answer is older, unless the database is away.
    """

    def __init__(
        self,
        folder: Path,
        *,
        reader: Callable[[], AbstractContextManager[Session]],
        url: str | None,
        staleness_s: float,
        most_bytes: int,
        noticed: Callable[[bool], None] = lambda away: None,
    ):
        self._folder, self._reader, self._staleness_s, self._most_bytes = Folder(folder), reader, staleness_s, most_bytes
        self._builder = Builder(self._folder, reader)
        # Of groups that were looked at: each cell that has ever held anything; None where its file is gone.
        self._groups: dict[int, dict[int, Held | None]] = {}
        # Newer versions that were heard of; taken out when the snapshot of that version stands.
        self._newer: dict[int, int] = {}
        self._work: queue.SimpleQueue[int | None] = queue.SimpleQueue()
        self._waiting: set[int] = set()
        # Snapshots in use since the last sweep, and those of the time before.
        self._used: set[Held] = set()
        self._used_before: set[Held] = set()
        self._trouble: str | None = None
        self._owner = 0
        self._building: threading.Thread | None = None
        self._closing = False
        self._starting, self._learning = threading.Lock(), threading.Lock()
        self._swept_at = 0.0
        self.listener: Listener | None = None
        if url:
            every_s = staleness_s / _TICKS_PER_STALENESS
            self.listener = Listener(url, CHANNEL, told=self._hear, look=self._look, noticed=noticed, every_s=every_s, patience_s=staleness_s / 2)

    # --- for requests --------------------------------------------------------------------------------------------------------

    def open(self) -> tuple[Callable[[int], Snapshot], datetime | None]:
        """To be called before each question: what finds the snapshot of a cell, and None where the shelf is fresh, else the moment until
        which it knows everything for certain, in whole seconds: the same for all questions of an outage.

        All snapshots that are found for one question belong together: what one transaction changed in two cells is seen in both or in
        neither. Both this and what it returns raise NotOnShelf.
        """
        if self.listener is None:
            self._look()
            return self._finder(away=False), None
        if self._owner != pid():
            self._start()
        age_s = time.monotonic() - self.listener.heard_at
        if age_s <= self._staleness_s:
            return self._finder(away=False), None
        if not self.listener.heard_at:
            raise NotOnShelf("the listener has not heard from the database yet")
        return self._finder(away=True), datetime.fromtimestamp(int(self.listener.heard_on), UTC)

    def _finder(self, *, away: bool) -> Callable[[int], Snapshot]:
        # Replaced and never changed, so that a question sees one state from its first cell to its last.
        groups = self._groups
        whole: set[Any] = set()

        def find(cell: int) -> Snapshot:
            group = _group_of(cell)
            cells = groups.get(group)
            if cells is None:
                return self._wanted(group, cell)
            # A cell that has changed is not used until it was built anew, unless nobody else can answer.
            if cell in self._newer and not away:
                raise NotOnShelf(f"cell {cell:x} has changed")
            held = cells.get(cell, _NEVER)
            if held is _NEVER:
                return _EMPTY
            if held is None:
                return self._wanted(group, cell)
            self._used.add(held)
            try:
                return held.snapshot(whole)
            except (BrokenFile, OSError) as failure:
                self._drop(held)
                raise NotOnShelf(f"the file of cell {cell:x} is not what it was") from failure

        return find

    def _wanted(self, group: int, cell: int) -> Snapshot:
        """Has a group brought; only where nobody listens it is there at once."""
        if self.listener is None:
            if _to_be_brought(self._groups, group):
                self._bring({group})
            held = self._groups[group].get(cell)
            return held.snapshot() if held else _EMPTY
        if group not in self._waiting and not self.listener.away:
            self._waiting.add(group)
            self._work.put(group)
        raise NotOnShelf(f"group {group:x} is not on the shelf yet")

    def state(self) -> ShelfState:
        kept = self._all_held()
        size = sum({held.file: held.file.size for held in kept}.values())
        trouble = self._trouble or (self._folder.trouble() if self.listener else None)
        return ShelfState(
            len(kept), sum(held.file.stores[held.row] for held in kept), sum(held.file.offers[held.row] for held in kept), size, trouble
        )

    def _all_held(self) -> list[Held]:
        return [held for cells in self._groups.values() for held in cells.values() if held]

    def forget(self) -> None:
        """Empties the shelf of this process and of the folder."""
        self._groups = {}
        self._newer.clear()
        self._waiting.clear()
        self._builder.forget()

    def close(self) -> None:
        """Ends the threads; also called when the process ends, which must not tear them out of the middle of their work."""
        self._closing = True
        if self.listener is not None and self._building is not None and self._owner == pid():
            self.listener.stop()
            self._work.put(None)
            self._building.join(5)

    # --- hearing of changes --------------------------------------------------------------------------------------------------

    def _start(self) -> None:
        with self._starting:
            if self._owner == pid() or self.listener is None:
                return
            self._owner = pid()
            self._folder.prepare()
            self._building = threading.Thread(target=self._build_forever, name="shelf", daemon=True)
            self._building.start()
            atexit.register(self.close)
            self.listener.start()
            for group in sorted({parent(cell, GROUP_RESOLUTION) for cell in self._folder.listed()}):
                self._waiting.add(group)
                self._work.put(group)

    def _hear(self, text: str) -> None:
        """A transaction raised some versions."""
        told = parse_told(text)
        if told is None:
            self._look()
        else:
            self._learn(told)

    def _learn(self, told: dict[int, int]) -> None:
        """Marks cells that have changed; they are not used again until they were built anew."""
        with self._learning:
            changed = {cell: version for cell, version in told.items() if self._concerns(cell, version)}
            self._newer.update(changed)
        for cell in changed:
            self._work.put(cell)

    def _concerns(self, cell: int, version: int) -> bool:
        group = parent(cell, GROUP_RESOLUTION)
        cells = self._groups.get(group)
        if cells is None and group not in self._waiting:
            return False
        held = cells.get(cell) if cells else None
        return (held is None or held.version != version) and self._newer.get(cell, 0) < version

    def _look(self) -> None:
        """Reads the versions of all groups on the shelf: some notification may have been missed."""
        groups = self._groups
        if not groups:
            return
        with self._reader() as session:
            changed = _differing(present_versions(session, groups), groups)
            if self.listener is None:
                self._put(self._builder.rebuild(session, changed))
        if self.listener is not None:
            self._learn(changed)

    # --- building ------------------------------------------------------------------------------------------------------------

    def _build_forever(self) -> None:
        while not self._closing:
            try:
                wanted = self._work.get(timeout=_SWEEP_S)
            except queue.Empty:
                self._sweep()
                continue
            if wanted is None:
                return
            together = [wanted, *self._also_waiting()]
            try:
                self._build(together)
                self._trouble = None
            except (SQLAlchemyError, Silent, OSError) as failure:
                self._note_trouble(failure)
                time.sleep(min(_RETRY_S, self._staleness_s))
                for one in together:
                    self._work.put(one)
            except Exception:
                _log.exception("the shelf could not be built")
            finally:
                self._waiting.difference_update(together)

    def _also_waiting(self) -> list[int]:
        """What else is to be done, up to a number: all of it waits for the listener once."""
        found: list[int] = []
        with suppress(queue.Empty):
            while len(found) < _MOST_TOGETHER:
                if (one := self._work.get_nowait()) is None:
                    self._work.put(None)
                    break
                found.append(one)
        return found

    def _build(self, wanted: Sequence[int]) -> None:
        groups = {one for one in wanted if parent(one, GROUP_RESOLUTION) == one and _to_be_brought(self._groups, one)}
        if groups:
            self._bring(groups)
        # What has changed is built together: what one transaction changed comes back at once.
        changed = {cell: version for cell, version in list(self._newer.items()) if parent(cell, GROUP_RESOLUTION) in self._groups}
        if changed:
            with self._reader() as session:
                self._put(self._builder.rebuild(session, changed))
        if time.monotonic() - self._swept_at > _SWEEP_S:
            self._sweep()

    def _bring(self, groups: Collection[int]) -> None:
        for fresh in self._builder.bring(groups):
            self._put(fresh)
        if self.listener is not None:
            # What changed while they were built may have been told before anybody here listened for it.
            with self._reader() as session:
                self._learn(_differing(present_versions(session, groups), {group: self._groups.get(group, {}) for group in groups}))

    def _put(self, fresh: dict[int, dict[int, Held]]) -> None:
        """Snapshots by group are used from now on: all at once, and not before everything is known that was committed before they were read."""
        if self.listener is not None:
            self.listener.wait_until_heard(time.monotonic(), patience_s=2 * self._staleness_s)
        with self._learning:
            groups = dict(self._groups)
            for group, snapshots in fresh.items():
                before = groups.get(group, {})
                newest = {cell: one for cell, one in snapshots.items() if (old := before.get(cell)) is None or old.version <= one.version}
                groups[group] = {**before, **newest}
                for cell, one in newest.items():
                    if self._newer.get(cell, one.version + 1) <= one.version:
                        del self._newer[cell]
            self._groups = groups

    # --- losing --------------------------------------------------------------------------------------------------------------

    def _drop(self, held: Held) -> None:
        """A file that is not what it was: its cells are brought anew."""
        held.file.path.unlink(missing_ok=True)
        self._lose({held.file})
        if self.listener is not None:
            cell = held.file.cells[held.row]
            with suppress(NotOnShelf):
                self._wanted(parent(cell, GROUP_RESOLUTION), cell)

    def _lose(self, files: set[SnapshotFile]) -> None:
        with self._learning:
            groups = dict(self._groups)
            for group in {parent(cell, GROUP_RESOLUTION) for file in files for cell in file.cells} & groups.keys():
                groups[group] = {cell: None if held is None or held.file in files else held for cell, held in groups[group].items()}
            self._groups = groups

    def _sweep(self) -> None:
        """Lets go of what is not used, and keeps the folder within its size: what was used longest ago goes first, in every process."""
        self._swept_at = time.monotonic()
        used, self._used = self._used, set()
        idle, self._used_before = self._used_before - used, used
        for held in idle:
            held.let_go()
        for file in {held.file for held in idle} - {held.file for held in used}:
            file.let_go()
        left = self._folder.make_room(self._most_bytes, used={held.file.path for held in used})
        gone = {held.file for held in self._all_held() if held.file.path not in left}
        # While the database is away nothing could be built anew, and what is mapped can still be read.
        if gone and not (self.listener and self.listener.away):
            self._lose(gone)

    def _note_trouble(self, failure: Exception) -> None:
        if isinstance(failure, OSError):
            self._trouble = trouble_of(failure)
            _log.warning(self._trouble)


_EMPTY: Any = empty(0, 0)
# In the place of a snapshot: the cell has never held anything.
_NEVER: Any = object()


def folder_of(settings: Settings) -> Path:
    """Where the files of a database lie: each database has a folder of its own, so that two never share a file."""
    return settings.data_dir / "shelf" / hashlib.sha256(settings.write_url().encode()).hexdigest()[:12]


@lru_cache(maxsize=65_536)
def _group_of(cell: int) -> int:
    return parent(cell, GROUP_RESOLUTION)


def _to_be_brought(groups: Mapping[int, Mapping[int, Held | None]], group: int) -> bool:
    return group not in groups or None in groups[group].values()


def _differing(present: dict[int, dict[int, int]], groups: Mapping[int, Mapping[int, Held | None]]) -> dict[int, int]:
    """The present versions of cells of which a shelf holds another."""
    return {
        cell: version
        for group, cells in present.items()
        for cell, version in cells.items()
        if (held := groups[group].get(cell)) is None or held.version != version
    }
