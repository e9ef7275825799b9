from __future__ import annotations

import hashlib
import logging
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from geoalchemy2.shape import to_shape
from sqlalchemy.orm import Session

from visit_verify.jws import canonical, to_base64url

from ..auth.service import was_answered
from ..caller import Caller
from ..config import Settings
from ..errors import Conflict, Forbidden, Gone, InvalidInput, Malformed, Moved, NotFound
from ..geo.ids import RANDOM_BITS, located_id, shard_of
from ..geo.point import Point
from ..ledger import service as ledger
from ..receipts import service as receipts
from ..receipts.content import HOLDER, Visit
from ..receipts.models import Receipt
from ..signers import service as signers
from ..signers.proof import Proof
from ..signers.queries import live_till_ids
from ..stores.models import Store
from ..stores.service import get_store
from . import queries
from .claims import CHALLENGE_BYTES, BadClaim, Claim, evidence_hash
from .codes import add_try, use_code
from .fixes import MOST_CLOCK_SKEW, AccuracyTooPoor, check_clock, read_fixes
from .geofence import LOCATED_R95_M, POLICY, WORST_R95_M, Fence, judge
from .models import Challenge, CheckIn, CheckInEvidence, Honeypot
from .risk import Account, point_e6, weigh
from .signals import RELAYED, accounts_together, present_policy, stores_to_review

_log = logging.getLogger("geo_o2o")
CHALLENGE_LIFE = timedelta(seconds=120)
# A till scans what was claimed a moment ago; one that is offline may say so within a day.
SCAN_WITHIN, LATE_WITHIN = timedelta(minutes=10), timedelta(hours=24)
# A visit that nobody confirms has its receipt after this time.
_RECEIPT_AFTER = timedelta(minutes=30)
_MOST_TOGETHER = 200
_KEEP_SPENT = timedelta(hours=1)
_WEEK = timedelta(days=7)
# Per mille: a confirmed visit whose phone was surely elsewhere (rule R11).
_FAR = 100
STATES = ("claimed", "located", "coded", "confirmed", "redeemed")
REJECTED, VOIDED = "rejected", "voided"
CODED, CONFIRMED, REDEEMED = 2, 3, 4
POLICY_NAME = f"{POLICY}.{present_policy().name}"


class EvidenceMismatch(InvalidInput):
    code = "evidence_mismatch"


class StoreClosed(Conflict):
    code = "store_closed_for_good"


class StoreMoved(Conflict):
    code = "store_moved"


class StoreUnknown(NotFound):
    code = "store_unknown"


class ChallengeUsed(Conflict):
    code = "challenge_used"


class ChallengeExpired(Gone):
    code = "challenge_expired"


class CheckInExpired(Gone):
    code = "checkin_expired"


class Voided(Conflict):
    code = "voided"


class NotConfirmed(Conflict):
    code = "not_confirmed"


@dataclass(frozen=True)
class Sent:
    """What an app sends for a check-in. evidence: as it was hashed; fixes: the same positions as they were read. salt: 32 bytes."""

    claim: Claim
    evidence: Mapping[str, Any]
    fixes: Sequence[Mapping[str, Any]]
    salt: bytes
    visitor: str | None


def new_check_in_id(store_id: UUID, *, now: datetime) -> UUID:
    """An id in the store's shard."""
    return located_id(shard_of(store_id), now=now, chance=secrets.randbits(RANDOM_BITS))


def get_check_in(session: Session, check_in_id: UUID, *, caller: Caller, lock: bool = False) -> CheckIn:
    """A check-in that the caller sent, or that happened at the caller's store. Raises NotFound for any other."""
    check_in = queries.find_check_in(session, check_in_id, lock=lock)
    if check_in is None or not (caller.sent(check_in.caller_id, check_in.device_id) or caller.may_change(check_in.merchant_id)):
        raise NotFound(f"there is no check-in {check_in_id}")
    return check_in


