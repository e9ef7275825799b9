"""Signed JSON, read strictly: one way to write each thing, and no choice for whoever signs. Pure.

Source: RFC 7515 (JWS, compact), RFC 7638 (thumbprints), RFC 8037 and 9864 (Ed25519), RFC 8785 (canonical JSON, here of whole numbers).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, EllipticCurvePublicNumbers
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

ED25519, ES256 = "Ed25519", "ES256"
_MOST_BYTES = 100_000
_KEY_BYTES, _SIGNATURE_BYTES = 32, 64
# Beyond these a reader whose numbers are doubles would read another number.
_LARGEST = 2**53 - 1
_DEEPEST = 50


class BadJws(ValueError):
    """Not a signed text of the kind that is expected, or the signature is wrong."""


@dataclass(frozen=True)
class Jws:
    """A signed text taken apart. text: as it was sent. signed: the part that is signed."""

    text: str
    header: dict[str, Any]
    payload: dict[str, Any]
    signed: bytes
    signature: bytes

    @property
    def digest(self) -> bytes:
        """SHA-256 of the text, by which others name it."""
        return hashlib.sha256(self.text.encode()).digest()


def parse_jws(text: str, *, typ: str, alg: str, members: frozenset[str], most_bytes: int = _MOST_BYTES) -> Jws:
    """Raises BadJws. members: all that the header has beside typ and alg. No signature is checked."""
    if len(text) > most_bytes:
        raise BadJws(f"the {typ} is too long")
    parts = text.split(".")
    if len(parts) != 3:
        raise BadJws(f"a {typ} has three parts with dots between")
    header = parse_json(from_base64url(parts[0]))
    expected = members | {"alg", "typ"}
    if header.keys() != expected:
        raise BadJws(f"the header of a {typ} has {', '.join(sorted(expected))} and nothing else, found {', '.join(sorted(header))[:200]}")
    if header["typ"] != typ or header["alg"] != alg:
        raise BadJws(f"expected a {typ} signed by {alg}, found typ {str(header['typ'])[:40]!r} and alg {str(header['alg'])[:40]!r}")
    raw = from_base64url(parts[1])
    payload = parse_json(raw)
    if canonical(payload) != raw:
        raise BadJws(f"the content of the {typ} is not in the one form that it may have (RFC 8785)")
    return Jws(text, header, payload, f"{parts[0]}.{parts[1]}".encode(), from_base64url(parts[2]))


def check_ed25519(jws: Jws, public: bytes) -> None:
    """Raises BadJws unless this key signed it. public: 32 bytes."""
    try:
        if len(jws.signature) != _SIGNATURE_BYTES:
            raise InvalidSignature
        Ed25519PublicKey.from_public_bytes(public).verify(jws.signature, jws.signed)
    except (InvalidSignature, ValueError) as failure:
        raise BadJws(f"the signature of the {jws.header['typ']} is wrong") from failure


def check_es256(jws: Jws, jwk: Mapping[str, Any]) -> None:
    """Raises BadJws unless this P-256 key signed it."""
    try:
        if len(jws.signature) != _SIGNATURE_BYTES:
            raise InvalidSignature
        x, y = (int.from_bytes(_coordinate(jwk, name), "big") for name in ("x", "y"))
        r, s = (int.from_bytes(half, "big") for half in (jws.signature[:32], jws.signature[32:]))
        EllipticCurvePublicNumbers(x, y, SECP256R1()).public_key().verify(encode_dss_signature(r, s), jws.signed, ECDSA(SHA256()))
    except (InvalidSignature, ValueError) as failure:
        raise BadJws(f"the signature of the {jws.header.get('typ', 'text')} is wrong") from failure


def p256_jwk(jwk: Any) -> dict[str, str]:
    """A public P-256 key and nothing else. Raises BadJws, also for a private one."""
    if not isinstance(jwk, dict) or jwk.keys() != {"crv", "kty", "x", "y"} or (jwk["kty"], jwk["crv"]) != ("EC", "P-256"):
        raise BadJws("expected a public P-256 key with kty, crv, x and y")
    for name in ("x", "y"):
        _coordinate(jwk, name)
    return jwk


def thumbprint(jwk: Mapping[str, str]) -> str:
    """The name of a public key (RFC 7638). jwk: only the members that the key is made of."""
    return to_base64url(hashlib.sha256(canonical(dict(jwk))).digest())


def ed25519_thumbprint(public: bytes) -> str:
    return thumbprint({"crv": "Ed25519", "kty": "OKP", "x": to_base64url(public)})


def _coordinate(jwk: Mapping[str, Any], name: str) -> bytes:
    data = from_base64url(jwk[name]) if isinstance(jwk.get(name), str) else b""
    if len(data) != _KEY_BYTES:
        raise BadJws(f"the {name} of a P-256 key has {_KEY_BYTES} bytes")
    return data


# --- one way to write each thing ---------------------------------------------------------------------------------------------


def canonical(value: Any) -> bytes:
    """RFC 8785, of text, whole numbers, true, false, null, lists and objects with ASCII names. Raises BadJws where there is anything else."""
    _check(value)
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":")).encode()
    except UnicodeEncodeError as failure:
        raise BadJws("half a character is no text") from failure


def _check(value: Any, depth: int = 0) -> None:
    # As deep as any reader goes, so that all of them agree.
    if depth > _DEEPEST:
        raise BadJws(f"nothing is nested deeper than {_DEEPEST} here")
    if isinstance(value, dict):
        for name, one in value.items():
            if not isinstance(name, str) or not name.isascii():
                raise BadJws("names are ASCII here")
            _check(one, depth + 1)
    elif isinstance(value, list):
        for one in value:
            _check(one, depth + 1)
    elif isinstance(value, bool) or value is None or isinstance(value, str):
        pass
    elif not isinstance(value, int) or abs(value) > _LARGEST:
        raise BadJws(f"numbers are whole here, and at most 2^53 - 1, found {str(value)[:40]}")


def parse_json(data: bytes) -> dict[str, Any]:
    """An object without a name twice. Raises BadJws."""
    try:
        found = json.loads(data.decode(), object_pairs_hook=_without_twins, parse_constant=_no_constant)
    except (ValueError, RecursionError) as failure:
        raise BadJws(f"expected JSON: {str(failure)[:100]}") from failure
    if not isinstance(found, dict):
        raise BadJws("expected a JSON object")
    return found


def _without_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("an object has a name twice")
    return found


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no number")


def to_base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def from_base64url(text: str) -> bytes:
    """Raises BadJws, also where bits are set that nobody reads."""
    try:
        data = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as failure:
        raise BadJws(f"expected base64url without padding, found {text[:60]!r}") from failure
    if to_base64url(data) != text:
        raise BadJws(f"expected base64url without padding, found {text[:60]!r}")
    return data
