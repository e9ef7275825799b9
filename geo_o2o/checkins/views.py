from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID

from flask import Response, request

from ..auth.access import access
from ..auth.service import once
from ..errors import Forbidden, Malformed
from ..http import answer, caller, database, idempotency_key, page_of, path_id, position_of, settings, utcnow
from ..parsing import Blueprint
from ..receipts.schemas import ReceiptResponse, VoidRequest, dump_issued
from ..signers.request import proven, sender, with_nonce
from ..signers.totp import is_totp
from . import queries, service
from .claims import BadClaim, parse_claim, parse_confirmation, read_salt
from .confirming import confirm as confirm_visit
from .fixes import fix_of
from .geofence import probability_inside
from .schemas import (
    LEVELS,
    ChallengeRequest,
    ChallengeResponse,
    CheckInCounts,
    CheckInList,
    CheckInRequest,
    CheckInResponse,
    CheckInsAsked,
    ConfirmationRequest,
    CountsAsked,
    ReceiptRequest,
    StayList,
    StaysRequest,
    dump_challenge,
    dump_check_in,
)
from .signals import present_policy
from .stays import stays

blueprint = Blueprint("check-ins", __name__, url_prefix="/v1/check-ins", description="Presence at a store, from a claim to a receipt")


@blueprint.post("/challenge")
@access("check-ins:write")
@blueprint.arguments(ChallengeRequest)
@blueprint.response(201, ChallengeResponse)
def challenge(asked: dict[str, Any]) -> Response:
    """What an enrolled device signs next, within two minutes: the request is signed by the device (header DPoP)."""
    with database().write() as session:
        made = service.challenge(session, proof=proven(session), store_id=asked["store_id"], now=utcnow())
    return with_nonce(answer(dump_challenge(made), status=201))


@blueprint.post("")
@access("check-ins:write")
@blueprint.arguments(CheckInRequest)
@blueprint.response(201, CheckInResponse)
def create(asked: dict[str, Any]) -> Response:
    """Check in with a claim that the device has signed, and 1 to 5 fixes; needs an Idempotency-Key. Says the level and what keeps it down."""
    key, now, me = idempotency_key(), utcnow(), caller()
    if key is None:
        raise Malformed("send an Idempotency-Key: a check-in that is sent twice must count once", code="idempotency_key_missing")
    try:
        claim, salt = parse_claim(asked["claim"]), read_salt(asked["evidence_salt"])
    except BadClaim as failure:
        raise Malformed(str(failure), errors={failure.field: [str(failure)]}) from failure
    # As it was sent: the device signed the hash of that, and not of what we read in it.
    evidence = request.get_json()["evidence"]
    if me.role == "web" and "visitor" in asked:
        message = "a page whose key everybody knows has no accounts: its visitors are known by their devices"
        raise Forbidden(message, errors={"visitor": [message]})
    sent = service.Sent(claim, evidence, asked["evidence"]["fixes"], salt, asked.get("visitor"))
    # An app's many devices share its API key, and none of them knows what keys the others have drawn. Hashed: who was erased is in no table.
    own_key = hashlib.sha256(f"{claim.device_id} {key}".encode()).hexdigest()
    proof = None
    if claim.code is not None and is_totp(claim.code):
        # A try counts whatever becomes of the claim, so it has a transaction of its own; one of nobody, or one that was answered before, does not.
        with database().write() as session:
            proof = proven(session)
            service.count_try(session, claim, caller=me, proof=proof, idempotency_key=own_key, now=now)
    with database().write() as session:
        proof = proof or proven(session)
        wanted = service.new_check_in_id(claim.store_id, now=now)
        body = ["check-in", claim.text, evidence, asked["evidence_salt"], asked.get("visitor")]
        check_in_id = once(session, caller=me, key=own_key, request=body, resource_id=wanted, now=now)
        if check_in_id == wanted:
            row = service.check_in(session, caller=me, proof=proof, sent=sent, check_in_id=check_in_id, now=now)
        else:
            row = service.get_check_in(session, check_in_id, caller=replace(me, device_id=proof.device_id))
    response = answer(dump_check_in(row, caller=replace(me, device_id=claim.device_id)), status=201)
    response.headers["Location"] = f"/v1/check-ins/{row.id}"
    return with_nonce(response)


@blueprint.get("/<check_in_id>")
@access("visits:read")
@blueprint.response(200, CheckInResponse)
def show(check_in_id: str) -> Response:
    """One check-in, for the app that sent it and for the store where it happened."""
    me = sender()
    with database().read() as session:
        found = dump_check_in(service.get_check_in(session, path_id(check_in_id), caller=me), caller=me)
    return with_nonce(answer(found))


@blueprint.post("/<check_in_id>/confirmations")
@access("confirmations:write")
@blueprint.arguments(ConfirmationRequest)
@blueprint.response(201, CheckInResponse)
def confirm(asked: dict[str, Any], check_in_id: str) -> Response:
    """A till's signed word that it saw the visitor: what it scanned is what it signs. Raises the check-in to level 3 and issues a receipt."""
    try:
        said = parse_confirmation(asked["confirmation"])
        with database().write() as session:
            row = confirm_visit(session, settings(), path_id(check_in_id), said, caller=caller(), now=utcnow())
    except BadClaim as failure:
        raise Malformed(str(failure), errors={failure.field: [str(failure)]}) from failure
    return answer(dump_check_in(row, caller=caller()), status=201)


