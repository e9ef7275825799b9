from __future__ import annotations

from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from .models import Campaign, Redemption, Voucher


def find_campaign(session: Session, campaign_id: UUID) -> Campaign | None:
    return session.get(Campaign, campaign_id, populate_existing=True)


def find_voucher(session: Session, voucher_id: UUID) -> Voucher | None:
    return session.get(Voucher, voucher_id, populate_existing=True)


def find_redemption(session: Session, check_in_id: UUID) -> Redemption | None:
    return session.get(Redemption, check_in_id, populate_existing=True)


def take_voucher(session: Session, voucher_id: UUID, *, now: datetime) -> UUID | None:
    """The campaign of a voucher that nobody else has redeemed or can redeem from now on; None where there is none to take."""
    statement = (
        sa.update(Voucher)
        .where(Voucher.id == voucher_id, Voucher.state == "issued", Voucher.expires_at > now)
        .values(state="redeemed")
        .returning(Voucher.campaign_id)
    )
    return session.scalar(statement)


def take_from_budget(session: Session, campaign_id: UUID, *, merchant_id: UUID | None, now: datetime) -> bool:
    """Whether there was one left."""
    statement = (
        sa.update(Campaign)
        .where(Campaign.id == campaign_id, Campaign.budget > 0, Campaign.expires_at > now, Campaign.merchant_id.is_not_distinct_from(merchant_id))
        .values(budget=Campaign.budget - 1, granted=Campaign.granted + 1)
        .returning(Campaign.id)
    )
    return session.scalar(statement) is not None


def add_redemption(session: Session, *, check_in_id: UUID, voucher_id: UUID | None, reward: str, now: datetime) -> bool:
    """Whether the check-in had none, and the voucher neither."""
    statement = insert(Redemption).values(check_in_id=check_in_id, voucher_id=voucher_id, reward=reward, redeemed_at=now)
    return session.scalar(statement.on_conflict_do_nothing().returning(Redemption.check_in_id)) is not None


def give_back(session: Session, voucher_id: UUID) -> None:
    """A voucher and its part of the budget, as if it had not been redeemed."""
    campaign_id = session.scalar(sa.update(Voucher).where(Voucher.id == voucher_id).values(state="issued").returning(Voucher.campaign_id))
    session.execute(sa.update(Campaign).where(Campaign.id == campaign_id).values(budget=Campaign.budget + 1, granted=Campaign.granted - 1))
