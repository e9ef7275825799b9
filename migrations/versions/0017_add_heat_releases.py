"""add heat releases, the role that can read them and no visit, and a mark for visits that were invented"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql as pg

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

# What planners are answered from. Nothing of it is about one person: no check-in, no receipt, no device, no key.
_READABLE = (
    "districts", "district_versions", "store_districts", "stores", "categories", "opening_hours", "offer_store", "offers", "attributions",
    "basemap_features", "cell_versions", "heat_areas", "heat_releases", "heat_release_cells",
)  # fmt: skip
# A role belongs to the whole server, so another database may have made it already, and may still need it.
_ROLE = """
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'geo_o2o_planner') THEN
        CREATE ROLE geo_o2o_planner NOLOGIN;
    END IF;
    IF NOT pg_has_role(current_user, 'geo_o2o_planner', 'MEMBER') THEN
        EXECUTE format('GRANT geo_o2o_planner TO %I', current_user);
    END IF;
EXCEPTION WHEN insufficient_privilege THEN
    RAISE EXCEPTION 'the role geo_o2o_planner is missing; an administrator can CREATE ROLE geo_o2o_planner; GRANT geo_o2o_planner TO %', current_user;
END $$
"""


def upgrade() -> None:
    op.create_table(
        "heat_areas",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("time_zone", sa.Text(), nullable=False),
        sa.Column("cells", pg.ARRAY(sa.BigInteger()), nullable=False),
        sa.Column("attested_only", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_heat_areas"),
        info={"citus": "reference"},
    )
    op.create_table(
        "heat_releases",
        sa.Column("area", sa.Text(), nullable=False),
        sa.Column("product", sa.Text(), nullable=False),
        sa.Column("period", sa.Text(), nullable=False),
        sa.Column("year", sa.Integer(), nullable=False),
        sa.Column("epsilon", sa.Float(), nullable=False),
        sa.Column("delta", sa.Float(), nullable=False),
        sa.Column("terms", pg.JSONB(), nullable=False),
        sa.Column("sample", sa.Boolean(), nullable=False),
        sa.Column("content_hash", sa.LargeBinary(), nullable=False),
        sa.Column("log_id", sa.Uuid(), nullable=False),
        sa.Column("released_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("area", "product", "period", name="pk_heat_releases"),
        sa.ForeignKeyConstraint(["area"], ["heat_areas.name"], name="fk_heat_releases_area_heat_areas"),
        info={"citus": "reference"},
    )
    op.create_table(
        "heat_release_cells",
        sa.Column("area", sa.Text(), nullable=False),
        sa.Column("product", sa.Text(), nullable=False),
        sa.Column("period", sa.Text(), nullable=False),
        sa.Column("cell", sa.BigInteger(), nullable=False),
        sa.Column("part", sa.SmallInteger(), nullable=False),
        sa.Column("origin", sa.BigInteger(), nullable=False),
        sa.Column("value", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("area", "product", "period", "cell", "part", "origin", name="pk_heat_release_cells"),
        sa.ForeignKeyConstraint(
            ["area", "product", "period"],
            ["heat_releases.area", "heat_releases.product", "heat_releases.period"],
            name="fk_heat_release_cells_release",
        ),
        info={"citus": "reference"},
    )
    op.add_column("check_ins", sa.Column("sample", sa.Boolean(), server_default=sa.false(), nullable=False))
    # Check-ins come in the order of time, so a few bytes per block tell where a week lies.
    op.create_index("ix_check_ins_checked_in_at_brin", "check_ins", ["checked_in_at"], postgresql_using="brin")
    op.execute(_ROLE)
    op.execute("GRANT USAGE ON SCHEMA public TO geo_o2o_planner")
    op.execute(f"GRANT SELECT ON {', '.join(_READABLE)} TO geo_o2o_planner")


def downgrade() -> None:
    op.execute(f"REVOKE SELECT ON {', '.join(_READABLE)} FROM geo_o2o_planner")
    op.execute("REVOKE USAGE ON SCHEMA public FROM geo_o2o_planner")
    op.drop_index("ix_check_ins_checked_in_at_brin", "check_ins")
    op.drop_column("check_ins", "sample")
    for name in ("heat_release_cells", "heat_releases", "heat_areas"):
        op.drop_table(name)
