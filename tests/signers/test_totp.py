"""Codes of six digits, by the values of RFC 6238."""

from __future__ import annotations

import hashlib

import pyotp
import pytest

from geo_o2o.signers.totp import STEP_S, is_totp, make_totp, totp_address, totp_step

# RFC 6238, appendix B: seconds, eight digits by SHA-1 and by SHA-256.
VALUES = [
    (59, "94287082", "46119246"),
    (1_111_111_109, "07081804", "68084774"),
    (1_111_111_111, "14050471", "67062674"),
    (1_234_567_890, "89005924", "91819424"),
    (2_000_000_000, "69279037", "90698825"),
    (20_000_000_000, "65353130", "77737706"),
]
SHA1_SECRET, SHA256_SECRET = b"12345678901234567890", b"12345678901234567890123456789012"


@pytest.mark.parametrize(("at_s", "by_sha1", "by_sha256"), VALUES)
def test_the_values_of_the_rfc(at_s: int, by_sha1: str, by_sha256: str) -> None:
    import base64

    for secret, digest, expected in ((SHA1_SECRET, hashlib.sha1, by_sha1), (SHA256_SECRET, hashlib.sha256, by_sha256)):
        assert pyotp.TOTP(base64.b32encode(secret).decode(), digits=8, digest=digest).at(at_s) == expected
    # Ours has six digits: the last ones of the same number.
    assert make_totp(SHA256_SECRET, at_s=at_s) == by_sha256[-6:]


def test_a_code_is_good_one_step_before_and_after() -> None:
    at = 1_800_000_000
    code = make_totp(SHA256_SECRET, at_s=at)
    assert [totp_step(SHA256_SECRET, code, at_s=at + STEP_S * away) for away in range(-2, 3)] == [None, at // 30, at // 30, at // 30, None]
    assert totp_step(SHA1_SECRET, code, at_s=at) is None


@pytest.mark.parametrize(
    ("text", "expected"), [("123456", True), ("12345", False), ("1234567", False), ("12345a", False), ("１２３４５６", False), ("", False)]
)
def test_what_has_the_form_of_a_code(text: str, expected: bool) -> None:
    assert is_totp(text) == expected


def test_the_address_for_an_authenticator_app() -> None:
    address = totp_address(SHA256_SECRET, name="bar", issuer="visits.example")
    assert pyotp.parse_uri(address).at(59) == make_totp(SHA256_SECRET, at_s=59)
