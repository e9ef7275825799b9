"""The log and real witnesses: nothing is shown before enough have signed, and a log that forgot is found out by them."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from geo_o2o.config import BadSettings, Settings
from geo_o2o.db import Database
from geo_o2o.ledger import queries, service
from geo_o2o.ledger.keys import make_key
from geo_o2o.ledger.service import Log, log_of, publish, recover, sequence, shard_at
from geo_o2o.witness.app import witness_of
from visit_verify.note import parse_note, signed_by
from visit_verify.policy import parse_policy

from ..conftest import NOW, own_port
from ..ops.test_service import wait_for
from .test_log import audited, grow, key_of, queue
from .test_recovery import dump, restore

SHARD = shard_at(NOW)


@pytest.fixture
def conf(fresh_database: Any, tmp_path: Path) -> Settings:
    made: Settings = replace(fresh_database(), data_dir=tmp_path)
    key = make_key(made.data_dir / "keys", f"{made.log_name}/{SHARD}")
    (tmp_path / "logs").write_text(f"{key.verifier}\n")
    return made


@contextmanager
def witness(conf: Settings, environment: dict[str, str], number: int, *, port: int | None = None) -> Iterator[str]:
    """A witness as its owner runs it; its line for a policy."""
    folder = conf.data_dir / f"witness{number}"
    folder.mkdir(exist_ok=True)
    own = Settings(data_dir=folder, witness_name=f"witness{number}.example/w", witness_logs=str(conf.data_dir / "logs"))
    port = port or own_port(8_800 + 20 * number)
    env = {
        **environment, "GEO_O2O_DATA_DIR": str(folder), "GEO_O2O_WITNESS_NAME": own.witness_name, "GEO_O2O_WITNESS_LOGS": own.witness_logs,
        "GEO_O2O_PORT": str(port),
    }  # fmt: skip
    command = [sys.executable, "-m", "geo_o2o", "witness", "serve"]
    with subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            assert wait_for(lambda: _answers(port), 20)
            yield f"witness w{number} {witness_of(own).key.verifier} http://127.0.0.1:{port}"
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(20)


def _answers(port: int) -> bool:
    try:
        urllib.request.urlopen(f"http://127.0.0.1:{port}/none/checkpoint", timeout=1)
    except urllib.error.HTTPError as answer:
        return bool(answer.code == 404)
    except OSError:
        return False
    return True


def trusting(conf: Settings, *lines: str, quorum: str) -> Log:
    """The log with a policy of these witnesses."""
    (conf.data_dir / "policy").write_text("\n".join([*lines, f"quorum {quorum}"]) + "\n")
    return log_of(replace(conf, log_policy=str(conf.data_dir / "policy")), SHARD)


def test_nothing_is_shown_before_enough_witnesses_have_signed(conf: Settings, environment: dict[str, str]) -> None:
    database = Database(conf)
    with witness(conf, environment, 1) as first:
        with witness(conf, environment, 2) as second:
            log = trusting(conf, first, second, "group both all w1 w2", quorum="both")
            grow(database, log, range(300))
            note = parse_note(log.folder.read("checkpoint") or b"")
            trusted = parse_policy((conf.data_dir / "policy").read_text())
            assert len(signed_by(note, trusted.witnesses.values())) == 2
            before = audited(log, key_of(database))
            assert before.size == 300
        grow(database, log, range(300, 320))
        assert audited(log, key_of(database)) == before, "one of two is not enough"
        with database.read() as session:
            assert service.trouble_of(session, now=NOW - timedelta(days=3_650)) is None
            assert "do its witnesses answer" in (service.trouble_of(session, now=NOW + timedelta(days=3_650)) or "")
        one = trusting(conf, first, second, "group both any w1 w2", quorum="both")
        with database.write() as session:
            assert publish(session, one, now=NOW) == 20
        assert audited(one, key_of(database), since=before).size == 320
        with witness(conf, environment, 2, port=int(second.rsplit(":", 1)[1])) as again:
            assert again == second
            # It has missed twenty entries, and says where it stands.
            grow(database, log, range(320, 321))
        assert len(signed_by(parse_note(log.folder.read("checkpoint") or b""), trusted.witnesses.values())) == 2
        assert audited(log, key_of(database)).size == 321
    database.close()


def test_a_witness_finds_out_a_log_that_forgot(conf: Settings, environment: dict[str, str]) -> None:
    database = Database(conf)
    with witness(conf, environment, 1) as first:
        log = trusting(conf, first, quorum="w1")
        grow(database, log, range(100))
        backup = dump(database)
        grow(database, log, range(100, 150))
        seen = audited(log, key_of(database))
        restore(database, backup)
        # Whatever this machine kept of it is lost too, and so it goes another way.
        high_water, folder = conf.data_dir / f"log-high-water-{SHARD}", conf.data_dir / "log"
        kept = high_water.read_bytes()
        high_water.unlink()
        folder.rename(conf.data_dir / "mirror")
        queue(database, range(900, 930))
        with database.write() as session:
            assert sequence(session, log) == 30
        with database.write() as session:
            assert publish(session, log, now=NOW) == 0
        assert log.folder.read("checkpoint") is None
        with database.write() as session:
            assert "log recover" in (service.trouble_of(session, now=NOW) or "")
            assert sequence(session, log) == 0
        # Another thirty entries were given places behind the first hundred: with the mirror it is plain that this is a fork.
        shutil.rmtree(folder)
        (conf.data_dir / "mirror").rename(folder)
        high_water.write_bytes(kept)
        with pytest.raises(service.LogFrozen), database.write() as session:
            recover(session, log)
        restore(database, backup)
        with database.write() as session:
            sequence(session, log)
        with database.write() as session:
            assert recover(session, log) == 50
        grow(database, log, range(150, 155))
        assert audited(log, key_of(database), since=seen).size == 155
    database.close()


def test_a_policy_that_cannot_be_read_is_named(conf: Settings) -> None:
    with pytest.raises(BadSettings, match="GEO_O2O_LOG_POLICY"):
        trusting(conf, "trust me", quorum="none")
    with pytest.raises(BadSettings, match="GEO_O2O_LOG_POLICY"):
        log_of(replace(conf, log_policy=str(conf.data_dir / "absent")), SHARD)


def test_no_witness_is_asked_where_none_is_named(conf: Settings) -> None:
    database = Database(conf)
    log = trusting(conf, quorum="none")
    grow(database, log, range(3))
    with database.read() as session:
        newest = queries.newest_checkpoint(session, SHARD)
        assert newest is not None
        assert log.folder.read("checkpoint") == newest.note.encode()
    database.close()
