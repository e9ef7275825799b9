"""add chains and service areas to stores; list price and stock to offers

What nearby filters by lies beside each placement too. Moments of offers become whole minutes, as opening hours are: so an answer
holds for its whole minute.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from geoalchemy2 import Geometry

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("stores", sa.Column("chain", sa.Text(), nullable=True))
    op.add_column("stores", sa.Column("service_radius_m", sa.Integer(), nullable=True))
    op.add_column("stores", sa.Column("service_area", Geometry("MULTIPOLYGON", 4326, spatial_index=False), nullable=True))
    op.create_check_constraint(op.f("ck_stores_service_radius_m"), "stores", "service_radius_m > 0")
    op.add_column("offers", sa.Column("list_price_minor", sa.BigInteger(), nullable=True))
    op.add_column("offers", sa.Column("stock", sa.Integer(), nullable=True))
    op.create_check_constraint(op.f("ck_offers_list_price"), "offers", "list_price_minor > price_minor")
    op.create_check_constraint(op.f("ck_offers_stock"), "offers", "stock >= 0")
    op.add_column("offer_store", sa.Column("list_price_minor", sa.BigInteger(), nullable=True))
    op.add_column("offer_store", sa.Column("store_count", sa.Integer(), server_default="1", nullable=False))
    op.execute(
        "UPDATE offer_store p SET store_count = n.number FROM (SELECT offer_id, count(*) AS number FROM offer_store GROUP BY offer_id) n"
        " WHERE n.offer_id = p.offer_id AND n.number > 1"
    )
    op.alter_column("offer_store", "store_count", server_default=None)
    # A beginning is rounded down and an end up, so that no offer loses a moment or the order of the two.
    for table in ("offers", "offer_store"):
        op.execute(
            f"UPDATE {table} SET valid_from = date_trunc('minute', valid_from, 'UTC'),"
            " valid_until = date_trunc('minute', valid_until + interval '59.999999 s', 'UTC')"
            " WHERE valid_from <> date_trunc('minute', valid_from, 'UTC') OR valid_until <> date_trunc('minute', valid_until, 'UTC')"
        )


def downgrade() -> None:
    op.drop_column("offer_store", "store_count")
    op.drop_column("offer_store", "list_price_minor")
    op.drop_constraint(op.f("ck_offers_stock"), "offers")
    op.drop_constraint(op.f("ck_offers_list_price"), "offers")
    op.drop_column("offers", "stock")
    op.drop_column("offers", "list_price_minor")
    op.drop_constraint(op.f("ck_stores_service_radius_m"), "stores")
    op.drop_column("stores", "service_area")
    op.drop_column("stores", "service_radius_m")
    op.drop_column("stores", "chain")
