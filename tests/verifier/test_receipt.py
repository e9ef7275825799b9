"""A receipt says what may be believed, and whatever was touched on it is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
from joserfc import jws as joserfc_jws
from joserfc.jwk import OctKey, OKPKey

from geo_o2o.ledger.note import SigningKey
from geo_o2o.ledger.receipt import digest_of, pseudonym, public_of, sign_receipt, sign_voids
from visit_verify.jws import from_base64url, to_base64url
from visit_verify.note import PLAIN, Note, Signature
from visit_verify.proof import Proof, parse_proof
from visit_verify.receipt import BadReceipt, Verdict, entry_of, verify

from .parties import (
    AT_MS,
    DEVICE_ID,
    ISSUER,
    LOG,
    LOG_KEY,
    OPERATOR_ID,
    OPERATOR_SEED,
    OTHER_STORE,
    RECEIPT,
    SALT,
    STORE,
    TILL_ID,
    TILL_SEED,
    Visit,
    claim,
    confirmation,
    policy,
)


def checked(visit: Visit, **trusted: str) -> Verdict:
    receipt = visit.signed()
    return verify(receipt, visit.proof(receipt), policy(**trusted))


def test_a_confirmed_visit_is_believed_and_says_who_signed_it() -> None:
    found = checked(Visit())
    assert (found.level, found.methods, found.p_in, found.risk) == (3, ("geo", "staff"), 870, 0)
    assert (str(found.id), found.store, found.issuer, found.audience) == (RECEIPT, STORE, ISSUER, "holder")
    assert found.window_ms[0] <= AT_MS < found.window_ms[1]
    assert (found.index, found.checkpoint.size, found.checkpoint.origin) == (5, 306, LOG)
    # Both witnesses are needed, so it existed before the second one signed.
    assert found.existed_before_s == AT_MS // 1000 + 50
    assert {(one.who, one.key) for one in found.signers} == {
        ("operator", OPERATOR_ID), ("till", TILL_ID), ("device", DEVICE_ID), ("log", LOG), ("witness", "first"), ("witness", "second"),
    }  # fmt: skip


@pytest.mark.parametrize("level", range(5))
def test_every_level_can_be_believed(level: int) -> None:
    found = checked(Visit(level=level))
    assert found.level == level
    assert ("till" in {one.who for one in found.signers}) == (level >= 3)


def test_it_is_said_what_was_not_checked() -> None:
    said = " ".join(checked(Visit()).not_checked)
    assert "invent the visit together" in said
    assert "taken back since" in said
    assert "till has not signed" not in said
    assert "till has not signed" in " ".join(checked(Visit(level=1)).not_checked)
    sealed = checked(Visit(changes={"claim": None}))
    assert "ask for the open one" in " ".join(sealed.not_checked)
    assert "device" not in {one.who for one in sealed.signers}


def test_without_witnesses_no_time_is_believed() -> None:
    visit = Visit()
    receipt = visit.signed()
    found = verify(receipt, visit.proof(receipt, witnesses=0), policy(quorum="none"))
    assert found.existed_before_s is None
    assert "operator's word" in " ".join(found.not_checked)


def test_the_time_is_that_at_which_enough_had_signed() -> None:
    found = checked(Visit(), group="group both any first second")
    assert found.existed_before_s == AT_MS // 1000 + 40


def test_a_list_of_voids_answers_for_what_was_taken_back() -> None:
    visit = Visit()
    receipt = visit.signed()
    proof = visit.proof(receipt)
    others = [UUID(int=number) for number in range(3)]
    voids = sign_voids(others, issuer=ISSUER, at_ms=AT_MS, seed=OPERATOR_SEED)
    assert "taken back: the list of voids is of" in " ".join(verify(receipt, proof, policy(), voids=voids).not_checked), "older than the receipt"
    fresh = sign_voids(others, issuer=ISSUER, at_ms=AT_MS + 60_000, seed=OPERATOR_SEED)
    assert "taken back after 2026-11-18" in " ".join(verify(receipt, proof, policy(), voids=fresh).not_checked)
    long = sign_voids([UUID(int=number) for number in range(10_000)], issuer=ISSUER, at_ms=AT_MS + 60_000, seed=OPERATOR_SEED)
    assert verify(receipt, proof, policy(), voids=long).level == 3
    with pytest.raises(BadReceipt, match="key that was revoked"):
        verify(receipt, proof, policy(operator=f"operator {to_base64url(public_of(OPERATOR_SEED))} before=9"), voids=fresh)
    with pytest.raises(BadReceipt, match="taken back"):
        verify(receipt, proof, policy(), voids=sign_voids([*others, UUID(RECEIPT)], issuer=ISSUER, at_ms=AT_MS, seed=OPERATOR_SEED))
    with pytest.raises(BadReceipt, match="list of voids is signed by a key"):
        verify(receipt, proof, policy(), voids=sign_voids(others, issuer=ISSUER, at_ms=AT_MS, seed=TILL_SEED))
    with pytest.raises(BadReceipt, match="not one of this operator"):
        verify(receipt, proof, policy(), voids=sign_voids(others, issuer="https://other.example", at_ms=AT_MS, seed=OPERATOR_SEED))
    with pytest.raises(BadReceipt):
        verify(receipt, proof, policy(), voids=receipt)


def test_a_flipped_bit_anywhere_in_the_receipt_is_refused() -> None:
    visit = Visit()
    receipt = visit.signed()
    proof, trusted = visit.proof(receipt), policy()
    for at in range(0, len(receipt), 7):
        for bit in (1, 4, 32):
            changed = receipt[:at] + chr(ord(receipt[at]) ^ bit) + receipt[at + 1 :]
            with pytest.raises(BadReceipt):
                verify(changed, proof, trusted)


def test_a_flipped_bit_anywhere_in_the_proof_is_refused_or_changes_nothing_that_counts() -> None:
    visit = Visit()
    receipt = visit.signed()
    text, trusted = str(visit.proof(receipt)), policy()
    right = verify(receipt, parse_proof(text), trusted)
    data = text.encode()
    for at in range(len(data)):
        changed = bytearray(data)
        changed[at] ^= 1
        with pytest.raises(ValueError):
            verify(receipt, parse_proof(bytes(changed)), trusted)
    assert verify(receipt, parse_proof(text), trusted) == right


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"index": 4}, "another root"),
        ({"index": 6}, "another root"),
        ({"extra": bytes(32)}, "another root"),
        ({"extra": b"short"}, "salt"),
        ({"extra": None}, "salt"),
    ],
)
def test_another_place_or_another_salt_is_refused(change: dict[str, Any], said: str) -> None:
    visit = Visit()
    receipt = visit.signed()
    with pytest.raises(BadReceipt, match=said):
        verify(receipt, replace(visit.proof(receipt), **change), policy())


def test_a_witness_that_was_stripped_off_is_missed() -> None:
    visit = Visit()
    receipt = visit.signed()
    with pytest.raises(BadReceipt, match="quorum both is not reached"):
        verify(receipt, visit.proof(receipt, witnesses=1), policy())


def test_a_witness_that_signed_another_time_is_refused() -> None:
    visit = Visit()
    receipt = visit.signed()
    proof = visit.proof(receipt)
    *others, last = proof.note.signatures
    moved = Signature(last.name, last.id, (int.from_bytes(last.body[:8], "big") - 86_400).to_bytes(8, "big") + last.body[8:])
    with pytest.raises(BadReceipt, match="witness2\\.example is wrong"):
        verify(receipt, replace(proof, note=Note(proof.note.text, (*others, moved))), policy())


def test_the_operator_cannot_put_another_receipt_under_an_old_proof() -> None:
    visit = Visit()
    proof = visit.proof(visit.signed())
    for changes in ({"lvl": 4, "meth": ["geo", "staff", "pos"], "pos": to_base64url(b"x" * 32)}, {"iat": AT_MS + 31_000}, {"risk": 1}):
        with pytest.raises(BadReceipt, match="another root"):
            verify(Visit(changes=changes).signed(), proof, policy())


def test_another_log_or_another_signer_of_it_is_refused() -> None:
    visit = Visit()
    receipt = visit.signed()
    for key in (SigningKey("other.example/log", PLAIN, b"l" * 32), SigningKey(LOG, PLAIN, b"m" * 32)):
        with pytest.raises(BadReceipt, match="log"):
            verify(receipt, visit.proof(receipt, log_key=key), policy())
    assert LOG_KEY.name == LOG


@pytest.mark.parametrize(
    ("visit", "said"),
    [
        (Visit(seed=TILL_SEED), "not name as an operator's"),
        (Visit(changes={"conf": None}), "needs the signature of the store's till"),
        (Visit(changes={"conf": confirmation(claim(), seed=OPERATOR_SEED)}), "till that the policy does not name"),
        (Visit(changes={"conf": confirmation(claim(jti="another"))}), "another `clh`"),
        (Visit(changes={"st": OTHER_STORE}), "another `st`"),
        (Visit(changes={"evh": to_base64url(b"f" * 32)}), "another `evh`"),
        (Visit(changes={"clh": to_base64url(b"f" * 32)}), "not the one that it names"),
        (Visit(changes={"claim": claim(st=OTHER_STORE)}), "not the one that it names"),
        (Visit(claimed=claim(st=OTHER_STORE)), "device signed another `st`"),
        (Visit(claimed=claim(iat=AT_MS + 400_000)), "device signed after"),
        (Visit(claimed=claim(iat="now")), "device signed after"),
        (Visit(level=1, changes={"lvl": 2}), "level 2 needs"),
        (Visit(level=0, changes={"lvl": 1}), "level 1 needs a position"),
        (Visit(level=4, changes={"meth": ["geo", "staff", "voucher"]}), "ticket or a voucher"),
        (Visit(changes={"win": [0, 2 * AT_MS]}), "no `win`"),
        (Visit(changes={"win": [AT_MS - 900_000 - 31_536_000_000, AT_MS - 31_536_000_000]}), "device signed at another time"),
        (Visit(changes={"claim": None, "win": [AT_MS - 900_000 - 31_536_000_000, AT_MS - 31_536_000_000]}), "till signed at another time"),
        (Visit(level=2, changes={"lvl": 3}), "needs"),
        (Visit(level=3, changes={"lvl": 4}), "ticket or a voucher"),
        (Visit(changes={"log": "visits.example/log/2026h1"}), "belongs to the log"),
    ],
)
def test_what_does_not_belong_together_is_refused(visit: Visit, said: str) -> None:
    with pytest.raises(BadReceipt, match=said):
        checked(visit)


def confirmed(**more: Any) -> Visit:
    """A visit whose till signed something else about the right claim."""
    claimed = claim()
    return Visit(claimed=claimed, changes={"conf": confirmation(claimed, **more)})


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"st": OTHER_STORE}, "another `st`"),
        ({"till": "another"}, "another `till`"),
        ({"clh": to_base64url(b"z" * 32)}, "another `clh`"),
        ({"iat": AT_MS + 400_000}, "till signed after"),
        ({"iat": AT_MS - 400_000}, "till signed before"),
        ({"iat": True}, "till signed after"),
        ({"pos": to_base64url(b"y" * 32)}, "another ticket"),
    ],
)
def test_a_confirmation_of_something_else_is_refused(more: dict[str, Any], said: str) -> None:
    with pytest.raises(BadReceipt, match=said):
        checked(confirmed(**more))


WRONG = [
    (name, value)
    for name in ("iss", "jti", "iat", "sub", "aud", "st", "sth", "win", "lvl", "meth", "risk", "rsn", "pol", "evh", "clh", "log")
    for value in (None, "", 7.5, -1, True, [], {}, "x" * 60_000, [1, 2, 3])
    # No reason and no method are forms that these may have.
    if (name, value) not in (("rsn", []), ("meth", []))
]


@pytest.mark.parametrize(("name", "value"), WRONG)
def test_a_claim_of_another_form_is_refused(name: str, value: Any) -> None:
    receipt = OKPKey.import_key({"crv": "Ed25519", "d": to_base64url(OPERATOR_SEED), "kty": "OKP", "x": to_base64url(public_of(OPERATOR_SEED))})
    payload = {**Visit().payload, name: value}
    if value is None:
        del payload[name]
    text = joserfc_jws.serialize_compact(
        {"alg": "Ed25519", "kid": OPERATOR_ID, "typ": "xc-receipt+jwt"},
        json.dumps(payload, sort_keys=True, separators=(",", ":")).encode(),
        receipt,
        algorithms=["Ed25519"],
    )
    with pytest.raises(BadReceipt):
        verify(text, Visit().proof(text), policy())


def test_a_key_is_good_for_its_time_in_the_log_only() -> None:
    operator = to_base64url(public_of(OPERATOR_SEED))
    till = f"till {STORE} {to_base64url(public_of(TILL_SEED))}"
    assert checked(Visit(), operator=f"operator {operator} after=4 before=6").level == 3
    for limits in ("after=5", "before=5", "after=0 before=3"):
        with pytest.raises(BadReceipt, match="operator's key was not good"):
            checked(Visit(), operator=f"operator {operator} {limits}")
        with pytest.raises(BadReceipt, match="till's key was not good"):
            checked(Visit(), till=f"{till} {limits}")


def test_a_policy_that_names_nobody_believes_nothing() -> None:
    with pytest.raises(BadReceipt, match="not name as an operator's"):
        checked(Visit(), operator="")
    with pytest.raises(BadReceipt, match="not signed by the log"):
        checked(Visit(), log="")


def test_a_till_is_good_for_its_own_store_only() -> None:
    with pytest.raises(BadReceipt, match="till that the policy does not name"):
        checked(Visit(), till=f"till {OTHER_STORE} {to_base64url(public_of(TILL_SEED))}")


def test_a_revoked_device_is_refused() -> None:
    with pytest.raises(BadReceipt, match="device was revoked"):
        checked(Visit(), revoked=f"revoked {DEVICE_ID}")
    assert checked(Visit(), revoked="revoked somebody-else").level == 3
    # What was logged before the key was lost stays good.
    assert checked(Visit(), revoked=f"revoked {DEVICE_ID} before=6").level == 3
    with pytest.raises(BadReceipt, match="device was revoked"):
        checked(Visit(), revoked=f"revoked {DEVICE_ID} before=5")


@pytest.mark.parametrize(
    "change",
    [
        {"alg": "EdDSA"}, {"alg": "none"}, {"alg": "HS256"}, {"alg": "ES256"}, {"typ": "JWT"}, {"typ": "xc-conf+jwt"}, {"typ": None}, {"kid": None}, {"kid": 7},
        {"jwk": {"kty": "OKP", "crv": "Ed25519", "x": to_base64url(public_of(OPERATOR_SEED))}}, {"crit": ["exp"]}, {"jku": "https://evil.example"},
        {"x5u": "https://evil.example"}, {"b64": False},
    ],
)  # fmt: skip
def test_another_header_is_refused(change: dict[str, Any]) -> None:
    """Also where it is signed by the right key: nobody chooses how he is checked."""
    head = {"alg": "Ed25519", "kid": OPERATOR_ID, "typ": "xc-receipt+jwt", **change}
    header = {name: value for name, value in head.items() if value is not None}
    _, payload, _ = Visit().signed().split(".")
    start = to_base64url(json.dumps(header, separators=(",", ":")).encode())
    signature = SigningKey("x", PLAIN, OPERATOR_SEED)._private.sign(f"{start}.{payload}".encode())
    text = f"{start}.{payload}.{to_base64url(signature)}"
    with pytest.raises(BadReceipt):
        verify(text, Visit().proof(text), policy())


def test_a_public_key_is_no_secret_to_sign_with() -> None:
    """The old trick: HMAC with the operator's public key."""
    key = OctKey.import_key(public_of(OPERATOR_SEED))
    text = joserfc_jws.serialize_compact({"alg": "HS256", "kid": OPERATOR_ID, "typ": "xc-receipt+jwt"}, b"{}", key, algorithms=["HS256"])
    with pytest.raises(BadReceipt, match="HS256"):
        verify(text, Visit().proof(text), policy())


