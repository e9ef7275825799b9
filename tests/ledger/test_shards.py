"""The end of a half-year: what was promised to it stays in it, one last entry closes it, and the next one begins. Entries that all may read."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest
import sqlalchemy as sa

from geo_o2o.config import Settings
from geo_o2o.db import Database
from geo_o2o.ledger import queries, service
from geo_o2o.ledger.audit import audit
from geo_o2o.ledger.events import CLOSE, KEY, RELEASE, event_entry
from geo_o2o.ops.service import look_back
from visit_verify.note import parse_verifier_key

from ..conftest import NOW

JULY = datetime.fromisoformat("2026-07-01T00:00:10+00:00")


def test_a_half_year_ends(own: tuple[Database, Settings, service.Log], tmp_path: Path) -> None:
    database, settings, _ = own
    before, after = JULY - timedelta(seconds=20), JULY

    def worker(now: datetime) -> None:
        for deed in (service.close_ended, service.sequence_all, service.publish_all):
            with database.write() as session:
                if deed is service.close_ended:
                    service.close_ended(session, now=now)
                else:
                    deed(session, settings, now=now)  # type: ignore[operator]

    with database.write() as session:
        service.append_event(session, id_=UUID(int=1), kind=KEY, event={"event": "add"}, now=before)
    with database.write() as session:
        service.append_event(session, id_=UUID(int=2), kind=KEY, event={"event": "add"}, now=after)
    worker(after)
    with database.read() as session:
        assert queries.find_index(session, UUID(int=1)) == ("2026h1", 0), "promised before midnight, though it got its place after"
        assert queries.find_index(session, UUID(int=2)) == ("2026h2", 0)
    worker(after + timedelta(hours=12))
    with database.read() as session:
        assert [queries.find_state(session, shard).size for shard in ("2026h1", "2026h2")] == [1, 1], "not closed at once"  # type: ignore[union-attr]
    for _ in range(3):
        worker(after + timedelta(days=1, hours=1))
    with database.read() as session:
        entries = queries.entries_between(session, shard="2026h1", first=0, end=10)
        assert entries[1:] == [event_entry(CLOSE, {"closed": "2026h1", "next": "2026h2"})]
        keys = {shard: queries.find_state(session, shard).verifier for shard in ("2026h1", "2026h2")}  # type: ignore[union-attr]
    assert keys["2026h1"] != keys["2026h2"], "a key of its own for each half-year"
    for shard, key in keys.items():
        folder = service.log_of(settings, shard).folder
        assert audit(lambda name, folder=folder: folder.read(name) or b"", key=parse_verifier_key(key)).checkpoint.size in (1, 2)


def test_nobody_is_served_before_a_restored_database_was_looked_at(own: tuple[Database, Settings, service.Log]) -> None:
    database, settings, _ = own
    with database.write() as session:
        service.append_event(session, id_=UUID(int=1), kind=KEY, event={}, now=NOW)
    with database.write() as session:
        service.sequence_all(session, settings, now=NOW)
    with database.write() as session:
        service.publish_all(session, settings, now=NOW)
    look_back(settings)
    with database.write() as session:
        service.check_not_frozen(session, now=NOW)
        # The database of before the entry: what a backup would bring back.
        session.execute(sa.text("UPDATE log_state SET size = 0, root = :root, frontier = '{}'"), {"root": service.EMPTY_ROOT})
    look_back(settings)
    with database.read() as session, pytest.raises(service.LogFrozen, match="geo-o2o log recover"):
        service.check_not_frozen(session, now=NOW)


def test_entries_that_everybody_may_read() -> None:
    assert event_entry(KEY, {"b": 1, "a": "x"}) == b'\x01\x03{"a":"x","b":1}'
    assert event_entry(RELEASE, {})[:2] == b"\x01\x04"
    for kind in (0, 1, 2, 6):
        with pytest.raises(ValueError, match="kind of public entry"):
            event_entry(kind, {})
    with pytest.raises(ValueError, match="at most 4096 bytes"):
        event_entry(KEY, {"a": "x" * 4_096})
