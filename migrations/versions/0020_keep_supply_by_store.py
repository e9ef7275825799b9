"""keep the past of supply by store, and sums for every category with all below it; both are made anew by the worker"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from geoalchemy2 import Geography

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_table("supply_changes")
    op.create_table(
        "supply_changes",
        sa.Column("shard_cell", sa.BigInteger(), nullable=False),
        sa.Column("block", sa.BigInteger(), nullable=False),
        sa.Column("store_id", sa.Uuid(), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("live", sa.Boolean(), nullable=False),
        sa.Column("cell", sa.BigInteger(), nullable=False),
        sa.Column("location", Geography("POINT", srid=4326, spatial_index=False), nullable=False),
        sa.Column("category_id", sa.SmallInteger(), nullable=False),
        sa.Column("offers", sa.Integer(), nullable=False),
        sa.Column("rating_sum", sa.BigInteger(), nullable=False),
        sa.Column("rating_count", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("shard_cell", "block", "store_id", "changed_at", name="pk_supply_changes"),
        info={"citus": "shard_cell"},
    )
    op.create_table(
        "supply_history",
        sa.Column("begun_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("begun_at", name="pk_supply_history"),
        info={"citus": "reference"},
    )
    op.execute("GRANT SELECT ON supply_changes, supply_history TO geo_o2o_planner")
    op.execute("TRUNCATE supply_cells, supply_blocks")
    # A question reads one category of one resolution, of some blocks or of all; rolling up replaces whole blocks.
    op.drop_constraint("pk_supply_cells", "supply_cells")
    op.create_primary_key("pk_supply_cells", "supply_cells", ["shard_cell", "resolution", "category_id", "block", "cell"])
    op.create_index("ix_supply_cells_block", "supply_cells", ["shard_cell", "block"])


def downgrade() -> None:
    op.drop_index("ix_supply_cells_block", "supply_cells")
    op.execute("TRUNCATE supply_cells, supply_blocks")
    op.drop_constraint("pk_supply_cells", "supply_cells")
    op.create_primary_key("pk_supply_cells", "supply_cells", ["shard_cell", "block", "resolution", "category_id", "cell"])
    op.drop_table("supply_history")
    op.drop_table("supply_changes")
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
    op.execute("GRANT SELECT ON supply_changes TO geo_o2o_planner")
