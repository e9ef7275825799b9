from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from ..copying import Stream
from ..db import Statement
from ..geo.ids import shard_of
from .models import Challenge, CheckIn, CheckInEvidence, CodeTry, Honeypot, RecentVisit, UsedTillCode


def find_check_in(session: Session, check_in_id: UUID, *, lock: bool = False) -> CheckIn | None:
    query = sa.select(CheckIn).where(CheckIn.shard_cell == shard_of(check_in_id), CheckIn.id == check_in_id)
    # What another transaction has just committed is what counts, not what this session read before it waited for the lock.
    return session.scalar(query.with_for_update().execution_options(populate_existing=True) if lock else query)


_CHECK_IN = {
    "shard_cell": "bigint", "id": "uuid", "store_id": "uuid", "merchant_id": "uuid", "caller_id": "uuid", "device_id": "text",
    "subject_id": "uuid", "visitor": "text", "level": "smallint", "state": "text", "methods": "text[]", "p_in": "smallint", "distance_mm": "bigint",
    "fence": "text", "reasons": "text[]", "risk": "smallint", "findings": "jsonb", "policy": "text", "claim_hash": "bytea",
    "evidence_hash": "bytea", "store_hash": "bytea", "till_id": "text", "checked_in_at": "timestamptz",
}  # fmt: skip
_EVIDENCE = {
    "shard_cell": "bigint", "check_in_id": "uuid", "subject_id": "uuid", "evidence": "jsonb", "salt": "bytea", "claim": "text",
    "recorded_at": "timestamptz",
}  # fmt: skip


def _insert(table: str, types: Mapping[str, str], more: Mapping[str, tuple[str, str]]) -> Statement:
    """more: columns whose names have digits, with the name of their value and its type."""
    columns = ", ".join([*types, *more])
    values = ", ".join(f":{name}" for name in [*types, *(name for name, _ in more.values())])
    return Statement(f"INSERT INTO {table} ({columns}) VALUES ({values}) RETURNING 1", {**types, **dict(more.values())})


_ADD_CHECK_IN = _insert("check_ins", _CHECK_IN, {"r95_mm": ("r_mm", "bigint")})
_ADD_EVIDENCE = _insert("check_in_evidence", _EVIDENCE, {"lat_e6": ("lat", "integer"), "lng_e6": ("lng", "integer")})


def add_check_in(session: Session, row: CheckIn, evidence: CheckInEvidence) -> None:
    """Both new, and not of the session: what a claim writes is written by statements that the connection keeps."""
    said = {name: getattr(row, name) for name in _CHECK_IN}
    _ADD_CHECK_IN.run(session, {**said, "findings": orjson.dumps(row.findings).decode(), "r_mm": row.r95_mm})
    kept = {name: getattr(evidence, name) for name in _EVIDENCE}
    text = orjson.dumps(evidence.evidence).decode()
    _ADD_EVIDENCE.run(session, {**kept, "evidence": text, "lat": evidence.lat_e6, "lng": evidence.lng_e6})


_SAMPLE_COLUMNS = (
    "shard_cell", "id", "store_id", "merchant_id", "caller_id", "subject_id", "level", "state", "p_in", "r95_mm", "distance_mm", "fence",
    "reasons", "policy", "sample", "checked_in_at",
)  # fmt: skip


def copy_samples(session: Session, lines: Iterable[str], *, progress: Callable[[int], None] | None) -> None:
    """Invented check-ins; each line has the values of _SAMPLE_COLUMNS."""
    raw: Any = session.connection().connection.driver_connection
    with raw.cursor() as cursor:
        cursor.copy_expert(f"COPY check_ins ({', '.join(_SAMPLE_COLUMNS)}) FROM STDIN", Stream(lines, progress=progress), size=1 << 18)


def has_samples(session: Session, *, shard_cells: Sequence[int]) -> bool:
    query = "SELECT EXISTS (SELECT FROM check_ins WHERE shard_cell = ANY(:shard_cells) AND sample)"
    return bool(session.scalar(sa.text(query), {"shard_cells": list(shard_cells)}))


