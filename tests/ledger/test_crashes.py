"""Whatever is killed: every committed entry is in the log exactly once, and nothing was published that was not committed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from geo_o2o import cluster
from geo_o2o.config import Settings
from geo_o2o.db import Database
from geo_o2o.ledger.audit import audit
from geo_o2o.ledger.merkle import Frontier
from geo_o2o.ledger.service import log_of
from geo_o2o.ops.service import upgrade
from visit_verify.merkle import leaf_hash
from visit_verify.note import Checkpoint, parse_checkpoint, parse_note, parse_verifier_key, signed_by

from .crashing import KILLS, STOPS


@pytest.fixture
def folder(data_dir: Path) -> Iterator[Path]:
    path = data_dir / "crashes"
    path.mkdir()
    # A server that keeps its word to disk: this is about what a crash leaves.
    cluster.up(path, durable=True)
    upgrade(Settings(data_dir=path))
    yield path
    cluster.destroy(path)


def test_no_crash_loses_or_doubles_an_entry(folder: Path, environment: dict[str, str]) -> None:
    assert (KILLS, STOPS) >= (20, 3)
    subprocess.run(
        [sys.executable, "-m", "tests.ledger.crashing", str(folder), "1"], env=environment, cwd=Path(__file__).parents[2], check=True, timeout=240
    )
    tried, done, undone = told_by_writers(folder)
    database = Database(Settings(data_dir=folder))
    with database.read() as session:
        rows = session.execute(sa.text("SELECT shard, index, id, entry FROM log_entries ORDER BY index")).all()
        heads = session.execute(sa.text("SELECT size, root, note, published_at FROM log_checkpoints ORDER BY size")).all()
        state = session.execute(sa.text("SELECT shard, verifier, size, root, frozen FROM log_state")).one()
        waiting = session.scalar(sa.text("SELECT count(*) FROM log_queue"))
    database.close()
    entries = {str(row.id): bytes(row.entry).hex() for row in rows}
    assert waiting == 0
    assert not state.frozen
    assert [row.index for row in rows] == list(range(state.size))
    assert len(set(entries.values())) == len(rows) > 200
    assert done <= entries.keys(), "committed and not logged"
    assert not undone & entries.keys(), "rolled back and logged"
    assert {id_: tried[id_] for id_ in entries} == entries, "logged as they were written, and nothing else"
    # Every checkpoint again, from the entries alone.
    key, frontier = parse_verifier_key(state.verifier), Frontier()
    for head in heads:
        frontier = frontier.grown(leaf_hash(bytes(row.entry)) for row in rows[frontier.size : head.size])
        note = parse_note(head.note)
        assert signed_by(note, [key]) == {key: None}
        assert parse_checkpoint(note.text) == Checkpoint(key.name, frontier.size, frontier.root)
        assert (head.size, bytes(head.root)) == (frontier.size, frontier.root)
    assert (state.size, bytes(state.root)) == (frontier.size, frontier.root)
    assert all(head.published_at for head in heads)
    # What was seen outside at any time is a checkpoint that was committed.
    log, committed = log_of(Settings(data_dir=folder), state.shard), {head.note for head in heads}
    seen = [path.read_text() for path in (folder / "shown").iterdir()]
    assert len(set(seen)) > 5
    assert set(seen) <= committed
    found = audit(lambda name: log.folder.read(name) or b"", key=key)
    assert found.checkpoint.size == state.size
    unknown = len(tried) - len(done) - len(undone)
    print(f"\n{len(rows)} entries in {len(heads)} batches, {KILLS} kills, {STOPS} stops, {unknown} commits of unknown end")  # noqa: T201 - the run's statistics


def told_by_writers(folder: Path) -> tuple[dict[str, str], set[str], set[str]]:
    tried: dict[str, str] = {}
    ended: dict[str, set[str]] = {"done": set(), "undone": set()}
    for path in (folder / "writers").iterdir():
        for line in path.read_text().splitlines():
            word, *rest = line.split(" ")
            if word == "tried" and len(rest) == 2:
                tried[rest[0]] = rest[1]
            elif len(rest) == 1 and len(rest[0]) == 36:
                ended[word].add(rest[0])
    return tried, ended["done"], ended["undone"]
