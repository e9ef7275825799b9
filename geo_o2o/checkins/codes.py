"""Whether a code that a device shows is one of a store's tills, made now, and shown for the first time."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID, uuid4

from sqlalchemy.orm import Session

from ..errors import Conflict, Gone, InvalidInput, TooMany
from ..signers.queries import tills_of_store
from ..signers.service import TillNotOfStore, TillRevoked
from ..signers.totp import is_totp, totp_step
from ..stores.models import Store
from . import queries
from .tillcode import BadCode, is_fresh, parse_till_code, short_store

# Six digits can be guessed: three times in a million with five tries in ten minutes (design: trust, section 2).
_MOST_TRIES, _TRIES_WITHIN = 5, timedelta(minutes=10)
# Devices are enrolled for nothing, so whoever guesses takes many of them.
_MOST_TRIES_AT_STORE = 100


class CodeInvalid(InvalidInput):
    code = "code_invalid"


class CodeExpired(Gone):
    code = "code_expired"


class CodeReplayed(Conflict):
    code = "code_replayed"


def add_try(session: Session, *, device_id: str, store_id: UUID, now: datetime) -> None:
    """Counts a try of a device at a store, right or wrong. Raises TooMany."""
    of_device, at_store = queries.add_try(session, device_id=device_id, store_id=store_id, chance=uuid4(), now=now, since=now - _TRIES_WITHIN)
    minutes = _TRIES_WITHIN.seconds // 60
    if of_device > _MOST_TRIES:
        raise TooMany(f"a device may try {_MOST_TRIES} codes within {minutes} minutes", retry_after_s=_TRIES_WITHIN.seconds, code="too_many_tries")
    if at_store > _MOST_TRIES_AT_STORE:
        message = f"codes were tried {at_store} times at this store within {minutes} minutes: read the signed one (XC1:), or have staff scan yours"
        raise TooMany(message, retry_after_s=_TRIES_WITHIN.seconds, code="too_many_tries")


def use_code(session: Session, code: str, *, store: Store, device_id: str, now: datetime) -> tuple[str, str]:
    """The till whose code it is, and the method (`till` or `totp`). Raises CodeInvalid, CodeExpired, CodeReplayed, TillNotOfStore, TillRevoked."""
    till_id, step, method = _signed(session, code, store.id, now) if not is_totp(code) else _typed(session, code, store.id, now)
    if not queries.use_till_code(session, shard_cell=store.shard_cell, till_id=till_id, step=step, device_id=device_id, now=now):
        raise CodeReplayed("this device has shown this code before: each code counts once for each device")
    return till_id, method


def _signed(session: Session, text: str, store_id: UUID, now: datetime) -> tuple[str, int, str]:
    try:
        code = parse_till_code(text)
    except BadCode as failure:
        raise CodeInvalid(str(failure), errors={"code": [str(failure)]}) from failure
    if code.store != short_store(store_id):
        raise TillNotOfStore("this is the code of another store")
    till = next((one for one in tills_of_store(session, store_id) if code.is_of(one.public)), None)
    if till is None:
        raise TillNotOfStore("this code was made by no till that is enrolled at the store")
    if till.revoked_at is not None:
        raise TillRevoked(f"the till that made this code was revoked on {till.revoked_at:%Y-%m-%d}")
    if not is_fresh(code, at_s=now.timestamp()):
        raise CodeExpired("this code is not of this moment: read the one that the till shows now")
    return till.id, code.step, "till"


def _typed(session: Session, text: str, store_id: UUID, now: datetime) -> tuple[str, int, str]:
    for till in tills_of_store(session, store_id, live=True):
        step = totp_step(till.totp_secret, text, at_s=now.timestamp())
        if step is not None:
            return till.id, step, "totp"
    message = "no till of this store shows these digits now"
    raise CodeInvalid(message, errors={"code": [message]})
