"""add districts in time: when they are in force, what they were before, and what they lie in"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from geoalchemy2 import Geometry
from sqlalchemy.dialects import postgresql as pg

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("districts", sa.Column("valid_from", sa.DateTime(timezone=True)))
    op.add_column("districts", sa.Column("in_force", sa.Boolean()))
    op.execute("UPDATE districts SET valid_from = created_at, in_force = true")
    op.alter_column("districts", "valid_from", nullable=False)
    op.alter_column("districts", "in_force", nullable=False)
    op.add_column("districts", sa.Column("valid_to", sa.DateTime(timezone=True)))
    op.add_column("districts", sa.Column("parent_id", sa.Uuid()))
    op.create_foreign_key("fk_districts_parent_id_districts", "districts", "districts", ["parent_id"], ["id"])
    op.create_check_constraint(op.f("ck_districts_validity"), "districts", "valid_from <= valid_to")
    op.create_table(
        "district_versions",
        sa.Column("district_id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("layer", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("names", pg.JSONB(), nullable=False),
        sa.Column("area", Geometry("MULTIPOLYGON", 4326, spatial_index=False), nullable=False),
        sa.Column("area_m2", sa.Double(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("source_id", sa.Text(), nullable=False),
        sa.Column("attribution", sa.Text()),
        sa.Column("parent_id", sa.Uuid()),
        sa.Column("valid_from", sa.DateTime(timezone=True), nullable=False),
        sa.Column("valid_to", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("district_id", "version", name="pk_district_versions"),
        sa.ForeignKeyConstraint(["district_id"], ["districts.id"], ondelete="CASCADE", name="fk_district_versions_district_id_districts"),
        info={"citus": "reference"},
    )
    op.create_index("ix_district_versions_area", "district_versions", ["area"], postgresql_using="gist")


def downgrade() -> None:
    op.drop_table("district_versions")
    op.execute("DELETE FROM districts WHERE NOT in_force")
    op.drop_constraint(op.f("ck_districts_validity"), "districts")
    for name in ("parent_id", "valid_to", "in_force", "valid_from"):
        op.drop_column("districts", name)
