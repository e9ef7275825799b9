from __future__ import annotations

from typing import Any

import marshmallow as ma

from ..fields import BoundedList, CrsField, Id, Instant, Moment, Schema, Text, WholeNumber
from ..geo.crs import Crs, to_wgs84
from ..geo.point import Point
from .geofence import ACCURACY_KINDS
from .models import CheckIn

# Unix milliseconds of the years 2000 to 2100.
_FIRST_MS, _LAST_MS = 946_684_800_000, 4_102_444_800_000
LEVELS = ("claimed", "located", "coded", "confirmed", "redeemed")
# What a visitor can do about it now; the codes of tills come with receipts.
_NEXT = {0: ["send a better position"]}


class FixSchema(Schema):
    """One reported position; on the wire lengths are whole millimetres, positions whole 1e-7 degrees, times Unix milliseconds."""

    lat_e7 = WholeNumber(low=-900_000_000, high=900_000_000, unit="1e-7 degrees", required=True)
    lng_e7 = WholeNumber(low=-1_800_000_000, high=1_800_000_000, unit="1e-7 degrees", required=True)
    acc_mm = WholeNumber(low=0, high=100_000_000, unit="millimetres", required=True)
    acc_kind = ma.fields.String(
        validate=ma.validate.OneOf(ACCURACY_KINDS),
        metadata={"description": "what the platform means by accuracy: p68 Android, rms2d iOS, p95 browsers"},
    )
    t_ms = WholeNumber(low=_FIRST_MS, high=_LAST_MS, unit="Unix milliseconds", required=True)
    mono_ms = WholeNumber(low=0, high=2**53, unit="milliseconds of a clock that never jumps")
    src = ma.fields.String(validate=ma.validate.OneOf(["gnss", "fused", "net"]))
    mock = ma.fields.Boolean(allow_none=True, metadata={"description": "the platform's own mark of a faked position"})
    speed_mmps = WholeNumber(low=0, high=1_000_000_000, unit="millimetres a second")


class CheckInRequest(Schema):
    store_id = Id(required=True)
    fixes = BoundedList(ma.fields.Nested(FixSchema), shortest=1, longest=5, required=True)
    sent_ms = WholeNumber(
        required=True,
        low=_FIRST_MS, high=_LAST_MS, unit="Unix milliseconds",
        metadata={"description": "the phone's clock when it sent this; the age of a fix is counted against it, not against ours"},
    )  # fmt: skip
    visitor = Text(longest=100, metadata={"description": "a pseudonym of the app's own making; never a name or a phone number"})
    crs = CrsField()

    @ma.post_load
    def as_points(self, data: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        crs: Crs = data.pop("crs")
        for fix in data["fixes"]:
            fix["crs"] = crs
            fix["at"] = to_wgs84(Point(fix["lng_e7"] / 1e7, fix["lat_e7"] / 1e7), crs)
        return data


class CheckInsAsked(Schema):
    store_id = Id()
    level = WholeNumber(low=0, high=4)
    limit = WholeNumber(low=1, high=1_000, load_default=100)
    cursor = ma.fields.String()


class CountsAsked(Schema):
    store_id = Id(metadata={"description": "by default every store of the merchant"})
    since = Instant()
    until = Instant()


class CheckInResponse(ma.Schema):
    id = ma.fields.UUID()
    store_id = ma.fields.UUID()
    level = ma.fields.Integer(metadata={"description": "0 claimed, 1 located; higher levels need the store's signature"})
    level_name = ma.fields.String()
    state = ma.fields.String()
    p_in = ma.fields.Integer(metadata={"description": "probability inside the fence, per mille"})
    r95_mm = ma.fields.Integer(metadata={"description": "radius that holds the true position with 95 %"})
    distance_mm = ma.fields.Integer(metadata={"description": "from the store's point"})
    fence = ma.fields.String()
    reasons = ma.fields.List(ma.fields.String(), metadata={"description": "codes of what keeps the level down"})
    next = ma.fields.List(ma.fields.String(), metadata={"description": "what would raise the level"})
    policy = ma.fields.String(metadata={"description": "name of the set of thresholds it was judged by"})
    visitor = ma.fields.String(allow_none=True)
    checked_in_at = Moment()


class CheckInList(ma.Schema):
    items = ma.fields.List(ma.fields.Nested(CheckInResponse))
    next = ma.fields.String(allow_none=True)


class CheckInCount(ma.Schema):
    store_id = ma.fields.UUID()
    level = ma.fields.Integer()
    level_name = ma.fields.String()
    count = ma.fields.Integer()


class CheckInCounts(ma.Schema):
    items = ma.fields.List(ma.fields.Nested(CheckInCount))
    next = ma.fields.String(allow_none=True)


def dump_check_in(check_in: CheckIn) -> dict[str, Any]:
    plain = (
        "id", "store_id", "level", "state", "p_in", "r95_mm", "distance_mm", "fence", "reasons", "policy", "visitor", "checked_in_at",
    )  # fmt: skip
    return {
        **{name: getattr(check_in, name) for name in plain},
        "level_name": LEVELS[check_in.level],
        "next": _NEXT.get(check_in.level, []),
    }
