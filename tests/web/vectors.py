"""Every question that the tests of the offline verifier ask, with its answer; and more, with a byte of each file changed."""

from __future__ import annotations

import base64
import inspect
import io
import itertools
import zipfile
import zlib
from collections.abc import Iterator
from typing import Any

import pytest

from tests.verifier import parties, test_receipt
from visit_verify.cli import as_json
from visit_verify.file import PROOF_NAME, RECEIPT_NAME, format_visit, parse_visit
from visit_verify.merkle import BadProof
from visit_verify.note import BadNote
from visit_verify.policy import Policy, parse_policy
from visit_verify.proof import Proof, parse_proof
from visit_verify.receipt import BadReceipt, Verdict, verify

Case = dict[str, Any]
_REFUSALS = (BadReceipt, BadProof, BadNote)


def refused(failure: Exception) -> Case:
    return {"result": "refused", "reason": str(failure)}


def cases_of_receipts(monkeypatch: pytest.MonkeyPatch) -> list[Case]:
    """receipt, proof (base64), policy, voids, answer: whatever tests/verifier/test_receipt.py asks of verify()."""
    found: list[Case] = []
    texts: dict[int, tuple[Policy, str]] = {}

    def policy(**more: str) -> Policy:
        made = parse_policy(parties.policy_text(**more))
        texts[id(made)] = made, parties.policy_text(**more)
        return made

    def recorded(receipt: str, proof: Proof, trusted: Policy, *, voids: str | None = None) -> Verdict:
        data = str(proof).encode()
        case = {"receipt": receipt, "proof": base64.b64encode(data).decode(), "voids": voids}
        if id(trusted) in texts:
            try:
                answer = as_json(verify(receipt, parse_proof(data), trusted, voids=voids))
            except _REFUSALS as failure:
                answer = refused(failure)
            found.append({**case, "policy": texts[id(trusted)][1], "answer": answer})
        return verify(receipt, proof, trusted, voids=voids)

    monkeypatch.setattr(test_receipt, "verify", recorded)
    monkeypatch.setattr(test_receipt, "policy", policy)
    for name, function in vars(test_receipt).items():
        if name.startswith("test_"):
            for given in _given(function):
                function(**given)
    monkeypatch.undo()
    return found


def _given(function: Any) -> Iterator[dict[str, Any]]:
    """The arguments of a parametrised test, one after the other; nothing where it needs more than that."""
    marks = [mark for mark in getattr(function, "pytestmark", []) if mark.name == "parametrize"]
    names = [[name.strip() for name in (mark.args[0].split(",") if isinstance(mark.args[0], str) else mark.args[0])] for mark in marks]
    if set(inspect.signature(function).parameters) != {name for some in names for name in some}:
        return
    for row in itertools.product(*(mark.args[1] for mark in marks)):
        given: dict[str, Any] = {}
        for some, values in zip(names, row, strict=True):
            given.update(zip(some, values if len(some) > 1 else [values], strict=True))
        yield given


def cases_of_files() -> list[Case]:
    """data (base64, packed), damaged, answer: a .visit file; the same packed otherwise, cut anywhere, and with each byte changed in one bit."""
    visit = parties.Visit()
    receipt = visit.signed()
    proof = visit.proof(receipt)
    whole = format_visit(receipt, proof)
    stored = io.BytesIO()
    with zipfile.ZipFile(stored, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(PROOF_NAME, str(proof))
        archive.writestr(RECEIPT_NAME, f"\n {receipt}\n\n")
    files = [(data, False) for data in (whole, stored.getvalue(), b"before" + whole, b"", b"PK", b"no zip", bytes(5_000_000))]
    files += [(whole[:at], True) for at in range(0, len(whole), 97)] + [(whole + b"x" * 9, True)]
    files += [(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :], True) for at in range(0, len(whole), 3)]
    files += [(whole[:at] + bytes([whole[at] ^ 128]) + whole[at + 1 :], True) for at in range(len(whole) - 200, len(whole))]
    trusted, found = parties.policy(), []
    for data, damaged in files:
        try:
            answer = as_json(verify(*parse_visit(data), trusted))
        except _REFUSALS as failure:
            answer = refused(failure)
        # Megabytes of nothing travel packed.
        packed = base64.b64encode(zlib.compress(data)).decode()
        found.append({"data": packed, "policy": parties.policy_text(), "damaged": damaged, "answer": answer})
    return found


def cases_of_policies() -> list[Case]:
    """policy, answer: null where it can be read."""
    lines = parties.policy_text().splitlines()
    changed: list[str] = [
        "",
        "quorum none",
        "quorum none\nquorum none",
        "quorum nobody",
        "# nothing\n\nquorum none\n",
        "log x",
        "till a b c d\nquorum none",
    ]
    changed += ["\n".join([*lines[:at], *lines[at + 1 :]]) for at in range(len(lines))] + ["\n".join([*lines, line]) for line in lines]
    changed += [
        "\n".join([*lines[:at], line[:cut] + "A" + line[cut + 1 :], *lines[at + 1 :]])
        for at, line in enumerate(lines)
        for cut in range(0, len(line), 3)
    ]
    more = (
        "revoked x before=3", "revoked x after=3", "revoked x before=03", "revoked x before=3 before=4", "group g any first", "group none any first",
        "group h 0 first", "group h 3 first second", "operator AAAA", "quorum", "quorum both", "till \u00e9 AAAA", "log a b c d",
    )  # fmt: skip
    changed += [f"{parties.policy_text()}{line}\n" for line in more]
    found = []
    for text in changed:
        try:
            parse_policy(text)
            answer = None
        except ValueError as failure:
            answer = str(failure)
        found.append({"policy": text, "answer": answer})
    return found
