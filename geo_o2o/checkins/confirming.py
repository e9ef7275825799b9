"""What a store says of a check-in: that its till saw the visitor, and which sale it was."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

from sqlalchemy.orm import Session

from ..caller import Caller
from ..config import Settings
from ..errors import Conflict, InvalidInput
from ..signers import service as signers
from . import queries
from .claims import Confirmation
from .fixes import MOST_CLOCK_SKEW, ClockSkew, check_clock
from .models import CheckIn
from .service import CONFIRMED, LATE_WITHIN, REDEEMED, REJECTED, SCAN_WITHIN, STATES, CheckInExpired, NotConfirmed, evidence_of, get_check_in, issue
from .signals import RELAYED, present_policy, relayed_codes, score, total_of


class AlreadyConfirmed(Conflict):
    code = "already_confirmed"


class TicketUsed(Conflict):
    code = "ticket_used"


def confirm(session: Session, settings: Settings, check_in_id: UUID, said: Confirmation, *, caller: Caller, now: datetime) -> CheckIn:
    """A till of the store says that it saw whoever made the claim: level 3, and a receipt. The same word twice counts once.

    Raises NotFound, TillNotOfStore, TillRevoked, Malformed; AlreadyConfirmed; CheckInExpired, ClockSkew; LogFrozen.
    """
    row = get_check_in(session, check_in_id, caller=caller, lock=True)
    if said.store_id != row.store_id:
        raise signers.TillNotOfStore("the confirmation is for another store than the check-in")
    till = signers.get_till(session, said.till_id, store_id=row.store_id)
    said.check(till.public)
    if said.claim_hash != row.claim_hash:
        message = "the till signed the hash of another claim than that of this check-in"
        raise InvalidInput(message, code="claim_mismatch", errors={"confirmation": [message]})
    evidence = evidence_of(session, row)
    if evidence.confirmation is not None:
        if evidence.confirmation == said.text:
            return row
        raise AlreadyConfirmed("this check-in was confirmed before")
    _check_scan(said, row, now)
    evidence.confirmation, row.confirmed_at, row.till_id = said.text, now, till.id
    row.methods = [*row.methods, "staff"]
    _note_relayed_scan(row)
    if said.pos_hash is not None:
        _use_ticket(session, row, said.pos_hash)
    _raise_to(row, CONFIRMED if said.pos_hash is None else REDEEMED)
    issue(session, settings, row, now=now)
    return row


def _note_relayed_scan(row: CheckIn) -> None:
    """What a visitor shows can be sent to a friend at the till as well as a till's code can be sent away from it (rule R10)."""
    if RELAYED in row.reasons or not relayed_codes(p_in=row.p_in / 1000, r95_m=row.r95_mm / 1000):
        return
    finding = score({"relayed_codes": 1}, present_policy()).explanation()["reasons"][0]
    row.findings, row.reasons = [*row.findings, finding], [*row.reasons, finding["code"]]
    row.risk = total_of(row.findings, present_policy())


def _use_ticket(session: Session, row: CheckIn, pos_hash: bytes) -> None:
    """Binds a check-in to one ticket of the till, and that ticket to no other one. Raises TicketUsed."""
    if row.pos_hash not in (None, pos_hash):
        raise TicketUsed("this check-in is bound to another ticket")
    if queries.is_ticket_used(session, row, pos_hash):
        raise TicketUsed("this ticket belongs to another visit")
    if row.pos_hash is None:
        row.pos_hash, row.methods = pos_hash, [*row.methods, "pos"]


def _check_scan(said: Confirmation, row: CheckIn, now: datetime) -> None:
    scanned = datetime.fromtimestamp(said.at_ms / 1000, UTC)
    if not -MOST_CLOCK_SKEW <= scanned - row.checked_in_at <= SCAN_WITHIN or now - row.checked_in_at > LATE_WITHIN:
        raise CheckInExpired("a claim is to be confirmed within ten minutes, and by a till that was offline it is to be sent within a day")
    if not said.late:
        check_clock(said.at_ms, now, field="confirmation", whose="the till's")
    elif scanned > now + MOST_CLOCK_SKEW:
        raise ClockSkew("the till signed later than now", errors={"confirmation": ["too far from our clock"]})


def redeem(session: Session, settings: Settings, row: CheckIn, *, pos_hash: bytes | None, voucher_hash: bytes | None, now: datetime) -> CheckIn:
    """Binds a confirmed check-in to a sale. row: locked. Raises NotConfirmed, CheckInExpired, LogFrozen."""
    evidence_of(session, row)
    if row.level < CONFIRMED:
        raise NotConfirmed(f"a check-in is redeemed once it is confirmed; this one is {row.state}")
    if pos_hash is not None:
        _use_ticket(session, row, pos_hash)
    if voucher_hash is not None:
        row.voucher_hash, row.methods = voucher_hash, [*row.methods, *(["voucher"] if "voucher" not in row.methods else [])]
    _raise_to(row, REDEEMED)
    issue(session, settings, row, now=now)
    return row


def _raise_to(row: CheckIn, level: int) -> None:
    """A level is never lowered, and what the rules have refused stays at 0, whoever signs."""
    if row.state != REJECTED:
        row.level = max(row.level, level)
        row.state = STATES[row.level]
