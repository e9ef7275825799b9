"""add the role web to API keys: the key of a page, which everybody can read there"""

from __future__ import annotations

from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None

_CHECK = "ck_api_keys_role"


def upgrade() -> None:
    op.drop_constraint(op.f(_CHECK), "api_keys", type_="check")
    op.create_check_constraint(op.f(_CHECK), "api_keys", "role IN ('app', 'web', 'store', 'planner', 'admin')")


def downgrade() -> None:
    # Nobody would know whose keys they are.
    op.execute("DELETE FROM api_keys WHERE role = 'web'")
    op.drop_constraint(op.f(_CHECK), "api_keys", type_="check")
    op.create_check_constraint(op.f(_CHECK), "api_keys", "role IN ('app', 'store', 'planner', 'admin')")
