"""A witness signs only what continues what it signed before, whatever it is sent."""

from __future__ import annotations

import hashlib
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from geo_o2o.config import BadSettings, Settings
from geo_o2o.ledger.merkle import Frontier
from geo_o2o.ledger.note import SigningKey, signed
from geo_o2o.ledger.submission import BadSubmission, Submission, parse_submission
from geo_o2o.ledger.tiles import consistency_path, grown_tiles
from geo_o2o.witness.app import create_app, witness_of
from visit_verify.merkle import leaf_hash
from visit_verify.note import PLAIN, Checkpoint, Note, parse_note, parse_verifier_key, signed_by

LOG = SigningKey("visits.example/log/2026h2", PLAIN, b"l" * 32)
HASH = hashlib.sha256(LOG.name.encode()).hexdigest()
LEAVES = [leaf_hash(b"%d" % number) for number in range(600)]
OTHERS = [leaf_hash(b"other %d" % number) for number in range(600)]


def head(size: int, leaves: list[bytes] = LEAVES, *, key: SigningKey = LOG, **more: bytes) -> Note:
    return signed(str(Checkpoint(key.name, size, more.get("root") or Frontier().grown(leaves[:size]).root)), key)


def submission(old: int, new: int, leaves: list[bytes] = LEAVES, *, key: SigningKey = LOG) -> bytes:
    tiles = {(tile.level, tile.n): tile.data for tile in grown_tiles(0, [], leaves[:new])}
    path = consistency_path(old, new, lambda level, n, width: tiles[level, n]) if 0 < old < new else []
    note = head(new, leaves, key=key)
    return str(Submission(old, tuple(path), note, Checkpoint(key.name, new, b""))).encode()


@pytest.fixture
def conf(tmp_path: Path) -> Settings:
    (tmp_path / "logs").write_text(f"# whom we watch\n\n{LOG.verifier}\n")
    return Settings(data_dir=tmp_path, witness_name="witness.example/w1", witness_logs=str(tmp_path / "logs"))


@pytest.fixture
def asked(conf: Settings) -> FlaskClient:
    return create_app(conf).test_client()


def test_a_log_that_grows_is_signed(asked: FlaskClient, conf: Settings) -> None:
    key = parse_verifier_key(str(witness_of(conf).key.verifier))
    assert asked.get(f"/{HASH}/checkpoint").status_code == 404
    for old, new in ((0, 3), (3, 3), (3, 256), (256, 600)):
        found = asked.post("/add-checkpoint", data=submission(old, new))
        assert found.status_code == 200, found.text
        note = head(new)
        assert signed_by(parse_note(note.text + "\n" + found.text), [key])[key]
        shown = parse_note(asked.get(f"/{HASH}/checkpoint").data)
        assert signed_by(shown, [key, LOG.verifier]).keys() == {key, LOG.verifier}
        assert shown.text == note.text


def test_an_empty_log_may_be_signed_before_its_first_entry(asked: FlaskClient) -> None:
    assert asked.post("/add-checkpoint", data=submission(0, 0)).status_code == 200
    assert asked.post("/add-checkpoint", data=submission(0, 5)).status_code == 200
    wrong = Submission(0, (), head(0, root=bytes(32)), Checkpoint(LOG.name, 0, bytes(32)))
    assert asked.post("/add-checkpoint", data=str(wrong)).status_code == 409


def test_what_does_not_continue_is_refused(asked: FlaskClient) -> None:
    assert asked.post("/add-checkpoint", data=submission(0, 300)).status_code == 200
    behind = asked.post("/add-checkpoint", data=submission(100, 200))
    assert (behind.status_code, behind.text, behind.content_type) == (409, "300\n", "text/x.tlog.size")
    assert asked.post("/add-checkpoint", data=submission(0, 400)).status_code == 409
    assert asked.post("/add-checkpoint", data=submission(300, 400, OTHERS)).status_code == 422
    assert asked.post("/add-checkpoint", data=submission(300, 300, OTHERS)).status_code == 422
    assert asked.post("/add-checkpoint", data=submission(300, 200).replace(b"old 200", b"old 300")).status_code == 400
    without = submission(300, 400).split(b"\n\n", 1)
    assert asked.post("/add-checkpoint", data=b"old 300\n\n" + without[1]).status_code == 422
    assert parse_note(asked.get(f"/{HASH}/checkpoint").data).text == head(300).text


