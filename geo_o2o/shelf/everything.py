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
from .builder import GROUP_RESOLUTION, Builder
from .files import Folder

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


_builder: list[Builder] = []


def _open_builder(settings: Settings, folder: Path) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _builder.append(Builder(Folder(folder), Database(settings, statement_timeout_ms=60_000).moment))


def _end_with_parent() -> None:
    """A parent that was killed cannot tell its builders to stop."""
    parent_of_this = parent_process()
    if parent_of_this is not None:
        parent_of_this.join()
        os._exit(1)


def _build(groups: Sequence[int]) -> int:
    return sum(len(cells) for fresh in _builder[0].bring(groups) for cells in fresh.values())
