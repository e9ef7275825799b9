"""What a visitor's app does: enrol the device, check in, fetch the receipt and keep it."""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from visit_verify.jws import to_base64url

from ..checkins.claims import SALT_BYTES, evidence_hash
from .calls import Calls
from .signing import Device, now_ms

_POLL_S = 0.5


@dataclass(frozen=True)
class Position:
    """A fix as the platform reports it. kind: p68 (Android), rms2d (iOS), p95 (browsers). t_ms: by the device's clock; now where it is None."""

    lat: float
    lng: float
    accuracy_m: float
    kind: str = "p68"
    t_ms: int | None = None
    mono_ms: int | None = None
    mock: bool = False

    def as_evidence(self) -> dict[str, Any]:
        """Whole numbers, as they are signed."""
        return {
            "lat_e7": round(self.lat * 1e7), "lng_e7": round(self.lng * 1e7), "acc_mm": round(self.accuracy_m * 1000), "acc_kind": self.kind,
            "t_ms": now_ms() if self.t_ms is None else self.t_ms, **({"mono_ms": self.mono_ms} if self.mono_ms is not None else {}),
            **({"mock": True} if self.mock else {}),
        }  # fmt: skip


@dataclass
class Visitor:
    """url: of the service. key: the app's API key. account: the app's own pseudonym of the visitor, never a name."""

    url: str
    key: str
    device: Device
    account: str | None = None
    platform: str = "other"
    calls: Calls = field(init=False)

    def __post_init__(self) -> None:
        self.calls = Calls(self.url, self.key)

    def enrol(self) -> str:
        """The device's id. Enrolled again it is the same. Raises Refused."""
        body = {"jwk": self.device.jwk, "platform": self.platform}
        return str(self.calls.json("POST", "/v1/devices", body, prove=self.device.prove)["device_id"])

    def check_in(self, store_id: UUID | str, positions: Sequence[Position], *, code: str | None = None) -> dict[str, Any]:
        """The check-in with its level. positions: 1 to 5. code: what the till shows. Raises Refused."""
        body, key = self.sign(store_id, positions, code=code), str(uuid4())
        for last in (False, False, True):
            try:
                found: dict[str, Any] = self.calls.json("POST", "/v1/check-ins", body, prove=self.device.prove, idempotency_key=key)
                break
            except OSError:
                # Nobody knows whether it arrived: the same again, which counts once.
                if last:
                    raise
        return found

    def sign(self, store_id: UUID | str, positions: Sequence[Position], *, code: str | None = None) -> dict[str, Any]:
        """The body of a check-in, over a new challenge. Raises Refused."""
        challenge = self.calls.json("POST", "/v1/check-ins/challenge", {"store_id": str(store_id)}, prove=self.device.prove)
        evidence = {"fixes": [one.as_evidence() for one in positions]}
        salt = secrets.token_bytes(SALT_BYTES)
        claim = self.device.claim(challenge, store_id=store_id, evidence_hash=evidence_hash(evidence, salt), code=code)
        account = {"visitor": self.account} if self.account else {}
        return {"claim": claim, "evidence": evidence, "evidence_salt": to_base64url(salt), **account}

    def receipt(self, check_in: dict[str, Any], *, patience_s: float = 60.0) -> bytes:
        """The `.visit` file of a check-in, once the log shows it. Raises Refused, TimeoutError."""
        issued = self.calls.json("POST", f"/v1/check-ins/{check_in['id']}/receipts", {}, prove=self.device.prove)
        deadline = time.monotonic() + patience_s
        while time.monotonic() < deadline:
            status, data = self.calls.bytes("GET", f"/v1/receipts/{issued['receipt_id']}/visit", prove=self.device.prove)
            if status == 200:
                return data
            time.sleep(_POLL_S)
        raise TimeoutError(f"the log has not shown receipt {issued['receipt_id']} within {patience_s:.0f} s")

    @staticmethod
    def keep(receipt: bytes, path: str | Path) -> None:
        """Writes a receipt to a file, for `visit-verify`."""
        Path(path).write_bytes(receipt)
