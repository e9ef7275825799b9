"""Writes the files of everything, on every processor, before the first question asks for any of it."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context, parent_process
from pathlib import Path

from ..config import Settings
from ..db import Database
from . import queries
from .files import Folder
from .service import GROUP_RESOLUTION, Shelf

_AT_ONCE = 16


def build_everything(settings: Settings, folder: Path) -> Iterator[int]:
    """Yields how many cells were built, again and again."""
    database = Database(settings)
    with database.read() as session:
        groups = queries.groups(session, GROUP_RESOLUTION)
    database.close()
    Folder(folder).prepare()
    parts = [groups[first : first + _AT_ONCE] for first in range(0, len(groups), _AT_ONCE)]
    # Fresh processes: what this one holds open must not be shared with them.
    with ProcessPoolExecutor(mp_context=get_context("spawn"), initializer=_open_builder, initargs=(settings, folder)) as pool:
        yield from pool.map(_build, parts)


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


def _build(groups: Sequence[int]) -> int:
    database, folder = _builder[0]
    return Shelf(folder, reader=database.moment, url=None, staleness_s=1.0, most_bytes=0).bring(groups)
