"""The policy that a verifier of this operator's receipts can start from: keys of the log, of its witnesses, of the operator, of tills.

Whoever does not trust the operator takes the keys of tills from the merchants and those of witnesses from the witnesses.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from uuid import UUID

from sqlalchemy.orm import Session

from visit_verify.jws import to_base64url
from visit_verify.proof import Proof
from visit_verify.receipt import store_of

from ..config import Settings
from ..errors import NotFound
from ..ledger import queries as ledger
from ..signers import queries as signers
from . import queries

_OF_WITNESSES = ("witness", "group", "quorum")


def policy_text(session: Session, settings: Settings, *, shard: str, store_ids: Sequence[UUID]) -> str:
    """In the form that the verifier reads, for the receipts in the log of one half-year. store_ids: whose tills. Raises NotFound."""
    state = ledger.find_state(session, shard)
    if state is None:
        raise NotFound(f"the log {shard[:20]!r} has no entries yet")
    lines = [f"log {state.verifier}", *_witnesses(settings)]
    for key in queries.list_keys(session):
        lines += _line(session, shard, f"operator {to_base64url(key.public)}", key.added_event, key.revoked_event)
    for store_id in store_ids:
        for till in signers.tills_of_store(session, store_id):
            lines += _line(session, shard, f"till {store_id} {to_base64url(till.public)}", till.enrolled_event, till.revoked_event)
    for device_id, event in signers.revoked_devices(session):
        lines += _revoked(session, shard, device_id, event)
    return "\n".join([*lines, ""])


def policy_for(session: Session, settings: Settings, receipt: str, proof: Proof) -> str:
    """The same as far as one receipt needs it: the log of its proof, and the tills of its store. Raises NotFound, BadReceipt, BadNote."""
    return policy_text(session, settings, shard=proof.checkpoint.origin.rpartition("/")[2], store_ids=[store_of(receipt)])


def _witnesses(settings: Settings) -> list[str]:
    if not settings.log_policy:
        return ["quorum none"]
    lines = Path(settings.log_policy).read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line.split(maxsplit=1)[:1] and line.split(maxsplit=1)[0] in _OF_WITNESSES]


def _line(session: Session, shard: str, words: str, added: UUID, revoked: UUID | None) -> list[str]:
    """The key with the places in this log between which it is good; no line where it is good nowhere in it."""
    limits = ""
    begin = ledger.find_index(session, added)
    end = ledger.find_index(session, revoked) if revoked is not None else None
    if begin is not None:
        if begin[0] > shard:
            return []
        limits += f" after={begin[1]}" if begin[0] == shard else ""
    if end is not None and end[0] <= shard:
        limits += f" before={end[1] if end[0] == shard else 0}"
    return [words + limits]


def _revoked(session: Session, shard: str, device_id: str, event: UUID | None) -> list[str]:
    """From which place in this log on nothing of a device is believed; no line where that is in a later log."""
    place = ledger.find_index(session, event) if event is not None else None
    if place is None:
        return [f"revoked {device_id}"]
    return [f"revoked {device_id} before={place[1] if place[0] == shard else 0}"] if place[0] <= shard else []
