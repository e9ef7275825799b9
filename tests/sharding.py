"""Remembers every statement the suite issues, so that test_sharding.py can explain them all."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

# Text of a statement to the parameters it was first issued with, and in the order of first issue.
statements: dict[str, Any] = {}


def record() -> None:
    """Listens to every engine of this process."""

    @sa.event.listens_for(sa.Engine, "before_cursor_execute")
    def note(_: Any, __: Any, statement: str, parameters: Any, ___: Any, ____: bool) -> None:
        statements.setdefault(statement, parameters[0] if isinstance(parameters, list) else parameters)
