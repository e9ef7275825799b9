"""fold more letters: rows whose names have one of them get their words anew, which the upgrade itself makes"""

from __future__ import annotations

from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

_LETTERS = "[øđðłħıŧŋĸæœþƒəØĐÐŁĦŦŊÆŒÞƏ]"


def upgrade() -> None:
    op.execute(f"UPDATE stores SET search_grams = NULL WHERE name ~ '{_LETTERS}' OR names::text ~ '{_LETTERS}' OR brand ~ '{_LETTERS}'")
    op.execute(f"UPDATE offer_store SET search_grams = NULL WHERE title ~ '{_LETTERS}' OR titles::text ~ '{_LETTERS}'")


def downgrade() -> None:
    pass
