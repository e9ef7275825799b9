from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session

from ..errors import InvalidInput, NotFound
from ..offers.service import get_offer
from .models import Sponsorship


def add_sponsorship(session: Session, *, fields: Mapping[str, Any], sponsorship_id: UUID, now: datetime) -> Sponsorship:
    """Has an offer shown apart for a time. Raises NotFound, Gone for the offer; InvalidInput where it ends before it starts."""
    get_offer(session, fields["offer_id"])
    # Whole minutes, as all that an answer shows.
    starts_at, ends_at = (moment.replace(second=0, microsecond=0) for moment in (fields.get("starts_at") or now, fields["ends_at"]))
    if ends_at <= starts_at:
        raise InvalidInput("ends_at must lie after starts_at", errors={"ends_at": ["must lie after starts_at"]})
    row = Sponsorship(id=sponsorship_id, offer_id=fields["offer_id"], sponsor=fields["sponsor"], starts_at=starts_at, ends_at=ends_at, created_at=now)
    session.add(row)
    session.flush()
    return row


def remove_sponsorship(session: Session, sponsorship_id: UUID) -> None:
    """Raises NotFound."""
    row = session.get(Sponsorship, sponsorship_id)
    if row is None:
        raise NotFound(f"there is no sponsorship {sponsorship_id}")
    session.delete(row)
