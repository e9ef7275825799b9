"""add search grams to stores and placements

Null where nobody has made them yet: `geo-o2o db upgrade` fills them after this, in batches, because they are made by the application.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql as pg

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for table in ("stores", "offer_store"):
        op.add_column(table, sa.Column("search_grams", pg.ARRAY(sa.Integer()), nullable=True))


def downgrade() -> None:
    for table in ("offer_store", "stores"):
        op.drop_column(table, "search_grams")
