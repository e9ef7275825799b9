from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy.orm import Session

from ..checkins import queries as checkins
from ..config import Settings
from ..errors import NotFound
from ..receipts import queries as receipts
from ..signers import queries as signers
from . import listing, queries


@dataclass(frozen=True)
class Erased:
    """check_ins: how many stay as numbers without a person. receipts: how many are gone; holders of copies must be told (GDPR, article 19)."""

    subject_id: UUID
    check_ins: int
    receipts: int


def erase(session: Session, settings: Settings, *, visitor: str, now: datetime) -> list[Erased]:
    """Every account that an app knows by this pseudonym, or by its id. The log is not touched: its entries open to nobody any more.

    Raises NotFound. To be called in one transaction; the list outside the database has it first.
    """
    found = [one.id for one in signers.subjects_of_visitor(session, visitor)]
    try:
        by_id = signers.find_subject(session, UUID(visitor))
        found += [by_id.id] if by_id is not None else []
    except ValueError:
        pass
    if not found:
        raise NotFound(f"there is no account {visitor[:60]!r}")
    return [_erase(session, settings, subject_id, now=now) for subject_id in found]


def replay(session: Session, settings: Settings, *, now: datetime) -> int:
    """Erases again whom a restored backup has brought back; returns how many accounts."""
    listed = listing.read(settings.data_dir)
    if not listed - frozenset(queries.every_hash(session)):
        return 0
    keys = settings.data_dir / "keys"
    back = [subject_id for subject_id in signers.every_subject_id(session) if listing.hash_of(keys, subject_id) in listed]
    for subject_id in back:
        _erase(session, settings, subject_id, now=now)
    for hashed in listed:
        queries.note(session, hashed, now=now)
    return len(back)


def _erase(session: Session, settings: Settings, subject_id: UUID, *, now: datetime) -> Erased:
    hashed = listing.hash_of(settings.data_dir / "keys", subject_id)
    if hashed not in listing.read(settings.data_dir):
        listing.add(settings.data_dir, hashed)
    queries.note(session, hashed, now=now)
    gone = receipts.delete_of_subject(session, subject_id)
    devices = signers.own_devices(session, subject_id)
    check_ins = checkins.forget_subject(session, subject_id)
    checkins.forget_device(session, devices)
    signers.delete_subject(session, subject_id, devices=devices)
    return Erased(subject_id, check_ins, gone)