def find_evidence(session: Session, check_in_id: UUID) -> CheckInEvidence | None:
    return session.scalar(
        sa.select(CheckInEvidence).where(CheckInEvidence.shard_cell == shard_of(check_in_id), CheckInEvidence.check_in_id == check_in_id)
    )


def list_check_ins(
    session: Session, *, merchant_id: UUID | None, store_id: UUID | None, level: int | None, before: tuple[datetime, UUID] | None, limit: int
) -> Sequence[CheckIn]:
    """Newest first. merchant_id: None shows every merchant's."""
    query = sa.select(CheckIn).order_by(CheckIn.checked_in_at.desc(), CheckIn.id.desc()).limit(limit)
    if merchant_id is not None:
        query = query.where(CheckIn.merchant_id == merchant_id)
    if store_id is not None:
        query = query.where(CheckIn.shard_cell == shard_of(store_id), CheckIn.store_id == store_id)
    if level is not None:
        query = query.where(CheckIn.level == level)
    if before is not None:
        query = query.where(sa.tuple_(CheckIn.checked_in_at, CheckIn.id) < sa.tuple_(sa.literal(before[0]), sa.literal(before[1])))
    return session.scalars(query).all()


def count_check_ins(
    session: Session, *, merchant_id: UUID | None, store_id: UUID | None, since: datetime | None, until: datetime | None, suspect_from: int
) -> Sequence[tuple[UUID, int, str, int]]:
    """(store id, level, standing, number) of each store and level. standing: `sample`, `voided`, `suspect` (risk suspect_from or more) or `good`."""
    standing = sa.case((CheckIn.sample, "sample"), (CheckIn.state == "voided", "voided"), (CheckIn.risk >= suspect_from, "suspect"), else_="good")
    query = sa.select(CheckIn.store_id, CheckIn.level, standing, sa.func.count()).group_by(CheckIn.store_id, CheckIn.level, sa.text("3"))
    if merchant_id is not None:
        query = query.where(CheckIn.merchant_id == merchant_id)
    if store_id is not None:
        query = query.where(CheckIn.shard_cell == shard_of(store_id), CheckIn.store_id == store_id)
    if since is not None:
        query = query.where(CheckIn.checked_in_at >= since)
    if until is not None:
        query = query.where(CheckIn.checked_in_at < until)
    rows = session.execute(query.order_by(CheckIn.store_id, CheckIn.level))
    return [(store, level, found, number) for store, level, found, number in rows]


def delete_evidence(session: Session, *, before: datetime) -> int:
    """Of check-ins that nobody disputes."""
    disputed = (
        sa.select(CheckIn.id)
        .where(CheckIn.shard_cell == CheckInEvidence.shard_cell, CheckIn.id == CheckInEvidence.check_in_id, CheckIn.disputed_at.is_not(None))
        .exists()
    )
    deleted: Any = session.execute(sa.delete(CheckInEvidence).where(CheckInEvidence.recorded_at < before, ~disputed))
    return int(deleted.rowcount)


# --- challenges and codes ----------------------------------------------------------------------------------------------------


_CHALLENGE = Statement(
    """
UPDATE challenges SET used_at = :now
 WHERE shard_cell = :shard_cell AND ch = :ch AND store_id = :store_id AND device_id = :device_id AND used_at IS NULL AND expires_at > :now
RETURNING beacon_size, beacon_root
""",
    {"shard_cell": "bigint", "ch": "bytea", "store_id": "uuid", "device_id": "text", "now": "timestamptz"},
)


def use_challenge(session: Session, *, shard_cell: int, ch: bytes, store_id: UUID, device_id: str, now: datetime) -> tuple[int, bytes] | None:
    """The beacon of a challenge that is used from now on; None where it is not this device's for this store, too old, or used before."""
    rows = _CHALLENGE.run(session, {"shard_cell": shard_cell, "ch": ch, "store_id": store_id, "device_id": device_id, "now": now})
    return (rows[0]["beacon_size"], bytes(rows[0]["beacon_root"])) if rows else None


def find_challenge(session: Session, *, shard_cell: int, ch: bytes) -> Challenge | None:
    return session.scalar(sa.select(Challenge).where(Challenge.shard_cell == shard_cell, Challenge.ch == ch))


