"""A receipt of a visit and its proof against a policy: what may be believed, who says so, and what was not checked. Pure.

Source: design of the project (trust, section 3).
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from .jws import ED25519, ES256, BadJws, Jws, check_ed25519, check_es256, from_base64url, p256_jwk, parse_jws, thumbprint, to_base64url
from .merkle import BadProof
from .note import BadNote, Checkpoint, signed_by
from .policy import Policy
from .proof import Proof

RECEIPT, CLAIM, CONFIRMATION, VOIDS = "xc-receipt+jwt", "xc-claim+jwt", "xc-conf+jwt", "xc-voids+jwt"
LEVELS = ("claimed", "located", "coded", "confirmed", "redeemed")
METHODS = frozenset({"geo", "till", "totp", "staff", "pos", "voucher"})
_CODED, _CONFIRMED, _REDEEMED = 2, 3, 4
_ENTRY_VERSION, _ENTRY_RECEIPT = 0x01, 0x01
_LABEL = b"xc-leaf/v1\x00"
SALT_BYTES = 32
# How far a device's clock may stand from the operator's.
_MOST_SKEW_MS = 300_000
# A visit is said to be within a quarter of an hour, and a till signs within ten minutes of the device.
_WINDOW_MS, _SCAN_MS = 900_000, 600_000
# A list of voids names all of a year.
_MOST_VOIDS_BYTES = 100_000_000
_LATEST_MS = 253_402_300_799_999
_CODE = re.compile(r"[A-Za-z0-9_.-]{1,60}")


class BadReceipt(ValueError):
    """The receipt is not to be believed; the message says why."""


@dataclass(frozen=True)
class Signer:
    """who: operator, till, device, log or witness. key: its thumbprint, or the name of the key. at_s: of a witness, since 1970."""

    who: str
    key: str
    at_s: int | None = None


@dataclass(frozen=True)
class Verdict:
    """What may be believed. window_ms: when the visit is said to have been. existed_before_s: None where no witness says so.

    not_checked: what could not be, in words; never empty, for nobody can check everything.
    """

    id: UUID
    issuer: str
    store: str
    audience: str
    subject: str
    level: int
    methods: tuple[str, ...]
    window_ms: tuple[int, int]
    p_in: int | None
    risk: int
    reasons: tuple[str, ...]
    index: int
    checkpoint: Checkpoint
    existed_before_s: int | None
    signers: tuple[Signer, ...]
    not_checked: tuple[str, ...] = field(default=())


def entry_of(jws: str, salt: bytes, *, kind: int = _ENTRY_RECEIPT) -> bytes:
    """What stands in the log for a receipt: opaque without the salt. Raises BadReceipt where that has not 32 bytes."""
    if len(salt) != SALT_BYTES:
        raise BadReceipt(f"the salt of a receipt has {SALT_BYTES} bytes")
    return bytes([_ENTRY_VERSION, kind]) + hashlib.sha256(_LABEL + salt + hashlib.sha256(jws.encode()).digest()).digest()


def store_of(receipt: str) -> UUID:
    """Which store a receipt says it is of; nothing is checked. Raises BadReceipt."""
    try:
        return UUID(str(parse_jws(receipt, typ=RECEIPT, alg=ED25519, members=frozenset({"kid"})).payload.get("st")))
    except ValueError as failure:
        raise BadReceipt(str(failure)) from failure


def verify(receipt: str, proof: Proof, policy: Policy, *, voids: str | None = None) -> Verdict:
    """Raises BadReceipt. voids: the operator's signed list of receipts that were taken back."""
    try:
        return _verify(receipt, proof, policy, voids)
    except (BadJws, BadProof, BadNote) as failure:
        raise BadReceipt(str(failure)) from failure


def _verify(text: str, proof: Proof, policy: Policy, voids: str | None) -> Verdict:
    jws = parse_jws(text, typ=RECEIPT, alg=ED25519, members=frozenset({"kid"}))
    operator = policy.operators.get(jws.header["kid"]) if isinstance(jws.header["kid"], str) else None
    if operator is None:
        raise BadReceipt("the receipt is signed by a key that the policy does not name as an operator's")
    check_ed25519(jws, operator.public)
    said = _read(jws.payload)
    signers, unchecked = [Signer("operator", operator.id)], ["that the store and the operator did not invent the visit together"]
    checkpoint, existed_before_s = _check_logged(text, said, proof, policy, signers, unchecked)
    if not operator.holds_at(proof.index):
        raise BadReceipt(f"the operator's key was not good for entry {proof.index} of the log")
    claim = _check_claim(said, policy, proof.index, signers, unchecked)
    _check_confirmation(said, claim, policy, proof.index, signers, unchecked)
    _check_not_void(said, voids, policy, checkpoint, unchecked)
    pin = said.get("pin")
    return Verdict(
        UUID(said["jti"]), said["iss"], said["st"], said["aud"], said["sub"], said["lvl"], tuple(said["meth"]), (said["win"][0], said["win"][1]),
        pin, said["risk"], tuple(said["rsn"]), proof.index, checkpoint, existed_before_s, tuple(signers), tuple(unchecked),
    )  # fmt: skip