@pytest.mark.parametrize(
    "change",
    [
        lambda raw: raw.replace(b'"lvl":3', b'"lvl": 3'),
        lambda raw: raw.replace(b'"lvl":3', b'"lvl":3.0'),
        lambda raw: raw.replace(b'"lvl":3', b'"lvl":3,"lvl":3'),
        lambda raw: raw.replace(b'"lvl":3', b'"lvl":30e-1'),
        lambda raw: raw.replace(b'"lvl":3', b'"lvl":NaN'),
        lambda raw: raw.replace(b'"holder"', b'"\\u0068older"'),
        lambda raw: raw.replace(b'"holder"', b'"\\ud800"'),
        lambda raw: b"[" + raw + b"]",
        lambda raw: raw + b" ",
        lambda raw: b"\xef\xbb\xbf" + raw,
        lambda raw: b"[" * 5_000,
        lambda raw: b"",
    ],
)
def test_content_has_one_form_only(change: Any) -> None:
    start, payload, _ = Visit().signed().split(".")
    other = to_base64url(change(from_base64url(payload)))
    signature = SigningKey("x", PLAIN, OPERATOR_SEED)._private.sign(f"{start}.{other}".encode())
    text = f"{start}.{other}.{to_base64url(signature)}"
    with pytest.raises(BadReceipt):
        verify(text, Visit().proof(text), policy())


