"""add map layers: a version of what is drawn on maps and belongs to no cell"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "map_layers",
        sa.Column("layer", sa.Text(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("layer", name="pk_map_layers"),
        info={"citus": "reference"},
    )
    op.execute("GRANT SELECT ON map_layers TO geo_o2o_planner")


def downgrade() -> None:
    op.drop_table("map_layers")
