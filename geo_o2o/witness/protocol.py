"""What a witness checks before it signs. Pure.

Source: C2SP tlog-witness.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from visit_verify.merkle import EMPTY_ROOT, BadProof, check_consistency
from visit_verify.note import BadNote, Checkpoint, Note, VerifierKey, signed_by

from ..ledger.submission import Submission

SIZE_TYPE = "text/x.tlog.size"


class Refused(Exception):
    """status: as the protocol has it. text: the body of the answer. content_type: of it."""

    def __init__(self, status: int, text: str, content_type: str = "text/plain; charset=utf-8"):
        super().__init__(text)
        self.status, self.text, self.content_type = status, text, content_type


def signed_by_its_log(submission: Submission, keys: Mapping[str, Sequence[VerifierKey]]) -> Note:
    """The note with the signatures of its own log alone. Raises Refused: 404 for a log that is not known, 403 where it did not sign."""
    known = keys.get(submission.checkpoint.origin, ())
    if not known:
        raise Refused(404, "this log is not witnessed here\n")
    try:
        found = signed_by(submission.note, known)
    except BadNote as failure:
        raise Refused(403, f"{failure}\n") from failure
    if not found:
        raise Refused(403, "the checkpoint is not signed by its log\n")
    names = {(key.name, key.id) for key in found}
    return Note(submission.note.text, tuple(one for one in submission.note.signatures if (one.name, one.id) in names))


def check_continues(submission: Submission, seen: Checkpoint | None) -> None:
    """Raises Refused unless the checkpoint continues the one that was signed last. seen: that one; None where there is none."""
    new, old_size = submission.checkpoint, submission.old_size
    if old_size > new.size:
        raise Refused(400, f"the old size {old_size} is larger than that of the checkpoint, {new.size}\n")
    seen_size = seen.size if seen else 0
    if old_size != seen_size:
        raise Refused(409, f"{seen_size}\n", SIZE_TYPE)
    if new.size == 0 and new.root != EMPTY_ROOT:
        raise Refused(422, "an empty log has the root of an empty tree\n")
    if seen is None or seen_size == 0:
        if submission.path:
            raise Refused(422, "from nothing on no proof is needed\n")
        return
    try:
        check_consistency(seen.root, new.root, old_size=seen_size, new_size=new.size, path=submission.path)
    except BadProof as failure:
        raise Refused(422, f"{failure}\n") from failure
