"""add sample to heat areas: invented visits are counted in areas of their own"""

from __future__ import annotations

from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # For a while migration 17 made the column.
    op.execute("ALTER TABLE heat_areas ADD COLUMN IF NOT EXISTS sample boolean NOT NULL DEFAULT false")
    op.execute("ALTER TABLE heat_areas ALTER COLUMN sample DROP DEFAULT")
    op.execute("UPDATE heat_areas a SET sample = true WHERE EXISTS (SELECT FROM heat_releases r WHERE r.area = a.name AND r.sample)")


def downgrade() -> None:
    op.drop_column("heat_areas", "sample")
