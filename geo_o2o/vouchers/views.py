from __future__ import annotations

from typing import Any

from flask import Response

from ..auth.access import access
from ..checkins.models import CheckIn
from ..checkins.schemas import dump_check_in
from ..http import answer, caller, database, path_id, settings, utcnow
from ..parsing import Blueprint
from . import service
from .models import Campaign, Redemption, Voucher
from .schemas import CampaignRequest, CampaignResponse, DecisionRequest, RedemptionRequest, RedemptionResponse, VoucherResponse

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
    return answer(_dump(row, made), status=201)


@blueprint.post("/check-ins/<check_in_id>/redemptions/decision")
@access("confirmations:write")
@blueprint.arguments(DecisionRequest)
@blueprint.response(200, RedemptionResponse)
def decide(asked: dict[str, Any], check_in_id: str) -> Response:
    """Grant or refuse a reward that was held; refused, its voucher can be redeemed again."""
    with database().write() as session:
        row, made = service.decide(session, path_id(check_in_id), caller=caller(), grant=asked["grant"], now=utcnow())
    return answer(_dump(row, made))


def _dump(row: CheckIn, made: Redemption) -> dict[str, Any]:
    return {
        "check_in": dump_check_in(row, caller=caller()), "voucher": made.voucher_id, "reward": made.reward, "redeemed_at": made.redeemed_at,
    }  # fmt: skip
