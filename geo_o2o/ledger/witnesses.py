"""Asking witnesses to sign a checkpoint. Each is asked by itself; one that does not answer keeps nobody waiting for long."""

from __future__ import annotations

import logging
import re
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence

from visit_verify.note import BadNote, Note, Signature, VerifierKey, parse_checkpoint, parse_note, signed_by
from visit_verify.policy import Policy

from .submission import Submission

_log = logging.getLogger("geo_o2o")
_TIMEOUT_S = 5.0
_MOST_BYTES = 100_000
_SIZE = re.compile(rb"(0|[1-9][0-9]{0,18})\n?")

# Gives the path from a tree of one size to one of another.
Paths = Callable[[int, int], Sequence[bytes]]


class WitnessAhead(Exception):
    """A witness has signed more than this log knows, or something else: this is not the log that it was."""


def cosigned(note: Note, policy: Policy, paths: Paths, *, since: int) -> Note | None:
    """The note with the signatures of all witnesses that gave one; None where they are not enough.

    since: the size that they have probably signed last. Raises WitnessAhead.
    """
    found: list[Signature] = []
    seen_s: dict[str, int] = {}
    for name, url in policy.urls.items():
        key = policy.witnesses[name]
        try:
            signature, time_s = _asked(note, key, url, paths, since)
        except (OSError, BadNote) as failure:
            _log.warning("the witness %s did not sign: %s", name, failure)
            continue
        found.append(signature)
        seen_s[name] = time_s
    if policy.quorum is not None and policy.reached_at(seen_s) is None:
        return None
    return Note(note.text, (*note.signatures, *found))


def _asked(note: Note, key: VerifierKey, url: str, paths: Paths, since: int) -> tuple[Signature, int]:
    """The witness's signature and its time. Raises BadNote, OSError, WitnessAhead."""
    size = parse_checkpoint(note.text).size
    status, body = _send(url, note, min(since, size), paths)
    if status == 409 and (match := _SIZE.fullmatch(body)):
        if int(match[1]) > size:
            raise WitnessAhead(f"{key.name} has signed {int(match[1])} entries of this log, which has {size}")
        status, body = _send(url, note, int(match[1]), paths)
    if status == 422:
        raise WitnessAhead(f"{key.name} has signed another beginning of this log: {body[:200].decode(errors='replace').strip()}")
    if status != 200:
        raise BadNote(f"it answered {status}: {body[:200].decode(errors='replace').strip()}")
    answered = parse_note(note.text.encode() + b"\n" + body)
    time_s = signed_by(answered, [key]).get(key)
    if time_s is None:
        raise BadNote("its answer has no signature of its key")
    return next(one for one in answered.signatures if (one.name, one.id) == (key.name, key.id)), time_s


def _send(url: str, note: Note, old_size: int, paths: Paths) -> tuple[int, bytes]:
    checkpoint = parse_checkpoint(note.text)
    path = tuple(paths(old_size, checkpoint.size)) if 0 < old_size < checkpoint.size else ()
    body = str(Submission(old_size, path, note, checkpoint)).encode()
    request = urllib.request.Request(f"{url.rstrip('/')}/add-checkpoint", data=body, headers={"Content-Type": "text/plain"}, method="POST")
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as answer:
            return int(answer.status), bytes(answer.read(_MOST_BYTES))
    except urllib.error.HTTPError as answer:
        return int(answer.code), bytes(answer.read(_MOST_BYTES))
