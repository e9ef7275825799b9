"""add sponsorships: offers shown apart and labelled, for which somebody pays"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "sponsorships",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("offer_id", sa.Uuid(), nullable=False),
        sa.Column("sponsor", sa.Text(), nullable=False),
        sa.Column("starts_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ends_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_sponsorships"),
        sa.CheckConstraint("starts_at < ends_at", name=op.f("ck_sponsorships_times")),
        info={"citus": "reference"},
    )
    op.create_index("ix_sponsorships_ends_at", "sponsorships", ["ends_at"])


def downgrade() -> None:
    op.drop_table("sponsorships")
