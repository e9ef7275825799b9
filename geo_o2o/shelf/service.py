"""The shelf of one process: which snapshots it has, whether they are fresh, and who builds what is missing.

A request only looks: it takes a snapshot or learns that there is none, and is then answered by SQL. A thread of its own maps files,
builds what no process has built yet, and builds anew what has changed. Files are shared by all processes of a host.
"""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
import queue
import shutil
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import get_context, parent_process
from pathlib import Path
from typing import Any

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from ..changes.queries import versions_of_shards, versions_within
from ..changes.service import CHANNEL, parse_told
from ..config import Settings
from ..db import Database
from ..geo.cells import SHARD_RESOLUTION, VERSIONED_RESOLUTION, parent
from ..listen import Listener, Silent
from . import queries
from .snapshot import BrokenFile, Snapshot, SnapshotFile, empty, pack, save

_log = logging.getLogger("geo_o2o")
# Cells of one of these share a file, about 250 square kilometres: the country has thousands of those and not a million.
GROUP_RESOLUTION = 5
# After so many cells of a group were built anew, each in a file of its own, the group is written as one file again.
_MOST_SINGLE = 12
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_RETRY_S = 5.0
# A file that nobody has finished for so long belongs to a process that was killed.
_UNFINISHED_S = 60.0
_TICKS_PER_STALENESS = 8
_SWEEP_S = 10.0
_MOST_TOGETHER = 200


