"""add offers and their placements in stores"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql as pg

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

SHARDED = {"citus": "shard_cell"}


def upgrade() -> None:
    op.create_table(
        "offers",
        sa.Column("shard_cell", sa.BigInteger(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("merchant_id", sa.Uuid(), nullable=True),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("titles", pg.JSONB(), nullable=False),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("category_id", sa.SmallInteger(), nullable=True),
        sa.Column("price_minor", sa.BigInteger(), nullable=True),
        sa.Column("currency", sa.Text(), nullable=True),
        sa.Column("valid_from", sa.DateTime(timezone=True), nullable=False),
        sa.Column("valid_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("store_ids", pg.ARRAY(sa.Uuid()), nullable=False),
        sa.Column("sample", sa.Boolean(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("shard_cell", "id", name="pk_offers"),
        sa.ForeignKeyConstraint(["merchant_id"], ["merchants.id"], name="fk_offers_merchant_id_merchants"),
        sa.ForeignKeyConstraint(["category_id"], ["categories.id"], name="fk_offers_category_id_categories"),
        sa.CheckConstraint("status IN ('draft', 'live', 'paused', 'ended', 'removed')", name=op.f("ck_offers_status")),
        sa.CheckConstraint("kind IN ('standing', 'temporary', 'group', 'trial', 'visit_unlocked', 'course')", name=op.f("ck_offers_kind")),
        sa.CheckConstraint("(price_minor IS NULL) = (currency IS NULL) AND price_minor >= 0", name=op.f("ck_offers_price")),
        sa.CheckConstraint("valid_from < valid_until", name=op.f("ck_offers_validity")),
        info=SHARDED,
    )
    op.create_index("ix_offers_store_ids", "offers", ["store_ids"], postgresql_using="gin")
    op.create_index("ix_offers_merchant_id", "offers", ["merchant_id"], postgresql_where=sa.text("merchant_id IS NOT NULL"))
    op.create_table(
        "offer_store",
        sa.Column("shard_cell", sa.BigInteger(), nullable=False),
        sa.Column("store_id", sa.Uuid(), nullable=False),
        sa.Column("offer_id", sa.Uuid(), nullable=False),
        sa.Column("category_id", sa.SmallInteger(), nullable=True),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("titles", pg.JSONB(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("price_minor", sa.BigInteger(), nullable=True),
        sa.Column("currency", sa.Text(), nullable=True),
        sa.Column("valid_from", sa.DateTime(timezone=True), nullable=False),
        sa.Column("valid_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("sample", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("shard_cell", "store_id", "offer_id", name="pk_offer_store"),
        sa.ForeignKeyConstraint(["shard_cell", "store_id"], ["stores.shard_cell", "stores.id"], name="fk_offer_store_store", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["category_id"], ["categories.id"], name="fk_offer_store_category_id_categories"),
        info=SHARDED,
    )


def downgrade() -> None:
    op.drop_table("offer_store")
    op.drop_table("offers")
