"""What a log has published, as files: tiles, bundles, the newest checkpoint, and how far it ever came."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from visit_verify.merkle import HASH_BYTES
from visit_verify.note import Checkpoint, parse_checkpoint, parse_note

from .tiles import WIDTH, format_bundle, parse_bundle

CHECKPOINT = "checkpoint"
# A tile or a bundle, with its width where it is not full.
_TILE = re.compile(r"tile/(?P<level>entries|[0-9]|[1-5][0-9]|6[0-3])/(?:x[0-9]{3}/)*[0-9]{3}(?:\.p/(?P<width>[1-9][0-9]{0,2}))?")


class LogFolder:
    """The files of one shard. high_water: a file elsewhere with the newest checkpoint that was ever published."""

    def __init__(self, path: Path, *, high_water: Path):
        self._path, self._high_water = path, high_water

    def read(self, name: str) -> bytes | None:
        """What lies under a name below the log's address; None where there is nothing, or the name is none of a log's.

        Of a tile that has got wider since, the part that is asked for.
        """
        match = _TILE.fullmatch(name)
        if name != CHECKPOINT and (match is None or int(match["width"] or 1) >= WIDTH):
            return None
        try:
            return (self._path / name).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return self._cut(name.partition(".p/")[0], int(match["width"]), entries=match["level"] == "entries") if match and match["width"] else None

    def _cut(self, name: str, width: int, *, entries: bool) -> bytes | None:
        parts = self._path / f"{name}.p"
        wider = [self._path / name, *sorted(parts.glob("*"), key=lambda path: -int(path.name))] if parts.exists() else [self._path / name]
        for path in wider:
            if path.exists() and (path.name == Path(name).name or int(path.name) >= width):
                data = path.read_bytes()
                return format_bundle(parse_bundle(data)[:width]) if entries else data[: width * HASH_BYTES]
        return None

    def published(self) -> Checkpoint | None:
        """The checkpoint that the folder shows. Raises BadNote where its file is spoilt."""
        data = self.read(CHECKPOINT)
        return None if data is None else parse_checkpoint(parse_note(data).text)

    def high_water(self) -> Checkpoint | None:
        """The newest checkpoint that was ever published, whatever the folder shows. Raises BadNote where its file is spoilt."""
        try:
            return parse_checkpoint(parse_note(self._high_water.read_bytes()).text)
        except FileNotFoundError:
            return None

    def write(self, name: str, data: bytes) -> None:
        """In one piece: it is there whole or not at all."""
        _write(self._path / name, data)

    def raise_high_water(self, note: str) -> None:
        _write(self._high_water, note.encode())

    def drop_narrower(self, name: str) -> None:
        """The narrower forms of a tile that is full now; whoever asks for one still gets it, cut from the full one."""
        shutil.rmtree(self._path / f"{name}.p", ignore_errors=True)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """One publisher at a time."""
        self._path.mkdir(parents=True, exist_ok=True)
        file = os.open(self._path / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield
        finally:
            os.close(file)


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f"{path.name}.{os.getpid()}-{threading.get_ident()}.part")
    try:
        with open(unfinished, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        unfinished.rename(path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
    # Only then does the name survive a loss of power.
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
