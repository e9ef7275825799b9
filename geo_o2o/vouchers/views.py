from __future__ import annotations

from typing import Any

from flask import Response

from ..auth.access import access
from ..checkins.schemas import dump_check_in
from ..checkins.signals import band_of, present_policy
from ..http import answer, caller, database, path_id, settings, utcnow
from ..parsing import Blueprint
from . import service
from .models import Campaign, Voucher
from .schemas import CampaignRequest, CampaignResponse, RedemptionRequest, RedemptionResponse, VoucherResponse

blueprint = Blueprint("vouchers", __name__, url_prefix="/v1", description="Campaigns, vouchers and their redemption")


@blueprint.post("/campaigns")
@access("catalogue:write")
@blueprint.arguments(CampaignRequest)
@blueprint.response(201, CampaignResponse)
def create(asked: dict[str, Any]) -> Campaign:
    """A campaign with a budget of redemptions."""
    with database().write() as session:
        return service.add_campaign(session, caller=caller(), asked=asked, now=utcnow())


@blueprint.get("/campaigns/<campaign_id>")
@access("catalogue:write")
@blueprint.response(200, CampaignResponse)
def show(campaign_id: str) -> Campaign:
    """What is left of a campaign."""
    with database().read() as session:
        return service.get_campaign(session, path_id(campaign_id), caller=caller())


@blueprint.post("/campaigns/<campaign_id>/vouchers")
@access("catalogue:write")
@blueprint.response(201, VoucherResponse)
def issue(campaign_id: str) -> Voucher:
    """A voucher to hand to somebody."""
    with database().write() as session:
        return service.add_voucher(session, path_id(campaign_id), caller=caller(), now=utcnow())


@blueprint.post("/check-ins/<check_in_id>/redemptions")
@access("confirmations:write")
@blueprint.arguments(RedemptionRequest)
@blueprint.response(201, RedemptionResponse)
def redeem(asked: dict[str, Any], check_in_id: str) -> Response:
    """Bind a confirmed check-in to one sale: a voucher, which is used up, or the commitment to a ticket. Level 4, with a new receipt."""
    with database().write() as session:
        row, made = service.redeem(
            session, settings(), path_id(check_in_id), caller=caller(), voucher_id=asked.get("voucher"), pos=asked.get("pos"), now=utcnow()
        )
    held = band_of(row.risk, present_policy()) != "clean"
    return answer(
        {
            "check_in": dump_check_in(row, caller=caller()),
            "voucher": made.voucher_id,
            "reward": "held" if held else "granted",
            "redeemed_at": made.redeemed_at,
        },
        status=201,
    )
