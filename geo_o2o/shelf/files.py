"""Snapshots in files, which all processes of a host share: how they are written, mapped into memory, found and thrown away.

A file is an Arrow file with one record batch, and a row for each cell; each field of a row is a whole column of that cell, as a list. So
cells share a file, columns of different lengths share a row, and all come back as numpy arrays without a copy.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import mmap
import os
import shutil
import threading
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from .snapshot import Snapshot

Array = NDArray[Any]
# A file of another form is built anew.
FORMAT = 2
_COLUMN = "column:"
_FLAGS = frozenset({"rating_sample", "sample"})
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
# A file that nobody has finished for so long belongs to a process that was killed.
_UNFINISHED_S = 60.0
_LOCKS = 64
# Python's own ways to ask for a length let another thread in meanwhile, which costs a question more than the answer does.
_SEEK = ctypes.PyDLL(None).lseek
_SEEK.argtypes, _SEEK.restype = (ctypes.c_int, ctypes.c_int64, ctypes.c_int), ctypes.c_int64


class BrokenFile(Exception):
    """The file is not a whole snapshot of this form."""


class SnapshotFile:
    """A file of snapshots. What it holds is read at once; it is mapped when a snapshot of it is asked for, and until it is let go.

    cells, versions: of each row. stores, offers: how many each row has. size: bytes. Raises BrokenFile; FileNotFoundError.
    """

    def __init__(self, path: Path):
        self.path = path
        mapped = _Mapped(path)
        self.size, self.cells, self.versions = mapped.size, mapped.cells, mapped.versions
        self.stores, self.offers = (np.diff(mapped.starts(name)).tolist() for name in ("category", "offer_store"))
        self._mapped: _Mapped | None = None

    def mapped(self) -> _Mapped:
        """Raises BrokenFile and FileNotFoundError where the file is no longer what it was."""
        mapped = self._mapped
        if mapped is None:
            mapped = _Mapped(self.path)
            if (mapped.cells, mapped.versions) != (self.cells, self.versions):
                raise BrokenFile(f"{self.path.name} is another file now")
            self._mapped = mapped
        return mapped

    def let_go(self) -> None:
        """Snapshots that are still in use keep the memory; others no longer do."""
        self._mapped = None


class Held:
    """A snapshot as a row of a file, opened when it is first used and until it is let go."""

    __slots__ = ("_opened", "file", "row")

    def __init__(self, file: SnapshotFile, row: int):
        self.file, self.row = file, row
        self._opened: tuple[_Mapped, Snapshot] | None = None

    @property
    def version(self) -> int:
        return self.file.versions[self.row]

    def snapshot(self, whole: set[_Mapped] | None = None) -> Snapshot:
        """whole: files that were found whole for this very question, to which this one is added.

        Raises BrokenFile and FileNotFoundError where the file is no longer what it was: then its columns must not be touched.
        """
        opened = self._opened
        if opened is None:
            mapped = self.file.mapped()
            opened = self._opened = mapped, mapped.snapshot(self.row)
        mapped, snapshot = opened
        if whole is None or mapped not in whole:
            if not mapped.is_whole():
                raise BrokenFile(f"{self.file.path.name} was cut")
            if whole is not None:
                whole.add(mapped)
        return snapshot

    def let_go(self) -> None:
        self._opened = None


class _Mapped:
    """A file in memory."""

    def __init__(self, path: Path):
        self.size = path.stat().st_size
        if self.size == 0:
            raise BrokenFile(f"{path.name} is empty")
        self._descriptor = os.open(path, os.O_RDONLY)
        self._memory = mmap.mmap(self._descriptor, 0, prot=mmap.PROT_READ)
        try:
            reader = pa.ipc.open_file(pa.py_buffer(self._memory))
            if reader.schema.metadata[b"format"] != str(FORMAT).encode():
                raise BrokenFile(f"{path.name} has form {reader.schema.metadata[b'format']!r}, expected {FORMAT}")
            self._batch = reader.get_batch(0)
            self.cells: list[int] = self._batch.column("cell").to_pylist()
            self.versions: list[int] = self._batch.column("version").to_pylist()
        except (pa.ArrowException, OSError, KeyError, TypeError, ValueError, IndexError) as failure:
            raise BrokenFile(f"{path.name} cannot be read: {failure}") from failure
        self._columns: dict[str, tuple[Array, Array]] = {}

    def __del__(self) -> None:
        if hasattr(self, "_descriptor"):
            os.close(self._descriptor)

    def is_whole(self) -> bool:
        """Whether the file still has its length: touching what was cut off would kill the process."""
        return bool(_SEEK(self._descriptor, 0, os.SEEK_END) == self.size)

    def starts(self, name: str) -> Array:
        """Where each row's column begins among the elements of all rows; one element more than rows."""
        return np.asarray(self._batch.column(_COLUMN + name).offsets)

    def snapshot(self, row: int) -> Snapshot:
        if not self._columns:
            names = [name.removeprefix(_COLUMN) for name in self._batch.schema.names if name.startswith(_COLUMN)]
            self._columns = {name: _values_of(self._batch.column(_COLUMN + name), flags=name in _FLAGS) for name in names}
        columns = {name: values[start[row] : start[row + 1]] for name, (values, start) in self._columns.items()}
        columns["xyz"] = columns["xyz"].reshape(-1, 3)
        return Snapshot(self.cells[row], self.versions[row], columns, json.loads(self._batch.column("words")[row].as_py()))


