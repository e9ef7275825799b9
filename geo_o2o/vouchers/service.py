from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy.orm import Session

from visit_verify.jws import BadJws, from_base64url

from ..caller import Caller
from ..checkins import service as checkins
from ..checkins.confirming import redeem as redeem_visit
from ..checkins.models import CheckIn
from ..checkins.signals import band_of, present_policy
from ..config import Settings
from ..errors import Conflict, Forbidden, InvalidInput, NotFound
from ..geo.ids import RANDOM_BITS, unlocated_id
from . import queries
from .models import Campaign, Redemption, Voucher

_POS_BYTES = 32


class VoucherNotRedeemable(Conflict):
    code = "voucher_not_redeemable"


class NothingHeld(Conflict):
    code = "nothing_held"


class AlreadyRedeemed(Conflict):
    code = "already_redeemed"


def add_campaign(session: Session, *, caller: Caller, asked: Mapping[str, Any], now: datetime) -> Campaign:
    """Raises InvalidInput where it would be over already."""
    if asked["expires_at"] <= now:
        raise InvalidInput("a campaign ends later than now", errors={"expires_at": ["in the past"]})
    id_ = unlocated_id(now=now, chance=secrets.randbits(RANDOM_BITS))
    campaign = Campaign(id=id_, merchant_id=caller.merchant_id, created_at=now, granted=0, **asked)
    session.add(campaign)
    session.flush()
    return campaign


def get_campaign(session: Session, campaign_id: UUID, *, caller: Caller) -> Campaign:
    """Raises NotFound."""
    campaign = queries.find_campaign(session, campaign_id)
    if campaign is None or not caller.may_change(campaign.merchant_id):
        raise NotFound(f"there is no campaign {campaign_id}")
    return campaign


def add_voucher(session: Session, campaign_id: UUID, *, caller: Caller, now: datetime) -> Voucher:
    """A voucher for somebody. More may be issued than the budget allows: who comes first is served. Raises NotFound, VoucherNotRedeemable."""
    campaign = get_campaign(session, campaign_id, caller=caller)
    if campaign.expires_at <= now:
        raise VoucherNotRedeemable(f"the campaign ended on {campaign.expires_at:%Y-%m-%d}")
    voucher = Voucher(id=uuid4(), campaign_id=campaign.id, state="issued", expires_at=campaign.expires_at, created_at=now)
    session.add(voucher)
    session.flush()
    return voucher


def redeem(
    session: Session, settings: Settings, check_in_id: UUID, *, caller: Caller, voucher_id: UUID | None, pos: str | None, now: datetime
) -> tuple[CheckIn, Redemption]:
    """Binds a confirmed check-in to a voucher, a ticket of the till, or both: level 4. The same again finds the first.

    Raises NotFound, Forbidden; InvalidInput; NotConfirmed; AlreadyRedeemed; VoucherNotRedeemable.
    """
    row = checkins.get_check_in(session, check_in_id, caller=caller, lock=True)
    if not caller.may_change(row.merchant_id):
        raise Forbidden("a check-in is redeemed by the store where it happened")
    pos_hash = None if pos is None else _read_pos(pos)
    if voucher_id is None and pos_hash is None:
        message = "send a voucher, the commitment to a ticket (pos), or both"
        raise InvalidInput(message, errors={"voucher": [message]})
    earlier = queries.find_redemption(session, check_in_id)
    if earlier is not None:
        if earlier.voucher_id == voucher_id and pos_hash in (None, row.pos_hash):
            return row, earlier
        raise AlreadyRedeemed("this check-in was redeemed before")
    if voucher_id is not None:
        _take(session, voucher_id, merchant_id=row.merchant_id, now=now)
    held = band_of(row.risk, present_policy()) != "clean"
    if not queries.add_redemption(session, check_in_id=check_in_id, voucher_id=voucher_id, reward="held" if held else "granted", now=now):
        raise VoucherNotRedeemable("this voucher was redeemed before")
    # Only its hash goes into the receipt: whoever reads that must not be able to show the voucher.
    voucher_hash = None if voucher_id is None else hashlib.sha256(str(voucher_id).encode()).digest()
    row = redeem_visit(session, settings, row, pos_hash=pos_hash, voucher_hash=voucher_hash, now=now)
    made = queries.find_redemption(session, check_in_id)
    assert made is not None
    return row, made


def decide(session: Session, check_in_id: UUID, *, caller: Caller, grant: bool, now: datetime) -> tuple[CheckIn, Redemption]:
    """Ends the wait of a reward that was held: it is granted, or refused, and then the voucher and the budget are as before.

    Raises NotFound, Forbidden; NothingHeld.
    """
    row = checkins.get_check_in(session, check_in_id, caller=caller, lock=True)
    if not caller.may_change(row.merchant_id):
        raise Forbidden("a reward is granted or refused by the store where the visit was")
    made = queries.find_redemption(session, check_in_id)
    if made is None or made.reward != "held":
        raise NothingHeld("no reward of this check-in waits for a decision")
    made.reward = "granted" if grant else "refused"
    if not grant and made.voucher_id is not None:
        queries.give_back(session, made.voucher_id)
        made.voucher_id = None
    session.flush()
    return row, made


def _take(session: Session, voucher_id: UUID, *, merchant_id: UUID | None, now: datetime) -> None:
    """Each statement decides by itself, whatever others do at this moment; what fails undoes the whole transaction."""
    campaign_id = queries.take_voucher(session, voucher_id, now=now)
    if campaign_id is None:
        raise VoucherNotRedeemable("there is no such voucher, it was redeemed before, or its time is over")
    if not queries.take_from_budget(session, campaign_id, merchant_id=merchant_id, now=now):
        raise VoucherNotRedeemable("the campaign has ended, its budget is used up, or it is another merchant's")


def _read_pos(text: str) -> bytes:
    try:
        data = from_base64url(text)
    except BadJws:
        data = b""
    if len(data) != _POS_BYTES:
        message = f"expected {_POS_BYTES} bytes in base64url"
        raise InvalidInput(message, errors={"pos": [message]})
    return data
