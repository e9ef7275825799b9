"""What the request in hand proves of the device that sent it, for every route that a device calls."""

from __future__ import annotations

from dataclasses import replace

from flask import Response, request
from sqlalchemy.orm import Session

from ..caller import Caller
from ..http import caller, database, settings, utcnow
from . import service
from .proof import Proof, nonce_at

_NONCE = "DPoP-Nonce"


def proven(session: Session) -> Proof:
    """The proof, which is used up. Raises ProofInvalid, NonceNeeded."""
    # The address by which the world knows us, and not what this request says of itself: whoever relays it can write that. Only where somebody
    # tries things out is the other one taken too.
    own = settings().public_url.rstrip("/") + request.path
    addresses = frozenset({own} if settings().env == "production" else {own, request.base_url})
    return service.prove(session, request.headers.get("DPoP"), method=request.method, addresses=addresses, secret=settings().secret_key, now=utcnow())


def sender() -> Caller:
    """The caller; where its key is a page's (role web), which everybody knows, with the device that signed the request: what others have sent
    by the same key is not for it. Raises ProofInvalid, NonceNeeded.
    """
    if caller().role != "web":
        return caller()
    with database().write() as session:
        return replace(caller(), device_id=proven(session).device_id)


def with_nonce(response: Response) -> Response:
    """The nonce of the next proof, so that a device need not be refused to learn it."""
    response.headers[_NONCE] = nonce_at(settings().secret_key, at_s=utcnow().timestamp())
    return response