def use_till_code(session: Session, *, shard_cell: int, till_id: str, step: int, device_id: str, now: datetime) -> bool:
    """Whether this device had not shown it before."""
    statement = insert(UsedTillCode).values(shard_cell=shard_cell, till_id=till_id, step=step, device_id=device_id, used_at=now)
    return session.scalar(statement.on_conflict_do_nothing().returning(UsedTillCode.step)) is not None


def add_try(session: Session, *, device_id: str, store_id: UUID, chance: UUID, now: datetime, since: datetime) -> tuple[int, int]:
    """Notes a try; returns how many the device made since a moment, and how many were made at the store, this one included.

    Tries at the same time wait for each other.
    """
    for name in (device_id, str(store_id)):
        session.execute(sa.text("SELECT pg_advisory_xact_lock(1102, hashtext(:name))"), {"name": name})
    session.execute(sa.insert(CodeTry).values(device_id=device_id, store_id=store_id, tried_at=now, chance=chance))
    counts = (
        sa.select(sa.func.count()).select_from(CodeTry).where(column, CodeTry.tried_at > since)
        for column in (CodeTry.device_id == device_id, CodeTry.store_id == store_id)
    )
    of_device, at_store = (int(session.scalar(one) or 0) for one in counts)
    return of_device, at_store


def is_ticket_used(session: Session, row: CheckIn, pos_hash: bytes) -> bool:
    """Whether another check-in of the store is bound to a ticket."""
    query = sa.select(CheckIn.id).where(CheckIn.shard_cell == row.shard_cell, CheckIn.store_id == row.store_id, CheckIn.pos_hash == pos_hash)
    return session.scalar(query.where(CheckIn.id != row.id).limit(1)) is not None


def forget_spent(session: Session, *, before: datetime) -> int:
    """Challenges, codes and tries of which nothing can come any more; returns how many."""
    rows = 0
    for table, column in ((Challenge, Challenge.expires_at), (UsedTillCode, UsedTillCode.used_at), (CodeTry, CodeTry.tried_at)):
        deleted: Any = session.execute(sa.delete(table).where(column < before))
        rows += int(deleted.rowcount)
    return rows


# --- what speaks against a visit ----------------------------------------------------------------------------------------------


_VISIT = Statement(
    "INSERT INTO recent_visits (subject_id, check_in_id, store_id, lat, lng, r95_mm, visited_at)"
    " VALUES (:subject_id, :check_in_id, :store_id, :lat, :lng, :r_mm, :visited_at) RETURNING subject_id",
    {
        "subject_id": "uuid", "check_in_id": "uuid", "store_id": "uuid", "lat": "double precision", "lng": "double precision", "r_mm": "bigint",
        "visited_at": "timestamptz",
    },
)  # fmt: skip


def add_recent_visit(session: Session, **columns: Any) -> None:
    _VISIT.run(session, columns)


_RECENT = Statement(
    "SELECT lat, lng, r95_mm, visited_at, store_id FROM recent_visits WHERE subject_id = :subject_id AND visited_at > :since"
    " ORDER BY visited_at DESC LIMIT :most",
    {"subject_id": "uuid", "since": "timestamptz", "most": "integer"},
)


def recent_visits(session: Session, subject_id: UUID, *, since: datetime, most: int) -> Sequence[sa.RowMapping]:
    """Of an account, the newest first."""
    return _RECENT.run(session, {"subject_id": subject_id, "since": since, "most": most})


def visits_since(session: Session, since: datetime) -> Sequence[tuple[UUID, UUID, datetime]]:
    """(account, store, when) of all, by store and time."""
    query = sa.select(RecentVisit.subject_id, RecentVisit.store_id, RecentVisit.visited_at).where(RecentVisit.visited_at > since)
    return [(row[0], row[1], row[2]) for row in session.execute(query.order_by(RecentVisit.store_id, RecentVisit.visited_at))]


def forget_recent_visits(session: Session, *, before: datetime) -> int:
    deleted: Any = session.execute(sa.delete(RecentVisit).where(RecentVisit.visited_at < before))
    return int(deleted.rowcount)


