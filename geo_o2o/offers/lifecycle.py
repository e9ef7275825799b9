"""The states of an offer. Sold out is derived, never stored."""

from __future__ import annotations

from ..errors import Conflict

KINDS = ("standing", "temporary", "group", "trial", "visit_unlocked", "course")
STATUSES = ("draft", "live", "paused", "ended", "removed")

_STEPS: dict[str, frozenset[str]] = {
    "draft": frozenset({"live", "removed"}),
    "live": frozenset({"paused", "ended", "removed"}),
    "paused": frozenset({"live", "ended", "removed"}),
    "ended": frozenset({"removed"}),
    "removed": frozenset(),
}


class IllegalTransition(Conflict):
    code = "illegal_transition"


def step(present: str, wanted: str) -> str:
    """The wanted state, where it can follow the present one. Raises IllegalTransition."""
    if wanted != present and wanted not in _STEPS[present]:
        raise IllegalTransition(
            f"an offer cannot go from {present} to {wanted}; from {present} it can go to {', '.join(sorted(_STEPS[present])) or 'nothing'}"
        )
    return wanted
