"""add supply: sums of stores and offers per cell, rolled up ahead, and what they were before"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql as pg

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "supply_blocks",
        sa.Column("shard_cell", sa.BigInteger(), nullable=False),
        sa.Column("block", sa.BigInteger(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("good_until", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("shard_cell", "block", name="pk_supply_blocks"),
        info={"citus": "shard_cell"},
    )
    op.create_table(
        "supply_cells",
        sa.Column("shard_cell", sa.BigInteger(), nullable=False),
        sa.Column("block", sa.BigInteger(), nullable=False),
        sa.Column("resolution", sa.SmallInteger(), nullable=False),
        sa.Column("category_id", sa.SmallInteger(), nullable=False),
        sa.Column("cell", sa.BigInteger(), nullable=False),
        sa.Column("stores", sa.Integer(), nullable=False),
        sa.Column("offers", sa.Integer(), nullable=False),
        sa.Column("rating_sum", sa.BigInteger(), nullable=False),
        sa.Column("rating_count", sa.BigInteger(), nullable=False),
        sa.Column("timed", sa.Integer(), nullable=False),
        sa.Column("sample", sa.Integer(), nullable=False),
        sa.Column("hours_ids", pg.ARRAY(sa.BigInteger()), nullable=False),
        sa.Column("hours_counts", pg.ARRAY(sa.Integer()), nullable=False),
        sa.PrimaryKeyConstraint("shard_cell", "block", "resolution", "category_id", "cell", name="pk_supply_cells"),
        info={"citus": "shard_cell"},
    )
    op.create_table(
        "supply_changes",
        sa.Column("shard_cell", sa.BigInteger(), nullable=False),
        sa.Column("block", sa.BigInteger(), nullable=False),
        sa.Column("cell", sa.BigInteger(), nullable=False),
        sa.Column("category_id", sa.SmallInteger(), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("stores", sa.Integer(), nullable=False),
        sa.Column("offers", sa.Integer(), nullable=False),
        sa.Column("rating_sum", sa.BigInteger(), nullable=False),
        sa.Column("rating_count", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("shard_cell", "block", "cell", "category_id", "changed_at", name="pk_supply_changes"),
        info={"citus": "shard_cell"},
    )
    op.execute("GRANT SELECT ON supply_blocks, supply_cells, supply_changes TO geo_o2o_planner")


def downgrade() -> None:
    for name in ("supply_changes", "supply_cells", "supply_blocks"):
        op.drop_table(name)