def _check_logged(
    text: str, said: dict[str, Any], proof: Proof, policy: Policy, signers: list[Signer], unchecked: list[str]
) -> tuple[Checkpoint, int | None]:
    """The checkpoint that covers the receipt, and when a quorum of witnesses had seen it."""
    checkpoint = proof.check(entry_of(text, proof.extra or b""))
    if checkpoint.origin != said["log"]:
        raise BadReceipt(f"the receipt belongs to the log {said['log']}, the proof to {checkpoint.origin}")
    keys = [key for key in policy.logs if key.name == checkpoint.origin]
    signed = signed_by(proof.note, [*keys, *policy.witnesses.values()])
    if not any(key in signed for key in keys):
        raise BadReceipt(f"the checkpoint is not signed by the log {checkpoint.origin} that the policy names")
    signers.append(Signer("log", checkpoint.origin))
    seen_s = {name: time_s for name, key in policy.witnesses.items() if (time_s := signed.get(key)) is not None}
    signers += [Signer("witness", name, time_s) for name, time_s in seen_s.items()]
    existed_before_s = policy.reached_at(seen_s)
    if policy.quorum is not None and existed_before_s is None:
        raise BadReceipt(f"too few witnesses have signed the checkpoint: the quorum {policy.quorum} is not reached")
    if policy.quorum is None:
        unchecked.append("when it existed, and whether others are shown the same log: no witness is asked for, so that is the operator's word")
    return checkpoint, existed_before_s


def _check_claim(said: dict[str, Any], policy: Policy, index: int, signers: list[Signer], unchecked: list[str]) -> Jws | None:
    """The device's own signature, where the receipt shows it."""
    if "claim" not in said:
        unchecked.append("the visitor's device: its signature is not shown in a sealed receipt; ask for the open one and compare `clh`")
        return None
    claim = parse_jws(said["claim"], typ=CLAIM, alg=ES256, members=frozenset({"jwk"}))
    jwk = p256_jwk(claim.header["jwk"])
    check_es256(claim, jwk)
    device = thumbprint(jwk)
    if policy.is_revoked(device, index):
        raise BadReceipt("the visitor's device was revoked")
    if to_base64url(claim.digest) != said["clh"]:
        raise BadReceipt("the claim in the receipt is not the one that it names")
    for name, expected in (("st", said["st"]), ("evh", said["evh"])):
        if claim.payload.get(name) != expected:
            raise BadReceipt(f"the device signed another `{name}` than the receipt has")
    at_ms = claim.payload.get("iat")
    if not _is_number(at_ms) or at_ms > said["iat"] + _MOST_SKEW_MS:
        raise BadReceipt("the device signed after the receipt was issued")
    if not said["win"][0] - _MOST_SKEW_MS <= at_ms <= said["win"][1] + _MOST_SKEW_MS:
        raise BadReceipt("the device signed at another time than the receipt says")
    signers.append(Signer("device", device))
    unchecked.append("that the visit was not before: the beacon in the claim needs a proof of its own")
    return claim


def _check_confirmation(said: dict[str, Any], claim: Jws | None, policy: Policy, index: int, signers: list[Signer], unchecked: list[str]) -> None:
    """The store's own signature, which every receipt of level 3 and up has."""
    if "conf" not in said:
        if said["lvl"] >= _CONFIRMED:
            raise BadReceipt(f"a receipt of level {said['lvl']} needs the signature of the store's till")
        unchecked.append("the store: its till has not signed" + (", and its code was checked by the operator alone" if said["lvl"] == _CODED else ""))
        return
    confirmation = parse_jws(said["conf"], typ=CONFIRMATION, alg=ED25519, members=frozenset({"kid"}))
    kid = confirmation.header["kid"]
    till = policy.tills.get((said["st"], kid)) if isinstance(kid, str) else None
    if till is None:
        raise BadReceipt("the confirmation is signed by a till that the policy does not name for this store")
    check_ed25519(confirmation, till.public)
    if not till.holds_at(index):
        raise BadReceipt(f"the till's key was not good for entry {index} of the log")
    for name, expected in (("st", said["st"]), ("clh", said["clh"]), ("till", kid)):
        if confirmation.payload.get(name) != expected:
            raise BadReceipt(f"the till confirmed another `{name}` than the receipt has")
    at_ms = confirmation.payload.get("iat")
    if not _is_number(at_ms) or at_ms > said["iat"] + _MOST_SKEW_MS:
        raise BadReceipt("the till signed after the receipt was issued")
    if claim is not None and at_ms < claim.payload["iat"] - _MOST_SKEW_MS:
        raise BadReceipt("the till signed before the device did")
    if not said["win"][0] - _MOST_SKEW_MS <= at_ms <= said["win"][1] + _SCAN_MS + _MOST_SKEW_MS:
        raise BadReceipt("the till signed at another time than the receipt says")
    if "pos" in confirmation.payload and confirmation.payload["pos"] != said.get("pos"):
        raise BadReceipt("the till signed another ticket than the receipt has")
    if said["lvl"] == _REDEEMED and "pos" not in confirmation.payload:
        unchecked.append("the sale: no till has signed its ticket or voucher, the operator says so")
    signers.append(Signer("till", till.id))


