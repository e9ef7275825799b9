"""When the database forgot, the disk is full, or files are lost: the log stops, says what to do, and goes on as what it was."""

from __future__ import annotations

import shutil
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa

from geo_o2o.config import Settings
from geo_o2o.db import Database
from geo_o2o.ledger import queries, service
from geo_o2o.ledger.folder import LogFolder
from geo_o2o.ledger.note import SigningKey
from geo_o2o.ledger.service import Log, LogFrozen, NothingToRecover, publish, recover, sequence
from geo_o2o.ledger.tiles import bundle_path
from visit_verify.note import PLAIN

from ..conftest import NOW
from .test_log import SHARD, audited, entry, grow, key_of, queue


def test_a_database_from_yesterday_freezes_the_log_until_it_is_recovered(own: tuple[Database, Settings, Log]) -> None:
    database, _, log = own
    grow(database, log, range(300))
    queue(database, range(300, 310))
    backup = dump(database)
    grow(database, log, range(310, 700))
    key, newest = key_of(database), audited(log, key_of(database))
    restore(database, backup)
    queue(database, range(700, 705))
    with database.write() as session:
        assert sequence(session, log) == 0
    with database.write() as session:
        assert sequence(session, log) == 0
        assert publish(session, log, now=NOW) == 0
        assert "log recover" in (service.trouble_of(session, now=NOW) or "")
    assert audited(log, key) == newest
    with database.write() as session:
        assert recover(session, log) == 400
    with database.write() as session:
        assert service.trouble_of(session, now=NOW) is None
        # Ten were in the queue of the backup, and were published before: they do not come twice.
        assert queries.find_index(session, UUID(int=301)) == (SHARD, 300)
    grow(database, log, range(705, 710))
    assert audited(log, key, since=newest).size == 710
    with database.read() as session:
        found = queries.entries_between(session, shard=SHARD, first=0, end=710)
    assert sorted(found) == [entry(number) for number in range(710)]
    with pytest.raises(NothingToRecover), database.write() as session:
        recover(session, log)


def test_a_lost_bundle_keeps_the_log_frozen(own: tuple[Database, Settings, Log]) -> None:
    database, conf, log = own
    grow(database, log, range(300))
    backup = dump(database)
    grow(database, log, range(300, 600))
    restore(database, backup)
    path = conf.data_dir / "log" / SHARD / bundle_path(1)
    kept = path.read_bytes()
    for wrong in (kept[:-1], b"", kept.replace(entry(400), entry(9_999))):
        path.write_bytes(wrong)
        with pytest.raises(LogFrozen), database.write() as session:
            recover(session, log)
    path.write_bytes(kept)
    with database.write() as session:
        assert recover(session, log) == 300


def test_a_log_folder_that_was_deleted_is_written_again(own: tuple[Database, Settings, Log]) -> None:
    database, conf, log = own
    grow(database, log, range(600))
    key, before = key_of(database), audited(log, key_of(database))
    shutil.rmtree(conf.data_dir / "log")
    with database.write() as session:
        assert publish(session, log, now=NOW) == 600
    assert audited(log, key, since=before) == before


def test_a_full_disk_publishes_nothing_half(own: tuple[Database, Settings, Log], monkeypatch: pytest.MonkeyPatch) -> None:
    database, _, log = own
    grow(database, log, range(200))
    key, before = key_of(database), audited(log, key_of(database))
    queue(database, range(200, 600))
    with database.write() as session:
        sequence(session, log)
    written: list[str] = []
    real = LogFolder.write

    def write(self: LogFolder, name: str, data: bytes) -> None:
        if len(written) == 3:
            raise OSError(28, "No space left on device")
        written.append(name)
        real(self, name, data)

    monkeypatch.setattr(LogFolder, "write", write)
    with pytest.raises(OSError, match="No space"), database.write() as session:
        publish(session, log, now=NOW)
    monkeypatch.undo()
    assert audited(log, key) == before
    with database.write() as session:
        assert publish(session, log, now=NOW) == 400
    assert audited(log, key, since=before).size == 600


def test_another_key_does_not_sign_on(own: tuple[Database, Settings, Log]) -> None:
    database, _, log = own
    grow(database, log, range(3))
    queue(database, range(3, 4))
    (file,) = log.keys.glob("*.key")
    secret = file.read_text()
    file.unlink()
    with pytest.raises(LogFrozen, match="put it back"), database.write() as session:
        sequence(session, log)
    file.write_text(SigningKey(log.name, PLAIN, bytes(32)).format())
    with pytest.raises(LogFrozen, match="put it back"), database.write() as session:
        sequence(session, log)
    file.write_text(secret)
    with database.write() as session:
        assert sequence(session, log) == 1


TABLES = ("log_state", "log_queue", "log_entries", "log_tiles", "log_checkpoints")


def dump(database: Database) -> dict[str, list[Any]]:
    with database.read() as session:
        return {name: [tuple(row) for row in session.execute(sa.text(f"SELECT * FROM {name}"))] for name in TABLES}


def restore(database: Database, backup: dict[str, list[Any]]) -> None:
    """The tables as they were, by somebody who may do anything."""
    with database.write() as session:
        for name, rows in backup.items():
            session.execute(sa.text(f"ALTER TABLE {name} DISABLE TRIGGER USER"))
            session.execute(sa.text(f"TRUNCATE {name}"))
            for row in rows:
                places = ", ".join(f":v{number}" for number in range(len(row)))
                session.execute(sa.text(f"INSERT INTO {name} VALUES ({places})"), {f"v{number}": value for number, value in enumerate(row)})
            session.execute(sa.text(f"ALTER TABLE {name} ENABLE TRIGGER USER"))
