"""Visitors and tills in the tests' own process: the same client that apps use, over the test's client instead of the network."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from geo_o2o.client import Device, Position, Refused, Till, TillKey, Visitor
from geo_o2o.client.calls import Calls, Prove
from geo_o2o.geo.point import Point

from .conftest import Api
from .factories import HELSINKI

ADDRESS = "http://localhost"


class InProcess(Calls):
    """Calls through a test's client; the last answer is kept for the test to look at."""

    def __init__(self, api: Api):
        super().__init__(ADDRESS, api.key)
        self.api, self.last = api, None

    def bytes(self, method: str, path: str, body: Any = None, *, prove: Prove | None = None, idempotency_key: str | None = None) -> tuple[int, bytes]:
        for _ in range(2):
            headers = {"Idempotency-Key": idempotency_key} if idempotency_key else {}
            if prove:
                headers["DPoP"] = prove(method, ADDRESS + path, self.nonce)
            self.last: Any = self.api(method, path, json=body, headers=headers) if body is not None else self.api(method, path, headers=headers)
            self.nonce = self.last.headers.get("DPoP-Nonce", self.nonce)
            if (self.last.get_json(silent=True) or {}).get("code") != "use_nonce":
                break
        if self.last.status_code >= 400:
            raise Refused(self.last.status_code, self.last.get_json())
        return self.last.status_code, self.last.data


def visitor(api: Api, *, account: str | None = None, enrolled: bool = True, device: Device | None = None) -> Visitor:
    """A visitor with a device of its own, who uses the app of that key."""
    made = Visitor(ADDRESS, api.key, device or Device.make(), account=account)
    made.calls = InProcess(api)
    if enrolled:
        made.enrol()
    return made


def till(api: Api, store_id: UUID | str, *, enrolled: bool = True) -> Till:
    """A till of a store, whose merchant's key the API has."""
    made = Till(ADDRESS, api.key, store_id, TillKey.make())
    made.calls = InProcess(api)
    if enrolled:
        made.enrol()
    return made


def position(at: Point = HELSINKI, *, accuracy_m: float = 12.0, **more: Any) -> Position:
    return Position(at.lat, at.lon, accuracy_m, **more)


def send(someone: Visitor, body: dict[str, Any], *, key: str = "a") -> Any:
    """The response to the body of a check-in."""
    proof = someone.device.prove("POST", ADDRESS + "/v1/check-ins", someone.calls.nonce)
    return someone.calls.api.post("/v1/check-ins", body, Idempotency_Key=key, DPoP=proof)  # type: ignore[attr-defined]
