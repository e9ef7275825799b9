"""add cell versions: one number per cell of resolution 7, raised by every transaction that changes what the cell would show

Cells that hold stores already begin with the version of this moment.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

SHARDED = {"citus": "shard_cell"}


def upgrade() -> None:
    op.create_table(
        "cell_versions",
        sa.Column("shard_cell", sa.BigInteger(), nullable=False),
        sa.Column("cell", sa.BigInteger(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("shard_cell", "cell", name="pk_cell_versions"),
        info=SHARDED,
    )
    op.execute(
        "INSERT INTO cell_versions (shard_cell, cell, version)"
        " SELECT DISTINCT shard_cell, h3_parent(cell, 7), (extract(epoch FROM now()) * 1000000)::bigint FROM stores"
    )


def downgrade() -> None:
    op.drop_table("cell_versions")
