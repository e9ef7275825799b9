"""Snapshots of groups of cells: from their files where those are of the present versions, else from the database, and then into files."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from sqlalchemy.orm import Session

from ..changes.queries import versions_of_shards, versions_within
from ..geo.cells import SHARD_RESOLUTION, VERSIONED_RESOLUTION, parent
from . import queries
from .files import BrokenFile, Folder, Held, SnapshotFile
from .snapshot import Snapshot, pack

_log = logging.getLogger("geo_o2o")
# Cells of one of these share a file, about 250 square kilometres: the country has thousands of those and not a million.
GROUP_RESOLUTION = 5
# After so many cells of a group were built anew, each in a file of its own, the group is written as one file again.
_MOST_ALONE = 12


class Builder:
    """See above. reader: opens a transaction that sees one moment of the database.

    Any number of processes may build in one folder; a lock for each group keeps two of them from doing the same.
    """

    def __init__(self, folder: Folder, reader: Callable[[], AbstractContextManager[Session]]):
        self._folder, self._reader = folder, reader
        # By group: the cells that have a file of their own, and which.
        self._alone: dict[int, dict[int, Path]] = {}

    def bring(self, groups: Collection[int]) -> Iterator[dict[int, dict[int, Held]]]:
        """Every cell of the groups that has ever held anything, by group: at once what the files hold, then group by group what they lack."""
        with self._reader() as session:
            present = present_versions(session, groups)
        listed = self._folder.listed()
        found = {group: self._from_files(group, cells, listed) for group, cells in present.items()}
        whole = {group: held for group, held in found.items() if held.keys() == present[group].keys()}
        if whole:
            yield whole
        for group in found.keys() - whole.keys():
            yield {group: self._completed(group)}

    def rebuild(self, session: Session, changed: Mapping[int, int]) -> dict[int, dict[int, Held]]:
        """Changed cells, by group; where that would leave a group in too many files, all of it as one. changed: the version of each cell."""
        by_group: dict[int, dict[int, int]] = {}
        for cell, version in changed.items():
            by_group.setdefault(parent(cell, GROUP_RESOLUTION), {})[cell] = version
        fresh = {}
        for group, cells in by_group.items():
            with self._folder.locked(group):
                if len(self._alone.get(group, {}).keys() | cells.keys()) > _MOST_ALONE:
                    fresh[group] = self._save_group(group, _built(session, list(versions_within(session, group))))
                else:
                    fresh[group] = {cell: self._one(session, cell, version) for cell, version in cells.items()}
        return fresh

    def forget(self) -> None:
        self._alone.clear()
        self._folder.remove()

    def _completed(self, group: int) -> dict[int, Held]:
        """A group of which some files are missing."""
        with self._folder.locked(group), self._reader() as session:
            present = versions_within(session, group)
            # Another process may have built it while this one waited for its turn.
            held = self._from_files(group, present, self._folder.listed())
            missing = [cell for cell in present if cell not in held]
            if len(missing) > _MOST_ALONE or (missing and not held):
                return self._save_group(group, _built(session, list(present)))
            if missing:
                held |= {cell: self._save_alone(one) for cell, one in _built(session, missing).items()}
            return held

    def _one(self, session: Session, cell: int, version: int) -> Held:
        """A cell in a file of its own, which another process may have written already."""
        path = self._folder.path(cell, version)
        found = _opened(path).get(cell) if path.exists() else None
        if found is None:
            return self._save_alone(_built(session, [cell])[cell])
        self._note_alone(cell, path)
        return found

    def _from_files(self, group: int, present: Mapping[int, int], listed: Mapping[int, list[Path]]) -> dict[int, Held]:
        """What a group's files hold of the present versions."""
        found: dict[int, Held] = {}
        for path in _files_of(group, present, listed):
            held = {cell: one for cell, one in _opened(path).items() if present.get(cell) == one.version}
            found |= held
            for cell in held.keys() & {int(path.name.partition("-")[0], 16)}:
                self._alone.setdefault(group, {})[cell] = path
        return found

    def _save_group(self, group: int, snapshots: Mapping[int, Snapshot]) -> dict[int, Held]:
        if not snapshots:
            return {}
        path = self._folder.path(group, max(one.version for one in snapshots.values()))
        self._folder.write(list(snapshots.values()), path)
        held = _opened(path)
        if held.keys() != snapshots.keys():
            raise OSError(f"the file of group {group:x} was gone as soon as it was written")
        self._alone.pop(group, None)
        for old in _files_of(group, snapshots, self._folder.listed()):
            if old != path:
                old.unlink(missing_ok=True)
        return held

    def _save_alone(self, snapshot: Snapshot) -> Held:
        path = self._folder.path(snapshot.cell, snapshot.version)
        self._folder.write([snapshot], path)
        held = _opened(path).get(snapshot.cell)
        if held is None:
            raise OSError(f"the file of cell {snapshot.cell:x} was gone as soon as it was written")
        self._note_alone(snapshot.cell, path)
        return held

    def _note_alone(self, cell: int, path: Path) -> None:
        alone = self._alone.setdefault(parent(cell, GROUP_RESOLUTION), {})
        before = alone.get(cell, path)
        alone[cell] = path
        if before != path:
            before.unlink(missing_ok=True)


def present_versions(session: Session, groups: Collection[int]) -> dict[int, dict[int, int]]:
    """The present versions of the cells of each group."""
    found: dict[int, dict[int, int]] = {group: {} for group in groups}
    for cell, version in versions_of_shards(session, sorted({parent(group, SHARD_RESOLUTION) for group in groups})).items():
        if (cells := found.get(parent(cell, GROUP_RESOLUTION))) is not None:
            cells[cell] = version
    return found


def _built(session: Session, cells: Sequence[int]) -> dict[int, Snapshot]:
    """Snapshots of cells of one group, from a few statements for all of them."""
    area = cells[0] if len(cells) == 1 else parent(cells[0], GROUP_RESOLUTION)
    present, credit = versions_within(session, area), queries.credit(session)
    stores = _by_cell(queries.stores_of_cell(session, area))
    offers = _by_cell(queries.offers_of_cell(session, area)) if stores else {}
    hours = queries.hours_of_cell(session, area) if stores else {}
    return {
        cell: pack(cell, present.get(cell, 0), stores=stores.get(cell, ()), offers=offers.get(cell, ()), hours=hours, credit=credit) for cell in cells
    }


def _by_cell(rows: Sequence[Any]) -> dict[int, list[Any]]:
    """Rows by their cell of resolution 7, in the order they come."""
    found: dict[int, list[Any]] = {}
    for row in rows:
        found.setdefault(parent(row["cell"], VERSIONED_RESOLUTION), []).append(row)
    return found


def _files_of(group: int, cells: Iterable[int], listed: Mapping[int, list[Path]]) -> list[Path]:
    return [path for cell in (group, *cells) for path in listed.get(cell, ())]


def _opened(path: Path) -> dict[int, Held]:
    """What a file holds, by cell. One that cannot be read is thrown away."""
    try:
        file = SnapshotFile(path)
    except (BrokenFile, FileNotFoundError) as failure:
        _log.warning("a file of the shelf is thrown away: %s", failure)
        path.unlink(missing_ok=True)
        return {}
    return {cell: Held(file, row) for row, cell in enumerate(file.cells)}
