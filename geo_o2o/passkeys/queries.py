from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from .models import Passkey, SpentSignIn


def list_passkeys(session: Session, merchant_id: UUID | None) -> Sequence[Passkey]:
    """Of a merchant, or with None of all; the newest first, without those that were revoked."""
    query = sa.select(Passkey).where(Passkey.revoked_at.is_(None)).order_by(Passkey.created_at.desc(), Passkey.id)
    return session.scalars(query if merchant_id is None else query.where(Passkey.merchant_id == merchant_id)).all()


def find_passkey(session: Session, id_: UUID) -> Passkey | None:
    return session.get(Passkey, id_)


def find_credential(session: Session, credential_id: bytes) -> Passkey | None:
    """A live passkey, held until the end of the transaction: its counter grows with each use."""
    return session.scalar(sa.select(Passkey).where(Passkey.credential_id == credential_id, Passkey.revoked_at.is_(None)).with_for_update())


def is_known(session: Session, credential_id: bytes) -> bool:
    return session.scalar(sa.select(Passkey.id).where(Passkey.credential_id == credential_id)) is not None


def spend(session: Session, challenge: bytes, *, expires_at: datetime) -> bool:
    """Whether this is the first answer to a challenge."""
    done: Any = session.execute(insert(SpentSignIn).values(challenge=challenge, expires_at=expires_at).on_conflict_do_nothing())
    return bool(done.rowcount)


def forget_spent(session: Session, *, before: datetime) -> int:
    deleted: Any = session.execute(sa.delete(SpentSignIn).where(SpentSignIn.expires_at < before))
    return int(deleted.rowcount)