_AT_POINT = Statement(
    "SELECT count(DISTINCT subject_id) AS others FROM check_in_evidence"
    " WHERE shard_cell = :shard_cell AND lat_e6 = :lat AND lng_e6 = :lng AND recorded_at > :since AND subject_id <> :subject_id",
    {"shard_cell": "bigint", "lat": "integer", "lng": "integer", "since": "timestamptz", "subject_id": "uuid"},
)


def accounts_at_point(session: Session, *, shard_cell: int, lat_e6: int, lng_e6: int, but: UUID, since: datetime) -> int:
    """How many other accounts reported the very same point since a moment."""
    (row,) = _AT_POINT.run(session, {"shard_cell": shard_cell, "lat": lat_e6, "lng": lng_e6, "since": since, "subject_id": but})
    return int(row["others"])


def is_honeypot(session: Session, store_id: UUID) -> bool:
    query = sa.select(Honeypot.store_id).where(Honeypot.shard_cell == shard_of(store_id), Honeypot.store_id == store_id)
    return session.scalar(query) is not None


def confirmed_by_store(session: Session, since: datetime, *, far_below: int) -> dict[str, tuple[int, int]]:
    """Of each store its confirmed visits since a moment, and how many of them had p_in below so many per mille."""
    query = (
        sa.select(CheckIn.store_id, sa.func.count(), sa.func.count().filter(CheckIn.p_in < far_below))
        .where(CheckIn.level >= 3, CheckIn.checked_in_at > since)
        .group_by(CheckIn.store_id)
    )
    return {str(store): (number, far) for store, number, far in session.execute(query)}


# --- receipts and erasure ----------------------------------------------------------------------------------------------------


def without_receipt(session: Session, *, before: datetime, most: int) -> Sequence[CheckIn]:
    """Check-ins from before a moment that have no receipt yet and whose evidence is here."""
    has_claim = (
        sa.select(CheckInEvidence.check_in_id)
        .where(CheckInEvidence.shard_cell == CheckIn.shard_cell, CheckInEvidence.check_in_id == CheckIn.id, CheckInEvidence.claim.is_not(None))
        .exists()
    )
    query = sa.select(CheckIn).where(
        CheckIn.receipt_id.is_(None),
        CheckIn.claim_hash.is_not(None),
        CheckIn.state != "voided",
        CheckIn.checked_in_at < before,
        CheckIn.subject_id.is_not(None),
        has_claim,
    )
    return session.scalars(query.order_by(CheckIn.checked_in_at).limit(most).with_for_update(skip_locked=True)).all()


def take_of_subject(session: Session, subject_id: UUID) -> None:
    """Waits until nobody changes the check-ins of an account, and lets nobody change them until the end of the transaction."""
    session.execute(sa.select(CheckIn.id).where(CheckIn.subject_id == subject_id).with_for_update())


def forget_subject(session: Session, subject_id: UUID) -> int:
    """Takes an account out of its check-ins, which stay as numbers; deletes its evidence. Returns how many check-ins."""
    session.execute(sa.delete(CheckInEvidence).where(CheckInEvidence.subject_id == subject_id))
    session.execute(sa.delete(RecentVisit).where(RecentVisit.subject_id == subject_id))
    nobody = {
        "visitor": None,
        "device_id": None,
        "subject_id": None,
        "claim_hash": None,
        "evidence_hash": None,
        "receipt_id": None,
        "pos_hash": None,
        "voucher_hash": None,
    }
    forgotten: Any = session.execute(sa.update(CheckIn).where(CheckIn.subject_id == subject_id).values(**nobody, findings=[]))
    return int(forgotten.rowcount)


def forget_device(session: Session, device_ids: Sequence[str]) -> None:
    """What challenges, codes and tries still know of devices."""
    for table, column in ((Challenge, Challenge.device_id), (UsedTillCode, UsedTillCode.device_id), (CodeTry, CodeTry.device_id)):
        session.execute(sa.delete(table).where(column.in_(device_ids)))


def every_subject_id(session: Session) -> Sequence[UUID]:
    """Of all accounts that check-ins know."""
    return [one for one in session.scalars(sa.select(CheckIn.subject_id).where(CheckIn.subject_id.is_not(None)).distinct()) if one is not None]
