"""What a store's till does: enrol, show codes, confirm whoever shows theirs, redeem."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from visit_verify.jws import to_base64url

from ..checkins.tillcode import parse_scan
from .calls import Calls
from .signing import TillKey


@dataclass
class Till:
    """url: of the service. key: the store's API key. till: its own key, which never leaves it."""

    url: str
    key: str
    store_id: UUID | str
    till: TillKey
    calls: Calls = field(init=False)

    def __post_init__(self) -> None:
        self.calls = Calls(self.url, self.key)

    def enrol(self, name: str = "till") -> dict[str, Any]:
        """The till as the service knows it, with the address for an authenticator app (`totp`), which is said once. Raises Refused."""
        found: dict[str, Any] = self.calls.json("POST", f"/v1/stores/{self.store_id}/tills", {"jwk": self.till.jwk, "name": name})
        return found

    def code(self) -> str:
        """What to show as a QR code, anew every quarter of a minute."""
        return self.till.code(self.store_id)

    def confirm(self, scan: str, *, late: bool = False, pos: bytes | None = None) -> dict[str, Any]:
        """Confirms whoever shows this code (`XCV1:...`). pos: commitment to a ticket, 32 bytes. Raises Refused, BadCode."""
        body = {"confirmation": self.till.confirmation(scan, store_id=self.store_id, late=late, pos=pos)}
        found: dict[str, Any] = self.calls.json("POST", f"/v1/check-ins/{parse_scan(scan).check_in_id}/confirmations", body)
        return found

    def redeem(self, check_in_id: UUID | str, *, voucher: str | None = None, pos: bytes | None = None) -> dict[str, Any]:
        """Binds a confirmed check-in to a voucher, a ticket, or both. Raises Refused."""
        body = {name: value for name, value in (("voucher", voucher), ("pos", to_base64url(pos) if pos else None)) if value is not None}
        found: dict[str, Any] = self.calls.json("POST", f"/v1/check-ins/{check_in_id}/redemptions", body)
        return found
