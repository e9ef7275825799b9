from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy.orm import Session

from ..auth.queries import find_key
from ..checkins import queries as checkins
from ..config import Settings
from ..errors import Conflict, NotFound
from ..receipts import queries as receipts
from ..signers import queries as signers
from . import listing, queries


class Ambiguous(Conflict):
    code = "ambiguous"


@dataclass(frozen=True)
class Erased:
    """check_ins: how many stay as numbers without a person. receipts: how many are gone; holders of copies must be told (GDPR, article 19)."""

    subject_id: UUID
    check_ins: int
    receipts: int


def erase(session: Session, settings: Settings, *, visitor: str, app: str | None = None, now: datetime) -> Erased:
    """An account by the pseudonym that its app gave it, or by its id. The log is not touched: its entries open to nobody any more.

    app: 8 characters of the app's key, where several apps have a visitor of that name. To be called in one transaction; the list outside
    the database has it first. Raises NotFound, Ambiguous; KeyMissing.
    """
    found = list(signers.subjects_of_visitor(session, visitor))
    if app is not None:
        key = find_key(session, app)
        found = [one for one in found if key is not None and one.caller_id == (key.stands_for or key.id)]
    try:
        by_id = signers.find_subject(session, UUID(visitor))
        found += [by_id] if by_id is not None else []
    except ValueError:
        pass
    if not found:
        raise NotFound(f"there is no account {visitor[:60]!r}")
    if len(found) > 1:
        ids = ", ".join(f"{one.id} (since {one.created_at:%Y-%m-%d})" for one in found)
        raise Ambiguous(f"several apps have a visitor {visitor[:60]!r}: name the app (--app), or erase by id: {ids}")
    return _erase(session, settings, listing.secret_of(settings.data_dir, settings.data_dir / "keys"), found[0].id, now=now)


def replay(session: Session, settings: Settings, *, now: datetime) -> int:
    """Erases again whom a restored backup has brought back; returns how many accounts. Raises KeyMissing."""
    listed = listing.read(settings.data_dir)
    if not listed - frozenset(queries.every_hash(session)):
        return 0
    secret = listing.secret_of(settings.data_dir, settings.data_dir / "keys")
    known = {*signers.every_subject_id(session), *receipts.every_subject_id(session), *checkins.every_subject_id(session)}
    back = [subject_id for subject_id in known if listing.hash_of(secret, subject_id) in listed]
    for subject_id in back:
        _erase(session, settings, secret, subject_id, now=now)
    for hashed in listed:
        queries.note(session, hashed, now=now)
    return len(back)


def _erase(session: Session, settings: Settings, secret: bytes, subject_id: UUID, *, now: datetime) -> Erased:
    hashed = listing.hash_of(secret, subject_id)
    if hashed not in listing.read(settings.data_dir):
        listing.add(settings.data_dir, secret, hashed)
    queries.note(session, hashed, now=now)
    # First of all: what is under way for this account is committed before, and deleted with the rest.
    # In the order in which a confirmation takes them: the check-in, then its account.
    checkins.take_of_subject(session, subject_id)
    signers.take_for_erasure(session, subject_id)
    devices = signers.own_devices(session, subject_id)
    check_ins = checkins.forget_subject(session, subject_id)
    checkins.forget_device(session, devices)
    gone = receipts.delete_of_subject(session, subject_id)
    signers.delete_subject(session, subject_id, devices=devices)
    return Erased(subject_id, check_ins, gone)
