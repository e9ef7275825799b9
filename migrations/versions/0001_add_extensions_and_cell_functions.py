"""add extensions and cell functions

PostGIS, trigram search and btree_gist; H3 parents, ranges and the shard of an id as plain SQL arithmetic, so that no H3 extension
is needed on the server.
"""

from __future__ import annotations

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

FUNCTIONS = """
CREATE FUNCTION h3_parent(cell bigint, resolution integer) RETURNS bigint
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN (cell & ~(15::bigint << 52)) | (resolution::bigint << 52) | ((1::bigint << (3 * (15 - resolution))) - 1);

COMMENT ON FUNCTION h3_parent IS 'Ancestor of an H3 cell at a coarser resolution.';

-- Digits below the cell's own resolution, down to 12, all zero; the unused ones of 13 to 15 stay 7.
CREATE FUNCTION h3_first(cell bigint) RETURNS bigint
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN (cell & ~(15::bigint << 52) & ~((1::bigint << (3 * (15 - ((cell >> 52) & 15)::integer))) - 1)) | (12::bigint << 52) | 511;

COMMENT ON FUNCTION h3_first IS 'Smallest number a descendant of resolution 12 of this H3 cell can have.';

-- The same with all those digits 6: binary 110 repeated is 6/7 of the digits' mask.
CREATE FUNCTION h3_last(cell bigint) RETURNS bigint
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN h3_first(cell) | ((((1::bigint << (3 * (15 - ((cell >> 52) & 15)::integer))) - 1) / 7 * 6) & ~511::bigint);

COMMENT ON FUNCTION h3_last IS 'Largest number a descendant of resolution 12 of this H3 cell can have.';

CREATE FUNCTION shard_of(id uuid) RETURNS bigint
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN (1::bigint << 59) | (4::bigint << 52) | ((1::bigint << 33) - 1)
     | (((('x' || lpad(substr(id::text, 16, 3), 16, '0'))::bit(64)::bigint << 7)
       | ((('x' || lpad(substr(id::text, 20, 4), 16, '0'))::bit(64)::bigint >> 7) & 127)) << 33);

COMMENT ON FUNCTION shard_of IS 'Shard number in a public id; for a located thing its H3 cell of resolution 4.';
"""


def upgrade() -> None:
    for extension in ("postgis", "pg_trgm", "btree_gist"):
        op.execute(f"CREATE EXTENSION IF NOT EXISTS {extension}")
    op.execute(FUNCTIONS)


def downgrade() -> None:
    # The extensions stay: others may use them, and dropping PostGIS would drop every column of its types.
    op.execute("DROP FUNCTION shard_of(uuid)")
    op.execute("DROP FUNCTION h3_last(bigint)")
    op.execute("DROP FUNCTION h3_first(bigint)")
    op.execute("DROP FUNCTION h3_parent(bigint, integer)")