def _check_not_void(said: dict[str, Any], voids: str | None, policy: Policy, checkpoint: Checkpoint, unchecked: list[str]) -> None:
    if voids is None:
        unchecked.append(f"whether the receipt was taken back since: it is good as of entry {checkpoint.size} of the log; ask for the list of voids")
        return
    listed = parse_jws(voids, typ=VOIDS, alg=ED25519, members=frozenset({"kid"}), most_bytes=_MOST_VOIDS_BYTES)
    operator = policy.operators.get(listed.header["kid"]) if isinstance(listed.header["kid"], str) else None
    if operator is None:
        raise BadReceipt("the list of voids is signed by a key that the policy does not name as an operator's")
    if operator.before is not None:
        # A list has no place in the log that could show on which side of the revocation it was signed.
        raise BadReceipt("the list of voids is signed by a key that was revoked")
    check_ed25519(listed, operator.public)
    hashes, at_ms = listed.payload.get("voids"), listed.payload.get("iat", 0)
    if not isinstance(hashes, list) or not _is_time(at_ms) or listed.payload.get("iss") != said["iss"]:
        raise BadReceipt("the list of voids is not one of this operator")
    if to_base64url(hashlib.sha256(said["jti"].encode()).digest()) in hashes:
        raise BadReceipt("the receipt was taken back")
    when = datetime.fromtimestamp(at_ms // 1000, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    if at_ms < said["iat"]:
        unchecked.append(f"whether the receipt was taken back: the list of voids is of {when}, before it was issued")
    else:
        unchecked.append(f"whether the receipt was taken back after {when}, the time of the list of voids")


# --- what a receipt must say -------------------------------------------------------------------------------------------------


def _read(payload: dict[str, Any]) -> dict[str, Any]:
    """The payload, once all that is judged by has its form. Raises BadReceipt, which names the claim."""
    checks = {
        "iss": _is_text, "jti": _is_id, "iat": _is_time, "sub": lambda value: _is_hash(value, 16), "aud": _is_text, "st": _is_id, "sth": _is_hash,
        "win": _is_window, "lvl": lambda value: _is_number(value, 0, 4), "meth": _are_methods, "risk": lambda value: _is_number(value, 0, 100),
        "rsn": _are_codes, "pol": _is_text, "evh": _is_hash, "clh": _is_hash, "log": _is_text,
    }  # fmt: skip
    optional = {
        "pin": lambda value: _is_number(value, 0, 1000), "acc": lambda value: _is_number(value, 0, 2**53 - 1), "fence": _is_text, "claim": _is_text,
        "conf": _is_text, "pos": _is_hash, "vch": _is_hash, "prev": _is_id, "copy_of": _is_id,
    }  # fmt: skip
    for name, check in (checks | optional).items():
        if name not in payload and name in optional:
            continue
        if name not in payload or not check(payload[name]):
            raise BadReceipt(f"the receipt has no `{name}` of the form it should have")
    _check_level(payload)
    return payload


def _check_level(said: dict[str, Any]) -> None:
    """A level is not higher than what the receipt shows for it."""
    level, methods = said["lvl"], set(said["meth"])
    if level >= 2 and not methods & {"till", "totp", "staff"}:
        raise BadReceipt(f"level {level} needs a code of the till or its signature, found {', '.join(sorted(methods)) or 'nothing'}")
    if level == 1 and "geo" not in methods:
        raise BadReceipt("level 1 needs a position")
    if level == _REDEEMED and not (({"pos"} & methods and "pos" in said) or ({"voucher"} & methods and "vch" in said)):
        raise BadReceipt("level 4 needs a ticket or a voucher")


def _is_number(value: Any, low: int = 0, high: int = _LATEST_MS) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


_is_time = _is_number


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= 50_000


def _is_id(value: Any) -> bool:
    try:
        return isinstance(value, str) and str(UUID(value)) == value
    except ValueError:
        return False


def _is_hash(value: Any, size: int = 32) -> bool:
    try:
        return isinstance(value, str) and len(from_base64url(value)) == size
    except BadJws:
        return False


def _is_window(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(map(_is_time, value)) and value[1] - value[0] == _WINDOW_MS


def _are_methods(value: Any) -> bool:
    return isinstance(value, list) and len(set(map(str, value))) == len(value) and all(isinstance(one, str) and one in METHODS for one in value)


def _are_codes(value: Any) -> bool:
    return isinstance(value, list) and len(value) <= 100 and all(isinstance(one, str) and _CODE.fullmatch(one) for one in value)