# --- challenge and claim -----------------------------------------------------------------------------------------------------


def challenge(session: Session, *, proof: Proof, store_id: UUID, now: datetime) -> Challenge:
    """What the device must sign next. Raises as _store and signers.check_device do; LogFrozen."""
    ledger.check_not_frozen(session, now=now)
    signers.check_device(session, proof.device_id)
    store = _store(session, store_id)
    size, root = ledger.beacon(session, now=now)
    made = Challenge(
        shard_cell=store.shard_cell, ch=secrets.token_bytes(CHALLENGE_BYTES), store_id=store.id, device_id=proof.device_id,
        beacon_size=size, beacon_root=root, expires_at=now + CHALLENGE_LIFE,
    )  # fmt: skip
    session.add(made)
    session.flush()
    return made


def check_in(session: Session, *, caller: Caller, proof: Proof, sent: Sent, check_in_id: UUID, now: datetime) -> CheckIn:
    """Records a claim with the level that it proves by itself, 0 to 2. A poor position is no error: it is recorded for what it proves.

    Raises StoreUnknown, StoreMoved, StoreClosed; ProofInvalid, DeviceRevoked; ChallengeUsed, ChallengeExpired; EvidenceMismatch; Malformed
    (acc_kind_missing); ClockSkew, FixStale, AccuracyTooPoor; what codes.use_code raises; LogFrozen.
    """
    claim = sent.claim
    ledger.check_not_frozen(session, now=now)
    attested = _check_claimant(session, claim, proof)
    store = _store(session, claim.store_id)
    check_clock(claim.at_ms, now, field="claim", whose="the phone's")
    _use_challenge(session, claim, store, now)
    try:
        hashed = evidence_hash(dict(sent.evidence), sent.salt)
    except BadClaim as failure:
        raise Malformed(str(failure), errors={"evidence": [str(failure)]}) from failure
    if hashed != claim.evidence_hash:
        message = "the evidence and its salt do not give the `evh` that the device signed"
        raise EvidenceMismatch(message, errors={"evidence": [message]})
    fixes, seen = read_fixes(sent.fixes, claim.at_ms)
    fence = _fence(store)
    verdict = judge(fixes, fence)
    if verdict.r95_m > WORST_R95_M:
        message = f"the fixes disagree by so much that they say nothing: at most {WORST_R95_M:.0f} m (95 %) are allowed, found {verdict.r95_m:.0f} m"
        raise AccuracyTooPoor(message, errors={"evidence.fixes": [message]})
    till_id, method = use_code(session, claim.code, store=store, device_id=claim.device_id, now=now) if claim.code is not None else (None, None)
    subject_id, on_device, together = signers.take_subject(
        session, caller=caller, visitor=sent.visitor or f"device:{claim.device_id}", device_id=claim.device_id, now=now
    )
    account = Account(subject_id, claim.device_id, attested, on_device, together)
    found = weigh(
        session, account=account, seen=seen, verdict=verdict, store_id=store.id, shard_cell=store.shard_cell, coded=method is not None,
        honeypot=store.status == "closed", now=now,
    )  # fmt: skip
    codes = [one.code for one in found.findings]
    # A phone that does not know where it is says nothing against a code of the till; one that is surely elsewhere does.
    unsure = verdict.r95_m > LOCATED_R95_M and RELAYED not in codes
    level = CODED if method is not None and (verdict.level > 0 or unsure) else verdict.level
    level = 0 if found.caps_level else level
    methods = [name for name, has in (("geo", verdict.level > 0), (method, method is not None)) if has and name is not None]
    row = CheckIn(
        shard_cell=store.shard_cell, id=check_in_id, store_id=store.id, merchant_id=store.merchant_id, caller_id=caller.key_id,
        device_id=claim.device_id, subject_id=subject_id, visitor=sent.visitor, level=level, state=REJECTED if found.caps_level else STATES[level],
        methods=methods, p_in=int(verdict.p_in * 1000), r95_mm=round(verdict.r95_m * 1000), distance_mm=round(verdict.distance_m * 1000),
        fence=fence.name, reasons=list(dict.fromkeys([*verdict.reasons, *codes])), risk=found.total,
        findings=found.explanation()["reasons"], policy=POLICY_NAME, sample=False, claim_hash=claim.hash, evidence_hash=claim.evidence_hash,
        store_hash=_store_hash(session, store, fence), till_id=till_id, checked_in_at=now,
    )  # fmt: skip
    lat_e6, lng_e6 = point_e6(seen[-1].at)
    evidence = CheckInEvidence(
        shard_cell=store.shard_cell, check_in_id=check_in_id, subject_id=subject_id, evidence=dict(sent.evidence), salt=sent.salt,
        claim=claim.text, lat_e6=lat_e6, lng_e6=lng_e6, recorded_at=now,
    )  # fmt: skip
    queries.add_check_in(session, row, evidence)
    queries.add_recent_visit(
        session, subject_id=subject_id, check_in_id=check_in_id, store_id=store.id, lat=seen[-1].at.lat, lng=seen[-1].at.lon,
        r_mm=row.r95_mm, visited_at=now,
    )  # fmt: skip
    return row


