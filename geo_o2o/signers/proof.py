"""Proof that a request comes from a device: a header that it signed for this very request. Pure.

Source: RFC 9449 (DPoP), without access tokens: the API key says which app it is, this says which device.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass

from visit_verify.jws import ES256, BadJws, check_es256, p256_jwk, parse_jws, thumbprint, to_base64url

PROOF = "dpop+jwt"
NONCE_LIFE_S = 120
_MEMBERS = frozenset({"jwk"})
_LONGEST_JTI = 64


class BadProof(ValueError):
    """The header does not prove that the request is the device's own."""


class NeedsNonce(BadProof):
    """The header is right but for the nonce, which is missing or too old."""


@dataclass(frozen=True)
class Proof:
    """device_id: thumbprint of its key. jti: chosen by the device, new for each request."""

    device_id: str
    jwk: dict[str, str]
    jti: str


def nonce_at(secret: str, *, at_s: float) -> str:
    """What devices must sign now, so that no proof can be made in advance. Not kept anywhere: it is known again by its making."""
    return _nonce(secret, int(at_s // NONCE_LIFE_S))


def check_proof(text: str, *, method: str, addresses: frozenset[str], secret: str, at_s: float) -> Proof:
    """text: the header. addresses: those that this request has, without query. Raises BadProof, NeedsNonce."""
    try:
        jws = parse_jws(text, typ=PROOF, alg=ES256, members=_MEMBERS)
        jwk = p256_jwk(jws.header["jwk"])
        check_es256(jws, jwk)
    except BadJws as failure:
        raise BadProof(str(failure)) from failure
    said = jws.payload
    if said.get("htm") != method or said.get("htu") not in addresses:
        raise BadProof(f"the proof is for {str(said.get('htm'))[:10]} {str(said.get('htu'))[:200]} and not for this request")
    jti = said.get("jti")
    if not isinstance(jti, str) or not 8 <= len(jti) <= _LONGEST_JTI or not jti.isascii() or not jti.isprintable():
        raise BadProof(f"the proof needs a `jti` of 8 to {_LONGEST_JTI} visible characters")
    present = int(at_s // NONCE_LIFE_S)
    nonce = str(said.get("nonce", "")).encode()
    if not any(hmac.compare_digest(nonce, _nonce(secret, step).encode()) for step in (present, present - 1)):
        raise NeedsNonce("the proof needs the nonce of the header DPoP-Nonce, signed with it")
    return Proof(thumbprint(jwk), jwk, jti)


def _nonce(secret: str, step: int) -> str:
    return to_base64url(hmac.digest(secret.encode(), f"xc-nonce/v1 {step}".encode(), hashlib.sha256)[:16])
