"""Which process this is, for whoever asks that with every request."""

from __future__ import annotations

import os

_known = os.getpid()


def _look() -> None:
    global _known
    _known = os.getpid()


os.register_at_fork(after_in_child=_look)


def pid() -> int:
    """As os.getpid(), without a call of the system: there a busy processor likes to take its turn away."""
    return _known
