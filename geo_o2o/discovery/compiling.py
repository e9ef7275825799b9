"""How loops are compiled. Pure.

The compiler notices a change in the file of a loop alone: what a loop uses stands in its own file or comes as an argument.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from numba import njit, types

Loop = TypeVar("Loop", bound=Callable[..., Any])


def column(kind: Any, dimensions: int = 1) -> Any:
    """The type of a column of a snapshot, which is mapped read-only; arrays that can be written are taken as well."""
    return types.Array(kind, dimensions, "C", readonly=True)


def compiled(*signatures: Any) -> Callable[[Loop], Loop]:
    """Compiled once for a machine, at the first import. Where nothing may be written, once for a process."""

    def compile_(loop: Loop) -> Loop:
        try:
            return njit(list(signatures), cache=True)(loop)
        except RuntimeError:
            return njit(list(signatures))(loop)

    return compile_
