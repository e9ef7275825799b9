"""Takes the measures that the rules ask for: of the claim itself, of the account's past, of the device, of the place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy.orm import Session

from ..geo.point import Point
from . import queries
from .geofence import Verdict
from .signals import Been, Score, Seen, measures_of_fixes, measures_of_past, present_policy, relayed_codes, score

_DAY = timedelta(days=1)
# More check-ins of one account in a day than this say nothing new.
_MOST_PAST = 50


@dataclass(frozen=True)
class Account:
    """An account as it stands now. on_device: how many accounts used its device lately, it included. together: who goes about with it."""

    id: UUID
    device_id: str
    attested: bool | None
    on_device: int
    together: int


def weigh(
    session: Session, *, account: Account, seen: Sequence[Seen], verdict: Verdict, store_id: UUID, shard_cell: int, coded: bool, honeypot: bool,
    now: datetime,
) -> Score:  # fmt: skip
    """seen: the fixes, oldest first. coded: whether the claim has a right code of the till. honeypot: whether nobody can have been there."""
    at = seen[-1].at
    past = [
        Been(Point(row["lng"], row["lat"]), row["r95_mm"] / 1000, row["visited_at"], str(row["store_id"]))
        for row in queries.recent_visits(session, account.id, since=now - _DAY, most=_MOST_PAST)
    ]
    measures = {
        **measures_of_fixes(seen),
        **measures_of_past(Been(at, verdict.r95_m, now, str(store_id)), past),
        "accounts_of_device": account.on_device,
        "accounts_together": account.together,
        "honeypots": int(honeypot),
    }
    if account.attested is not None:
        measures["integrity_failures"] = int(not account.attested)
    if coded:
        measures["relayed_codes"] = relayed_codes(p_in=verdict.p_in, r95_m=verdict.r95_m)
    else:
        lat_e6, lng_e6 = point_e6(at)
        others = queries.accounts_at_point(session, shard_cell=shard_cell, lat_e6=lat_e6, lng_e6=lng_e6, but=account.id, since=now - _DAY)
        measures["accounts_at_point"] = 1 + others
    return score(measures, present_policy())


def point_e6(at: Point) -> tuple[int, int]:
    """Latitude and longitude in 1e-6 degrees, about a tenth of a metre."""
    return round(at.lat * 1e6), round(at.lon * 1e6)