class Held:
    """A snapshot on the shelf: a row of a file, opened when it is first used and closed again when nobody has used it for a while."""

    __slots__ = ("_snapshot", "file", "row", "version")

    def __init__(self, file: SnapshotFile, row: int):
        self.file, self.row, self.version = file, row, file.versions[row]
        self._snapshot: Snapshot | None = None

    def snapshot(self) -> Snapshot:
        found = self._snapshot
        if found is None:
            found = self._snapshot = self.file.snapshot(self.row)
        return found

    def let_go(self) -> None:
        self._snapshot = None


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
        self._folder, self._reader, self._staleness_s, self._most_bytes = folder, reader, staleness_s, most_bytes
        self._kept: dict[int, Held] = {}
        # Of groups that were looked at: version by cell. A cell that is not named has never held anything.
        self._groups: dict[int, dict[int, int]] = {}
        # Newer versions that were heard of; taken out when the snapshot of that version stands.
        self._newer: dict[int, int] = {}
        self._work: queue.SimpleQueue[int | None] = queue.SimpleQueue()
        self._waiting: set[int] = set()
        self._used: set[int] = set()
        self._files: dict[int, Path] = {}
        self._single: dict[int, set[int]] = {}
        self._trouble: str | None = None
        self._owner = 0
        self._starting, self._learning = threading.Lock(), threading.Lock()
        self._swept_at = 0.0
        self.listener: Listener | None = None
        if url:
            every_s = staleness_s / _TICKS_PER_STALENESS
            self.listener = Listener(url, CHANNEL, told=self._hear, look=self._look, noticed=noticed, every_s=every_s, patience_s=staleness_s / 2)

    # --- for requests --------------------------------------------------------------------------------------------------------

    def open(self) -> tuple[Callable[[int], Snapshot], float | None]:
        """To be called before each question: what finds the snapshot of a cell, and None where the shelf is fresh, else the age in seconds
        of what it last knew for certain.

        All snapshots that are found for one question belong together: what one transaction changed in two cells is seen in both or in
        neither. Both this and what it returns raise NotOnShelf.
        """
        if self.listener is None:
            self._look()
            return self._finder(away=False), None
        if self._owner != os.getpid():
            self._start()
        age_s = time.monotonic() - self.listener.heard_at
        if age_s <= self._staleness_s:
            return self._finder(away=False), None
        if not self.listener.heard_at:
            raise NotOnShelf("the listener has not heard from the database yet")
        return self._finder(away=True), age_s

    def _finder(self, *, away: bool) -> Callable[[int], Snapshot]:
        # Replaced and never changed, so that a question sees one state from its first cell to its last.
        kept, groups = self._kept, self._groups

        def find(cell: int) -> Snapshot:
            found = kept.get(cell)
            if found is None and (group := parent(cell, GROUP_RESOLUTION)) not in groups:
                return self._wanted(group, cell)
            # A cell that has changed is not used until it was built anew, unless nobody else can answer.
            if cell in self._newer and not away:
                raise NotOnShelf(f"cell {cell:x} has changed")
            if found is None:
                return _EMPTY
            if not found.file.is_whole():
                self._drop(cell)
                raise NotOnShelf(f"the file of cell {cell:x} was cut")
            self._used.add(cell)
            return found.snapshot()

        return find

    def _wanted(self, group: int, cell: int) -> Snapshot:
        """Has a group brought; only where nobody listens it is there at once."""
        if self.listener is None:
            self._bring({group})
            held = self._kept.get(cell)
            return held.snapshot() if held else _EMPTY
        if group not in self._waiting and not self.listener.away:
            self._waiting.add(group)
            self._work.put(group)
        raise NotOnShelf(f"group {group:x} is not on the shelf yet")

    def state(self) -> ShelfState:
        kept = list(self._kept.values())
        size = sum({id(one.file): one.file.size for one in kept}.values())
        counts = [one.file.counts(one.row) for one in kept]
        trouble = self._trouble or self._probe()
        return ShelfState(len(kept), sum(stores for stores, _ in counts), sum(offers for _, offers in counts), size, trouble)

    def forget(self) -> None:
        """Empties the shelf of this process and of the folder."""
        self._kept, self._groups = {}, {}
        for kept in (self._newer, self._files, self._single):
            kept.clear()
        self._waiting.clear()
        shutil.rmtree(self._folder, ignore_errors=True)

    def close(self) -> None:
        if self.listener is not None:
            self.listener.stop()
            self._work.put(None)

    # --- hearing of changes --------------------------------------------------------------------------------------------------

    def _start(self) -> None:
        with self._starting:
            if self._owner == os.getpid() or self.listener is None:
                return
            self._owner = os.getpid()
            prepare_folder(self._folder)
            threading.Thread(target=self._build_forever, name="shelf", daemon=True).start()
            self.listener.start()
            for group in self._groups_in_files():
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
        group, found = parent(cell, GROUP_RESOLUTION), self._kept.get(cell)
        on_shelf = group in self._groups or group in self._waiting
        return on_shelf and (found is None or found.version != version) and self._newer.get(cell, 0) < version

    def _look(self) -> None:
        """Reads the versions of all groups on the shelf: some notification may have been missed."""
        known = {cell: version for versions in list(self._groups.values()) for cell, version in list(versions.items())}
        groups = set(self._groups)
        if not groups:
            return
        with self._reader() as session:
            present = versions_of_shards(session, sorted({parent(group, SHARD_RESOLUTION) for group in groups}))
            changed = {cell: version for cell, version in present.items() if version != known.get(cell) and parent(cell, GROUP_RESOLUTION) in groups}
            if self.listener is None:
                self._rebuild(session, changed)
        if self.listener is not None:
            self._learn(changed)

    # --- building ------------------------------------------------------------------------------------------------------------

    def _build_forever(self) -> None:
        while True:
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
        groups = {one for one in wanted if one not in self._groups and parent(one, GROUP_RESOLUTION) == one}
        if groups:
            self._bring(groups)
        # What has changed is built together: what one transaction changed comes back at once.
        changed = {cell: version for cell, version in list(self._newer.items()) if parent(cell, GROUP_RESOLUTION) in self._groups}
        if changed:
            with self._reader() as session:
                self._rebuild(session, changed)
        if time.monotonic() - self._swept_at > _SWEEP_S:
            self._sweep()

    def bring(self, group: int) -> int:
        """Puts one group on the shelf now; returns how many cells it has."""
        self._bring({group})
        return len(self._groups[group])

    def _bring(self, groups: Iterable[int]) -> None:
        """Puts groups on the shelf: from their files where they are of the present versions, else from the database."""
        fresh, seen = {}, {}
        for group in groups:
            with self._locked(group), self._reader() as session:
                present = seen[group] = versions_within(session, group)
                held = self._from_files(group, present)
                missing = [cell for cell in present if cell not in held]
                if len(missing) > _MOST_SINGLE or (missing and not held):
                    held = self._save_group(group, self._built(session, list(present)))
                elif missing:
                    held |= {cell: self._saved_alone(one) for cell, one in self._built(session, missing).items()}
                fresh[group] = held
        self._put(fresh)
        if self.listener is not None:
            # What changed while they were built may have been told before anybody here listened for it.
            with self._reader() as session:
                for group, present in seen.items():
                    self._learn({cell: version for cell, version in versions_within(session, group).items() if version != present.get(cell)})

    def _rebuild(self, session: Session, changed: dict[int, int]) -> None:
        """Builds changed cells anew; where that leaves a group in too many files, all of it as one."""
        by_group: dict[int, dict[int, int]] = {}
        for cell, version in changed.items():
            by_group.setdefault(parent(cell, GROUP_RESOLUTION), {})[cell] = version
        fresh = {}
        for group, cells in by_group.items():
            with self._locked(group):
                single = self._single.get(group, set()) | cells.keys()
                if len(single) > _MOST_SINGLE:
                    fresh[group] = self._save_group(group, self._built(session, list(versions_within(session, group))))
                else:
                    fresh[group] = {cell: self._one(session, cell, version) for cell, version in cells.items()}
                    self._single[group] = single
        self._put(fresh)

    def _one(self, session: Session, cell: int, version: int) -> Held:
        """A cell alone in its file, which another process may have written already."""
        path = self._path(cell, version)
        found = self._mapped(path).get(cell) if path.exists() else None
        return found or self._saved_alone(self._built(session, [cell])[cell])

    def _put(self, fresh: dict[int, dict[int, Held]]) -> None:
        """Snapshots by group are used from now on: all at once, and not before everything is known that was committed before they were read."""
        if self.listener is not None:
            self.listener.wait_until_heard(time.monotonic(), patience_s=2 * self._staleness_s)
        with self._learning:
            kept, groups = dict(self._kept), dict(self._groups)
            for group, snapshots in fresh.items():
                newest = {cell: one for cell, one in snapshots.items() if cell not in kept or kept[cell].version <= one.version}
                kept.update(newest)
                groups[group] = {**groups.get(group, {}), **{cell: one.version for cell, one in newest.items()}}
                for cell, one in newest.items():
                    if self._newer.get(cell, one.version + 1) <= one.version:
                        del self._newer[cell]
            self._kept, self._groups = kept, groups

    def _built(self, session: Session, cells: Sequence[int]) -> dict[int, Snapshot]:
        """Snapshots of cells of one group, from a few statements for all of them."""
        area = cells[0] if len(cells) == 1 else parent(cells[0], GROUP_RESOLUTION)
        present, credit = versions_within(session, area), queries.credit(session)
        stores = _by_cell(queries.stores_of_cell(session, area))
        offers = _by_cell(queries.offers_of_cell(session, area)) if stores else {}
        hours = queries.hours_of_cell(session, area) if stores else {}
        return {
            cell: pack(cell, present.get(cell, 0), stores=stores.get(cell, ()), offers=offers.get(cell, ()), hours=hours, credit=credit)
            for cell in cells
        }

    # --- files ---------------------------------------------------------------------------------------------------------------

    def _path(self, cell: int, version: int) -> Path:
        return self._folder / f"{cell:x}-{version}.arrow"

    def _groups_in_files(self) -> list[int]:
        names = {int(path.name.partition("-")[0], 16) for path in self._folder.glob("*.arrow")}
        return sorted({parent(cell, GROUP_RESOLUTION) for cell in names})

    def _mapped(self, path: Path) -> dict[int, Held]:
        try:
            file = SnapshotFile(path)
        except (BrokenFile, FileNotFoundError) as failure:
            _log.warning("a file of the shelf is thrown away: %s", failure)
            path.unlink(missing_ok=True)
            return {}
        found = {cell: Held(file, row) for row, cell in enumerate(file.cells)}
        self._files.update(dict.fromkeys(found, path))
        self._trouble = None
        return found

    def _from_files(self, group: int, present: dict[int, int]) -> dict[int, Held]:
        """What a group's files hold of the present versions."""
        if not present or not self._folder.exists():
            return {}
        found: dict[int, Held] = {}
        for path in self._files_of(group, present):
            found |= {cell: one for cell, one in self._mapped(path).items() if present.get(cell) == one.version}
        return found

    def _files_of(self, group: int, cells: Iterable[int]) -> list[Path]:
        names = {f"{group:x}", *(f"{cell:x}" for cell in cells)}
        # One look at the folder, which may hold thousands, and not one for each name.
        return [self._folder / name for name in os.listdir(self._folder) if name.partition("-")[0] in names and name.endswith(".arrow")]

    def _save_group(self, group: int, snapshots: dict[int, Snapshot]) -> dict[int, Held]:
        if not snapshots:
            return {}
        path = self._path(group, max(one.version for one in snapshots.values()))
        self._written(list(snapshots.values()), path)
        held = self._mapped(path)
        if held.keys() != snapshots.keys():
            raise OSError(f"the file of group {group:x} was gone as soon as it was written")
        self._single[group] = set()
        for old in self._files_of(group, snapshots):
            if old != path:
                old.unlink(missing_ok=True)
        return held

    def _saved_alone(self, snapshot: Snapshot) -> Held:
        path = self._path(snapshot.cell, snapshot.version)
        before = self._files.get(snapshot.cell)
        self._written([snapshot], path)
        if before is not None and before != path and before.name.startswith(f"{snapshot.cell:x}-"):
            before.unlink(missing_ok=True)
        held = self._mapped(path).get(snapshot.cell)
        if held is None:
            raise OSError(f"the file of cell {snapshot.cell:x} was gone as soon as it was written")
        return held

    def _written(self, snapshots: list[Snapshot], path: Path) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        save(snapshots, path, unfinished=path.with_suffix(f".{os.getpid()}-{threading.get_ident()}.part"))
        self._trouble = None

    def _drop(self, cell: int) -> None:
        """A file that is not what it was: its group is read anew."""
        path = self._files.get(cell)
        if path is None:
            return
        path.unlink(missing_ok=True)
        self._forget_files({path})
        if self.listener is not None:
            self._wanted(parent(cell, GROUP_RESOLUTION), cell)

    def _forget_files(self, paths: set[Path]) -> None:
        with self._learning:
            gone = {cell for cell, path in list(self._files.items()) if path in paths}
            groups = {parent(cell, GROUP_RESOLUTION) for cell in gone}
            self._kept = {cell: one for cell, one in self._kept.items() if cell not in gone}
            self._groups = {group: versions for group, versions in self._groups.items() if group not in groups}
            for cell in gone:
                self._files.pop(cell, None)

    def _sweep(self) -> None:
        """Keeps the folder within its size: what was used longest ago goes first, in every process."""
        self._swept_at = time.monotonic()
        used, self._used = self._used, set()
        for cell, held in self._kept.items():
            if cell not in used:
                held.let_go()
        for path in {self._files[cell] for cell in used if cell in self._files}:
            if path.exists():
                os.utime(path)
        gone = {path for path in set(self._files.values()) if not path.exists()}
        found = sorted(self._folder.glob("*.arrow"), key=lambda path: path.stat().st_mtime)
        size = sum(path.stat().st_size for path in found)
        while size > self._most_bytes and len(found) > 1:
            oldest = found.pop(0)
            size -= oldest.stat().st_size
            oldest.unlink(missing_ok=True)
            gone.add(oldest)
        if gone:
            self._forget_files(gone)

    def _note_trouble(self, failure: Exception) -> None:
        if isinstance(failure, OSError):
            self._trouble = f"the shelf cannot be written: {failure.strerror or failure}"
            _log.warning(self._trouble)

    def _probe(self) -> str | None:
        """Whether the folder takes a file."""
        if self.listener is None:
            return None
        path = self._folder / f"probe.{os.getpid()}.part"
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            path.write_bytes(bytes(65_536))
        except OSError as failure:
            return f"the shelf cannot be written: {failure.strerror}"
        finally:
            path.unlink(missing_ok=True)
        return None

    def _locked(self, group: int) -> AbstractContextManager[None]:
        """A group is built by one at a time."""
        self._folder.mkdir(parents=True, exist_ok=True)
        return _lock(self._folder / f"{(group >> 30) % 64}.lock")


