"""Offers and their placements in stores.

An offer's definition has no place: it is distributed by the hash in its id. A placement lives with its store's shard and carries
what nearby needs, so that one shard answers without asking another.
"""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import Mapped, mapped_column

from ..db import SHARDED, Base


class Offer(Base):
    """The definition of an offer. price_minor: in the currency's smallest unit; None where it has no single price.

    list_price_minor: the price without the offer. stock: how many are left, None where they do not run out; sold out at 0.
    store_ids: the stores it holds in; their ids name their shards.
    """

    __tablename__ = "offers"
    __table_args__ = (
        sa.PrimaryKeyConstraint("shard_cell", "id"),
        sa.CheckConstraint("status IN ('draft', 'live', 'paused', 'ended', 'removed')", name="status"),
        sa.CheckConstraint("kind IN ('standing', 'temporary', 'group', 'trial', 'visit_unlocked', 'course')", name="kind"),
        sa.CheckConstraint("(price_minor IS NULL) = (currency IS NULL) AND price_minor >= 0", name="price"),
        sa.CheckConstraint("valid_from < valid_until", name="validity"),
        sa.CheckConstraint("list_price_minor > price_minor", name="list_price"),
        sa.CheckConstraint("stock >= 0", name="stock"),
        sa.Index("ix_offers_store_ids", "store_ids", postgresql_using="gin"),
        sa.Index("ix_offers_merchant_id", "merchant_id", postgresql_where=sa.text("merchant_id IS NOT NULL")),
        SHARDED,
    )

    shard_cell: Mapped[int] = mapped_column(sa.BigInteger)
    id: Mapped[UUID]
    merchant_id: Mapped[UUID | None] = mapped_column(sa.ForeignKey("merchants.id"))
    kind: Mapped[str] = mapped_column(sa.Text)
    status: Mapped[str] = mapped_column(sa.Text)
    title: Mapped[str] = mapped_column(sa.Text)
    titles: Mapped[dict[str, str]] = mapped_column(JSONB)
    description: Mapped[str | None] = mapped_column(sa.Text)
    category_id: Mapped[int | None] = mapped_column(sa.SmallInteger, sa.ForeignKey("categories.id"))
    price_minor: Mapped[int | None] = mapped_column(sa.BigInteger)
    currency: Mapped[str | None] = mapped_column(sa.Text)
    valid_from: Mapped[datetime] = mapped_column(sa.DateTime(timezone=True))
    valid_until: Mapped[datetime | None] = mapped_column(sa.DateTime(timezone=True))
    store_ids: Mapped[list[UUID]] = mapped_column(ARRAY(sa.Uuid))
    sample: Mapped[bool]
    list_price_minor: Mapped[int | None] = mapped_column(sa.BigInteger)
    stock: Mapped[int | None] = mapped_column(sa.Integer)
    version: Mapped[int] = mapped_column(sa.Integer)
    created_at: Mapped[datetime] = mapped_column(sa.DateTime(timezone=True))
    updated_at: Mapped[datetime] = mapped_column(sa.DateTime(timezone=True))


class Placement(Base):
    """An offer in one store; only offers that are live and not sold out are placed.

    category_id: None means the store's own. store_count: how many stores it holds in, this one included.
    """

    __tablename__ = "offer_store"
    __table_args__ = (
        sa.PrimaryKeyConstraint("shard_cell", "store_id", "offer_id"),
        sa.ForeignKeyConstraint(["shard_cell", "store_id"], ["stores.shard_cell", "stores.id"], ondelete="CASCADE", name="fk_offer_store_store"),
        SHARDED,
    )

    shard_cell: Mapped[int] = mapped_column(sa.BigInteger)
    store_id: Mapped[UUID]
    offer_id: Mapped[UUID]
    category_id: Mapped[int | None] = mapped_column(sa.SmallInteger, sa.ForeignKey("categories.id"))
    title: Mapped[str] = mapped_column(sa.Text)
    titles: Mapped[dict[str, str]] = mapped_column(JSONB)
    kind: Mapped[str] = mapped_column(sa.Text)
    price_minor: Mapped[int | None] = mapped_column(sa.BigInteger)
    currency: Mapped[str | None] = mapped_column(sa.Text)
    valid_from: Mapped[datetime] = mapped_column(sa.DateTime(timezone=True))
    valid_until: Mapped[datetime | None] = mapped_column(sa.DateTime(timezone=True))
    sample: Mapped[bool]
    list_price_minor: Mapped[int | None] = mapped_column(sa.BigInteger)
    store_count: Mapped[int] = mapped_column(sa.Integer)
    search_grams: Mapped[list[int] | None] = mapped_column(ARRAY(sa.Integer))
