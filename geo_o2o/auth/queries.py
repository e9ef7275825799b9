from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from ..db import Statement
from .models import ApiKey, IdempotencyKey, Merchant


def find_key(session: Session, prefix: str) -> ApiKey | None:
    """A live key by its prefix."""
    # What no key is called is not asked for: the database takes no text with NUL.
    if not prefix.isalnum():
        return None
    lasts = sa.or_(ApiKey.expires_at.is_(None), ApiKey.expires_at > sa.func.now())
    return session.scalar(sa.select(ApiKey).where(ApiKey.prefix == prefix, ApiKey.revoked_at.is_(None), lasts))


def list_keys(session: Session) -> Sequence[tuple[ApiKey, str | None]]:
    """Every key that was made, with its merchant's name, newest first; not those that sign-ins have given."""
    named = sa.select(ApiKey, Merchant.name).outerjoin(Merchant, ApiKey.merchant_id == Merchant.id)
    rows = session.execute(named.where(ApiKey.passkey_id.is_(None)).order_by(ApiKey.created_at.desc(), ApiKey.id))
    return [(key, name) for key, name in rows]


def lock_operator_keys(session: Session) -> Sequence[UUID]:
    """Ids of the live keys of the operator, locked: two of them revoked at the same time must not both be the last but one."""
    return session.scalars(
        sa.select(ApiKey.id).where(ApiKey.role == "admin", ApiKey.revoked_at.is_(None)).order_by(ApiKey.id).with_for_update()
    ).all()


def lock_account(session: Session, account_id: UUID) -> None:
    """Holds the keys that were made for an app or store until the end of the transaction."""
    ours = sa.or_(ApiKey.id == account_id, ApiKey.stands_for == account_id)
    session.execute(sa.select(ApiKey.id).where(ours, ApiKey.passkey_id.is_(None)).order_by(ApiKey.id).with_for_update())


def is_alive(session: Session, account_id: UUID) -> bool:
    """Whether any key that was made for an app or store is live still."""
    ours = sa.or_(ApiKey.id == account_id, ApiKey.stands_for == account_id)
    return session.scalar(sa.select(ApiKey.id).where(ours, ApiKey.passkey_id.is_(None), ApiKey.revoked_at.is_(None)).limit(1)) is not None


def end_sign_ins(session: Session, *, passkey_id: UUID | None, account_id: UUID | None, now: datetime) -> None:
    """Of a passkey, or of an app's or store's account."""
    ours = ApiKey.passkey_id == passkey_id if account_id is None else sa.and_(ApiKey.stands_for == account_id, ApiKey.passkey_id.is_not(None))
    session.execute(sa.update(ApiKey).where(ours, ApiKey.revoked_at.is_(None)).values(revoked_at=now))


def forget_sign_ins(session: Session, *, before: datetime) -> int:
    deleted: Any = session.execute(sa.delete(ApiKey).where(ApiKey.expires_at < before))
    return int(deleted.rowcount)


def find_merchant(session: Session, merchant_id: UUID) -> Merchant | None:
    return session.get(Merchant, merchant_id)


def find_merchant_by_name(session: Session, name: str) -> Merchant | None:
    return session.scalar(sa.select(Merchant).where(Merchant.name == name))


def add_merchant(session: Session, *, merchant_id: UUID, name: str, now: datetime) -> Merchant:
    """The merchant of that name, also where another request makes it at this moment."""
    session.execute(insert(Merchant).values(id=merchant_id, name=name, created_at=now).on_conflict_do_nothing(index_elements=["name"]))
    return session.scalars(sa.select(Merchant).where(Merchant.name == name)).one()


def list_merchants(session: Session) -> Sequence[Merchant]:
    return session.scalars(sa.select(Merchant).order_by(Merchant.name)).all()


_CLAIM = Statement(
    "INSERT INTO idempotency_keys (caller_id, key, request_hash, resource_id, created_at)"
    " VALUES (:caller_id, :key, :request_hash, :resource_id, :now) ON CONFLICT DO NOTHING RETURNING resource_id",
    {"caller_id": "uuid", "key": "text", "request_hash": "bytea", "resource_id": "uuid", "now": "timestamptz"},
)


def claim_idempotency_key(
    session: Session, *, caller_id: UUID, key: str, request_hash: bytes, resource_id: UUID, now: datetime
) -> IdempotencyKey | None:
    """Writes the key, or returns the row that already has it; waits for a twin that is still under way."""
    values = {"caller_id": caller_id, "key": key, "request_hash": request_hash, "resource_id": resource_id, "now": now}
    return None if _CLAIM.run(session, values) else find_idempotency_key(session, caller_id=caller_id, key=key)


def find_idempotency_key(session: Session, *, caller_id: UUID, key: str) -> IdempotencyKey | None:
    return session.get(IdempotencyKey, (caller_id, key))


def forget_idempotency_keys(session: Session, *, before: datetime) -> int:
    deleted: Any = session.execute(sa.delete(IdempotencyKey).where(IdempotencyKey.created_at < before))
    return int(deleted.rowcount)
