"""The log from the queue to its published files: nothing leaves before it is committed, and what left is never taken back."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa
from click.testing import CliRunner
from flask.testing import FlaskClient
from sqlalchemy.exc import DBAPIError, IntegrityError

from geo_o2o.cli import main
from geo_o2o.config import Settings
from geo_o2o.db import Database
from geo_o2o.ledger import queries, service
from geo_o2o.ledger.audit import AuditFailed, audit
from geo_o2o.ledger.note import SigningKey
from geo_o2o.ledger.service import Log, append, log_of, publish, sequence, shard_at
from geo_o2o.ledger.tiles import inclusion_path, tile_path
from geo_o2o.ops.jobs import run_jobs
from visit_verify.merkle import leaf_hash
from visit_verify.note import PLAIN, Checkpoint, parse_checkpoint, parse_note, parse_verifier_key
from visit_verify.proof import Proof, parse_proof

from ..conftest import NOW

SHARD = shard_at(NOW)


def entry(number: int) -> bytes:
    return b"\x01\x01" + number.to_bytes(32, "big")


def queue(database: Database, numbers: range, *, shard: str = SHARD) -> None:
    with database.write() as session:
        for number in numbers:
            append(session, shard=shard, id_=UUID(int=number + 1), entry=entry(number))


def grow(database: Database, log: Log, numbers: range, *, most: int = 5_000) -> None:
    """Queues entries, gives them their places and publishes them."""
    queue(database, numbers)
    while True:
        with database.write() as session:
            if not sequence(session, log, most=most):
                break
    with database.write() as session:
        publish(session, log, now=NOW)


def audited(log: Log, key: str, **more: Any) -> Checkpoint:
    def fetch(name: str) -> bytes:
        data = log.folder.read(name)
        assert data is not None, name
        return data

    return audit(fetch, key=parse_verifier_key(key), **more).checkpoint


def key_of(database: Database) -> str:
    with database.read() as session:
        state = queries.find_state(session, SHARD)
        assert state is not None
        return state.verifier


@pytest.mark.parametrize(("month", "shard"), [(1, "2026h1"), (6, "2026h1"), (7, "2026h2"), (12, "2026h2")])
def test_a_shard_is_a_half_year(month: int, shard: str) -> None:
    assert shard_at(NOW.replace(month=month)) == shard


def test_a_log_without_entries_is_nothing_yet(own: tuple[Database, Settings, Log]) -> None:
    database, _, log = own
    with database.write() as session:
        assert sequence(session, log) == 0
        assert publish(session, log, now=NOW) == 0
    assert not log.keys.exists()
    assert log.folder.published() is None


def test_entries_get_places_in_batches_and_are_published(own: tuple[Database, Settings, Log]) -> None:
    database, _, log = own
    sizes = []
    for numbers in (range(1), range(1, 300), range(300, 300), range(300, 1_000)):
        grow(database, log, numbers, most=128)
        shown = audited(log, key_of(database))
        sizes.append(shown.size)
        assert log.folder.high_water() == shown
    assert sizes == [1, 300, 300, 1_000]
    with database.read() as session:
        assert queries.entries_between(session, shard=SHARD, first=0, end=1_000) == [entry(number) for number in range(1_000)]
        assert queries.oldest_queued(session, SHARD, most=1) == []
        assert session.scalar(sa.text("SELECT bool_and(published_at IS NOT NULL) FROM log_checkpoints"))
    assert (log.keys / f"localhost_log_{SHARD}.key").stat().st_mode & 0o777 == 0o600


def test_an_entry_is_proved_by_what_was_published(own: tuple[Database, Settings, Log]) -> None:
    database, _, log = own
    grow(database, log, range(700))
    with database.read() as session:
        assert queries.find_index(session, UUID(int=400)) == (SHARD, 399)
        assert queries.find_index(session, uuid4()) is None
    note = parse_note(log.folder.read("checkpoint") or b"")
    path = inclusion_path(399, 700, lambda level, n, width: log.folder.read(tile_path(level, n, width)) or b"")
    proof = parse_proof(str(Proof(399, tuple(path), note)))
    assert proof.check(entry(399)).size == 700


def test_what_is_queued_twice_or_rolled_back_is_not_there(own: tuple[Database, Settings, Log]) -> None:
    database, _, log = own
    grow(database, log, range(3))
    with pytest.raises(IntegrityError):
        queue_twice(database, UUID(int=90))
    grow(database, log, range(3, 4))
    assert audited(log, key_of(database)).size == 4


def test_two_sequencers_do_not_meet(own: tuple[Database, Settings, Log]) -> None:
    database, _, log = own
    grow(database, log, range(1))
    queue(database, range(1, 10))
    with database.write() as first:
        assert sequence(first, log) == 9
        with database.write() as second:
            assert sequence(second, log) == 0
    with database.write() as session:
        assert sequence(session, log) == 0
        assert publish(session, log, now=NOW) == 9


def test_who_waited_for_another_publisher_does_not_take_its_work_for_a_lost_past(
    own: tuple[Database, Settings, Log], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two workers: one waits at the door of the folder while the other publishes further than the first had seen."""
    database, _, log = own
    grow(database, log, range(3))
    door, waits = log.folder.locked, threading.Event()

    @contextmanager
    def announced() -> Iterator[None]:
        waits.set()
        with door():
            yield

    def wait_and_publish() -> None:
        with database.write() as session:
            publish(session, log, now=NOW)

    with door():
        monkeypatch.setattr(type(log.folder), "locked", lambda folder: announced())
        waiting = threading.Thread(target=wait_and_publish)
        waiting.start()
        assert waits.wait(5)
        # The one that is inside.
        monkeypatch.setattr(type(log.folder), "locked", lambda folder: nullcontext())
        grow(database, log, range(3, 9))
    waiting.join(5)
    with database.read() as session:
        state = queries.find_state(session, SHARD)
        assert state is not None
        assert (state.size, state.frozen) == (9, False)
    assert audited(log, key_of(database)).size == 9


