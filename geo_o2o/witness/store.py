"""What a witness has signed last of each log, in a file of SQLite: it must not forget, and needs nothing else."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

_BUSY_S = 10.0


class Store:
    def __init__(self, path: Path):
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        with closing(self._connect()) as connection:
            connection.execute("CREATE TABLE IF NOT EXISTS checkpoints (origin TEXT PRIMARY KEY, note TEXT NOT NULL) STRICT")

    def find(self, origin: str) -> str | None:
        """The note that was signed last."""
        with closing(self._connect()) as connection:
            return _find(connection, origin)

    @contextmanager
    def changing(self, origin: str) -> Iterator[Entry]:
        """Reads and replaces in one step: of two that come at once the second sees what the first has written."""
        with closing(self._connect()) as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield Entry(connection, origin)
                connection.execute("COMMIT")
            except BaseException:
                connection.execute("ROLLBACK")
                raise

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, timeout=_BUSY_S, isolation_level=None)
        # A signature must not leave before the disk has what was signed.
        connection.execute("PRAGMA synchronous = FULL")
        return connection


class Entry:
    """One log's note, held."""

    def __init__(self, connection: sqlite3.Connection, origin: str):
        self._connection, self._origin = connection, origin

    @property
    def note(self) -> str | None:
        return _find(self._connection, self._origin)

    def put(self, note: str) -> None:
        self._connection.execute("INSERT OR REPLACE INTO checkpoints VALUES (?, ?)", (self._origin, note))


def _find(connection: sqlite3.Connection, origin: str) -> str | None:
    row = connection.execute("SELECT note FROM checkpoints WHERE origin = ?", (origin,)).fetchone()
    return None if row is None else str(row[0])