def _check_claimant(session: Session, claim: Claim, proof: Proof) -> bool | None:
    """Whether the platform of the device vouches for it. Raises ProofInvalid, DeviceRevoked."""
    if proof.device_id != claim.device_id:
        raise signers.ProofInvalid("the request is signed by another device than the claim")
    return signers.check_device(session, claim.device_id)


def _store(session: Session, store_id: UUID) -> Store:
    """A store where somebody can be. Raises StoreUnknown, StoreMoved, StoreClosed, Gone."""
    try:
        store = get_store(session, store_id)
    except Moved as failure:
        # Not a redirect: the claim names the store by its id, so the app must say it anew.
        raise StoreMoved(failure.message, errors={"store_id": [failure.message]}) from failure
    except NotFound as failure:
        raise StoreUnknown(failure.message, errors={"store_id": [failure.message]}) from failure
    if store.status == "closed" and not queries.is_honeypot(session, store.id):
        raise StoreClosed(f"store {store.id} is closed for good")
    return store


def _use_challenge(session: Session, claim: Claim, store: Store, now: datetime) -> None:
    used = queries.use_challenge(session, shard_cell=store.shard_cell, ch=claim.challenge, store_id=store.id, device_id=claim.device_id, now=now)
    if used is None:
        known = queries.find_challenge(session, shard_cell=store.shard_cell, ch=claim.challenge)
        if known is not None and known.used_at is not None:
            raise ChallengeUsed("this challenge was answered before: ask for a new one for each check-in")
        raise ChallengeExpired("this challenge is not known for this store and device, or its two minutes are over: ask for a new one")
    if used != (claim.beacon_size, claim.beacon_root):
        message = "the claim signs another beacon than the one that came with the challenge"
        raise InvalidInput(message, errors={"claim": [message]})


def fence_of(session: Session, store_id: UUID) -> Fence:
    """Raises as _store does."""
    return _fence(_store(session, store_id))


def _fence(store: Store) -> Fence:
    point = to_shape(store.location)
    footprint = to_shape(store.footprint) if store.footprint is not None else None
    return Fence(centre=Point(point.x, point.y), footprint=footprint, radius_m=store.fence_radius_m)


def _store_hash(session: Session, store: Store, fence: Fence) -> bytes:
    """Of the store's record in force: name, place, outline and tills."""
    footprint = None if fence.footprint is None else hashlib.sha256(fence.footprint.wkb).hexdigest()
    record = {
        "id": str(store.id), "name": store.name, "at": [round(fence.centre.lat * 1e7), round(fence.centre.lon * 1e7)], "footprint": footprint,
        "tills": live_till_ids(session, store.id),
    }  # fmt: skip
    return hashlib.sha256(canonical(record)).digest()


