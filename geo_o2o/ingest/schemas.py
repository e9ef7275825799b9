from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import marshmallow as ma

from ..fields import Moment, Schema, WholeNumber
from .models import Load

# A load tells of itself every two seconds, also while the database works for it.
_SILENCE = timedelta(seconds=30)


class LoadsRequest(Schema):
    limit = WholeNumber(low=1, high=200, load_default=50)


class RefusedRow(ma.Schema):
    where = ma.fields.String(metadata={"description": "the row's id, or its line"})
    reason = ma.fields.String()
    detail = ma.fields.String()


class LoadReport(ma.Schema):
    what = ma.fields.String(metadata={"description": "kind of row: `stores`, `basemap`, `business districts`"})
    new = ma.fields.Integer()
    changed = ma.fields.Integer()
    unchanged = ma.fields.Integer()
    moved = ma.fields.Integer(metadata={"description": "to another shard"})
    refused = ma.fields.Dict(keys=ma.fields.String(), values=ma.fields.Integer(), metadata={"description": "how many, by reason"})
    notes = ma.fields.Dict(keys=ma.fields.String(), values=ma.fields.Integer(), metadata={"description": "rows that were loaded with less"})
    rows = ma.fields.List(ma.fields.Nested(RefusedRow), metadata={"description": "the first 200 that were refused"})


class LoadResponse(ma.Schema):
    id = ma.fields.UUID()
    kind = ma.fields.String(metadata={"description": "of file: `osm`, `csv`, `geojson`, `fhrs`; `samples` where there is none"})
    file = ma.fields.String(metadata={"description": "its name, without its folder"})
    source = ma.fields.String()
    dry_run = ma.fields.Boolean()
    state = ma.fields.String(metadata={"description": "`running`, `loaded`, `failed`; `stopped` where it was killed, which leaves nothing behind"})
    rows = ma.fields.Integer(metadata={"description": "read so far"})
    reports = ma.fields.List(ma.fields.Nested(LoadReport))
    trouble = ma.fields.String(allow_none=True)
    started_at = Moment()
    finished_at = Moment(allow_none=True)


class LoadList(ma.Schema):
    items = ma.fields.List(ma.fields.Nested(LoadResponse))
    next = ma.fields.String(allow_none=True)


def dump_load(load: Load, *, now: datetime) -> dict[str, Any]:
    names = ("id", "kind", "file", "source", "dry_run", "rows", "reports", "trouble", "started_at", "finished_at")
    silent = load.state == "running" and now - load.seen_at > _SILENCE
    return {name: getattr(load, name) for name in names} | {"state": "stopped" if silent else load.state}
