from __future__ import annotations

import sqlalchemy as sa
from geoalchemy2 import Geometry, WKBElement
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from ..db import Base


class BasemapFeature(Base):
    """One street, building, water body or piece of land. layer and kind follow the names of the Protomaps schema."""

    __tablename__ = "basemap_features"
    __table_args__ = (
        sa.CheckConstraint("layer IN ('landuse', 'water', 'roads', 'buildings')", name="layer"),
        sa.Index("ix_basemap_features_shape", "shape", postgresql_using="gist"),
    )

    source: Mapped[str] = mapped_column(sa.Text, primary_key=True)
    source_id: Mapped[str] = mapped_column(sa.Text, primary_key=True)
    layer: Mapped[str] = mapped_column(sa.Text)
    kind: Mapped[str] = mapped_column(sa.Text)
    name: Mapped[str | None] = mapped_column(sa.Text)
    names: Mapped[dict[str, str]] = mapped_column(JSONB)
    shape: Mapped[WKBElement] = mapped_column(Geometry("GEOMETRY", 4326, spatial_index=False))
    source_hash: Mapped[int] = mapped_column(sa.BigInteger)
