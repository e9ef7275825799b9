"""add check-ins and their evidence"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql as pg

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

SHARDED = {"citus": "shard_cell"}


def upgrade() -> None:
    op.create_table(
        "check_ins",
        sa.Column("shard_cell", sa.BigInteger(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("store_id", sa.Uuid(), nullable=False),
        sa.Column("merchant_id", sa.Uuid(), nullable=True),
        sa.Column("visitor", sa.Text(), nullable=True),
        sa.Column("caller_id", sa.Uuid(), nullable=False),
        sa.Column("level", sa.SmallInteger(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("p_in", sa.SmallInteger(), nullable=False),
        sa.Column("r95_mm", sa.BigInteger(), nullable=False),
        sa.Column("distance_mm", sa.BigInteger(), nullable=False),
        sa.Column("fence", sa.Text(), nullable=False),
        sa.Column("reasons", pg.ARRAY(sa.Text()), nullable=False),
        sa.Column("policy", sa.Text(), nullable=False),
        sa.Column("checked_in_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("shard_cell", "id", name="pk_check_ins"),
        sa.CheckConstraint("level BETWEEN 0 AND 4", name=op.f("ck_check_ins_level")),
        sa.CheckConstraint("p_in BETWEEN 0 AND 1000", name=op.f("ck_check_ins_p_in")),
        info=SHARDED,
    )
    op.create_index("ix_check_ins_shard_cell_store_id_checked_in_at", "check_ins", ["shard_cell", "store_id", "checked_in_at"])
    op.create_table(
        "check_in_evidence",
        sa.Column("shard_cell", sa.BigInteger(), nullable=False),
        sa.Column("check_in_id", sa.Uuid(), nullable=False),
        sa.Column("fixes", pg.JSONB(), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("shard_cell", "check_in_id", name="pk_check_in_evidence"),
        info=SHARDED,
    )
    op.create_index("ix_check_in_evidence_recorded_at", "check_in_evidence", ["recorded_at"])


def downgrade() -> None:
    op.drop_table("check_in_evidence")
    op.drop_table("check_ins")
