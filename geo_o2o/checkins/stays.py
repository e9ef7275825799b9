"""Visits in a stream of fixes: who came in, how long they stayed, and when they left. Pure.

Two thresholds with time between them, so that a receiver that wanders at the edge does not come and go.
Source: design of the project (trust, section 5).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

ENTER_P, LEAVE_P = 0.80, 0.20
# Seen inside twice so far apart: a drive-by is not.
_ENTER_S = 20.0
_LEAVE_S = 60.0
# Longer without a fix, and nobody knows whether they stayed.
_GAP_S = 600.0


@dataclass(frozen=True)
class Stay:
    """first_s, last_s: when the visitor was seen inside first and last. dwell_s: between them; None where fixes were missing for long."""

    first_s: float
    last_s: float
    dwell_s: float | None


def stays(fixes: Iterable[tuple[float, float]]) -> list[Stay]:
    """fixes: seconds and probability inside, in the order of time. A stay that has not ended is the last one."""
    found: list[Stay] = []
    inside: list[float] = []
    gap, low_since, before = False, None, None
    for at_s, p_in in fixes:
        missing = before is not None and at_s - before > _GAP_S
        before = at_s
        if missing and not _is_stay(inside):
            # Seen once, and then not for long: whoever is seen now begins anew.
            inside = []
        gap = gap or (missing and bool(inside))
        if p_in >= ENTER_P:
            inside, low_since = [*inside[:1], at_s], None
        elif p_in > LEAVE_P:
            low_since = None
        else:
            low_since = at_s if low_since is None else low_since
            if not _is_stay(inside) or at_s - low_since >= _LEAVE_S:
                found += _ended(inside, gap=gap)
                inside, gap, low_since = [], False, None
    return found + _ended(inside, gap=gap)


def _is_stay(inside: list[float]) -> bool:
    """inside: when the visitor was seen inside first and last."""
    return len(inside) == 2 and inside[1] - inside[0] >= _ENTER_S


def _ended(inside: list[float], *, gap: bool) -> list[Stay]:
    if not _is_stay(inside):
        return []
    return [Stay(inside[0], inside[1], None if gap else inside[1] - inside[0])]
