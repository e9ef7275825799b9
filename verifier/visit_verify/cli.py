"""`visit-verify FILE --policy POLICY`: says what a receipt proves, and what it does not."""

from __future__ import annotations

import argparse
import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from .file import parse_visit
from .policy import BadPolicy, parse_policy
from .receipt import LEVELS, BadReceipt, Verdict, verify

BELIEVED, REFUSED, UNREADABLE = 0, 1, 2
_WHO = {"operator": "the operator", "till": "the store's till", "device": "the visitor's device", "log": "the log", "witness": "the witness"}
_EXPLANATION = """\
exit codes: 0 all signatures and proofs that the policy asks for are right; 1 the receipt is refused; 2 a file cannot be read.
A receipt is never just true: read the level, who signed, and what was not checked."""


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="visit-verify",
        description="Check a receipt of a visit offline.",
        epilog=_EXPLANATION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("file", type=Path, help="the .visit file")
    parser.add_argument("--policy", type=Path, required=True, help="whom you trust: log, witnesses, operator, tills")
    parser.add_argument("--voids", type=Path, help="the operator's signed list of receipts that were taken back")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    asked = parser.parse_args(arguments)
    try:
        policy = parse_policy(asked.policy.read_text(encoding="utf-8"))
        voids = asked.voids.read_text(encoding="ascii").strip() if asked.voids else None
        data = asked.file.read_bytes()
    except (OSError, UnicodeDecodeError, BadPolicy) as failure:
        return _fail(UNREADABLE, str(failure), as_json=asked.json)
    try:
        verdict = verify(*parse_visit(data), policy, voids=voids)
    except BadReceipt as failure:
        return _fail(REFUSED, str(failure), as_json=asked.json)
    print(json.dumps(as_json(verdict), ensure_ascii=False, indent=2) if asked.json else as_text(verdict))
    return BELIEVED


def _fail(code: int, why: str, *, as_json: bool) -> int:
    word = "refused" if code == REFUSED else "unreadable"
    if as_json:
        print(json.dumps({"result": word, "reason": why}, ensure_ascii=False))
    else:
        print(f"{word.upper()}: {why}", file=sys.stderr)
    return code


def as_json(verdict: Verdict) -> dict[str, Any]:
    return {
        "result": "believed",
        "id": str(verdict.id),
        "issuer": verdict.issuer,
        "store": verdict.store,
        "audience": verdict.audience,
        "subject": verdict.subject,
        "level": verdict.level,
        "level_name": LEVELS[verdict.level],
        "methods": list(verdict.methods),
        "window_ms": list(verdict.window_ms),
        "p_in": verdict.p_in,
        "risk": verdict.risk,
        "reasons": list(verdict.reasons),
        "log": {"origin": verdict.checkpoint.origin, "index": verdict.index, "size": verdict.checkpoint.size},
        "existed_before_s": verdict.existed_before_s,
        "signed_by": [{"who": one.who, "key": one.key, **({"at_s": one.at_s} if one.at_s is not None else {})} for one in verdict.signers],
        "not_checked": list(verdict.not_checked),
    }


def as_text(verdict: Verdict) -> str:
    begin, end = (_moment(ms // 1000) for ms in verdict.window_ms)
    seen = f"before {_moment(verdict.existed_before_s)}" if verdict.existed_before_s is not None else "at a time that no witness has seen"
    signers = [f"  {_WHO[one.who]} {one.key}" + (f", {_moment(one.at_s)}" if one.at_s is not None else "") for one in verdict.signers]
    return "\n".join(
        [
            f"level {verdict.level} ({LEVELS[verdict.level]}), by {', '.join(verdict.methods) or 'the device alone'}",
            f"store {verdict.store}, said to be from {begin} to {end}; receipt {verdict.id} of {verdict.issuer} for {verdict.audience}",
            f"existed {seen}, as entry {verdict.index} of {verdict.checkpoint.origin}",
            f"risk {verdict.risk} of 100" + (f" ({', '.join(verdict.reasons)})" if verdict.reasons else ""),
            "signed by",
            *signers,
            "not checked",
            *(f"  {one}" for one in verdict.not_checked),
        ]
    )


def _moment(seconds: int | None) -> str:
    return datetime.fromtimestamp(seconds or 0, UTC).strftime("%Y-%m-%d %H:%M:%SZ")


if __name__ == "__main__":
    sys.exit(main())
