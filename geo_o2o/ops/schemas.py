from __future__ import annotations

import marshmallow as ma

from ..fields import Moment


class Health(ma.Schema):
    status = ma.fields.String()


class ShelfHealth(ma.Schema):
    cells = ma.fields.Integer(metadata={"description": "snapshots that this process has mapped"})
    stores = ma.fields.Integer()
    offers = ma.fields.Integer()
    bytes = ma.fields.Integer()


class Readiness(Health):
    migration = ma.fields.String()
    opening_hours_known_until = Moment(allow_none=True, metadata={"description": "the first store's hours end here, unless the worker extends them"})
    warnings = ma.fields.List(ma.fields.String())
    shelf = ma.fields.Nested(ShelfHealth, allow_none=True, metadata={"description": "null where it is switched off"})


class NoticeSchema(ma.Schema):
    code = ma.fields.String(metadata={"description": "`hours_ran_out`, `log`, `worker_silent`, `worker_never`, `job_fails`, `shelf`"})
    text = ma.fields.String(metadata={"description": "what to look at, and what to do about it"})


class JobHealth(ma.Schema):
    name = ma.fields.String()
    ran_at = Moment()
    took_ms = ma.fields.Integer()
    worked_at = Moment(allow_none=True, metadata={"description": "when it found something to do last"})
    rows = ma.fields.Integer(metadata={"description": "how much that was"})
    trouble = ma.fields.String(allow_none=True, metadata={"description": "why it failed the last time; null where it did not"})


class LogHealth(ma.Schema):
    shard = ma.fields.String(metadata={"description": "the half-year"})
    size = ma.fields.Integer(metadata={"description": "entries that have their place"})
    published_size = ma.fields.Integer(metadata={"description": "of these, how many everybody can see"})
    published_at = Moment(allow_none=True)
    waiting = ma.fields.Integer(metadata={"description": "entries without a place yet"})
    waiting_since = Moment(allow_none=True)
    frozen = ma.fields.Boolean(metadata={"description": "published further than this database knows; `geo-o2o log recover`"})


class Status(ma.Schema):
    at = Moment()
    version = ma.fields.String()
    migration = ma.fields.String()
    warnings = ma.fields.List(ma.fields.Nested(NoticeSchema))
    opening_hours_known_until = Moment(allow_none=True)
    worker_seen_at = Moment(allow_none=True, metadata={"description": "null where no worker has ever run"})
    jobs = ma.fields.List(ma.fields.Nested(JobHealth), metadata={"description": "in the order of a round"})
    logs = ma.fields.List(ma.fields.Nested(LogHealth), metadata={"description": "the newest first"})
    shelf = ma.fields.Nested(ShelfHealth, allow_none=True, metadata={"description": "of the process that answers; null where it is switched off"})