def test_nothing_from_nothing_needs_a_proof(asked: FlaskClient) -> None:
    data = submission(3, 5).replace(b"old 3", b"old 0")
    assert asked.post("/add-checkpoint", data=data).status_code == 422


def test_only_known_logs_that_signed_are_taken(asked: FlaskClient) -> None:
    stranger = SigningKey("stranger.example/log", PLAIN, b"l" * 32)
    assert asked.post("/add-checkpoint", data=submission(0, 3, key=stranger)).status_code == 404
    forger = SigningKey(LOG.name, PLAIN, b"f" * 32)
    assert asked.post("/add-checkpoint", data=submission(0, 3, key=forger)).status_code == 403
    signature = head(3).signatures[0]
    broken = Note(head(3).text, (replace(signature, body=bytes(64)),))
    assert asked.post("/add-checkpoint", data=str(Submission(0, (), broken, Checkpoint(LOG.name, 3, b"")))).status_code == 403


@pytest.mark.parametrize(
    "data",
    [
        b"", b"old 0\n", b"old\n\n" + submission(0, 3)[7:], b"old -1\n\n" + submission(0, 3)[7:], b"old 00\n\n" + submission(0, 3)[7:],
        b"new 0\n\n" + submission(0, 3)[7:], b"old 0\nAAAA\n\n" + submission(0, 3)[7:], b"old 0\n" + b"A" * 43 + b"=\n" + submission(0, 3)[7:-1],
        b"old 0\n" + (b"A" * 43 + b"=\n") * 64 + b"\n" + submission(0, 3)[7:], b"\xff" * 50, b"old 0\n\nnothing\n",
    ],
)  # fmt: skip
def test_what_is_no_submission_is_a_bad_request(asked: FlaskClient, data: bytes) -> None:
    assert asked.post("/add-checkpoint", data=data).status_code == 400
    with pytest.raises(BadSubmission):
        parse_submission(data)


def test_a_huge_body_is_not_read(asked: FlaskClient) -> None:
    assert asked.post("/add-checkpoint", data=b"x" * 200_000).status_code == 413


def test_of_many_at_once_each_continues_the_one_before(conf: Settings) -> None:
    witness = witness_of(conf)
    witness.add_checkpoint(submission(0, 10), now_s=1)
    ended: list[str] = []

    def ask(leaves: list[bytes], new: int) -> None:
        try:
            witness.add_checkpoint(submission(10, new, leaves), now_s=2)
            ended.append(f"signed {new}")
        except Exception as failure:
            ended.append(type(failure).__name__)

    mixed = LEAVES[:10] + OTHERS[10:]
    threads = [threading.Thread(target=ask, args=(leaves, 11 + number)) for number in range(10) for leaves in (LEAVES, mixed)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert sum(one.startswith("signed") for one in ended) == 1
    assert ended.count("Refused") == 19


def test_a_witness_does_not_forget(conf: Settings) -> None:
    create_app(conf).test_client().post("/add-checkpoint", data=submission(0, 300))
    again = create_app(conf).test_client()
    assert again.post("/add-checkpoint", data=submission(0, 300)).status_code == 409
    assert again.post("/add-checkpoint", data=submission(300, 301)).status_code == 200


@pytest.mark.parametrize(("logs", "name"), [("", "w"), ("nonsense\n", "w"), ("# nobody\n", "w"), (None, "w"), (f"{LOG.verifier}\n", "")])
def test_a_witness_must_know_who_it_is_and_what_it_watches(tmp_path: Path, logs: str | None, name: str) -> None:
    if logs is not None:
        (tmp_path / "logs").write_text(logs)
    with pytest.raises(BadSettings):
        create_app(Settings(data_dir=tmp_path, witness_name=name, witness_logs=str(tmp_path / "logs")))
