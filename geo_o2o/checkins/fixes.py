"""Positions and clocks as they were sent, read as evidence: how old by the phone's own clock, how right, and whether they are of use. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from ..errors import InvalidInput, Malformed
from .geofence import OLDEST_FIX_S, R95_SIGMAS, WORST_R95_M, Fix
from .signals import Seen

# How far a device's or a till's clock may stand from ours (design: trust, section 2).
MOST_CLOCK_SKEW = timedelta(seconds=300)


class FixStale(InvalidInput):
    code = "fix_stale"


class AccuracyTooPoor(InvalidInput):
    code = "accuracy_too_poor"


class ClockSkew(InvalidInput):
    code = "clock_skew"


def check_clock(at_ms: int, now: datetime, *, field: str, whose: str) -> None:
    """Raises ClockSkew. at_ms: since 1970, by that clock. whose: as `the phone's`."""
    if abs(at_ms - now.timestamp() * 1000) > MOST_CLOCK_SKEW.total_seconds() * 1000:
        said = datetime.fromtimestamp(at_ms / 1000, UTC)
        raise ClockSkew(
            f"{whose} clock says {said:%Y-%m-%dT%H:%M:%SZ}, ours {now:%Y-%m-%dT%H:%M:%SZ}: they may differ by"
            f" {MOST_CLOCK_SKEW.total_seconds():.0f} s",
            errors={field: ["too far from our clock"]},
        )


def read_fixes(sent: Sequence[Mapping[str, Any]], at_ms: int) -> tuple[list[Fix], list[Seen]]:
    """The fixes for the fence, and for the rules with the oldest first; aged by the phone's own clock. Raises FixStale, AccuracyTooPoor."""
    fixes, seen = [], []
    for number, one in enumerate(sent):
        age_s = (at_ms - one["t_ms"]) / 1000
        if not -1.0 <= age_s <= OLDEST_FIX_S:
            message = f"fix {number} is {age_s:.0f} s old; 0 to {OLDEST_FIX_S:.0f} s are allowed"
            raise FixStale(message, errors={f"fixes.{number}.t_ms": ["too old, or not yet"]})
        fix = fix_of(one, number)
        if R95_SIGMAS * fix.sigma_m > WORST_R95_M:
            raise AccuracyTooPoor(
                f"fix {number} is right to {R95_SIGMAS * fix.sigma_m:.0f} m only (95 %); at most {WORST_R95_M:.0f} m are allowed",
                errors={f"fixes.{number}.acc_mm": ["too poor"]},
            )
        fixes.append(fix)
        seen.append(Seen(fix.at, fix.accuracy_m, one["t_ms"], age_s, one.get("mono_ms"), fix.mock))
    return fixes, sorted(seen, key=lambda one: one.t_ms)


def fix_of(sent: Mapping[str, Any], number: int) -> Fix:
    """A fix as FixSchema loads it. Raises Malformed (acc_kind_missing)."""
    if "acc_kind" not in sent:
        message = "the same number means different things on different platforms: say p68, rms2d or p95"
        raise Malformed(message, code="acc_kind_missing", errors={f"fixes.{number}.acc_kind": [message]})
    return Fix(at=sent["at"], accuracy_m=sent["acc_mm"] / 1000, kind=sent["acc_kind"], mock=bool(sent.get("mock")))
