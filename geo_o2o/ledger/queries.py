from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.orm import Session

from ..db import Statement
from .models import LogCheckpoint, LogEntry, LogQueue, LogState, LogTile
from .tiles import Tile


def add_state(session: Session, *, shard: str, verifier: str, root: bytes) -> None:
    """The head of an empty log, where there is none of that shard."""
    session.execute(insert(LogState).values(shard=shard, verifier=verifier, size=0, root=root, frontier=[], epoch=0).on_conflict_do_nothing())


def find_state(session: Session, shard: str) -> LogState | None:
    return session.get(LogState, shard, populate_existing=True)


def list_shards(session: Session, *, frozen: bool | None = None) -> Sequence[str]:
    query = sa.select(LogState.shard).order_by(LogState.shard)
    return session.scalars(query if frozen is None else query.where(LogState.frozen == frozen)).all()


def list_states(session: Session) -> Sequence[LogState]:
    return session.scalars(sa.select(LogState).order_by(LogState.shard)).all()


def waiting_by_shard(session: Session) -> dict[str, tuple[int, datetime]]:
    """How many entries wait for their place in each log, and since when the oldest does."""
    rows = session.execute(sa.select(LogQueue.shard, sa.func.count(), sa.func.min(LogQueue.queued_at)).group_by(LogQueue.shard))
    return {shard: (count, since) for shard, count, since in rows}


def newest_published_checkpoint(session: Session, shard: str) -> LogCheckpoint | None:
    published = sa.select(LogCheckpoint).where(LogCheckpoint.shard == shard, LogCheckpoint.published_at.is_not(None))
    return session.scalar(published.order_by(LogCheckpoint.size.desc()).limit(1))


def take_state(session: Session, shard: str) -> LogState | None:
    """The head of a log, held until the end of the transaction; None where another transaction holds it."""
    return session.scalar(
        sa.select(LogState).where(LogState.shard == shard).with_for_update(skip_locked=True).execution_options(populate_existing=True)
    )


def queue(session: Session, *, shard: str, id_: UUID, entry: bytes) -> None:
    session.execute(sa.insert(LogQueue).values(id=id_, shard=shard, entry=entry))


def oldest_queued(session: Session, shard: str, *, most: int) -> Sequence[tuple[UUID, bytes]]:
    query = sa.select(LogQueue.id, LogQueue.entry).where(LogQueue.shard == shard).order_by(LogQueue.queued_at, LogQueue.id)
    return [(row.id, row.entry) for row in session.execute(query.limit(most))]


def queued_shards(session: Session) -> Sequence[str]:
    return session.scalars(sa.select(LogQueue.shard).distinct().order_by(LogQueue.shard)).all()


def is_queued(session: Session, id_: UUID) -> bool:
    return session.scalar(sa.select(LogQueue.id).where(LogQueue.id == id_)) is not None


def is_queued_before(session: Session, moment: datetime) -> bool:
    """Whether anything waits that was queued before a moment."""
    return session.scalar(sa.select(LogQueue.id).where(LogQueue.queued_at < moment).limit(1)) is not None


_FROZEN = Statement("SELECT frozen FROM log_state WHERE shard = :shard", {"shard": "text"})


def is_frozen(session: Session, shard: str) -> bool:
    rows = _FROZEN.run(session, {"shard": shard})
    return bool(rows and rows[0]["frozen"])


def newest_published(session: Session, shard: str) -> tuple[int, bytes] | None:
    """Size and root of the newest checkpoint that everybody can see."""
    query = sa.select(LogCheckpoint.size, LogCheckpoint.root).where(LogCheckpoint.shard == shard, LogCheckpoint.published_at.is_not(None))
    row = session.execute(query.order_by(LogCheckpoint.size.desc()).limit(1)).one_or_none()
    return None if row is None else (row.size, row.root)


_ADD_ENTRIES = sa.text("""
INSERT INTO log_entries (shard, index, id, entry)
SELECT :shard, :first - 1 + place, id, entry
  FROM unnest(CAST(:ids AS uuid[]), CAST(:entries AS bytea[])) WITH ORDINALITY AS given (id, entry, place)
""")