@pytest.mark.parametrize("text", ["", ".", "..", "a.b", "a.b.c.d", "é.é.é", "x" * 200_000])
def test_what_is_no_receipt_is_refused(text: str) -> None:
    with pytest.raises(BadReceipt):
        verify(text, Visit().proof("nothing"), policy())


def test_the_log_says_nothing_of_a_receipt_without_its_salt() -> None:
    receipt = Visit().signed()
    one, other = entry_of(receipt, SALT), entry_of(receipt, bytes(32))
    assert len(one) == len(other) == 34
    assert one[:2] == other[:2] == b"\x01\x01"
    assert one[2:] != other[2:]
    with pytest.raises(BadReceipt, match="32 bytes"):
        entry_of(receipt, b"")


def test_a_visitor_has_another_name_for_each_audience() -> None:
    names = {pseudonym(b"p" * 32, account=account, audience=audience) for account in ("a", "b") for audience in ("holder", "brand")}
    assert len(names) == 4
    assert pseudonym(b"p" * 32, account="a", audience="brand") in names
    assert pseudonym(b"q" * 32, account="a", audience="brand") not in names
    assert len(from_base64url(names.pop())) == 16
    with pytest.raises(ValueError, match="32 bytes"):
        pseudonym(b"short", account="a", audience="brand")


def test_two_receipts_of_one_visit_name_the_same_claim() -> None:
    visit = Visit()
    holder, brand = visit.payload, {**visit.payload, "aud": "brand", "claim": None}
    assert holder["clh"] == brand["clh"] == digest_of(visit.claimed)
    assert sign_receipt({"a": 1, "b": [2]}, seed=OPERATOR_SEED).split(".")[1] == to_base64url(b'{"a":1,"b":[2]}')


def test_a_proof_of_nothing_is_refused() -> None:
    receipt = Visit().signed()
    proof = Visit().proof(receipt)
    with pytest.raises(BadReceipt):
        verify(receipt, Proof(0, (), Note("nothing\n", proof.note.signatures), SALT), policy())
