from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy.orm import Session

from visit_verify.jws import BadJws, ed25519_thumbprint, from_base64url, p256_jwk, thumbprint

from ..caller import Caller
from ..errors import Conflict, Forbidden, InvalidInput, NonceNeeded, NotFound, Unauthenticated
from ..geo.ids import RANDOM_BITS, unlocated_id
from ..ledger import service as ledger
from ..ledger.events import KEY
from ..stores.service import get_store
from . import queries
from .models import Device, Till
from .proof import NONCE_LIFE_S, BadProof, NeedsNonce, Proof, check_proof, nonce_at
from .totp import SECRET_BYTES

# Within this time accounts that used one device count as one crowd (rule R08).
_CROWD = timedelta(days=30)
_SECRET_BYTES = 32
_THUMBPRINT = re.compile(r"[A-Za-z0-9_-]{43}")


class ProofInvalid(Unauthenticated):
    code = "proof_invalid"


class DeviceRevoked(Forbidden):
    code = "device_revoked"


class TillRevoked(Forbidden):
    code = "till_revoked"


class TillNotOfStore(Forbidden):
    code = "till_not_of_store"


class TillKnown(Conflict):
    code = "till_enrolled_already"


# --- devices -----------------------------------------------------------------------------------------------------------------


def prove(session: Session, header: str | None, *, method: str, addresses: frozenset[str], secret: str, now: datetime) -> Proof:
    """What a request proves of its device; the proof is used up. secret: of nonces.

    Raises ProofInvalid, NonceNeeded.
    """
    at_s = now.timestamp()
    if header is None:
        raise ProofInvalid("send the header DPoP with a proof that the device signed for this request (RFC 9449)")
    try:
        proof = check_proof(header, method=method, addresses=addresses, secret=secret, at_s=at_s)
    except NeedsNonce as failure:
        raise NonceNeeded(str(failure), nonce=nonce_at(secret, at_s=at_s)) from failure
    except BadProof as failure:
        raise ProofInvalid(str(failure)) from failure
    if not queries.use_proof(session, device_id=proof.device_id, jti=proof.jti, now=now):
        raise ProofInvalid("this proof was used before: a device signs a new one for each request")
    return proof


def enrol_device(session: Session, *, caller: Caller, proof: Proof, asked: Mapping[str, Any], now: datetime) -> Device:
    """The device of a key, which signed the request itself. Enrolled again it is the one that it was. Raises InvalidInput, DeviceRevoked."""
    try:
        id_ = thumbprint(p256_jwk(dict(asked["jwk"])))
    except BadJws as failure:
        raise InvalidInput(str(failure), errors={"jwk": [str(failure)]}) from failure
    if id_ != proof.device_id:
        message = "the proof is signed by another key than the one that is enrolled"
        raise ProofInvalid(message)
    device = queries.add_device(
        session, id=id_, jwk=proof.jwk, platform=asked["platform"], attested=asked.get("attested"), enrolled_by=caller.key_id, enrolled_at=now
    )
    _check_live(device.revoked_at)
    return device


def check_device(session: Session, device_id: str) -> bool | None:
    """Whether the platform of an enrolled device vouches for it. Raises ProofInvalid where nobody enrolled it, DeviceRevoked."""
    state = queries.device_state(session, device_id)
    if state is None:
        raise ProofInvalid("this device is not enrolled: send its key to POST /v1/devices first")
    attested, revoked_at = state
    _check_live(revoked_at)
    return attested


def revoke_device(session: Session, device_id: str, *, caller: Caller, now: datetime) -> Device:
    """Raises NotFound where the caller enrolled no such device."""
    device = queries.find_device(session, device_id) if _THUMBPRINT.fullmatch(device_id) else None
    if device is None or not (caller.role == "admin" or caller.sent(device.enrolled_by, device.id)):
        raise NotFound(f"there is no device {device_id[:60]!r}")
    if device.revoked_at is None:
        device.revoked_at, device.revoked_event = now, uuid4()
        event = {"at": int(now.timestamp() * 1000), "event": "revoke", "key": device.id, "of": "device"}
        ledger.append_event(session, id_=device.revoked_event, kind=KEY, event=event, now=now)
    return device


def _check_live(revoked_at: datetime | None) -> None:
    if revoked_at is not None:
        raise DeviceRevoked(f"this device was revoked on {revoked_at:%Y-%m-%d}: enrol it with a new key")


