"""Visitors and tills in the tests' own process: the same client that apps use, over the test's client instead of the network."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from geo_o2o.checkins.claims import evidence_hash, parse_claim
from geo_o2o.checkins.models import CheckIn, CheckInEvidence
from geo_o2o.checkins.service import new_check_in_id
from geo_o2o.client import Device, Position, Refused, Till, TillKey, Visitor
from geo_o2o.client.calls import Calls, Prove
from geo_o2o.config import Settings
from geo_o2o.geo.point import Point
from geo_o2o.http import utcnow
from geo_o2o.ledger import service as ledger
from geo_o2o.signers import queries as signers
from geo_o2o.stores.models import Store
from visit_verify.file import parse_visit
from visit_verify.jws import from_base64url, to_base64url
from visit_verify.policy import Policy, parse_policy
from visit_verify.receipt import Verdict, verify

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


@dataclass
class House:
    """An app, a store with a till, an operator, and a log in a folder of the test's own."""

    app: Api
    shop: Api
    operator: Api
    store: Store
    till: Till
    settings: Settings
    database: Any

    def visitor(self, account: str | None = None) -> Visitor:
        return visitor(self.app, account=account)

    def visit(self, someone: Visitor | None = None, *, at: Point = HELSINKI, code: str | None = None) -> dict[str, Any]:
        """A check-in of somebody at the store."""
        return (someone or self.visitor()).check_in(self.store.id, [position(at)], code=code)

    def publish(self, *, at: datetime | None = None) -> None:
        """What the worker does: places for all that waits, and the log as files."""
        now = at or utcnow()
        with self.database.write() as session:
            ledger.sequence_all(session, self.settings, now=now)
        with self.database.write() as session:
            ledger.publish_all(session, self.settings, now=now)

    def policy(self) -> Policy:
        """What an auditor starts from."""
        return parse_policy(self.app.get("/v1/receipts/policy", store_ids=str(self.store.id)).text)

    def verified(self, someone: Visitor, visit: dict[str, Any]) -> Verdict:
        """What the offline verifier says of the visitor's file."""
        someone.calls.json("POST", f"/v1/check-ins/{visit['id']}/receipts", {})
        self.publish()
        return verify(*parse_visit(someone.receipt(visit, patience_s=1)), self.policy())


def located_row(session: Any, store: Store, *, account: str, caller_id: UUID, device: Device) -> CheckIn:
    """A located check-in as the protocol leaves it, with a claim that a device signed, but without the way there."""
    now = utcnow()
    id_ = new_check_in_id(store.id, now=now)
    subject_id, _ = signers.take_subject(session, id_=uuid4(), caller_id=caller_id, visitor=account, secret=b"s" * 32, now=now)
    evidence, salt = {"fixes": [position().as_evidence()]}, b"s" * 32
    challenge = {"ch": to_base64url(b"c" * 16), "beacon": {"size": 0, "root": to_base64url(b"r" * 32)}}
    claim = parse_claim(device.claim(challenge, store_id=store.id, evidence_hash=evidence_hash(evidence, salt)))
    row = CheckIn(
        shard_cell=store.shard_cell, id=id_, store_id=store.id, merchant_id=store.merchant_id, caller_id=caller_id, device_id=device.id,
        subject_id=subject_id, visitor=account, level=1, state="located", methods=["geo"], p_in=900, r95_mm=1, distance_mm=1, fence="circle50",
        reasons=[], risk=0, findings=[], policy="p1", claim_hash=claim.hash, evidence_hash=claim.evidence_hash, store_hash=b"h" * 32,
        checked_in_at=now,
    )  # fmt: skip
    kept = CheckInEvidence(
        shard_cell=store.shard_cell, check_in_id=id_, subject_id=subject_id, evidence=evidence, salt=salt, claim=claim.text, recorded_at=now
    )
    session.add_all([row, kept])
    return row


def refusal(deed: Any, *arguments: Any, **more: Any) -> tuple[int, str]:
    with pytest.raises(Refused) as refused:
        deed(*arguments, **more)
    return refused.value.status, refused.value.code


def age(session: Session, table: str, column: str, seconds: float) -> None:
    """Lets time pass for what stands in a table."""
    session.execute(sa.text(f"UPDATE {table} SET {column} = {column} - make_interval(secs => :seconds)"), {"seconds": seconds})
    session.commit()


def payload_of(jws: str) -> bytes:
    """What a signed text says, as bytes; nothing is checked."""
    return from_base64url(jws.split(".")[1])
