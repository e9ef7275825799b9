from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID, uuid4

from sqlalchemy.orm import Session

from visit_verify.jws import to_base64url
from visit_verify.proof import Proof
from visit_verify.receipt import SALT_BYTES, entry_of

from ..caller import Caller
from ..config import Settings
from ..errors import Conflict, Gone, InvalidInput, NotFound, Unavailable
from ..geo.ids import RANDOM_BITS, located_id
from ..ledger import service as ledger
from ..ledger.events import KEY
from ..ledger.receipt import pseudonym, public_of, sign_receipt, sign_voids
from ..signers.queries import find_subject
from . import queries
from .content import HOLDER, Issue, Visit, content_of, device_of, is_audience, says_the_same
from .keys import KeyGone, destroy_salt_keys, new_operator_seed, operator_seed, seal, unseal
from .models import OperatorKey, Receipt, ReceiptSalt, VoidedReceipt, VoidList

# How long receipts and salts are kept here; holders keep theirs as long as they like (design: trust, section 8).
LIFE = timedelta(days=396)
# A list of voids is signed and logged so often.
_VOIDS_EVERY = timedelta(days=7)
_KIND_VOID = 2
_MOST_TOGETHER = 1_000
# The list of voids has no secrets: anybody can find its entry.
_NO_SALT = bytes(SALT_BYTES)


class ReceiptErased(Gone):
    code = "receipt_erased"


class ReceiptVoided(Conflict):
    code = "receipt_voided"


class LogBehind(Unavailable):
    code = "log_behind"


class KeyMissing(Unavailable):
    code = "signing_key_missing"


@dataclass(frozen=True)
class Held:
    """A receipt and, once everybody can see its entry, the proof of it (with the salt)."""

    receipt: Receipt
    proof: Proof | None


# --- keys --------------------------------------------------------------------------------------------------------------------


def signing_seed(session: Session, settings: Settings, *, now: datetime) -> bytes:
    """The secret of the key that signs now; the first one is made here. Raises KeyMissing where this machine has not got it."""
    key = queries.signing_key(session)
    if key is None:
        queries.one_at_a_time(session)
        key = queries.signing_key(session) or _add_key(session, settings, now=now)
    seed = operator_seed(settings.data_dir / "keys", key.id)
    if seed is None:
        raise KeyMissing(f"receipts are signed by {key.id}, and that key is not in keys/: put it back, or run `geo-o2o receipt rotate-key`")
    return seed


def rotate_key(session: Session, settings: Settings, *, now: datetime) -> OperatorKey:
    """A new key signs from now on; what the one before has signed stays good, and its public half stays listed for ever."""
    queries.one_at_a_time(session)
    for key in queries.list_keys(session):
        key.retired_at = key.retired_at or now
    session.flush()
    return _add_key(session, settings, now=now)


def revoke_key(session: Session, key_id: str, *, now: datetime) -> OperatorKey:
    """A key that was stolen: what is logged behind this event is not believed. Raises NotFound, Conflict."""
    key = session.get(OperatorKey, key_id)
    if key is None:
        raise NotFound(f"there is no key {key_id[:60]!r}")
    if key.revoked_event is not None:
        raise Conflict(f"the key {key_id} was revoked before")
    key.retired_at, key.revoked_event = key.retired_at or now, uuid4()
    event = {"at": int(now.timestamp() * 1000), "event": "revoke", "key": key.id, "of": "operator"}
    ledger.append_event(session, id_=key.revoked_event, kind=KEY, event=event, now=now)
    return key


def _add_key(session: Session, settings: Settings, *, now: datetime) -> OperatorKey:
    id_, seed = new_operator_seed(settings.data_dir / "keys")
    key = OperatorKey(id=id_, public=public_of(seed), added_at=now, added_event=uuid4())
    session.add(key)
    session.flush()
    event = {
        "at": int(now.timestamp() * 1000), "event": "add", "key": id_, "of": "operator",
        "jwk": {"crv": "Ed25519", "kty": "OKP", "x": to_base64url(key.public)},
    }  # fmt: skip
    ledger.append_event(session, id_=key.added_event, kind=KEY, event=event, now=now)
    return key


