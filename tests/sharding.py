"""Remembers every statement the suite issues, so that test_sharding.py can explain them all, in one process or in several."""

from __future__ import annotations

import os
import pickle
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from psycopg2.extensions import Binary

# Text of a statement to the parameters it was first issued with, and in the order of first issue.
statements: dict[str, Any] = {}
_shared: set[str] = set()


def record() -> None:
    """Listens to every engine of this process."""

    @sa.event.listens_for(sa.Engine, "before_cursor_execute")
    def note(_: Any, __: Any, statement: str, parameters: Any, ___: Any, ____: bool) -> None:
        statements.setdefault(statement, parameters[0] if isinstance(parameters, list) else parameters)


# Where processes that share one run tell each other; the process that starts them names it.
_RUN = "GEO_O2O_TEST_RUN"


def begin_run() -> None:
    """In the process that hands out the tests, before it starts the others."""
    os.environ[_RUN] = tempfile.mkdtemp(prefix="geo-o2o-run-")


def end_run() -> None:
    shutil.rmtree(os.environ.pop(_RUN), ignore_errors=True)


def _folder() -> Path | None:
    """None where there is only one process."""
    return Path(os.environ[_RUN]) if "PYTEST_XDIST_WORKER" in os.environ else None


def share() -> None:
    """Tells the other processes of this run that a test is done, and which statements were new in it."""
    folder = _folder()
    if folder is None:
        return
    own = os.environ["PYTEST_XDIST_WORKER"]
    fresh = {text: given for text, given in statements.items() if text not in _shared}
    _shared.update(fresh)
    with (folder / f"{own}.statements").open("ab") as out:
        for text, given in fresh.items():
            out.write(pickle.dumps((text, _portable(given))))
    with (folder / f"{own}.done").open("ab") as out:
        out.write(b".")


def _portable(given: Any) -> Any:
    """Parameters that another process can read: the driver's wrappers of bytes as bytes."""
    if isinstance(given, dict):
        return {name: _portable(value) for name, value in given.items()}
    if isinstance(given, list | tuple):
        return type(given)(_portable(value) for value in given)
    if isinstance(given, memoryview):
        return bytes(given)
    return bytes(given.adapted) if isinstance(given, Binary) else given


def gather(tests: int, *, patience_s: float = 600.0) -> None:
    """Waits until so many tests of this run are done, and learns the statements of the other processes."""
    folder = _folder()
    if folder is None:
        return
    deadline = time.monotonic() + patience_s
    while sum(path.stat().st_size for path in folder.glob("*.done")) < tests:
        assert time.monotonic() < deadline, "another process of this run does not come to an end"
        time.sleep(0.5)
    for path in sorted(folder.glob("*.statements")):
        with path.open("rb") as found:
            while True:
                try:
                    text, given = pickle.load(found)
                except EOFError:
                    break
                statements.setdefault(text, given)
