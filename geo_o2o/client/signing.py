"""The keys of a device and of a till, and what they sign. On a phone the key lives in its hardware; this one lives in a file or in memory."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import rfc8785
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from joserfc import jws
from joserfc.jwk import ECKey

from visit_verify.jws import ES256, ed25519_thumbprint, thumbprint, to_base64url

from ..checkins.tillcode import make_till_code, parse_scan
from ..ledger.receipt import public_of, sign_claim, sign_confirmation
from ..signers.proof import PROOF


def now_ms() -> int:
    return int(time.time() * 1000)


@dataclass(frozen=True, repr=False)
class Device:
    """A visitor's device, known by its P-256 key."""

    key: ECKey

    @classmethod
    def make(cls) -> Device:
        return cls(_as_key(generate_private_key(SECP256R1())))

    @classmethod
    def kept(cls, path: str | Path) -> Device:
        """The device whose key is in a file, made where there is none."""
        found = load_pem_private_key(_kept(path, lambda: _pem(generate_private_key(SECP256R1()))), None)
        if not isinstance(found, EllipticCurvePrivateKey):
            raise ValueError(f"{path} holds no P-256 key")
        return cls(_as_key(found))

    @property
    def jwk(self) -> dict[str, str]:
        """The public key."""
        return {name: str(value) for name, value in self.key.as_dict(private=False).items() if name in ("crv", "kty", "x", "y")}

    @property
    def id(self) -> str:
        return thumbprint(self.jwk)

    def prove(self, method: str, address: str, nonce: str) -> str:
        """That a request is this device's own (RFC 9449)."""
        said: dict[str, str | int] = {
            "htm": method, "htu": address.partition("?")[0], "iat": now_ms() // 1000, "jti": secrets.token_urlsafe(16), "nonce": nonce,
        }  # fmt: skip
        return jws.serialize_compact({"alg": ES256, "jwk": self.jwk, "typ": PROOF}, rfc8785.dumps(dict(said)), self.key, algorithms=[ES256])

    def claim(
        self, challenge: dict[str, Any], *, store_id: UUID | str, evidence_hash: bytes, code: str | None = None, at_ms: int | None = None
    ) -> str:
        """To have been at a store, over a challenge as the service gave it."""
        said = {
            "jti": str(uuid4()), "ch": challenge["ch"], "bcn": challenge["beacon"], "st": str(store_id), "iat": now_ms() if at_ms is None else at_ms,
            "evh": to_base64url(evidence_hash), **({"code": code} if code is not None else {}),
        }  # fmt: skip
        return sign_claim(said, key=self.key)


@dataclass(frozen=True, repr=False)
class TillKey:
    """A till, known by its Ed25519 key. seed: 32 bytes."""

    seed: bytes

    @classmethod
    def make(cls) -> TillKey:
        return cls(secrets.token_bytes(32))

    @classmethod
    def kept(cls, path: str | Path) -> TillKey:
        """The till whose key is in a file, made where there is none. Raises ValueError."""
        seed = bytes.fromhex(_kept(path, lambda: secrets.token_hex(32).encode()).decode().strip())
        if len(seed) != 32:
            raise ValueError(f"{path} holds no till's key")
        return cls(seed)

    @property
    def id(self) -> str:
        return ed25519_thumbprint(public_of(self.seed))

    @property
    def jwk(self) -> dict[str, str]:
        return {"kty": "OKP", "crv": "Ed25519", "x": to_base64url(public_of(self.seed))}

    def code(self, store_id: UUID | str, *, at_s: float | None = None) -> str:
        """What the till shows as a QR code; a new one every quarter of a minute."""
        return make_till_code(UUID(str(store_id)), seed=self.seed, at_s=time.time() if at_s is None else at_s, chance=secrets.token_bytes(8))

    def confirmation(self, scan: str, *, store_id: UUID | str, late: bool = False, pos: bytes | None = None, at_ms: int | None = None) -> str:
        """That the till saw whoever shows this code. pos: commitment to a ticket. late: the till was offline. Raises BadCode."""
        said = {
            "jti": str(uuid4()), "clh": to_base64url(parse_scan(scan).claim_hash), "st": str(store_id), "till": self.id,
            "iat": now_ms() if at_ms is None else at_ms, **({"late": True} if late else {}), **({"pos": to_base64url(pos)} if pos else {}),
        }  # fmt: skip
        return sign_confirmation(said, seed=self.seed)


def _kept(path: str | Path, make: Callable[[], bytes]) -> bytes:
    """The content of a file that nobody else can read, made where there is none."""
    file = Path(path)
    if not file.exists():
        with open(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as opened:
            opened.write(make())
    return file.read_bytes()


def _as_key(key: EllipticCurvePrivateKey) -> ECKey:
    return ECKey.import_key(_pem(key))


def _pem(key: EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
