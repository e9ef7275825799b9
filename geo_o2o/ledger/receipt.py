"""Making what the verifier reads: receipts, confirmations, lists of voids. Pure; keys and salts are handed in.

Source: design of the project (trust, section 3).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

import rfc8785
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from joserfc import jws
from joserfc.jwk import ECKey, OKPKey

from visit_verify.jws import ED25519, ES256, ed25519_thumbprint, to_base64url
from visit_verify.receipt import CLAIM, CONFIRMATION, RECEIPT, VOIDS


def sign_receipt(payload: Mapping[str, Any], *, seed: bytes) -> str:
    """seed: of the operator's key, 32 bytes."""
    return _sign_ed25519(payload, typ=RECEIPT, seed=seed)


def sign_confirmation(payload: Mapping[str, Any], *, seed: bytes) -> str:
    """As a till does. seed: of its key."""
    return _sign_ed25519(payload, typ=CONFIRMATION, seed=seed)


def sign_claim(payload: Mapping[str, Any], *, key: ECKey) -> str:
    """As a visitor's device does; its public key goes into the header."""
    public = {name: str(value) for name, value in key.as_dict(private=False).items() if name in ("crv", "kty", "x", "y")}
    return jws.serialize_compact({"alg": ES256, "jwk": public, "typ": CLAIM}, rfc8785.dumps(dict(payload)), key, algorithms=[ES256])


def sign_voids(voided: Iterable[UUID], *, issuer: str, at_ms: int, seed: bytes) -> str:
    """The list of receipts that were taken back, which names them by a hash only."""
    hashes = sorted(to_base64url(hashlib.sha256(str(one).encode()).digest()) for one in voided)
    return _sign_ed25519({"iat": at_ms, "iss": issuer, "voids": hashes}, typ=VOIDS, seed=seed)


def digest_of(text: str) -> str:
    """How one signed text names another: SHA-256, base64url."""
    return to_base64url(hashlib.sha256(text.encode()).digest())


def pseudonym(secret: bytes, *, account: str, audience: str) -> str:
    """What an audience knows an account by: another for each audience, and the same for the same one. secret: 32 bytes at least."""
    if len(secret) < 32:
        raise ValueError(f"the secret of pseudonyms has 32 bytes at least, found {len(secret)}")
    name = rfc8785.dumps([account, audience])
    return to_base64url(hashlib.blake2b(name, digest_size=16, key=secret[:64], person=b"xc-sub/v1").digest())


def _sign_ed25519(payload: Mapping[str, Any], *, typ: str, seed: bytes) -> str:
    key = OKPKey.import_key({"crv": "Ed25519", "d": to_base64url(seed), "kty": "OKP", "x": to_base64url(public_of(seed))})
    header = {"alg": ED25519, "kid": ed25519_thumbprint(public_of(seed)), "typ": typ}
    return jws.serialize_compact(header, rfc8785.dumps(dict(payload)), key, algorithms=[ED25519])


def public_of(seed: bytes) -> bytes:
    """The public key of a seed."""
    return Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()
