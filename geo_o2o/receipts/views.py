from __future__ import annotations

from typing import Any

from flask import Response

from visit_verify.cli import as_json
from visit_verify.file import format_visit
from visit_verify.merkle import BadProof
from visit_verify.note import BadNote
from visit_verify.policy import parse_policy
from visit_verify.proof import parse_proof
from visit_verify.receipt import BadReceipt, verify

from ..auth.access import access, public
from ..http import answer, caller, database, path_id, settings, utcnow
from ..ledger.service import shard_at
from ..parsing import Blueprint
from ..signers.request import sender, with_nonce
from . import queries, service
from .schemas import JwkSet, PolicyAsked, ReceiptResponse, VerifyRequest, VerifyResponse, VoidRequest, dump_key, dump_receipt
from .trust import policy_for, policy_text

blueprint = Blueprint("receipts", __name__, url_prefix="", description="Receipts of visits, which anybody can verify")

_WAIT_S = 2
_DAY = {"Cache-Control": "public, max-age=300"}
VISIT = "application/vnd.geo-o2o.visit+zip"


@blueprint.get("/v1/receipts/<receipt_id>")
@access("visits:read")
@blueprint.response(200, ReceiptResponse)
def show(receipt_id: str) -> Response:
    """A receipt with its salt and proof; 202 until its entry stands under a published checkpoint."""
    held = _held(receipt_id)
    response = answer(dump_receipt(held), status=202 if held.proof is None else 200)
    if held.proof is None:
        response.headers["Retry-After"] = str(_WAIT_S)
    return with_nonce(response)


@blueprint.get("/v1/receipts/<receipt_id>/visit")
@access("visits:read")
@blueprint.answers(200, content_type=VISIT)
def show_file(receipt_id: str) -> Response:
    """The same as one file to keep (`.visit`), which `visit-verify` reads without asking anybody."""
    held = _held(receipt_id)
    if held.proof is None:
        return with_nonce(Response(status=202, headers={"Retry-After": str(_WAIT_S)}))
    headers = {"Content-Disposition": f'attachment; filename="{held.receipt.id}.visit"'}
    return with_nonce(Response(format_visit(held.receipt.jws, held.proof), content_type=VISIT, headers=headers))


def _held(receipt_id: str) -> service.Held:
    me = sender()
    with database().read() as session:
        return service.hold(session, settings(), path_id(receipt_id), caller=me, now=utcnow())


@blueprint.post("/v1/receipts/<receipt_id>/void")
@access("catalogue:write")
@blueprint.arguments(VoidRequest)
@blueprint.response(200, ReceiptResponse)
def void(asked: dict[str, Any], receipt_id: str) -> dict[str, Any]:
    """Take a receipt back. It stays in the log; the list of voids names it from now on."""
    with database().write() as session:
        receipt = service.void(session, settings(), path_id(receipt_id), caller=caller(), reason=asked["reason"], now=utcnow())
    return dump_receipt(service.Held(receipt, None))


@blueprint.get("/v1/receipts/voids")
@public
@blueprint.answers(200, content_type="application/jwt")
def voids() -> Response:
    """The signed list of all receipts that were taken back, for `visit-verify --voids`."""
    with database().read() as session:
        text = service.voids(session, settings(), now=utcnow())
    return Response(text + "\n", content_type="application/jwt", headers=_DAY)


@blueprint.get("/v1/receipts/policy")
@public
@blueprint.arguments(PolicyAsked, location="query")
@blueprint.answers(200, content_type="text/plain")
def policy(asked: dict[str, Any]) -> Response:
    """A policy to start from. Whoever wants to doubt us takes the keys of tills from the merchants and those of witnesses from them."""
    with database().read() as session:
        text = policy_text(session, settings(), shard=asked.get("log") or shard_at(utcnow()), store_ids=asked["store_ids"])
    return Response(text, content_type="text/plain; charset=utf-8", headers=_DAY)


@blueprint.post("/v1/receipts/verify")
@public
@blueprint.arguments(VerifyRequest)
@blueprint.response(200, VerifyResponse)
def check(asked: dict[str, Any]) -> dict[str, Any]:
    """What a receipt proves, by this operator's own keys: for convenience. An auditor runs `visit-verify` with keys of their own choice."""
    try:
        proof = parse_proof(asked["proof"].strip() + "\n")
        with database().read() as session:
            text = policy_for(session, settings(), asked["receipt"], proof)
            listed = service.voids(session, settings(), now=utcnow())
        return {"result": "believed", "verdict": as_json(verify(asked["receipt"], proof, parse_policy(text), voids=listed))}
    except (BadReceipt, BadProof, BadNote) as failure:
        return {"result": "refused", "reason": str(failure)}


@blueprint.get("/.well-known/jwks.json")
@public
@blueprint.answers(200, JwkSet)
def keys() -> Response:
    """The public keys of this operator's receipts, also those that sign no more (RFC 7517)."""
    with database().read() as session:
        found = [dump_key(one) for one in queries.list_keys(session)]
    response = answer({"keys": found})
    response.headers.update(_DAY)
    return response