def evidence_of(session: Session, row: CheckIn) -> CheckInEvidence:
    """Raises CheckInExpired where it is gone, Voided where nothing may be added any more."""
    if row.state == VOIDED:
        raise Voided("this visit was taken back, for good")
    evidence = queries.find_evidence(session, row.id)
    if evidence is None or evidence.claim is None:
        raise CheckInExpired("what was signed for this check-in has been erased, so nothing can be added to it")
    return evidence


def count_try(session: Session, claim: Claim, *, caller: Caller, proof: Proof, idempotency_key: str, now: datetime) -> None:
    """Counts a try of six digits, unless the same request was answered before. Raises ProofInvalid, DeviceRevoked, TooMany."""
    _check_claimant(session, claim, proof)
    if not was_answered(session, caller=caller, key=idempotency_key):
        add_try(session, device_id=claim.device_id, store_id=claim.store_id, now=now)


# --- receipts ----------------------------------------------------------------------------------------------------------------


def check_audience(row: CheckIn, audience: str, *, caller: Caller, now: datetime) -> None:
    """The app that sent the claim may ask for any audience. A store may for its own merchant, and not before it has confirmed or no longer can:
    a receipt names the claim that its till is to sign, and it shall sign what the visitor shows. Raises Forbidden, NotConfirmed.
    """
    if caller.role == "web" and audience != HOLDER:
        raise Forbidden("a page whose key everybody knows asks for the holder's receipt alone")
    if caller.role == "admin" or caller.sent(row.caller_id, row.device_id):
        return
    own = f"merchant:{caller.merchant_id}"
    if audience != own:
        raise Forbidden(f"your own audience is {own}; others are asked for by the visitor's app")
    if row.confirmed_at is None and now - row.checked_in_at <= LATE_WITHIN + MOST_CLOCK_SKEW:
        raise NotConfirmed("a store has a receipt once its till has confirmed the visit, or after a day")


def issue(session: Session, settings: Settings, row: CheckIn, *, audience: str = HOLDER, now: datetime) -> Receipt:
    """A receipt of a check-in as it stands; the one that there is where nothing has changed. Raises CheckInExpired, LogFrozen, InvalidInput."""
    evidence = evidence_of(session, row)
    assert row.subject_id is not None
    assert evidence.claim is not None
    receipt = receipts.issue(session, settings, _visit(row, evidence.claim, evidence.confirmation), audience=audience, now=now)
    if audience == HOLDER:
        row.receipt_id = receipt.id
    elif row.receipt_id is None:
        row.receipt_id = receipts.holders_of(session, row.id)
    session.flush()
    return receipt


def _visit(row: CheckIn, claim: str, confirmation: str | None) -> Visit:
    assert row.subject_id is not None
    assert row.claim_hash is not None
    assert row.evidence_hash is not None
    assert row.store_hash is not None
    return Visit(
        row.id, row.shard_cell, row.store_id, row.merchant_id, row.caller_id, row.subject_id, row.store_hash, row.checked_in_at, row.level,
        tuple(row.methods), row.p_in, row.r95_mm, row.fence, row.risk, tuple(row.reasons), row.policy, row.evidence_hash, claim, row.claim_hash,
        confirmation, row.pos_hash, row.voucher_hash,
    )  # fmt: skip


def issue_due(session: Session, settings: Settings, *, now: datetime) -> int:
    """Receipts of visits that nobody has confirmed within half an hour; returns how many."""
    issued = 0
    for row in queries.without_receipt(session, before=now - _RECEIPT_AFTER, most=_MOST_TOGETHER):
        try:
            with session.begin_nested():
                issue(session, settings, row, now=now)
            issued += 1
        except (NotFound, CheckInExpired, Voided, receipts.ReceiptVoided) as failure:
            # One whose account is just being erased must not keep the others waiting.
            _log.warning("check-in %s has no receipt: %s", row.id, failure)
    return issued