class Folder:
    """The files of one database, named by their cell (of a single cell, or of the group that holds many) and version.

    Any number of processes may work in it, and any of them may be killed.
    """

    def __init__(self, path: Path):
        self._path = path

    def prepare(self) -> None:
        """Makes the folder. What was written before the machine last started may be torn, so it is thrown away."""
        boot = _BOOT_ID.read_text().strip() if _BOOT_ID.exists() else "-"
        mark = self._path / "boot"
        with self.locked(0):
            if not mark.exists() or mark.read_text() != boot:
                for path in self._path.glob("*.arrow"):
                    path.unlink(missing_ok=True)
                mark.write_text(boot)
            for path in self._path.glob("*.part"):
                if time.time() - path.stat().st_mtime > _UNFINISHED_S:
                    path.unlink(missing_ok=True)

    def path(self, cell: int, version: int) -> Path:
        return self._path / f"{cell:x}-{version}.arrow"

    def listed(self) -> dict[int, list[Path]]:
        """All files by the cell in their name. One look at the folder, which may hold thousands, and not one for each name."""
        found: dict[int, list[Path]] = {}
        if self._path.exists():
            for name in os.listdir(self._path):
                if name.endswith(".arrow"):
                    found.setdefault(int(name.partition("-")[0], 16), []).append(self._path / name)
        return found

    def write(self, snapshots: Sequence[Snapshot], path: Path) -> None:
        """In one piece: the file is there whole or not at all, also when this process is killed."""
        self._path.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(f".{os.getpid()}-{threading.get_ident()}.part")
        batch = _batch_of(snapshots)
        try:
            with pa.OSFile(str(unfinished), "wb") as sink, pa.ipc.new_file(sink, batch.schema) as writer:
                writer.write_batch(batch)
            unfinished.rename(path)
        except BaseException:
            unfinished.unlink(missing_ok=True)
            raise

    def make_room(self, most_bytes: int, *, used: Collection[Path]) -> set[Path]:
        """Deletes what was used longest ago, by any process, until the rest has so many bytes. Returns all files that are left.

        used: since the last time.
        """
        if not self._path.exists():
            return set()
        files: dict[Path, os.stat_result] = {}
        with os.scandir(self._path) as entries:
            for entry in entries:
                if entry.name.endswith(".arrow"):
                    with suppress(FileNotFoundError):  # another process was quicker
                        files[self._path / entry.name] = entry.stat()
        for path in files.keys() & set(used):
            with suppress(FileNotFoundError):
                os.utime(path)
        size = sum(one.st_size for one in files.values())
        if size > most_bytes:
            for path in sorted(files, key=lambda path: (path in used, files[path].st_mtime))[:-1]:
                path.unlink(missing_ok=True)
                size -= files.pop(path).st_size
                if size <= most_bytes:
                    break
        return set(files)

    def trouble(self) -> str | None:
        """Whether the folder takes a file: what is wrong, in words."""
        path = self._path / f"probe.{os.getpid()}.part"
        try:
            self._path.mkdir(parents=True, exist_ok=True)
            path.write_bytes(bytes(65_536))
        except OSError as failure:
            return trouble_of(failure)
        finally:
            path.unlink(missing_ok=True)
        return None

    def remove(self) -> None:
        shutil.rmtree(self._path, ignore_errors=True)

    @contextmanager
    def locked(self, cell: int) -> Iterator[None]:
        """One process, and one thread of it, at a time works on a cell."""
        self._path.mkdir(parents=True, exist_ok=True)
        file = os.open(self._path / f"{(cell >> 30) % _LOCKS}.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield
        finally:
            os.close(file)


def trouble_of(failure: OSError) -> str:
    return f"the shelf cannot be written: {failure.strerror or failure}"


def _batch_of(snapshots: Sequence[Snapshot]) -> pa.RecordBatch:
    names = list(snapshots[0].columns)
    arrays = [pa.array([one.cell for one in snapshots], type=pa.int64()), pa.array([one.version for one in snapshots], type=pa.int64())]
    arrays.append(pa.array([json.dumps(one.words, ensure_ascii=False) for one in snapshots], type=pa.large_string()))
    arrays += [_lists_of([one.columns[name] for one in snapshots]) for name in names]
    batch = pa.record_batch(arrays, names=["cell", "version", "words", *(f"{_COLUMN}{name}" for name in names)])
    return batch.replace_schema_metadata({"format": str(FORMAT)})


def _lists_of(columns: Sequence[Array]) -> pa.Array:
    """One list for each snapshot: the whole of a column."""
    flat = [(column.view(np.uint8) if column.dtype == np.bool_ else column).reshape(-1) for column in columns]
    start = np.zeros(len(flat) + 1, dtype=np.int64)
    np.cumsum([len(one) for one in flat], out=start[1:])
    return pa.LargeListArray.from_arrays(pa.array(start), pa.array(np.concatenate(flat)))


def _values_of(column: Any, *, flags: bool) -> tuple[Array, Array]:
    """All elements of a list column, and where each row's begin; without a copy."""
    values = column.values.to_numpy(zero_copy_only=True)
    return (values.view(np.bool_) if flags else values), column.offsets.to_numpy(zero_copy_only=True)
