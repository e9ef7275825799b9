from __future__ import annotations

import marshmallow as ma

from ..fields import CrsField, Latitude, Longitude, Number, Schema, Text, WholeNumber

LONGEST_NAME = 100
LARGEST_RADIUS_M = 50_000


class PlacesRequest(Schema):
    q = Text(longest=LONGEST_NAME, required=True, metadata={"description": "the beginning of a name, or of a word in it"})
    lat = Latitude(required=True)
    lng = Longitude(required=True)
    radius_m = Number(low=100, high=LARGEST_RADIUS_M, unit="metres", load_default=20_000.0)
    limit = WholeNumber(low=1, high=20, load_default=8)
    crs = CrsField()


class NamedPlace(ma.Schema):
    kind = ma.fields.String(metadata={"description": "always `place`"})
    text = ma.fields.String()
    of = ma.fields.String(metadata={"description": "`district`, or the basemap's layer: `roads`, `water`, `landuse`, `buildings`"})
    lat = ma.fields.Float(metadata={"description": "the point of it that is nearest"})
    lng = ma.fields.Float()
    distance_m = ma.fields.Integer()


class PlaceList(ma.Schema):
    items = ma.fields.List(ma.fields.Nested(NamedPlace))
    next = ma.fields.String(allow_none=True)
