"""Signed JSON against published vectors, and in one form only."""

from __future__ import annotations

import json
from typing import Any

import pytest
import rfc8785

from visit_verify.jws import (
    BadJws,
    Jws,
    canonical,
    check_ed25519,
    check_es256,
    ed25519_thumbprint,
    from_base64url,
    p256_jwk,
    parse_json,
    parse_jws,
    thumbprint,
    to_base64url,
)

from ..conftest import vectors


def taken_apart(text: str) -> Jws:
    """Without what only our own kinds of text must have."""
    start, payload, signature = text.split(".")
    return Jws(text, {"typ": "text", **parse_json(from_base64url(start))}, {}, f"{start}.{payload}".encode(), from_base64url(signature))


def test_the_example_of_rfc_8037() -> None:
    """Appendix A: key, thumbprint, signature and its verification."""
    public = from_base64url("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo")
    assert ed25519_thumbprint(public) == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
    text = (
        "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc."
        "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"
    )
    check_ed25519(taken_apart(text), public)
    with pytest.raises(BadJws, match="wrong"):
        check_ed25519(taken_apart(text.replace("RXhh", "RXhi")), public)


def test_a_thumbprint_is_that_of_rfc_7638() -> None:
    """Section 3.1, whose key is for RSA: a name is made of any public key alike."""
    modulus = (
        "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9"
        "yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6We"
        "Zu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw"
    )
    assert thumbprint({"e": "AQAB", "kty": "RSA", "n": modulus}) == "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"


def test_wycheproof_es256_texts() -> None:
    judged = 0
    for group in json.loads((vectors("wycheproof") / "json_web_signature_test.json").read_text())["testGroups"]:
        jwk = group["public"]
        if jwk.get("crv") != "P-256" or jwk.get("use") != "sig":
            continue
        for test in group["tests"]:
            try:
                jws = taken_apart(test["jws"])
                if jws.header.get("alg") != "ES256":
                    raise BadJws("another algorithm")
                check_es256(jws, jwk)
                right = True
            except ValueError:
                right = False
            assert right == (test["result"] == "valid"), f"{test['tcId']}: {test['comment']}"
            judged += 1
    assert judged == 39


def test_wycheproof_p256_signatures() -> None:
    published = json.loads((vectors("wycheproof") / "ecdsa_secp256r1_sha256_p1363_test.json").read_text())
    judged = 0
    for group in published["testGroups"]:
        point = bytes.fromhex(group["publicKey"]["uncompressed"])
        jwk = {"crv": "P-256", "kty": "EC", "x": to_base64url(point[1:33]), "y": to_base64url(point[33:])}
        for test in group["tests"]:
            jws = Jws("", {"typ": "text"}, {}, bytes.fromhex(test["msg"]), bytes.fromhex(test["sig"]))
            try:
                check_es256(jws, p256_jwk(jwk))
                right = True
            except BadJws:
                right = False
            assert right == (test["result"] == "valid"), f"{test['tcId']}: {test['comment']}"
            judged += 1
    assert judged == published["numberOfTests"]


def test_published_canonical_json() -> None:
    """All six by the library that writes; by the verifier's few lines those that have only what receipts may have, and the others refused."""
    folder = vectors("jcs")
    same = refused = 0
    for path in sorted((folder / "input").glob("*.json")):
        value, expected = json.loads(path.read_text(encoding="utf-8")), (folder / "output" / path.name).read_bytes().strip()
        assert rfc8785.dumps(value) == expected
        try:
            assert canonical(value) == expected
            same += 1
        except BadJws:
            refused += 1
    assert (same, refused) == (2, 4)


@pytest.mark.parametrize(
    "value",
    [
        {},
        [],
        {"b": 1, "a": [True, None, 'é\u2028\x7f\x1f"\\\n']},
        {"a": {"z": -(2**53) + 1, "y": 2**53 - 1}},
        {"": "", "A": "a", "a": "A", "_": "\U0001f600"},
    ],
)
def test_both_writers_write_the_same(value: Any) -> None:
    assert canonical(value) == rfc8785.dumps(value)


@pytest.mark.parametrize("value", [1.0, 1.5, float("nan"), 2**53, -(2**53), {"é": 1}, {1: 1}, b"x", {"a": "\ud800"}, [object()]])
def test_what_a_receipt_may_not_have_is_refused(value: Any) -> None:
    with pytest.raises(BadJws):
        canonical(value)


@pytest.mark.parametrize("text", ["AA=", "AA==", "A", "AAB", "AA+A", "AA/A", " AAA", "AAA\n", "Ä"])
def test_base64url_has_one_form_only(text: str) -> None:
    with pytest.raises(BadJws):
        from_base64url(text)


@pytest.mark.parametrize(
    "jwk",
    [
        None, [], {}, {"kty": "EC", "crv": "P-256", "x": "AA"}, {"kty": "OKP", "crv": "P-256", "x": "A" * 43, "y": "A" * 43},
        {"kty": "EC", "crv": "P-384", "x": "A" * 43, "y": "A" * 43}, {"kty": "EC", "crv": "P-256", "x": "A" * 42, "y": "A" * 43},
        {"kty": "EC", "crv": "P-256", "x": 7, "y": "A" * 43}, {"kty": "EC", "crv": "P-256", "x": "A" * 43, "y": "A" * 43, "d": "A" * 43},
    ],
)  # fmt: skip
def test_what_is_no_public_key_is_refused(jwk: Any) -> None:
    with pytest.raises(BadJws):
        p256_jwk(jwk)


def test_a_point_beside_the_curve_signs_nothing() -> None:
    jwk = {"kty": "EC", "crv": "P-256", "x": to_base64url(bytes(31) + b"\x01"), "y": to_base64url(bytes(31) + b"\x01")}
    with pytest.raises(BadJws, match="wrong"):
        check_es256(Jws("", {"typ": "text"}, {}, b"", bytes(64)), p256_jwk(jwk))


def test_the_kind_is_part_of_what_is_signed() -> None:
    text = ".".join(to_base64url(part) for part in (b'{"alg":"Ed25519","kid":"k","typ":"a"}', b'{"x":1}', bytes(64)))
    assert parse_jws(text, typ="a", alg="Ed25519", members=frozenset({"kid"})).payload == {"x": 1}
    for typ, alg, members in (("b", "Ed25519", {"kid"}), ("a", "ES256", {"kid"}), ("a", "Ed25519", set()), ("a", "Ed25519", {"kid", "jwk"})):
        with pytest.raises(BadJws):
            parse_jws(text, typ=typ, alg=alg, members=frozenset(members))