@blueprint.post("/<check_in_id>/receipts")
@access("visits:read")
@blueprint.arguments(ReceiptRequest)
@blueprint.response(201, ReceiptResponse)
def issue(asked: dict[str, Any], check_in_id: str) -> Response:
    """A receipt of the check-in as it stands now; without being asked the holder's is issued when it is confirmed, or after half an hour."""
    me = sender()
    with database().write() as session:
        row = service.get_check_in(session, path_id(check_in_id), caller=me, lock=True)
        service.check_audience(row, asked["audience"], caller=me, now=utcnow())
        receipt = service.issue(session, settings(), row, audience=asked["audience"], now=utcnow())
    response = answer(dump_issued(receipt), status=201)
    response.headers["Location"] = f"/v1/receipts/{receipt.id}"
    return with_nonce(response)


@blueprint.post("/<check_in_id>/void")
@access("confirmations:write")
@blueprint.arguments(VoidRequest)
@blueprint.response(200, CheckInResponse)
def void(asked: dict[str, Any], check_in_id: str) -> dict[str, Any]:
    """Take a visit back with all its receipts, for good: a sale that was returned, a fraud. It counts no more."""
    with database().write() as session:
        row = service.void(session, settings(), path_id(check_in_id), caller=caller(), reason=asked["reason"], now=utcnow())
    return dump_check_in(row, caller=caller())


@blueprint.post("/<check_in_id>/dispute")
@access("visits:read")
@blueprint.response(200, CheckInResponse)
def dispute(check_in_id: str) -> dict[str, Any]:
    """Dispute a check-in that one's own app has sent: what it was judged by is kept until the operator has closed the dispute."""
    me = sender()
    with database().write() as session:
        return dump_check_in(service.dispute(session, path_id(check_in_id), caller=me, open_=True, now=utcnow()), caller=me)


@blueprint.post("/<check_in_id>/dispute/close")
@access("merchants:write")
@blueprint.response(200, CheckInResponse)
def close_dispute(check_in_id: str) -> dict[str, Any]:
    """Close a dispute."""
    with database().write() as session:
        return dump_check_in(service.dispute(session, path_id(check_in_id), caller=caller(), open_=False, now=utcnow()), caller=caller())


@blueprint.post("/stays")
@access("check-ins:write")
@blueprint.arguments(StaysRequest)
@blueprint.response(200, StayList)
def find_stays(asked: dict[str, Any]) -> dict[str, Any]:
    """Visits in a stream of fixes: a drive-by is none, ten minutes are one, and a receiver that wanders makes one of one. Nothing is kept."""
    with database().read() as session:
        fence = service.fence_of(session, asked["store_id"])
    fixes = sorted(asked["fixes"], key=lambda one: one["t_ms"])
    seen = [(one["t_ms"] / 1000, probability_inside(fix_of(one, number), fence)) for number, one in enumerate(fixes)]
    return {
        "items": [
            {
                "first_ms": round(one.first_s * 1000),
                "last_ms": round(one.last_s * 1000),
                "dwell_ms": None if one.dwell_s is None else round(one.dwell_s * 1000),
            }
            for one in stays(seen)
        ],
        "next": None,
    }


@blueprint.get("")
@access("check-ins:read")
@blueprint.arguments(CheckInsAsked, location="query")
@blueprint.response(200, CheckInList)
def index(asked: dict[str, Any]) -> dict[str, Any]:
    """A merchant's own check-ins, newest first."""
    position = position_of(asked)
    with database().read() as session:
        found = queries.list_check_ins(
            session,
            merchant_id=caller().merchant_id,
            store_id=asked.get("store_id"),
            level=asked.get("level"),
            before=(datetime.fromisoformat(position[0]), UUID(position[1])) if position else None,
            limit=asked["limit"] + 1,
        )
    page, following = page_of(found, asked, lambda row: [row.checked_in_at.isoformat(), str(row.id)])
    return {"items": [dump_check_in(row, caller=caller()) for row in page], "next": following}


@blueprint.get("/counts")
@access("check-ins:read")
@blueprint.arguments(CountsAsked, location="query")
@blueprint.response(200, CheckInCounts)
def counts(asked: dict[str, Any]) -> dict[str, Any]:
    """Exact numbers of a merchant's own check-ins by store and level; the headline counts only what both sides have signed."""
    with database().read() as session:
        rows = queries.count_check_ins(
            session, merchant_id=caller().merchant_id, store_id=asked.get("store_id"), since=asked.get("since"), until=asked.get("until"),
            suspect_from=present_policy().review_from,
        )  # fmt: skip
    numbers: dict[tuple[UUID, int], int] = {}
    sums = {"visits": 0, "unproven": 0, "under_review": 0, "voided": 0, "sample": 0}
    for store, level, standing, number in rows:
        numbers[store, level] = numbers.get((store, level), 0) + number
        proven = "under_review" if standing == "suspect" else "visits"
        sums[standing if standing in ("voided", "sample") else proven if level >= service.CONFIRMED else "unproven"] += number
    return {
        "headline": {"visits": sums.pop("visits")},
        "apart": sums,
        "items": [{"store_id": store, "level": level, "level_name": LEVELS[level], "count": number} for (store, level), number in numbers.items()],
        "next": None,
    }
