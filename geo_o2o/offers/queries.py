"""Every SELECT and set-wise write on offers and their placements."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from ..geo.ids import shard_of
from ..stores.models import Store, StoreMove
from .models import Offer, Placement


def find_offer(session: Session, offer_id: UUID, *, lock: bool = False) -> Offer | None:
    query = sa.select(Offer).where(Offer.shard_cell == shard_of(offer_id), Offer.id == offer_id)
    return session.scalar(query.with_for_update() if lock else query)


def walk_offers(
    session: Session,
    *,
    after: tuple[int, UUID] | None,
    limit: int,
    merchant_id: UUID | None = None,
    status: str | None = None,
    changed_since: datetime | None = None,
    public_only: bool = True,
) -> Sequence[Offer]:
    """Offers that were not removed, in the order of (shard_cell, id). public_only: without drafts."""
    query = sa.select(Offer).where(Offer.status != "removed").order_by(Offer.shard_cell, Offer.id).limit(limit)
    if public_only:
        query = query.where(Offer.status != "draft")
    if after is not None:
        query = query.where(sa.tuple_(Offer.shard_cell, Offer.id) > sa.tuple_(sa.literal(after[0], sa.BigInteger), sa.literal(after[1])))
    if merchant_id is not None:
        query = query.where(Offer.merchant_id == merchant_id)
    if status is not None:
        query = query.where(Offer.status == status)
    if changed_since is not None:
        query = query.where(Offer.updated_at >= changed_since)
    return session.scalars(query).all()


def offers_in_store(session: Session, store_id: UUID, *, now: datetime) -> Sequence[Placement]:
    """What a store offers at a moment, by title."""
    return session.scalars(
        sa.select(Placement)
        .where(
            Placement.shard_cell == shard_of(store_id),
            Placement.store_id == store_id,
            Placement.valid_from <= now,
            sa.or_(Placement.valid_until.is_(None), Placement.valid_until > now),
        )
        .order_by(Placement.title, Placement.offer_id)
    ).all()


def live_stores(session: Session, store_ids: Sequence[UUID]) -> Sequence[Store]:
    """Those of the stores that can hold an offer, locked against a move until the transaction ends."""
    return session.scalars(
        sa.select(Store)
        .where(
            _shards_of(Store.shard_cell, store_ids),
            Store.id == sa.any_(sa.literal(list(store_ids), sa.ARRAY(sa.Uuid))),
            Store.status.in_(["live", "closed"]),
        )
        .order_by(Store.shard_cell, Store.id)
        .with_for_update(read=True)
    ).all()


def remove_placements(session: Session, offer_id: UUID, store_ids: Collection[UUID]) -> Sequence[int]:
    """Takes an offer out of some stores; returns the cells of those that had it."""
    ids = sa.any_(sa.literal(list(store_ids), sa.ARRAY(sa.Uuid)))
    shards = _shards_of(Placement.shard_cell, store_ids)
    removed = session.scalars(
        sa.delete(Placement).where(shards, Placement.store_id == ids, Placement.offer_id == offer_id).returning(Placement.store_id)
    ).all()
    if not removed:
        return []
    left = sa.any_(sa.literal(list(removed), sa.ARRAY(sa.Uuid)))
    return session.scalars(sa.select(Store.cell).where(_shards_of(Store.shard_cell, removed), Store.id == left)).all()


def placements_without_grams(session: Session, *, limit: int) -> Sequence[Any]:
    """Placements that cannot be found by a word yet."""
    columns = (Placement.shard_cell, Placement.store_id, Placement.offer_id, Placement.title, Placement.titles)
    return session.execute(sa.select(*columns).where(Placement.search_grams.is_(None)).limit(limit)).all()


def write_grams(session: Session, rows: Sequence[tuple[Any, Sequence[int]]]) -> Sequence[int]:
    """rows: placements_without_grams and the grams of each. Returns the cells of their stores."""
    if not rows:
        return []
    text = "UPDATE offer_store SET search_grams = :grams WHERE shard_cell = :shard_cell AND store_id = :store_id AND offer_id = :offer_id"
    session.execute(
        sa.text(text),
        [{"shard_cell": row.shard_cell, "store_id": row.store_id, "offer_id": row.offer_id, "grams": list(found)} for row, found in rows],
    )
    ids = {row.store_id for row, _ in rows}
    return session.scalars(
        sa.select(Store.cell).where(_shards_of(Store.shard_cell, ids), Store.id == sa.any_(sa.literal(list(ids), sa.ARRAY(sa.Uuid))))
    ).all()


def add_placements(session: Session, rows: Sequence[dict[str, object]]) -> None:
    if rows:
        session.execute(insert(Placement), rows)


def moves_to_follow(session: Session, *, limit: int) -> Sequence[StoreMove]:
    """Stores whose offers still hold at their old id, locked; rows that another worker holds are left to it."""
    return session.scalars(sa.select(StoreMove).order_by(StoreMove.moved_at).limit(limit).with_for_update(skip_locked=True)).all()


def offers_of_store(session: Session, store_id: UUID) -> Sequence[Offer]:
    """Every offer that names a store, placed or not, locked. Asks all shards, for the worker alone."""
    return session.scalars(sa.select(Offer).where(Offer.store_ids.contains([store_id])).order_by(Offer.shard_cell, Offer.id).with_for_update()).all()


def _shards_of(column: sa.orm.attributes.InstrumentedAttribute[int], ids: Collection[UUID]) -> sa.ColumnElement[bool]:
    return column == sa.any_(sa.literal(sorted({shard_of(one) for one in ids}), sa.ARRAY(sa.BigInteger)))
