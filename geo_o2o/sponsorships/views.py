from __future__ import annotations

from typing import Any

from ..auth.access import access
from ..http import database, path_id, utcnow
from ..offers.service import new_offer_id
from ..parsing import Blueprint
from . import service
from .queries import list_sponsorships
from .schemas import SponsorshipList, SponsorshipRequest, SponsorshipResponse

blueprint = Blueprint("sponsorships", __name__, url_prefix="/v1/sponsorships", description="Paid places, apart from the list and labelled")


@blueprint.get("")
@access("merchants:write")
@blueprint.response(200, SponsorshipList)
def sponsorships() -> dict[str, Any]:
    """Every paid place, past and coming."""
    with database().read() as session:
        return {"items": list_sponsorships(session), "next": None}


@blueprint.post("")
@access("merchants:write")
@blueprint.arguments(SponsorshipRequest)
@blueprint.response(201, SponsorshipResponse)
def sponsor(body: dict[str, Any]) -> Any:
    """Have an offer shown apart, labelled, for a time. The order of the list does not change by it."""
    now = utcnow()
    with database().write() as session:
        return service.add_sponsorship(session, fields=body, sponsorship_id=new_offer_id(now=now), now=now)


@blueprint.delete("/<sponsorship_id>")
@access("merchants:write")
@blueprint.response(204)
def stop_sponsoring(sponsorship_id: str) -> None:
    """Take a paid place back."""
    with database().write() as session:
        service.remove_sponsorship(session, path_id(sponsorship_id))