def test_nothing_leaves_that_was_not_committed(own: tuple[Database, Settings, Log]) -> None:
    database, _, log = own
    grow(database, log, range(5))
    queue(database, range(5, 8))
    with pytest.raises(RuntimeError, match="power"):
        sequence_and_fail(database, log)
    with database.write() as session:
        assert publish(session, log, now=NOW) == 0
    assert audited(log, key_of(database)).size == 5
    grow(database, log, range(8, 9))
    assert audited(log, key_of(database)).size == 9


@pytest.mark.parametrize(
    "deed",
    [
        "UPDATE log_entries SET entry = '\\x00' WHERE index = 2",
        "DELETE FROM log_entries WHERE index = 2",
        "TRUNCATE log_entries",
        "UPDATE log_checkpoints SET note = ''",
        "UPDATE log_checkpoints SET root = '\\x00'",
        "DELETE FROM log_checkpoints",
        "TRUNCATE log_checkpoints",
    ],
)
def test_the_tables_refuse_to_be_rewritten(own: tuple[Database, Settings, Log], deed: str) -> None:
    database, _, log = own
    grow(database, log, range(5))
    with pytest.raises(DBAPIError, match="append-only"), database.write() as session:
        session.execute(sa.text(deed))


@pytest.mark.parametrize(
    ("deed", "said"),
    [
        ("UPDATE log_entries SET entry = '\\x0101ff' WHERE index = 402", "entry 402 is not the one that was logged"),
        ("DELETE FROM log_entries WHERE index = 511", "there are 255 entries from 256 on, expected 256"),
        ("UPDATE log_tiles SET data = overlay(data PLACING '\\x00' FROM 33) WHERE level = 0 AND n = 1", "entry 257 is not the one that was logged"),
        ("UPDATE log_tiles SET data = overlay(data PLACING '\\x00' FROM 33) WHERE level = 1", "tile 0 of level 1 has another hash at place 1"),
        ("DELETE FROM log_tiles WHERE level = 0 AND n = 0", "tile 0 of level 0 should have 256 hashes, found 0"),
        ("UPDATE log_checkpoints SET note = replace(note, '\n600\n', '\n599\n')", "the signature of .* is wrong"),
    ],
)
def test_the_auditor_names_what_was_changed_by_hand(own: tuple[Database, Settings, Log], deed: str, said: str) -> None:
    database, _, log = own
    grow(database, log, range(600))
    key = key_of(database)
    with database.read() as session:
        assert audit(lambda name: service.fetch_from_tables(session, SHARD, name), key=parse_verifier_key(key)).kinds == {1: 600}
    with database.write() as session:
        session.execute(sa.text("ALTER TABLE log_entries DISABLE TRIGGER USER; ALTER TABLE log_checkpoints DISABLE TRIGGER USER"))
        session.execute(sa.text(deed))
    with pytest.raises(AuditFailed, match=said), database.read() as session:
        audit(lambda name: service.fetch_from_tables(session, SHARD, name), key=parse_verifier_key(key))
    assert audited(log, key).size == 600, "what was published is still there"


def test_the_auditor_notices_another_past(own: tuple[Database, Settings, Log]) -> None:
    database, _, log = own
    grow(database, log, range(10))
    key = key_of(database)
    seen = audited(log, key)
    grow(database, log, range(10, 25))
    assert audited(log, key, since=seen).size == 25
    with pytest.raises(AuditFailed, match="first 10 entries are not those"):
        audited(log, key, since=replace(seen, root=bytes(32)))
    with pytest.raises(AuditFailed, match="had 26 entries"):
        audited(log, key, since=replace(seen, size=26))
    other = SigningKey(log.name, PLAIN, bytes(32)).verifier
    with pytest.raises(AuditFailed, match="not signed by"):
        audited(log, str(other))