# --- issuing -----------------------------------------------------------------------------------------------------------------


def issue(session: Session, settings: Settings, visit: Visit, *, audience: str = HOLDER, now: datetime) -> Receipt:
    """A receipt of a visit as it stands now, queued for the log in the same transaction.

    One of the same audience that says something else is replaced and taken back; one that says the same is what is returned.
    Raises InvalidInput, LogFrozen, KeyMissing; ReceiptVoided; NotFound where the subject was erased.
    """
    if not is_audience(audience):
        message = "expected holder, platform, merchant:<name> or brand:<name>"
        raise InvalidInput(f"{message}, found {audience[:60]!r}", errors={"audience": [message]})
    ledger.check_not_frozen(session, now=now)
    ever = queries.receipts_of(session, visit.check_in_id)
    if any(one.voided_at is not None and one.replaced_by is None and one.audience in (audience, HOLDER) for one in ever):
        raise ReceiptVoided("the receipt of this visit was taken back, for good")
    before = [one for one in ever if one.voided_at is None]
    first = next((one for one in before if one.audience == HOLDER), None)
    if audience != HOLDER and first is None:
        first = issue(session, settings, visit, now=now)
    previous = next((one for one in before if one.audience == audience), None)
    subject = find_subject(session, visit.subject_id)
    if subject is None:
        raise NotFound("the account of this check-in was erased")
    seed = signing_seed(session, settings, now=now)
    shard = ledger.shard_at(now)
    id_ = located_id(visit.shard_cell, now=now, chance=secrets.randbits(RANDOM_BITS))
    made = content_of(visit, Issue(
        id_, settings.public_url, audience, pseudonym(subject.secret, account=str(subject.id), audience=audience), f"{settings.log_name}/{shard}",
        now, previous.id if previous else None, first.id if first and audience != HOLDER else None,
    ))  # fmt: skip
    if previous is not None and says_the_same(previous.jws, made):
        return previous
    receipt = Receipt(
        shard_cell=visit.shard_cell, id=id_, check_in_id=visit.check_in_id, subject_id=visit.subject_id, caller_id=visit.caller_id,
        merchant_id=visit.merchant_id, audience=audience, jws=sign_receipt(made, seed=seed), log_shard=shard, issued_at=now,
    )  # fmt: skip
    salt, month = secrets.token_bytes(SALT_BYTES), f"{now:%Y-%m}"
    sealed = seal(settings.data_dir / "keys", month, salt, name=id_.bytes)
    session.add_all([receipt, ReceiptSalt(shard_cell=visit.shard_cell, receipt_id=id_, month=month, sealed=sealed)])
    session.flush()
    ledger.append(session, shard=shard, id_=id_, entry=entry_of(receipt.jws, salt))
    if previous is not None:
        previous.replaced_by = id_
        _take_back(session, settings, previous, reason="replaced", now=now)
    return receipt


def void(session: Session, settings: Settings, receipt_id: UUID, *, caller: Caller, reason: str, now: datetime) -> Receipt:
    """Takes one audience's receipt back, for ever. Taken back twice it stays as it was. Raises NotFound, LogFrozen; Conflict for the holder's."""
    receipt = get_receipt(session, receipt_id, caller=caller)
    if receipt.audience == HOLDER:
        raise Conflict("the holder's receipt is taken back with the visit: void the check-in", code="holders_receipt")
    ledger.check_not_frozen(session, now=now)
    if receipt.voided_at is None:
        _take_back(session, settings, receipt, reason=reason, now=now)
    return receipt


def void_visit(session: Session, settings: Settings, check_in_id: UUID, *, reason: str, now: datetime) -> None:
    """Takes back every receipt of a visit. Raises LogFrozen."""
    ledger.check_not_frozen(session, now=now)
    for receipt in queries.receipts_of(session, check_in_id):
        if receipt.voided_at is None:
            _take_back(session, settings, receipt, reason=reason, now=now)


