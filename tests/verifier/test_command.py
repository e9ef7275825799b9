"""`visit-verify` as an auditor runs it: a file, a policy, an answer and an exit code."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from geo_o2o.ledger.receipt import sign_voids
from visit_verify.cli import main
from visit_verify.file import format_visit, parse_visit
from visit_verify.receipt import BadReceipt

from .parties import AT_MS, ISSUER, OPERATOR_SEED, STORE, Visit, policy_text

VERIFIER = Path(__file__).parents[2] / "verifier"


@pytest.fixture
def visit_file(tmp_path: Path) -> Path:
    visit = Visit()
    receipt = visit.signed()
    path = tmp_path / "coffee.visit"
    path.write_bytes(format_visit(receipt, visit.proof(receipt)))
    (tmp_path / "policy.txt").write_text(policy_text())
    return path


def run(path: Path, *more: str) -> int:
    return main([str(path), "--policy", str(path.with_name("policy.txt")), *more])


def test_a_good_receipt_is_explained(visit_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(visit_file) == 0
    said = capsys.readouterr().out
    assert said.startswith("level 3 (confirmed), by geo, staff\n")
    for word in (STORE, "existed before 2026-11-18", "the store's till", "the witness first", "not checked"):
        assert word in said


def test_the_same_as_json(visit_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (visit_file.parent / "voids").write_text(sign_voids([], issuer=ISSUER, at_ms=AT_MS, seed=OPERATOR_SEED))
    assert run(visit_file, "--json", "--voids", str(visit_file.parent / "voids")) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["result"], found["level"], found["level_name"], found["store"]) == ("believed", 3, "confirmed", STORE)
    assert found["existed_before_s"] == AT_MS // 1000 + 50
    assert [one["who"] for one in found["signed_by"]] == ["operator", "log", "witness", "witness", "device", "till"]
    assert len(found["not_checked"]) == 3


def test_a_forged_one_is_refused(visit_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    receipt, proof = parse_visit(visit_file.read_bytes())
    raised = Visit(level=4).signed()
    visit_file.write_bytes(format_visit(raised, proof))
    assert run(visit_file) == 1
    assert "REFUSED: the path leads to another root" in capsys.readouterr().err
    assert run(visit_file, "--json") == 1
    assert json.loads(capsys.readouterr().out) == {"result": "refused", "reason": "the path leads to another root"} or receipt == raised


def test_files_that_cannot_be_read(visit_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    policy = visit_file.with_name("policy.txt")
    assert main([str(visit_file.with_name("none.visit")), "--policy", str(policy)]) == 2
    policy.write_text("trust me")
    assert run(visit_file) == 2
    assert "line 1 of the policy" in capsys.readouterr().err
    assert run(visit_file, "--json") == 2
    policy.write_bytes(b"\xff")
    assert run(visit_file) == 2


def test_a_policy_is_needed(visit_file: Path) -> None:
    with pytest.raises(SystemExit) as caught:
        main([str(visit_file)])
    assert caught.value.code == 2


def test_it_runs_without_the_service(visit_file: Path) -> None:
    code = (
        f"import sys; sys.path.insert(0, {str(VERIFIER)!r})\n"
        "from visit_verify.cli import main\n"
        "code = main(sys.argv[1:])\n"
        "loaded = {name.partition('.')[0] for name in sys.modules}\n"
        "assert not loaded & {'geo_o2o', 'flask', 'sqlalchemy', 'numpy', 'joserfc', 'rfc8785'}, loaded\n"
        "sys.exit(code)"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", code, str(visit_file), "--policy", str(visit_file.with_name("policy.txt"))],
        capture_output=True,
        text=True,
        cwd="/",
    )
    assert (done.returncode, done.stdout[:7]) == (0, "level 3"), done.stderr


def test_the_file_comes_back_as_it_was_written() -> None:
    visit = Visit()
    receipt = visit.signed()
    proof = visit.proof(receipt)
    assert parse_visit(format_visit(receipt, proof)) == (receipt, proof)
    assert len(format_visit(receipt, proof)) < 4_000


def archive(**files: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as made:
        for name, data in files.items():
            made.writestr(name.replace("_", "."), data)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "data",
    [
        b"", b"PK", b"PK\x05\x06" + bytes(18), archive(receipt_jws=b"x"), archive(receipt_jws=b"x", other=b"y"),
        archive(**{"receipt_jws": b"\xff", "receipt_tlog-proof": b"x"}), archive(**{"receipt_jws": b"x", "receipt_tlog-proof": b"x"}),
        archive(**{"receipt_jws": b"x" * 5_000_000, "receipt_tlog-proof": b"x"}), archive(**{"receipt_jws": b"x", "receipt_tlog-proof": b"x", "more": b"y"}),
    ],
)  # fmt: skip
def test_what_is_no_such_file_is_refused(data: bytes) -> None:
    with pytest.raises(BadReceipt):
        parse_visit(data)


def test_a_cut_or_flipped_file_is_refused_or_the_same() -> None:
    visit = Visit()
    receipt = visit.signed()
    data = format_visit(receipt, visit.proof(receipt))
    for at in range(0, len(data), 5):
        changed = bytearray(data)
        changed[at] ^= 0x10
        for one in (bytes(changed), data[:at]):
            try:
                found = parse_visit(one)
            except BadReceipt:
                continue
            assert found == (receipt, visit.proof(receipt))
