"""A heat layer as columns of one length, and written the four ways that are asked for. Pure."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from ..geo.cells import parse_hex
from ..geo.crs import Crs
from .outlines import written_outline

# Name to values; the first column is the cell, in hexadecimal.
Columns = Mapping[str, Sequence[Any]]
FORMATS = {
    "json": "application/json",
    "geojson": "application/geo+json",
    "csv": "text/csv; charset=utf-8",
    "arrow": "application/vnd.apache.arrow.stream",
}


def as_features(columns: Columns, crs: Crs) -> list[dict[str, Any]]:
    """GeoJSON features with the outline of each cell; a cell that comes more than once does so with its other columns."""
    names = list(columns)
    outlines = {cell: written_outline(parse_hex(cell), crs) for cell in dict.fromkeys(columns["cell"])}
    rows = (dict(zip(names, row, strict=True)) for row in zip(*columns.values(), strict=True))
    return [{"type": "Feature", "id": row["cell"], "geometry": outlines[row["cell"]], "properties": row} for row in rows]


def as_csv(columns: Columns) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(columns)
    writer.writerows(zip(*columns.values(), strict=True))
    return out.getvalue()


def as_arrow(columns: Columns, about: Mapping[str, str]) -> bytes:
    """An Arrow IPC stream of one table. about: what is said of the whole, kept in the schema's metadata."""
    table = pa.table({name: pa.array(values) for name, values in columns.items()}).replace_schema_metadata(dict(about))
    out = pa.BufferOutputStream()
    with pa.ipc.new_stream(out, table.schema) as stream:
        stream.write_table(table)
    return bytes(out.getvalue().to_pybytes())
