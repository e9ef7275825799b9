"""Who sends the request, as a value handed to services."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Caller:
    """The owner of an API key. merchant_id is set for the role `store` and for no other.

    device_id: of the device that signed the request, for the role `web`, whose key everybody knows (signers/request.py).
    signed_in: whether the key is one that a sign-in has given, and ends by itself.
    """

    key_id: UUID
    role: str
    merchant_id: UUID | None
    device_id: str | None = None
    signed_in: bool = False

    def sent(self, caller_id: UUID, device_id: str | None) -> bool:
        """Whether what came from this owner's key, signed by that device, came from this caller."""
        return self.key_id == caller_id and (self.role != "web" or (device_id is not None and self.device_id == device_id))

    def may_change(self, merchant_id: UUID | None) -> bool:
        """Whether a thing of this merchant (None: nobody's) is the caller's to change."""
        return self.role == "admin" or (self.merchant_id is not None and self.merchant_id == merchant_id)

    def may_see(self, merchant_id: UUID | None) -> bool:
        """Whether the catalogue shows this merchant's things to the caller: a store's key sees its own alone."""
        return self.role != "store" or self.merchant_id == merchant_id