_EMPTY: Any = empty(0, 0)


def _by_cell(rows: Sequence[Any]) -> dict[int, list[Any]]:
    """Rows by their cell of resolution 7, in the order they come."""
    found: dict[int, list[Any]] = {}
    for row in rows:
        found.setdefault(parent(row["cell"], VERSIONED_RESOLUTION), []).append(row)
    return found


def prepare_folder(folder: Path) -> None:
    """Makes the folder. What was written before the machine last started may be torn, so it is thrown away."""
    folder.mkdir(parents=True, exist_ok=True)
    boot = _BOOT_ID.read_text().strip() if _BOOT_ID.exists() else "-"
    mark = folder / "boot"
    with _lock(folder / "0.lock"):
        if not mark.exists() or mark.read_text() != boot:
            for path in folder.glob("*.arrow"):
                path.unlink(missing_ok=True)
            mark.write_text(boot)
        for path in folder.glob("*.part"):
            if time.time() - path.stat().st_mtime > _UNFINISHED_S:
                path.unlink(missing_ok=True)


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    """One process, and one thread of it, at a time."""
    file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
    finally:
        os.close(file)


def folder_of(settings: Settings) -> Path:
    """Where the files of a database lie: each database has a folder of its own, so that two never share a file."""
    return settings.data_dir / "shelf" / hashlib.sha256(settings.write_url().encode()).hexdigest()[:12]


def build_everything(settings: Settings, folder: Path) -> Iterator[int]:
    """Writes the files of every group, on every processor; yields how many cells each has."""
    database = Database(settings)
    with database.read() as session:
        groups = queries.groups(session, GROUP_RESOLUTION)
    database.close()
    prepare_folder(folder)
    # Fresh processes: what this one holds open must not be shared with them.
    with ProcessPoolExecutor(mp_context=get_context("spawn"), initializer=_open_builder, initargs=(settings, folder)) as pool:
        yield from pool.map(_build_group, groups, chunksize=16)


_builder: list[tuple[Database, Path]] = []


def _open_builder(settings: Settings, folder: Path) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _builder.append((Database(settings, statement_timeout_ms=60_000), folder))


def _end_with_parent() -> None:
    """A parent that was killed cannot tell its builders to stop."""
    parent_of_this = parent_process()
    if parent_of_this is not None:
        parent_of_this.join()
        os._exit(1)


def _build_group(group: int) -> int:
    database, folder = _builder[0]
    return Shelf(folder, reader=database.moment, url=None, staleness_s=1.0, most_bytes=0).bring(group)