def test_the_worker_does_it_all(own: tuple[Database, Settings, Log]) -> None:
    database, conf, log = own
    queue(database, range(20))
    done = run_jobs(database, conf, clock=lambda: NOW)
    assert (done["sequence the log"], done["publish the log"]) == (20, 20)
    assert audited(log, key_of(database)).size == 20


def test_the_commands(own: tuple[Database, Settings, Log], tmp_path: Path) -> None:
    database, conf, _ = own
    env = {"GEO_O2O_DATABASE_URL": conf.database_url, "GEO_O2O_DATA_DIR": str(conf.data_dir)}

    def run(*arguments: str) -> tuple[int, str]:
        found = CliRunner().invoke(main, ["log", *arguments], env=env)
        return found.exit_code, found.output.strip()

    assert run("key")[0] == run("audit")[0] == 1
    queue(database, range(300))
    assert run("publish") == (0, "300 entries got their places, 300 were published")
    assert run("publish") == (0, "0 entries got their places, 0 were published")
    key = run("key")[1]
    assert parse_verifier_key(key).name.startswith("localhost/log/")
    status, said = run("audit", "--since", str(tmp_path / "seen"))
    assert (status, said.partition(": ")[2]) == (0, "300 entries, all as they were logged (kind 1: 300)")
    assert parse_checkpoint(parse_note((tmp_path / "seen").read_bytes()).text).size == 300
    assert run("audit", "http://127.0.0.1:1/log/2026h2")[0] == 2
    assert "127.0.0.1:1" in run("audit", "http://127.0.0.1:1/log/2026h2", "--key", key)[1]
    assert "is not frozen" in run("recover")[1]
    with database.write() as session:
        session.execute(sa.text("ALTER TABLE log_entries DISABLE TRIGGER USER; UPDATE log_entries SET entry = 'x' WHERE index = 7"))
    assert run("audit") == (1, "Error: entry 7 is not the one that was logged")


def test_files_are_served_as_the_specification_says(own: tuple[Database, Settings, Log], client: FlaskClient, settings: Settings) -> None:
    database, _, _ = own
    log = log_of(settings, "1999h2")
    try:
        with_files(database, log)
        shown = client.get("/log/1999h2/checkpoint")
        assert (shown.status_code, shown.content_type) == (200, "text/plain; charset=utf-8")
        assert shown.headers["Cache-Control"] == "public, max-age=5"
        assert parse_checkpoint(parse_note(shown.data).text).size == 600
        full = client.get("/log/1999h2/tile/0/000")
        assert (full.content_type, len(full.data)) == ("application/octet-stream", 8_192)
        assert "immutable" in full.headers["Cache-Control"]
        assert client.get("/log/1999h2/tile/0/002.p/88").data == b"".join(leaf_hash(entry(number)) for number in range(512, 600))
        # What has got wider since is cut to what is asked for.
        assert client.get("/log/1999h2/tile/0/000.p/3").data == full.data[:96]
        assert client.get("/log/1999h2/tile/0/002.p/10").data == client.get("/log/1999h2/tile/0/002.p/88").data[:320]
        assert len(client.get("/log/1999h2/tile/entries/001.p/2").data) == 2 * 36
    finally:
        shutil.rmtree(settings.data_dir / "log", ignore_errors=True)


@pytest.mark.parametrize(
    "path",
    [
        "1999h2/checkpoint", "1999h3/checkpoint", "../checkpoint", "1999h2/lock", "1999h2/tile/0/0", "1999h2/tile/64/000", "1999h2/tile/00/000",
        "1999h2/tile/0/000.p/0", "1999h2/tile/0/000.p/256", "1999h2/tile/0/000.p/03", "1999h2/tile/0/x001", "1999h2/tile/entries/000.p/x",
        "1999h2/tile/0/../../../../keys/x.key", "1999h2/%2e%2e/%2e%2e/keys/x.key", "1999h2/tile/0/000\x00", "1999h2/checkpoint/", "1999h2/tile/0/999/999",
    ],
)  # fmt: skip
def test_what_is_no_file_of_a_log_is_not_found(client: FlaskClient, path: str) -> None:
    assert client.get(f"/log/{path}").status_code == 404


def queue_twice(database: Database, id_: UUID) -> None:
    with database.write() as session:
        append(session, shard=SHARD, id_=id_, entry=entry(90))
        append(session, shard=SHARD, id_=id_, entry=entry(91))


def sequence_and_fail(database: Database, log: Log) -> None:
    with database.write() as session:
        assert sequence(session, log) == 3
        raise RuntimeError("power")


def with_files(database: Database, log: Log) -> None:
    own = Log(log.shard, log.name, log.keys.parent / "keys-of-test", log.folder)
    queue(database, range(600), shard=log.shard)
    with database.write() as session:
        sequence(session, own)
    with database.write() as session:
        publish(session, own, now=NOW)
    shutil.rmtree(own.keys)