def void(session: Session, settings: Settings, check_in_id: UUID, *, caller: Caller, reason: str, now: datetime) -> CheckIn:
    """Takes a visit back with all its receipts, for ever: it counts no more. Twice it stays as it was. Raises NotFound, Forbidden, LogFrozen."""
    row = get_check_in(session, check_in_id, caller=caller, lock=True)
    if not caller.may_change(row.merchant_id):
        raise Forbidden("a visit is taken back by the store where it was")
    if row.state != VOIDED:
        receipts.void_visit(session, settings, row.id, reason=reason, now=now)
        row.state = VOIDED
    return row


# --- afterwards --------------------------------------------------------------------------------------------------------------


def dispute(session: Session, check_in_id: UUID, *, caller: Caller, open_: bool, now: datetime) -> CheckIn:
    """Opens or closes a dispute; while it is open the evidence is kept beyond its time. A store does neither. Raises NotFound, Forbidden."""
    row = get_check_in(session, check_in_id, caller=caller, lock=True)
    if caller.role != "admin" and not caller.sent(row.caller_id, row.device_id):
        raise Forbidden("a check-in is disputed by the app that sent it")
    row.disputed_at = (row.disputed_at or now) if open_ else None
    return row


def open_evidence(session: Session, check_in_id: UUID) -> dict[str, Any]:
    """What a disputed check-in was judged by, with the salt by which anybody sees that it is what the device signed.

    Raises NotFound, Conflict where nobody disputes it, CheckInExpired where it is gone.
    """
    row = queries.find_check_in(session, check_in_id)
    if row is None:
        raise NotFound(f"there is no check-in {check_in_id}")
    if row.disputed_at is None:
        raise Conflict("positions are opened in a dispute only, and nobody disputes this check-in", code="not_disputed")
    evidence = queries.find_evidence(session, row.id)
    if evidence is None or evidence.salt is None:
        raise CheckInExpired("what this check-in was judged by has been erased")
    return {
        "check_in": str(row.id), "findings": row.findings, "claim": evidence.claim, "confirmation": evidence.confirmation,
        "evidence": evidence.evidence, "evidence_salt": to_base64url(evidence.salt),
    }  # fmt: skip


def erase_evidence(session: Session, *, now: datetime, keep_days: int) -> int:
    """Erases raw positions past their life; the check-ins stay. Returns how many."""
    old = now - timedelta(days=keep_days)
    return queries.delete_evidence(session, before=old) + queries.forget_recent_visits(session, before=old)


def forget_spent(session: Session, *, now: datetime) -> int:
    """Forgets challenges, codes and tries of which nothing can come any more. Returns how many."""
    return queries.forget_spent(session, before=now - _KEEP_SPENT)


def mark_honeypot(session: Session, store_id: UUID) -> None:
    """Marks a store that is closed, and so in no answer, as one where nobody can have been. Raises NotFound, Moved, Gone, Conflict."""
    store = get_store(session, store_id)
    if store.status != "closed":
        raise Conflict(f"store {store_id} is open to visitors: a honeypot is a store that no answer shows, so close it for good first")
    if not queries.is_honeypot(session, store_id):
        session.add(Honeypot(shard_cell=store.shard_cell, store_id=store_id))


def review(session: Session, *, now: datetime) -> tuple[list[str], dict[str, int]]:
    """The weekly look at what no single check-in shows: stores to be looked at (R11), and accounts that go about together (R12), with how
    many; these are remembered for the accounts' next check-ins."""
    since = now - _WEEK
    together = accounts_together((str(subject), str(store), when) for subject, store, when in queries.visits_since(session, since))
    signers.note_together(session, {UUID(subject): size for subject, size in together.items()})
    return stores_to_review(queries.confirmed_by_store(session, since, far_below=_FAR)), together
