"""add districts and basemap"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from geoalchemy2 import Geometry
from sqlalchemy.dialects import postgresql as pg

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "districts",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("layer", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("names", pg.JSONB(), nullable=False),
        sa.Column("area", Geometry("MULTIPOLYGON", 4326, spatial_index=False), nullable=False),
        sa.Column("area_m2", sa.Double(), nullable=False),
        sa.Column("shard_cells", pg.ARRAY(sa.BigInteger()), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("source_id", sa.Text(), nullable=False),
        sa.Column("source_hash", sa.BigInteger(), nullable=True),
        sa.Column("attribution", sa.Text(), nullable=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_districts"),
        sa.UniqueConstraint("source", "source_id", name="uq_districts_source_source_id"),
        sa.CheckConstraint("area_m2 > 0", name=op.f("ck_districts_area_m2")),
        info={"citus": "reference"},
    )
    op.create_index("ix_districts_area", "districts", ["area"], postgresql_using="gist")
    op.create_index("ix_districts_layer_name", "districts", ["layer", "name"])
    op.create_table(
        "basemap_features",
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("source_id", sa.Text(), nullable=False),
        sa.Column("layer", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=True),
        sa.Column("names", pg.JSONB(), nullable=False),
        sa.Column("shape", Geometry("GEOMETRY", 4326, spatial_index=False), nullable=False),
        sa.Column("source_hash", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("source", "source_id", name="pk_basemap_features"),
        sa.CheckConstraint("layer IN ('landuse', 'water', 'roads', 'buildings')", name=op.f("ck_basemap_features_layer")),
    )
    op.create_index("ix_basemap_features_shape", "basemap_features", ["shape"], postgresql_using="gist")


def downgrade() -> None:
    op.drop_table("basemap_features")
    op.drop_table("districts")
