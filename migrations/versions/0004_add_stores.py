"""add stores, with categories, opening hours, their districts and attributions

From the first row on every big table carries shard_cell, written by the application and guarded by a CHECK in plain arithmetic.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from geoalchemy2 import Geography, Geometry
from sqlalchemy.dialects import postgresql as pg

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

REFERENCE = {"citus": "reference"}
SHARDED = {"citus": "shard_cell"}
SHARD_OF_CELL = "(cell & ~(15::bigint << 52)) | (4::bigint << 52) | ((1::bigint << 33) - 1)"


def upgrade() -> None:
    op.create_table(
        "categories",
        sa.Column("id", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("parent_id", sa.SmallInteger(), nullable=True),
        sa.Column("names", pg.JSONB(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_categories"),
        sa.UniqueConstraint("code", name="uq_categories_code"),
        sa.ForeignKeyConstraint(["parent_id"], ["categories.id"], name="fk_categories_parent_id_categories"),
        info=REFERENCE,
    )
    op.create_table(
        "opening_hours",
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("expression", sa.Text(), nullable=False),
        sa.Column("time_zone", sa.Text(), nullable=False),
        sa.Column("country", sa.Text(), nullable=True),
        sa.Column("sun_lon", sa.Double(), nullable=True),
        sa.Column("sun_lat", sa.Double(), nullable=True),
        sa.Column("open_during", pg.TSTZMULTIRANGE(), nullable=False),
        sa.Column("expanded_from", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expanded_until", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_opening_hours"),
        info=REFERENCE,
    )
    op.create_index("ix_opening_hours_expanded_until", "opening_hours", ["expanded_until"])
    op.create_table(
        "attributions",
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("attribution", sa.Text(), nullable=False),
        sa.Column("licence", sa.Text(), nullable=False),
        sa.Column("loaded_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("source", name="pk_attributions"),
        info=REFERENCE,
    )
    op.create_table(
        "stores",
        # Fixed-width columns that nearby reads come first: PostgreSQL reaches them without walking over texts.
        sa.Column("shard_cell", sa.BigInteger(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("cell", sa.BigInteger(), nullable=False),
        sa.Column("location", Geography("POINT", 4326, spatial_index=False), nullable=False),
        sa.Column("category_id", sa.SmallInteger(), nullable=False),
        sa.Column("rating_sum", sa.Integer(), nullable=False),
        sa.Column("rating_count", sa.Integer(), nullable=False),
        sa.Column("rating_sample", sa.Boolean(), nullable=False),
        sa.Column("price_band", sa.SmallInteger(), nullable=True),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("hours_id", sa.BigInteger(), nullable=True),
        sa.Column("merchant_id", sa.Uuid(), nullable=True),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("names", pg.JSONB(), nullable=False),
        sa.Column("brand", sa.Text(), nullable=True),
        sa.Column("address", pg.JSONB(), nullable=False),
        sa.Column("phone", sa.Text(), nullable=True),
        sa.Column("website", sa.Text(), nullable=True),
        sa.Column("tags", pg.ARRAY(sa.Text()), nullable=False),
        sa.Column("opening_hours", sa.Text(), nullable=True),
        sa.Column("time_zone", sa.Text(), nullable=False),
        sa.Column("country", sa.Text(), nullable=True),
        sa.Column("footprint", Geometry("MULTIPOLYGON", 4326, spatial_index=False), nullable=True),
        sa.Column("fence_radius_m", sa.Integer(), nullable=True),
        sa.Column("moved_to", sa.Uuid(), nullable=True),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("source_id", sa.Text(), nullable=False),
        sa.Column("source_hash", sa.BigInteger(), nullable=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("shard_cell", "id", name="pk_stores"),
        sa.UniqueConstraint("shard_cell", "source", "source_id", name="uq_stores_shard_cell_source_source_id"),
        sa.ForeignKeyConstraint(["category_id"], ["categories.id"], name="fk_stores_category_id_categories"),
        sa.ForeignKeyConstraint(["hours_id"], ["opening_hours.id"], name="fk_stores_hours_id_opening_hours"),
        sa.ForeignKeyConstraint(["merchant_id"], ["merchants.id"], name="fk_stores_merchant_id_merchants"),
        sa.CheckConstraint(f"shard_cell = ({SHARD_OF_CELL})", name=op.f("ck_stores_shard_cell")),
        sa.CheckConstraint("status IN ('live', 'closed', 'removed', 'moved')", name=op.f("ck_stores_status")),
        sa.CheckConstraint("(status = 'moved') = (moved_to IS NOT NULL)", name=op.f("ck_stores_moved_to")),
        sa.CheckConstraint("rating_count >= 0 AND rating_sum >= rating_count AND rating_sum <= 5 * rating_count", name=op.f("ck_stores_rating")),
        sa.CheckConstraint("price_band BETWEEN 1 AND 4", name=op.f("ck_stores_price_band")),
        info=SHARDED,
    )
    op.create_index("ix_stores_location", "stores", ["location"], postgresql_using="gist")
    op.create_index("ix_stores_cell", "stores", ["cell"])
    op.create_index("ix_stores_merchant_id", "stores", ["merchant_id"], postgresql_where=sa.text("merchant_id IS NOT NULL"))
    op.create_table(
        "store_districts",
        sa.Column("shard_cell", sa.BigInteger(), nullable=False),
        sa.Column("store_id", sa.Uuid(), nullable=False),
        sa.Column("layer", sa.Text(), nullable=False),
        sa.Column("district_id", sa.Uuid(), nullable=False),
        sa.PrimaryKeyConstraint("shard_cell", "store_id", "layer", name="pk_store_districts"),
        sa.ForeignKeyConstraint(["shard_cell", "store_id"], ["stores.shard_cell", "stores.id"], name="fk_store_districts_store", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["district_id"], ["districts.id"], name="fk_store_districts_district_id_districts", ondelete="CASCADE"),
        info=SHARDED,
    )
    op.create_index("ix_store_districts_district_id", "store_districts", ["district_id"])
    op.create_table(
        "store_moves",
        sa.Column("old_id", sa.Uuid(), nullable=False),
        sa.Column("new_id", sa.Uuid(), nullable=False),
        sa.Column("moved_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("old_id", name="pk_store_moves"),
    )


def downgrade() -> None:
    for table in ("store_moves", "store_districts", "stores", "attributions", "opening_hours", "categories"):
        op.drop_table(table)
