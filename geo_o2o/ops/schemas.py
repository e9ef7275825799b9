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
