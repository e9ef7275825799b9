from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from ..db import Statement
from ..geo.ids import shard_of
from .models import Device, DeviceProof, DeviceSubject, Subject, Till


def add_device(session: Session, **columns: Any) -> Device:
    """The device of that key, as it was enrolled first."""
    session.execute(insert(Device).values(**columns).on_conflict_do_nothing())
    return session.scalars(sa.select(Device).where(Device.id == columns["id"]).execution_options(populate_existing=True)).one()


def find_device(session: Session, device_id: str) -> Device | None:
    return session.get(Device, device_id)


_DEVICE = Statement("SELECT attested, revoked_at FROM devices WHERE id = :device_id", {"device_id": "text"})


def device_state(session: Session, device_id: str) -> tuple[bool | None, datetime | None] | None:
    """Whether its platform vouches for it, and since when it is revoked; None where nobody enrolled it."""
    rows = _DEVICE.run(session, {"device_id": device_id})
    return (rows[0]["attested"], rows[0]["revoked_at"]) if rows else None


def revoked_devices(session: Session) -> Sequence[tuple[str, UUID | None]]:
    """Each with the entry of the log that says so."""
    rows = session.execute(sa.select(Device.id, Device.revoked_event).where(Device.revoked_at.is_not(None)).order_by(Device.id))
    return [(row[0], row[1]) for row in rows]


_PROOF = Statement(
    "INSERT INTO device_proofs (device_id, jti, seen_at) VALUES (:device_id, :jti, :now) ON CONFLICT DO NOTHING RETURNING jti",
    {"device_id": "text", "jti": "text", "now": "timestamptz"},
)


def use_proof(session: Session, *, device_id: str, jti: str, now: datetime) -> bool:
    """Whether it was not used before."""
    return bool(_PROOF.run(session, {"device_id": device_id, "jti": jti, "now": now}))


def forget_proofs(session: Session, *, before: datetime) -> int:
    deleted: Any = session.execute(sa.delete(DeviceProof).where(DeviceProof.seen_at < before))
    return int(deleted.rowcount)


def tills_of_store(session: Session, store_id: UUID, *, live: bool = False) -> Sequence[Till]:
    query = sa.select(Till).where(Till.shard_cell == shard_of(store_id), Till.store_id == store_id).order_by(Till.enrolled_at, Till.id)
    return session.scalars(query.where(Till.revoked_at.is_(None)) if live else query).all()


_LIVE_TILLS = Statement(
    "SELECT id FROM tills WHERE shard_cell = :shard_cell AND store_id = :store_id AND revoked_at IS NULL ORDER BY id",
    {"shard_cell": "bigint", "store_id": "uuid"},
)


def live_till_ids(session: Session, store_id: UUID) -> list[str]:
    return [row["id"] for row in _LIVE_TILLS.run(session, {"shard_cell": shard_of(store_id), "store_id": store_id})]


def find_till(session: Session, till_id: str, *, near: UUID) -> Till | None:
    """near: a store of the same shard."""
    return session.scalar(sa.select(Till).where(Till.shard_cell == shard_of(near), Till.id == till_id))


_KNOWN = Statement("SELECT id, together FROM subjects WHERE caller_id = :caller_id AND visitor = :visitor", {"caller_id": "uuid", "visitor": "text"})
_SUBJECT = sa.text("""
INSERT INTO subjects AS s (id, caller_id, visitor, secret, created_at) VALUES (:id, :caller_id, :visitor, :secret, :now)
    ON CONFLICT (caller_id, visitor) DO UPDATE SET visitor = s.visitor RETURNING s.id, s.together
""")


def take_subject(session: Session, *, id_: UUID, caller_id: UUID, visitor: str, secret: bytes, now: datetime) -> tuple[UUID, int]:
    """The id of an account and how many go about with it; the account is made where there is none."""
    known = _KNOWN.run(session, {"caller_id": caller_id, "visitor": visitor})
    if known:
        return UUID(str(known[0]["id"])), known[0]["together"]
    made = session.execute(_SUBJECT, {"id": id_, "caller_id": caller_id, "visitor": visitor, "secret": secret, "now": now}).one()
    return UUID(str(made.id)), made.together


_USE = Statement(
    """
WITH used AS (
    INSERT INTO device_subjects AS d (device_id, subject_id, used_at) VALUES (:device_id, :subject_id, :now)
        ON CONFLICT (device_id, subject_id) DO UPDATE SET used_at = excluded.used_at)
SELECT count(*) AS others FROM device_subjects WHERE device_id = :device_id AND subject_id <> :subject_id AND used_at > :since
""",
    {"device_id": "text", "subject_id": "uuid", "now": "timestamptz", "since": "timestamptz"},
)


def use_device(session: Session, *, device_id: str, subject_id: UUID, now: datetime, since: datetime) -> int:
    """How many accounts used the device since a moment, this one included."""
    (row,) = _USE.run(session, {"device_id": device_id, "subject_id": subject_id, "now": now, "since": since})
    return 1 + int(row["others"])


def set_together(session: Session, sizes: Mapping[UUID, int]) -> None:
    session.execute(sa.update(Subject).where(Subject.together > 0, Subject.id.not_in(list(sizes))).values(together=0))
    for subject_id, size in sizes.items():
        session.execute(sa.update(Subject).where(Subject.id == subject_id).values(together=min(size, 30_000)))


def find_subject(session: Session, subject_id: UUID) -> Subject | None:
    """Held until the end of the transaction, so that nobody erases it meanwhile."""
    query = sa.select(Subject).where(Subject.id == subject_id).with_for_update(read=True, key_share=True)
    return session.scalar(query.execution_options(populate_existing=True))


def take_for_erasure(session: Session, subject_id: UUID) -> None:
    """Waits until nobody writes for the account any more; whoever comes later finds it gone."""
    session.execute(sa.select(Subject.id).where(Subject.id == subject_id).with_for_update())


def subjects_of_visitor(session: Session, visitor: str) -> Sequence[Subject]:
    return session.scalars(sa.select(Subject).where(Subject.visitor == visitor).order_by(Subject.created_at)).all()


def every_subject_id(session: Session) -> Sequence[UUID]:
    return session.scalars(sa.select(Subject.id)).all()


def own_devices(session: Session, subject_id: UUID) -> Sequence[str]:
    """Devices that nobody else used."""
    query = sa.select(DeviceSubject.device_id).where(
        DeviceSubject.device_id.in_(sa.select(DeviceSubject.device_id).where(DeviceSubject.subject_id == subject_id))
    )
    return session.scalars(query.group_by(DeviceSubject.device_id).having(sa.func.bool_and(DeviceSubject.subject_id == subject_id))).all()


def delete_subject(session: Session, subject_id: UUID, *, devices: Sequence[str]) -> None:
    """The account, and devices."""
    session.execute(sa.delete(DeviceSubject).where(DeviceSubject.subject_id == subject_id))
    session.execute(sa.delete(DeviceProof).where(DeviceProof.device_id.in_(devices)))
    session.execute(sa.delete(Device).where(Device.id.in_(devices)))
    session.execute(sa.delete(Subject).where(Subject.id == subject_id))
