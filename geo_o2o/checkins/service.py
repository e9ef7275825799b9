from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from geoalchemy2.shape import to_shape
from sqlalchemy.orm import Session

from ..caller import Caller
from ..errors import Conflict, InvalidInput, Malformed, Moved, NotFound
from ..geo.ids import RANDOM_BITS, located_id, shard_of
from ..geo.point import Point
from ..stores.models import Store
from ..stores.service import get_store
from . import queries
from .geofence import OLDEST_FIX_S, POLICY, R95_SIGMAS, WORST_R95_M, Fence, Fix, judge
from .models import CheckIn, CheckInEvidence

# How far the phone's clock may stand from ours (design: trust, section 2).
MOST_CLOCK_SKEW = timedelta(seconds=300)
_STATES = ("claimed", "located")


class FixStale(InvalidInput):
    code = "fix_stale"


class AccuracyTooPoor(InvalidInput):
    code = "accuracy_too_poor"


class ClockSkew(InvalidInput):
    code = "clock_skew"


class StoreClosed(Conflict):
    code = "store_closed_for_good"


class StoreMoved(Conflict):
    code = "store_moved"


class StoreUnknown(NotFound):
    code = "store_unknown"


def new_check_in_id(store_id: UUID, *, now: datetime) -> UUID:
    """An id in the store's shard."""
    return located_id(shard_of(store_id), now=now, chance=secrets.randbits(RANDOM_BITS))


def get_check_in(session: Session, check_in_id: UUID, *, caller: Caller) -> CheckIn:
    """A check-in that the caller sent, or that happened at the caller's store. Raises NotFound for any other."""
    check_in = queries.find_check_in(session, check_in_id)
    if check_in is None or not (check_in.caller_id == caller.key_id or caller.may_change(check_in.merchant_id)):
        raise NotFound(f"there is no check-in {check_in_id}")
    return check_in


def check_in(session: Session, *, caller: Caller, claim: Mapping[str, Any], check_in_id: UUID, now: datetime) -> CheckIn:
    """Records a check-in at level 0 or 1 with its reasons. A poor position is no error: it is recorded for what it proves.

    claim: as CheckInRequest loads it.
    Raises StoreUnknown, StoreMoved, StoreClosed, Gone; Malformed (acc_kind_missing); beyond the protocol's limits ClockSkew, FixStale,
    AccuracyTooPoor.
    """
    try:
        store = get_store(session, claim["store_id"])
    except Moved as failure:
        # Not a redirect: the claim names the store by its id, so the app must say it anew.
        raise StoreMoved(failure.message, errors={"store_id": [failure.message]}) from failure
    except NotFound as failure:
        raise StoreUnknown(failure.message, errors={"store_id": [failure.message]}) from failure
    if store.status == "closed":
        raise StoreClosed(f"store {store.id} is closed for good")
    fixes = _fixes(claim, now)
    fence = _fence(store)
    verdict = judge(fixes, fence)
    row = CheckIn(
        shard_cell=store.shard_cell, id=check_in_id, store_id=store.id, merchant_id=store.merchant_id, caller_id=caller.key_id,
        visitor=claim.get("visitor"), level=verdict.level, state=_STATES[verdict.level], p_in=int(verdict.p_in * 1000),
        r95_mm=round(verdict.r95_m * 1000), distance_mm=round(verdict.distance_m * 1000), fence=fence.name,
        reasons=list(verdict.reasons), policy=POLICY, checked_in_at=now,
    )  # fmt: skip
    evidence = CheckInEvidence(
        shard_cell=store.shard_cell,
        check_in_id=check_in_id,
        fixes=[{name: value for name, value in fix.items() if name != "at"} for fix in claim["fixes"]],
        recorded_at=now,
    )
    session.add_all([row, evidence])
    session.flush()
    return row


def erase_evidence(session: Session, *, now: datetime, keep_days: int) -> int:
    """Erases raw positions past their life; the check-ins stay. Returns how many."""
    return queries.delete_evidence(session, before=now - timedelta(days=keep_days))


def _fixes(claim: Mapping[str, Any], now: datetime) -> Sequence[Fix]:
    """The fixes, aged by the phone's own clock. Raises ClockSkew, FixStale, AccuracyTooPoor."""
    now_ms = int(now.timestamp() * 1000)
    sent_ms = claim["sent_ms"]
    if abs(sent_ms - now_ms) > MOST_CLOCK_SKEW.total_seconds() * 1000:
        sent = datetime.fromtimestamp(sent_ms / 1000, UTC)
        raise ClockSkew(
            f"the phone's clock says {sent:%Y-%m-%dT%H:%M:%SZ}, ours {now:%Y-%m-%dT%H:%M:%SZ}: they may differ by"
            f" {MOST_CLOCK_SKEW.total_seconds():.0f} s",
            errors={"sent_ms": ["too far from our clock"]},
        )
    fixes = []
    for number, sent in enumerate(claim["fixes"]):
        if "acc_kind" not in sent:
            message = "the same number means different things on different platforms: say p68, rms2d or p95"
            raise Malformed(message, code="acc_kind_missing", errors={f"fixes.{number}.acc_kind": [message]})
        age_s = (sent_ms - sent["t_ms"]) / 1000
        if not -1.0 <= age_s <= OLDEST_FIX_S:
            raise FixStale(
                f"fix {number} is {age_s:.0f} s old; 0 to {OLDEST_FIX_S:.0f} s are allowed", errors={f"fixes.{number}.t_ms": ["too old, or not yet"]}
            )
        fix = Fix(at=sent["at"], accuracy_m=sent["acc_mm"] / 1000, kind=sent["acc_kind"], mock=bool(sent.get("mock")))
        if R95_SIGMAS * fix.sigma_m > WORST_R95_M:
            raise AccuracyTooPoor(
                f"fix {number} is right to {R95_SIGMAS * fix.sigma_m:.0f} m only (95 %); at most {WORST_R95_M:.0f} m are allowed",
                errors={f"fixes.{number}.acc_mm": ["too poor"]},
            )
        fixes.append(fix)
    return fixes


def _fence(store: Store) -> Fence:
    location = to_shape(store.location)
    footprint = None if store.footprint is None else to_shape(store.footprint)
    return Fence(Point(location.x, location.y), footprint, store.fence_radius_m)
