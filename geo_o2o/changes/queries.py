from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.orm import Session

from ..geo.cells import SHARD_RESOLUTION, descendants, parent

# Sorted, so that two writers never wait for each other in a circle.
_RAISE = """
INSERT INTO cell_versions (shard_cell, cell, version)
SELECT shard_cell, cell, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint
  FROM unnest(CAST(:shard_cells AS bigint[]), CAST(:cells AS bigint[])) AS raised (shard_cell, cell) ORDER BY cell
ON CONFLICT (shard_cell, cell) DO UPDATE SET version = greatest(cell_versions.version + 1, excluded.version)
RETURNING cell, version
"""


def raise_versions(session: Session, cells: Sequence[int]) -> dict[int, int]:
    """The new version of each cell, whose rows stay locked until the transaction ends."""
    rows = session.execute(sa.text(_RAISE), {"shard_cells": [parent(cell, SHARD_RESOLUTION) for cell in cells], "cells": list(cells)})
    return {row.cell: row.version for row in rows}


def versions_within(session: Session, cell: int) -> dict[int, int]:
    """The present versions of the cells of resolution 7 within a coarser one (4 to 7); those that never held anything are absent."""
    first, last = descendants(cell, 7)
    rows = session.execute(
        sa.text("SELECT cell, version FROM cell_versions WHERE shard_cell = :shard_cell AND cell BETWEEN :first AND :last ORDER BY cell"),
        {"shard_cell": parent(cell, SHARD_RESOLUTION), "first": first, "last": last},
    )
    return {row.cell: row.version for row in rows}


def versions_of_shards(session: Session, shard_cells: Sequence[int]) -> dict[int, int]:
    """The present versions of all cells of some shards."""
    rows = session.execute(
        sa.text("SELECT cell, version FROM cell_versions WHERE shard_cell = ANY(:shard_cells)"), {"shard_cells": list(shard_cells)}
    )
    return {row.cell: row.version for row in rows}


_RAISE_LAYER = """
INSERT INTO map_layers (layer, version) VALUES (:layer, :version)
ON CONFLICT (layer) DO UPDATE SET version = greatest(map_layers.version + 1, excluded.version)
"""


def raise_layer(session: Session, layer: str, *, version: int) -> None:
    session.execute(sa.text(_RAISE_LAYER), {"layer": layer, "version": version})


def layers_version(session: Session) -> int:
    """One number for all layers together, which rises with each of them."""
    return int(session.scalar(sa.text("SELECT coalesce(sum(version), 0) FROM map_layers")) or 0)


def tell(session: Session, channel: str, text: str) -> None:
    """Tells every listener, once this transaction has committed and not before."""
    session.execute(sa.text("SELECT pg_notify(:channel, :text)"), {"channel": channel, "text": text})
