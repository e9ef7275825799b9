from __future__ import annotations

from typing import Any

import marshmallow as ma

from visit_verify.jws import to_base64url

from ..caller import Caller
from ..fields import BoundedList, CrsField, Id, Instant, Moment, Schema, Text, WholeNumber
from ..geo.crs import Crs, to_wgs84
from ..geo.point import Point
from .geofence import ACCURACY_KINDS
from .models import Challenge, CheckIn
from .service import POLICY_NAME, REJECTED, SCAN_WITHIN, STATES, VOIDED
from .signals import band_of, present_policy
from .tillcode import make_scan

# Unix milliseconds of the years 2000 to 2100.
_FIRST_MS, _LAST_MS = 946_684_800_000, 4_102_444_800_000
LEVELS = STATES


class Flag(ma.fields.Boolean):
    """true or false, and nothing that only looks like it: what a device signs has one form."""

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> Any:
        if not isinstance(value, bool):
            raise ma.ValidationError("expected true or false")
        return value


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
    mock = Flag(allow_none=True, metadata={"description": "the platform's own mark of a faked position"})
    speed_mmps = WholeNumber(low=0, high=1_000_000_000, unit="millimetres a second")


class EvidenceSchema(Schema):
    """What the claim is to be judged by. The device signs only its hash, so that it can be erased; it is kept for 30 days."""

    fixes = BoundedList(ma.fields.Nested(FixSchema), shortest=1, longest=5, required=True)
    app = Text(longest=100)
    os = Text(longest=100)
    attest = Text(
        longest=20_000, metadata={"description": "the platform's own token, kept for a dispute; your server checks it when it enrols the device"}
    )
    crs = CrsField()

    @ma.post_load
    def as_points(self, data: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        crs: Crs = data.pop("crs")
        for fix in data["fixes"]:
            fix["at"] = to_wgs84(Point(fix["lng_e7"] / 1e7, fix["lat_e7"] / 1e7), crs)
        return data


class ChallengeRequest(Schema):
    store_id = Id(required=True)


class BeaconSchema(ma.Schema):
    size = ma.fields.Integer()
    root = ma.fields.String(metadata={"description": "base64url, 32 bytes"})


class ChallengeResponse(ma.Schema):
    ch = ma.fields.String(metadata={"description": "base64url, 16 bytes: what the claim must sign, once"})
    exp_ms = ma.fields.Integer(metadata={"description": "Unix milliseconds"})
    beacon = ma.fields.Nested(
        BeaconSchema, metadata={"description": "the newest published checkpoint of the log: who signs it did not sign before it"}
    )
    policy = ma.fields.String()


class CheckInRequest(Schema):
    claim = Text(longest=10_000, required=True, metadata={"description": "JWS of type xc-claim+jwt, ES256, over canonical JSON"})
    evidence = ma.fields.Nested(EvidenceSchema, required=True)
    evidence_salt = Text(longest=43, required=True, metadata={"description": "base64url, 32 random bytes; evh = SHA-256(salt || JCS(evidence))"})
    visitor = Text(longest=100, metadata={"description": "a pseudonym of the app's own making; never a name or a phone number"})


class ConfirmationRequest(Schema):
    confirmation = Text(longest=10_000, required=True, metadata={"description": "JWS of type xc-conf+jwt, signed by a till of the store"})


class ReceiptRequest(Schema):
    audience = Text(longest=100, load_default="holder", metadata={"description": "holder, platform, merchant:<name> or brand:<name>"})


class StaysRequest(Schema):
    store_id = Id(required=True)
    fixes = BoundedList(ma.fields.Nested(FixSchema), shortest=1, longest=2_000, required=True)
    crs = CrsField()

    as_points = EvidenceSchema.as_points


class StaySchema(ma.Schema):
    first_ms = ma.fields.Integer(metadata={"description": "Unix milliseconds of the phone's clock: seen inside first"})
    last_ms = ma.fields.Integer()
    dwell_ms = ma.fields.Integer(allow_none=True, metadata={"description": "null where fixes were missing for ten minutes"})


class StayList(ma.Schema):
    items = ma.fields.List(ma.fields.Nested(StaySchema))
    next = ma.fields.String(allow_none=True)


class CheckInsAsked(Schema):
    store_id = Id()
    level = WholeNumber(low=0, high=4)
    limit = WholeNumber(low=1, high=1_000, load_default=100)
    cursor = ma.fields.String()


class CountsAsked(Schema):
    store_id = Id(metadata={"description": "by default every store of the merchant"})
    since = Instant()
    until = Instant()


class FindingSchema(ma.Schema):
    code = ma.fields.String()
    family = ma.fields.String()
    measure = ma.fields.String()
    value = ma.fields.Float()
    threshold = ma.fields.Float()
    says = ma.fields.String()
    points = ma.fields.Integer()
    hard = ma.fields.Boolean()


class CheckInResponse(ma.Schema):
    id = ma.fields.UUID()
    store_id = ma.fields.UUID()
    level = ma.fields.Integer(metadata={"description": "0 claimed, 1 located, 2 coded, 3 confirmed, 4 redeemed"})
    level_name = ma.fields.String()
    state = ma.fields.String(metadata={"description": "the level's name; rejected by the rules; voided"})
    methods = ma.fields.List(ma.fields.String(), metadata={"description": "geo, till, totp, staff, pos, voucher"})
    p_in = ma.fields.Integer(metadata={"description": "probability inside the fence, per mille"})
    r95_mm = ma.fields.Integer(metadata={"description": "radius that holds the true position with 95 %"})
    distance_mm = ma.fields.Integer(metadata={"description": "from the store's point"})
    fence = ma.fields.String()
    reasons = ma.fields.List(ma.fields.String(), metadata={"description": "codes of what keeps the level down, or speaks against the visit"})
    sample = ma.fields.Boolean(metadata={"description": "invented for the demonstration"})
    risk = ma.fields.Integer(metadata={"description": "0 to 100: the sum of the findings' points within their limits; a hard one is 100"})
    band = ma.fields.String(metadata={"description": "clean; review: the level stands, a reward waits; refused: level 0"})
    findings = ma.fields.List(ma.fields.Nested(FindingSchema))
    next = ma.fields.List(ma.fields.String(), metadata={"description": "what would raise the level"})
    policy = ma.fields.String(metadata={"description": "name of the sets of thresholds and rules it was judged by"})
    visitor = ma.fields.String(allow_none=True, metadata={"description": "for the app that sent it alone"})
    scan = ma.fields.String(
        allow_none=True, metadata={"description": "what the visitor shows as a QR code for staff to scan; for the app that sent it alone"}
    )
    receipt_id = ma.fields.UUID(allow_none=True)
    disputed = ma.fields.Boolean()
    confirmed_at = Moment(allow_none=True)
    checked_in_at = Moment()
    expires_ms = ma.fields.Integer(metadata={"description": "Unix milliseconds until which staff can scan it"})


class CheckInList(ma.Schema):
    items = ma.fields.List(ma.fields.Nested(CheckInResponse))
    next = ma.fields.String(allow_none=True)


class CheckInCount(ma.Schema):
    store_id = ma.fields.UUID()
    level = ma.fields.Integer()
    level_name = ma.fields.String()
    count = ma.fields.Integer()


class Headline(ma.Schema):
    """What may be said of a place in one number."""

    visits = ma.fields.Integer(metadata={"description": "what a till and a visitor's device both signed, without anything that speaks against it"})


class Apart(ma.Schema):
    """What belongs into no headline."""

    unproven = ma.fields.Integer(metadata={"description": "levels 0 to 2: the visitor's word, with or without a code"})
    under_review = ma.fields.Integer(metadata={"description": "confirmed, and something speaks against it"})
    voided = ma.fields.Integer(metadata={"description": "taken back, of any level"})
    sample = ma.fields.Integer(metadata={"description": "invented for the demonstration, of any level"})


class CheckInCounts(ma.Schema):
    headline = ma.fields.Nested(Headline)
    apart = ma.fields.Nested(Apart)
    items = ma.fields.List(ma.fields.Nested(CheckInCount))
    next = ma.fields.String(allow_none=True)


def dump_challenge(made: Challenge) -> dict[str, Any]:
    return {
        "ch": to_base64url(made.ch),
        "exp_ms": int(made.expires_at.timestamp() * 1000),
        "beacon": {"size": made.beacon_size, "root": to_base64url(made.beacon_root)},
        "policy": POLICY_NAME,
    }


def dump_check_in(check_in: CheckIn, *, caller: Caller) -> dict[str, Any]:
    """Only the app that sent it sees who it was, and the code for staff to scan: a till confirms what a visitor shows, and not what we tell it."""
    mine = caller.role == "admin" or caller.sent(check_in.caller_id, check_in.device_id)
    plain = (
        "id", "store_id", "level", "state", "methods", "p_in", "r95_mm", "distance_mm", "fence", "reasons", "risk", "findings", "policy",
        "receipt_id", "confirmed_at", "checked_in_at", "sample",
    )  # fmt: skip
    policy = present_policy()
    return {
        **{name: getattr(check_in, name) for name in plain},
        "level_name": LEVELS[check_in.level],
        "band": band_of(check_in.risk, policy),
        "next": _next(check_in),
        "visitor": check_in.visitor if mine else None,
        "scan": make_scan(check_in.id, check_in.claim_hash) if mine and check_in.claim_hash is not None else None,
        "disputed": check_in.disputed_at is not None,
        "expires_ms": int((check_in.checked_in_at + SCAN_WITHIN).timestamp() * 1000),
    }


_SCAN, _CODE = "have staff scan your code", "read the till's code"
_NEXT = {0: ["send a better position", _CODE, _SCAN], 1: [_CODE, _SCAN], 2: [_SCAN], 3: ["redeem it at the till"]}


def _next(check_in: CheckIn) -> list[str]:
    if check_in.state == VOIDED:
        return []
    return ["dispute it, if the findings are wrong"] if check_in.state == REJECTED else _NEXT.get(check_in.level, [])