def add_entries(session: Session, *, shard: str, first: int, entries: Sequence[tuple[UUID, bytes]]) -> None:
    """From the index `first` on, in their order."""
    given = {"ids": [str(id_) for id_, _ in entries], "entries": [entry for _, entry in entries]}
    session.execute(_ADD_ENTRIES, {"shard": shard, "first": first, **given})


def queued_among(session: Session, entries: Sequence[bytes]) -> dict[bytes, UUID]:
    """Of entries those that wait in the queue, with what they are about."""
    wanted = sa.bindparam("entries", list(entries), ARRAY(sa.LargeBinary()))
    rows = session.execute(sa.select(LogQueue.entry, LogQueue.id).where(LogQueue.entry == sa.any_(wanted)))
    return {row.entry: row.id for row in rows}


def take_from_queue(session: Session, ids: Sequence[UUID]) -> int:
    """Returns how many there were."""
    taken: Any = session.execute(sa.delete(LogQueue).where(LogQueue.id == sa.any_(sa.bindparam("ids", list(ids), ARRAY(sa.Uuid())))))
    return int(taken.rowcount)


def find_tile(session: Session, *, shard: str, level: int, n: int) -> bytes | None:
    return session.scalar(sa.select(LogTile.data).where(LogTile.shard == shard, LogTile.level == level, LogTile.n == n))


def put_tiles(session: Session, *, shard: str, tiles: Sequence[Tile]) -> None:
    """A tile only gets wider."""
    statement = insert(LogTile)
    statement = statement.on_conflict_do_update(
        index_elements=["shard", "level", "n"],
        set_={"data": statement.excluded.data},
        where=sa.func.length(statement.excluded.data) > sa.func.length(LogTile.data),
    )
    session.execute(statement, [{"shard": shard, "level": one.level, "n": one.n, "data": one.data} for one in tiles])


def move_state(session: Session, *, shard: str, epoch: int, size: int, root: bytes, frontier: Sequence[bytes]) -> int:
    """From the state that was taken at that epoch to the next. Returns 1, or 0 where it was no longer that."""
    moved: Any = session.execute(
        sa.update(LogState)
        .where(LogState.shard == shard, LogState.epoch == epoch)
        .values(size=size, root=root, frontier=list(frontier), epoch=epoch + 1)
    )
    return int(moved.rowcount)


def freeze(session: Session, shard: str, *, frozen: bool) -> None:
    session.execute(sa.update(LogState).where(LogState.shard == shard).values(frozen=frozen))


def add_checkpoint(session: Session, *, shard: str, size: int, root: bytes, note: str) -> None:
    session.execute(sa.insert(LogCheckpoint).values(shard=shard, size=size, root=root, note=note))


def newest_checkpoint(session: Session, shard: str) -> LogCheckpoint | None:
    return session.scalar(sa.select(LogCheckpoint).where(LogCheckpoint.shard == shard).order_by(LogCheckpoint.size.desc()).limit(1))


def find_checkpoint(session: Session, shard: str, size: int) -> LogCheckpoint | None:
    return session.get(LogCheckpoint, (shard, size))


def mark_published(session: Session, *, shard: str, size: int, now: datetime) -> None:
    session.execute(
        sa.update(LogCheckpoint)
        .where(LogCheckpoint.shard == shard, LogCheckpoint.size <= size, LogCheckpoint.published_at.is_(None))
        .values(published_at=now)
    )


def is_unpublished_since(session: Session, moment: datetime) -> bool:
    """Whether a checkpoint that was signed before a moment is still not published."""
    query = sa.select(LogCheckpoint.size).where(LogCheckpoint.published_at.is_(None), LogCheckpoint.signed_at < moment)
    return session.scalar(query.limit(1)) is not None


def entries_between(session: Session, *, shard: str, first: int, end: int) -> list[bytes]:
    """The entries from index first up to but not including end."""
    query = sa.select(LogEntry.entry).where(LogEntry.shard == shard, LogEntry.index >= first, LogEntry.index < end).order_by(LogEntry.index)
    return list(session.scalars(query))


def find_index(session: Session, id_: UUID) -> tuple[str, int] | None:
    """The shard and the index of the entry of a thing."""
    row = session.execute(sa.select(LogEntry.shard, LogEntry.index).where(LogEntry.id == id_)).one_or_none()
    return None if row is None else (row[0], row[1])