def _take_back(session: Session, settings: Settings, receipt: Receipt, *, reason: str, now: datetime) -> None:
    receipt.voided_at, receipt.void_reason = now, reason
    session.add(VoidedReceipt(receipt_id=receipt.id, voided_at=now))
    # Whoever holds the receipt can make this entry too and look for it; nobody else knows what it is about.
    entry = entry_of(receipt.jws, _salt_of(session, settings, receipt), kind=_KIND_VOID)
    ledger.append(session, shard=ledger.shard_at(now), id_=uuid4(), entry=entry)


def holders_of(session: Session, check_in_id: UUID) -> UUID | None:
    """The id of the holder's receipt that is in force."""
    found = [one.id for one in queries.receipts_of(session, check_in_id) if one.audience == HOLDER and one.voided_at is None]
    return found[-1] if found else None


# --- reading -----------------------------------------------------------------------------------------------------------------


def get_receipt(session: Session, receipt_id: UUID, *, caller: Caller) -> Receipt:
    """A receipt that is the caller's to read: the holder's for the app that sent the claim, others for the store's merchant. Raises NotFound."""
    receipt = queries.find_receipt(session, receipt_id)
    if receipt is None or not (caller.role == "admin" or _is_for(receipt, caller)):
        raise NotFound(f"there is no receipt {receipt_id}")
    return receipt


def _is_for(receipt: Receipt, caller: Caller) -> bool:
    return caller.sent(receipt.caller_id, device_of(receipt.jws)) if receipt.audience == HOLDER else caller.may_change(receipt.merchant_id)


def hold(session: Session, settings: Settings, receipt_id: UUID, *, caller: Caller, now: datetime) -> Held:
    """A receipt with its proof. Raises NotFound, ReceiptErased; LogBehind where it has waited for its proof for too long."""
    receipt = get_receipt(session, receipt_id, caller=caller)
    salt = _salt_of(session, settings, receipt)
    proof = ledger.proof_of(session, ledger.log_of(settings, receipt.log_shard), receipt.id, extra=salt)
    if proof is None and ledger.is_behind(session, now=now):
        raise LogBehind("the log has not been published for a minute: the receipt is safe, and its proof comes later", retry_after_s=30)
    return Held(receipt, proof)


def _salt_of(session: Session, settings: Settings, receipt: Receipt) -> bytes:
    salt = queries.find_salt(session, receipt.id)
    try:
        if salt is None:
            raise KeyGone("it was erased")
        return unseal(settings.data_dir / "keys", salt.month, salt.sealed, name=receipt.id.bytes)
    except KeyGone as failure:
        raise ReceiptErased(f"what opens receipt {receipt.id} in the log is gone: {failure}") from failure


# --- lists of voids, and the end of receipts -----------------------------------------------------------------------------------


def voids(session: Session, settings: Settings, *, now: datetime) -> str:
    """The list of all receipts that were taken back, signed now. Raises NotFound before the first receipt."""
    if queries.signing_key(session) is None:
        raise NotFound("no receipt was issued here yet")
    seed = signing_seed(session, settings, now=now)
    return sign_voids(queries.every_voided(session), issuer=settings.public_url, at_ms=int(now.timestamp() * 1000), seed=seed)


def log_voids(session: Session, settings: Settings, *, now: datetime) -> int:
    """Signs and logs a list of voids where the last one is a week old; returns 1 or 0."""
    newest = queries.newest_void_list(session)
    if queries.signing_key(session) is None or (newest is not None and newest.issued_at > now - _VOIDS_EVERY):
        return 0
    made = VoidList(id=uuid4(), jws=voids(session, settings, now=now), issued_at=now)
    session.add(made)
    session.flush()
    ledger.append(session, shard=ledger.shard_at(now), id_=made.id, entry=entry_of(made.jws, _NO_SALT, kind=_KIND_VOID))
    return 1


def forget(session: Session, settings: Settings, *, now: datetime) -> int:
    """Deletes receipts past their life, and the keys of salts that nothing needs any more. Returns how many receipts."""
    destroy_salt_keys(settings.data_dir / "keys", before=f"{now - LIFE - timedelta(days=31):%Y-%m}")
    queries.forget_voided(session, before=now - LIFE)
    return queries.delete_older(session, before=now - LIFE, most=_MOST_TOGETHER)
