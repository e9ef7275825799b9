"""Calls of the public API, with an API key and, where a device speaks, its proof."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

_TIMEOUT_S = 30.0
# One request may be told twice to wait, or be given a new nonce.
_MOST_TRIES = 3
_NONCE = "DPoP-Nonce"

# Method, address and nonce to the header that proves the request.
Prove = Callable[[str, str, str], str]


class Refused(Exception):
    """The service said no. code: stable and machine-readable, as `challenge_expired`. problem: the whole document."""

    def __init__(self, status: int, problem: Mapping[str, Any]):
        super().__init__(f"{status} {problem.get('code', '')}: {problem.get('detail', '')}")
        self.status, self.problem = status, problem
        self.code = str(problem.get("code", ""))


@dataclass
class Calls:
    """url: of the service, without a path. key: an API key."""

    url: str
    key: str
    nonce: str = field(default="", init=False)

    def json(self, method: str, path: str, body: Any = None, *, prove: Prove | None = None, idempotency_key: str | None = None) -> Any:
        """The JSON of an answer. Raises Refused, OSError where nobody answers."""
        return json.loads(self.bytes(method, path, body, prove=prove, idempotency_key=idempotency_key)[1])

    def bytes(self, method: str, path: str, body: Any = None, *, prove: Prove | None = None, idempotency_key: str | None = None) -> tuple[int, bytes]:
        """Status and content of an answer. Raises Refused, OSError."""
        address = self.url.rstrip("/") + path
        headers = {"Authorization": f"Bearer {self.key}"} | ({"Idempotency-Key": idempotency_key} if idempotency_key else {})
        data = None
        if body is not None:
            data, headers["Content-Type"] = json.dumps(body, ensure_ascii=False).encode(), "application/json"
        for last in (number == _MOST_TRIES - 1 for number in range(_MOST_TRIES)):
            proof = {"DPoP": prove(method, address, self.nonce)} if prove else {}
            request = urllib.request.Request(address, data=data, headers={**headers, **proof}, method=method)
            try:
                with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as answer:
                    self.nonce = answer.headers.get(_NONCE, self.nonce)
                    return int(answer.status), bytes(answer.read())
            except urllib.error.HTTPError as answer:
                problem = _problem(answer.read())
                if problem.get("code") == "use_nonce" and not last:
                    self.nonce = answer.headers[_NONCE]
                elif answer.code == 503 and problem.get("code") != "log_frozen" and not last:
                    time.sleep(float(answer.headers.get("Retry-After", "1")))
                else:
                    raise Refused(int(answer.code), problem) from answer
        raise AssertionError("the last try returns or raises")


def _problem(data: bytes) -> dict[str, Any]:
    try:
        found = json.loads(data)
    except ValueError:
        found = None
    return found if isinstance(found, dict) else {"detail": data[:200].decode(errors="replace")}
