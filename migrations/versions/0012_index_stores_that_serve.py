"""index the places of stores that serve an area, which are few"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    serving = sa.text("service_radius_m IS NOT NULL OR service_area IS NOT NULL")
    op.create_index("ix_stores_serving", "stores", ["location"], postgresql_using="gist", postgresql_where=serving)


def downgrade() -> None:
    op.drop_index("ix_stores_serving", "stores")
