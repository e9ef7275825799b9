from __future__ import annotations

import marshmallow as ma


class Health(ma.Schema):
    status = ma.fields.String()


class Readiness(Health):
    migration = ma.fields.String()
