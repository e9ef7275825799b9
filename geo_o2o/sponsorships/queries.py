from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from .models import Sponsorship


def sponsored_offers(session: Session, *, at: datetime) -> Sequence[UUID]:
    """Offers that somebody pays for at a moment."""
    found = sa.select(Sponsorship.offer_id).where(Sponsorship.starts_at <= at, Sponsorship.ends_at > at).distinct()
    return session.scalars(found.order_by(Sponsorship.offer_id)).all()


def list_sponsorships(session: Session) -> Sequence[Sponsorship]:
    return session.scalars(sa.select(Sponsorship).order_by(Sponsorship.starts_at, Sponsorship.id)).all()
