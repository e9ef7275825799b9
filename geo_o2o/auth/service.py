from __future__ import annotations

import hashlib
import json
import secrets
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from psycopg2.errors import LockNotAvailable
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from ..caller import Caller
from ..errors import Conflict, InvalidInput, NotFound, Unauthenticated
from ..geo.ids import RANDOM_BITS, unlocated_id
from . import queries
from .access import ROLES
from .keys import format_key, hash_secret, parse_key, same_hash
from .models import ApiKey, Merchant

# Within this time a retry finds the first answer (design: trust, section 2).
IDEMPOTENCY_LIFE = timedelta(hours=24)


class IdempotencyKeyReused(InvalidInput):
    code = "idempotency_key_reused"


class LastOperatorKey(Conflict):
    code = "last_operator_key"


class RequestInProgress(Conflict):
    code = "request_in_progress"


def add_merchant(session: Session, *, name: str, now: datetime) -> Merchant:
    """The merchant of that name, made where there is none."""
    return queries.find_merchant_by_name(session, name) or queries.add_merchant(
        session, merchant_id=unlocated_id(now=now, chance=secrets.randbits(RANDOM_BITS)), name=name, now=now
    )


def get_merchant(session: Session, merchant_id: UUID) -> Merchant:
    """Raises InvalidInput: a merchant is named in what is asked, and is not the thing that is asked for."""
    found = queries.find_merchant(session, merchant_id)
    if found is None:
        message = f"there is no merchant {merchant_id}"
        raise InvalidInput(message, errors={"merchant_id": [message]})
    return found


def create_key(session: Session, *, role: str, name: str, merchant: Merchant | None, now: datetime) -> tuple[ApiKey, str]:
    """A new key and its text, which is kept nowhere.

    Raises InvalidInput where the role is unknown, or a store's key has no merchant, or another role's key has one.
    """
    if role not in ROLES:
        raise InvalidInput(f"role must be one of {', '.join(ROLES)}, found {role!r}", errors={"role": ["unknown"]})
    if (role == "store") != (merchant is not None):
        raise InvalidInput("a key of role store belongs to a merchant, and no other does", errors={"merchant": ["see role"]})
    return _add_key(session, role=role, merchant_id=merchant.id if merchant else None, name=name, created_at=now)


def _add_key(session: Session, *, role: str, created_at: datetime, **columns: Any) -> tuple[ApiKey, str]:
    text = format_key(role, prefix=secrets.token_bytes(4), secret=secrets.token_bytes(32))
    _, _, prefix, secret = text.split("_")
    id_ = unlocated_id(now=created_at, chance=secrets.randbits(RANDOM_BITS))
    key = ApiKey(id=id_, role=role, prefix=prefix, secret_hash=hash_secret(secret), created_at=created_at, **columns)
    session.add(key)
    session.flush()
    return key, text


# --- sign-ins ------------------------------------------------------------------------------------------------------------------


def create_sign_in(
    session: Session, *, account_id: UUID, merchant_id: UUID, passkey_id: UUID, until: datetime, now: datetime
) -> tuple[ApiKey, str] | None:
    """A key of a store's account that ends by itself, and its text; None where the account has no live key any more."""
    queries.lock_account(session, account_id)
    if not queries.is_alive(session, account_id):
        return None
    return _add_key(
        session, role="store", merchant_id=merchant_id, name="", created_at=now, stands_for=account_id, passkey_id=passkey_id, expires_at=until
    )


def end_sign_ins(session: Session, *, passkey_id: UUID, now: datetime) -> None:
    """Whoever is signed in by a passkey is signed out."""
    queries.end_sign_ins(session, passkey_id=passkey_id, account_id=None, now=now)


def forget_sign_ins(session: Session, *, now: datetime) -> int:
    """Drops the keys of sign-ins that have ended; returns how many."""
    return queries.forget_sign_ins(session, before=now)


# --- the life of a key ---------------------------------------------------------------------------------------------------------


def replace_key(session: Session, *, prefix: str, name: str, now: datetime) -> tuple[ApiKey, str]:
    """A new key for the app or store of an old one, which goes on until it is revoked: accounts, receipts and check-ins stay theirs.

    Raises NotFound where no live key has that prefix.
    """
    old = queries.find_key(session, prefix)
    if old is None:
        raise NotFound(f"no live key has the prefix {prefix!r}")
    merchant = queries.find_merchant(session, old.merchant_id) if old.merchant_id is not None else None
    key, text = create_key(session, role=old.role, name=name or old.name, merchant=merchant, now=now)
    key.stands_for = old.stands_for or old.id
    return key, text


def revoke_key(session: Session, *, prefix: str, now: datetime, keep_operator: bool = False) -> ApiKey:
    """keep_operator: not the last key of role admin, without which nobody could make another one. Raises NotFound, LastOperatorKey."""
    key = queries.find_key(session, prefix)
    if key is None:
        raise NotFound(f"no live key has the prefix {prefix[:40]!r}")
    if keep_operator and key.role == "admin" and queries.lock_operator_keys(session) == [key.id]:
        raise LastOperatorKey("this is the last key of the operator: make another one first, or revoke it by `geo-o2o keys revoke`")
    account_id = key.stands_for or key.id
    # Whoever signs in, or revokes the other key of the account, at this very moment sees what we do, or we see what they did.
    queries.lock_account(session, account_id)
    key.revoked_at = now
    session.flush()
    if not queries.is_alive(session, account_id):
        queries.end_sign_ins(session, passkey_id=None, account_id=account_id, now=now)
    return key


def identify(session: Session, text: str) -> Caller:
    """The caller behind a key's text. Raises Unauthenticated."""
    parsed = parse_key(text)
    key = queries.find_key(session, parsed[0]) if parsed else None
    if parsed is None or key is None or not same_hash(key.secret_hash, parsed[1]):
        raise Unauthenticated("the API key is not known here, or was revoked")
    return Caller(key_id=key.stands_for or key.id, role=key.role, merchant_id=key.merchant_id, signed_in=key.passkey_id is not None)


def once(session: Session, *, caller: Caller, key: str | None, request: Any, resource_id: UUID, now: datetime) -> UUID:
    """The id under which a creating request is carried out: resource_id the first time, the first one's id ever after.

    request: JSON, what was asked. key: the Idempotency-Key; None lets every request count as a first.
    Raises IdempotencyKeyReused where the same key came with another request, RequestInProgress where the first one takes long.
    """
    if key is None:
        return resource_id
    digest = hashlib.sha256(json.dumps(request, sort_keys=True, default=str).encode()).digest()
    try:
        earlier = queries.claim_idempotency_key(session, caller_id=caller.key_id, key=key, request_hash=digest, resource_id=resource_id, now=now)
    except OperationalError as failure:
        if isinstance(failure.orig, LockNotAvailable):
            raise RequestInProgress("the same request is under way: ask again in a moment") from failure
        raise
    if earlier is None:
        return resource_id
    if earlier.request_hash != digest:
        raise IdempotencyKeyReused("this Idempotency-Key was sent before with another request: take a new key")
    return earlier.resource_id


def was_answered(session: Session, *, caller: Caller, key: str) -> bool:
    """Whether a creating request of that key was carried out before."""
    return queries.find_idempotency_key(session, caller_id=caller.key_id, key=key) is not None


def forget_requests(session: Session, *, now: datetime) -> int:
    """Drops idempotency keys past their life; returns how many."""
    return queries.forget_idempotency_keys(session, before=now - IDEMPOTENCY_LIFE)
