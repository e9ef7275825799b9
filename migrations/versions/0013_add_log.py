"""add log: a queue, entries at their places, tiles, checkpoints; what stands there cannot be changed"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

_REFUSE = """
CREATE FUNCTION geo_o2o_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only: % is refused', TG_TABLE_NAME, TG_OP USING ERRCODE = 'integrity_constraint_violation';
END $$
"""


def upgrade() -> None:
    op.create_table(
        "log_state",
        sa.Column("shard", sa.Text(), nullable=False),
        sa.Column("verifier", sa.Text(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("root", sa.LargeBinary(), nullable=False),
        sa.Column("frontier", ARRAY(sa.LargeBinary()), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("frozen", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.PrimaryKeyConstraint("shard", name="pk_log_state"),
    )
    op.create_table(
        "log_queue",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("entry", sa.LargeBinary(), nullable=False),
        sa.Column("queued_at", sa.DateTime(timezone=True), server_default=sa.func.clock_timestamp(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_log_queue"),
    )
    op.create_index("ix_log_queue_queued_at", "log_queue", ["queued_at"])
    op.create_table(
        "log_entries",
        sa.Column("shard", sa.Text(), nullable=False),
        sa.Column("index", sa.BigInteger(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("entry", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("shard", "index", name="pk_log_entries"),
        sa.UniqueConstraint("id", name="uq_log_entries_id"),
    )
    op.create_table(
        "log_tiles",
        sa.Column("shard", sa.Text(), nullable=False),
        sa.Column("level", sa.SmallInteger(), nullable=False),
        sa.Column("n", sa.BigInteger(), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("shard", "level", "n", name="pk_log_tiles"),
        sa.CheckConstraint("length(data) BETWEEN 32 AND 8192", name=op.f("ck_log_tiles_data")),
    )
    op.create_table(
        "log_checkpoints",
        sa.Column("shard", sa.Text(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("root", sa.LargeBinary(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("signed_at", sa.DateTime(timezone=True), server_default=sa.func.clock_timestamp(), nullable=False),
        sa.Column("published_at", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("shard", "size", name="pk_log_checkpoints"),
    )
    op.execute(_REFUSE)
    for table, deeds in (("log_entries", "UPDATE OR DELETE"), ("log_checkpoints", "UPDATE OF shard, size, root, note OR DELETE")):
        op.execute(f"CREATE TRIGGER append_only BEFORE {deeds} ON {table} FOR EACH ROW EXECUTE FUNCTION geo_o2o_refuse_change()")
        op.execute(f"CREATE TRIGGER never_emptied BEFORE TRUNCATE ON {table} FOR EACH STATEMENT EXECUTE FUNCTION geo_o2o_refuse_change()")


def downgrade() -> None:
    for table in ("log_checkpoints", "log_tiles", "log_entries", "log_queue", "log_state"):
        op.drop_table(table)
    op.execute("DROP FUNCTION geo_o2o_refuse_change()")