def forget_proofs(session: Session, *, now: datetime) -> int:
    """Forgets proofs whose nonces nobody takes any more."""
    return queries.forget_proofs(session, before=now - timedelta(seconds=3 * NONCE_LIFE_S))


# --- accounts ----------------------------------------------------------------------------------------------------------------


def take_subject(session: Session, *, caller: Caller, visitor: str, device_id: str, now: datetime) -> tuple[UUID, int, int]:
    """The id of an app's account, made where there is none; how many accounts used the device lately; how many go about with this one."""
    id_, together = queries.take_subject(
        session, id_=unlocated_id(now=now, chance=secrets.randbits(RANDOM_BITS)), caller_id=caller.key_id, visitor=visitor,
        secret=secrets.token_bytes(_SECRET_BYTES), now=now,
    )  # fmt: skip
    return id_, queries.use_device(session, device_id=device_id, subject_id=id_, now=now, since=now - _CROWD), together


def note_together(session: Session, sizes: Mapping[UUID, int]) -> None:
    """Remembers how many accounts go about with each; of all others that nobody does."""
    queries.set_together(session, sizes)


# --- tills -------------------------------------------------------------------------------------------------------------------


def enrol_till(session: Session, store_id: UUID, *, caller: Caller, asked: Mapping[str, Any], now: datetime) -> Till:
    """A till of a store; the log says so. Raises NotFound, Moved, Gone, Forbidden, InvalidInput, TillKnown."""
    store = get_store(session, store_id)
    if not caller.may_change(store.merchant_id):
        raise Forbidden(f"store {store_id} is another merchant's")
    jwk = asked["jwk"]
    try:
        public = from_base64url(jwk["x"])
    except BadJws:
        public = b""
    if jwk.keys() != {"kty", "crv", "x"} or (jwk["kty"], jwk["crv"]) != ("OKP", "Ed25519") or len(public) != 32:
        message = "expected a public Ed25519 key with kty OKP, crv Ed25519 and x of 32 bytes in base64url"
        raise InvalidInput(message, errors={"jwk": [message]})
    id_, event = ed25519_thumbprint(public), uuid4()
    if queries.find_till(session, id_, near=store.id) is not None:
        raise TillKnown(f"the till {id_} is enrolled already: a new till has a key of its own")
    till = Till(
        shard_cell=store.shard_cell, id=id_, store_id=store.id, merchant_id=store.merchant_id, public=public,
        totp_secret=secrets.token_bytes(SECRET_BYTES), name=asked["name"], enrolled_at=now, enrolled_event=event,
    )  # fmt: skip
    session.add(till)
    session.flush()
    said = {"at": int(now.timestamp() * 1000), "event": "add", "jwk": dict(jwk), "key": id_, "of": "till", "store": str(store.id)}
    ledger.append_event(session, id_=event, kind=KEY, event=said, now=now)
    return till


def revoke_till(session: Session, store_id: UUID, till_id: str, *, caller: Caller, now: datetime) -> Till:
    """Raises NotFound, Forbidden. What is logged behind this event is not believed, what was logged ahead of it is."""
    till = queries.find_till(session, till_id, near=store_id)
    if till is None or till.store_id != store_id:
        raise NotFound(f"store {store_id} has no till {till_id[:60]!r}")
    if not caller.may_change(till.merchant_id):
        raise Forbidden(f"store {store_id} is another merchant's")
    if till.revoked_at is None:
        till.revoked_at, till.revoked_event = now, uuid4()
        said = {"at": int(now.timestamp() * 1000), "event": "revoke", "key": till.id, "of": "till", "store": str(store_id)}
        ledger.append_event(session, id_=till.revoked_event, kind=KEY, event=said, now=now)
    return till


def get_till(session: Session, till_id: str, *, store_id: UUID) -> Till:
    """A till that may confirm at a store. Raises TillNotOfStore, TillRevoked."""
    till = queries.find_till(session, till_id, near=store_id)
    if till is None or till.store_id != store_id:
        raise TillNotOfStore(f"the till {till_id[:60]!r} is not enrolled at store {store_id}")
    if till.revoked_at is not None:
        raise TillRevoked(f"the till was revoked on {till.revoked_at:%Y-%m-%d}")
    return till
