"""A proof in a text file: read strictly, and right for one entry at one place only."""

from __future__ import annotations

import pytest

from visit_verify.merkle import BadProof, leaf_hash, node_hash
from visit_verify.note import Checkpoint, Note, Signature
from visit_verify.proof import Proof, parse_proof

ENTRIES = [b"zero", b"one", b"two"]
LEFT = node_hash(leaf_hash(ENTRIES[0]), leaf_hash(ENTRIES[1]))
ROOT = node_hash(LEFT, leaf_hash(ENTRIES[2]))
NOTE = Note(str(Checkpoint("example.com/log", 3, ROOT)), (Signature("example.com/log", b"\x01\x02\x03\x04", bytes(64)),))
PROOF = Proof(1, (leaf_hash(ENTRIES[0]), leaf_hash(ENTRIES[2])), NOTE, extra=b"salt")
TEXT = str(PROOF)


def test_a_proof_comes_back_as_it_was_written() -> None:
    assert parse_proof(TEXT) == PROOF
    assert parse_proof(TEXT.encode()) == PROOF
    assert TEXT.startswith("c2sp.org/tlog-proof@v1\nextra c2FsdA==\nindex 1\n")
    bare = Proof(2, (LEFT,), NOTE)
    assert parse_proof(str(bare)) == bare
    alone = Proof(0, (), Note(str(Checkpoint("example.com/log", 1, leaf_hash(b""))), NOTE.signatures))
    assert parse_proof(str(alone)) == alone
    assert alone.check(b"").size == 1


def test_a_proof_is_right_for_its_entry_and_place_only() -> None:
    assert PROOF.check(b"one").size == 3
    for entry in (b"zero", b"two", b"", b"One"):
        with pytest.raises(BadProof):
            PROOF.check(entry)
    for index in (0, 2, 3, 2**40):
        with pytest.raises(BadProof):
            Proof(index, PROOF.path, NOTE).check(b"one")
    with pytest.raises(BadProof):
        Proof(1, PROOF.path[::-1], NOTE).check(b"one")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "c2sp.org/tlog-proof@v1\n",
        TEXT.replace("@v1", "@v2"),
        TEXT.replace("index 1", "index 01"),
        TEXT.replace("index 1", "index -1"),
        TEXT.replace("index 1", "index"),
        TEXT.replace("index 1\n", ""),
        TEXT.replace("extra c2FsdA==\nindex 1", "index 1\nextra c2FsdA=="),
        TEXT.replace("c2FsdA==", "c2FsdA="),
        TEXT.replace("c2FsdA==", "c2FsdB=="),
        TEXT.replace("\n\n", "\n", 1),
        TEXT.replace("\nindex 1\n", "\nindex 1\nAAAA\n"),
        TEXT.replace("\nindex 1\n", "\nindex 1\n" + ("A" * 43 + "=\n") * 63),
        TEXT[:-1],
        TEXT.replace("\n", "\r\n"),
        TEXT + "x" * 1_000_000,
    ],
)
def test_what_is_no_proof_is_refused(text: str) -> None:
    with pytest.raises(BadProof):
        parse_proof(text)


def test_bytes_that_are_no_text_are_refused() -> None:
    with pytest.raises(BadProof, match="UTF-8"):
        parse_proof(b"\xff\xfe")
