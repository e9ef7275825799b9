"""What the request in hand proves of the device that sent it, for every route that a device calls."""

from __future__ import annotations

from flask import Response, request
from sqlalchemy.orm import Session

from ..http import settings, utcnow
from . import service
from .proof import Proof, nonce_at

_NONCE = "DPoP-Nonce"


def proven(session: Session) -> Proof:
    """The proof, which is used up. Raises ProofInvalid, NonceNeeded."""
    # Behind a proxy the service does not see the address that the device asked; it is told.
    addresses = frozenset({request.base_url, settings().public_url.rstrip("/") + request.path})
    return service.prove(session, request.headers.get("DPoP"), method=request.method, addresses=addresses, secret=settings().secret_key, now=utcnow())


def with_nonce(response: Response) -> Response:
    """The nonce of the next proof, so that a device need not be refused to learn it."""
    response.headers[_NONCE] = nonce_at(settings().secret_key, at_s=utcnow().timestamp())
    return response
