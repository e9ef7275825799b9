from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from ..db import REFERENCE, SHARDED, Base


class CellVersion(Base):
    """The version of one cell of resolution 7; a cell without a row has never held anything.

    version: at least the microseconds since 1970 of the last change, and always larger than before. So a database that was made anew
    or restored from a backup never gives an old number to a new content.
    """

    __tablename__ = "cell_versions"
    __table_args__ = (sa.PrimaryKeyConstraint("shard_cell", "cell"), SHARDED)

    shard_cell: Mapped[int] = mapped_column(sa.BigInteger)
    cell: Mapped[int] = mapped_column(sa.BigInteger)
    version: Mapped[int] = mapped_column(sa.BigInteger)


class MapLayer(Base):
    """The version of what is drawn on maps and belongs to no cell: districts, basemap. Raised by the transaction that changes it."""

    __tablename__ = "map_layers"
    __table_args__ = (REFERENCE,)

    layer: Mapped[str] = mapped_column(sa.Text, primary_key=True)
    version: Mapped[int] = mapped_column(sa.BigInteger)
