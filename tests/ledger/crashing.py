"""Writers and sequencers that are killed again and again, and a database that is stopped under them; run as a process of its own.

What each writer did is in its own file: `tried id entry` before a commit, `done id` after it, `undone id` after a rollback.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

from geo_o2o import cluster
from geo_o2o.config import Settings
from geo_o2o.db import Database
from geo_o2o.ledger import queries, service

WRITERS, SEQUENCERS, KILLS, STOPS = 8, 2, 24, 3


class Undone(Exception):
    pass


def write_on_and_on(folder: Path, number: int) -> None:
    chance = random.Random(f"{number} {os.getpid()}")
    database = connect(folder)
    with open(folder / "writers" / f"{number}-{os.getpid()}", "a", buffering=1) as told:
        while not (folder / "stop").exists():
            id_, entry = uuid4(), bytes([1, 1]) + chance.randbytes(32)
            told.write(f"tried {id_} {entry.hex()}\n")
            try:
                with database.write() as session:
                    service.append(session, shard=service.shard_at(datetime.now(UTC)), id_=id_, entry=entry)
                    if chance.random() < 0.2:
                        time.sleep(chance.random() / 50)
                    if chance.random() < 0.05:
                        raise Undone
                told.write(f"done {id_}\n")
            except Undone:
                told.write(f"undone {id_}\n")
            except Exception:
                time.sleep(0.05)


def sequence_on_and_on(folder: Path, number: int) -> None:
    database, settings = connect(folder), settings_of(folder)
    log = service.log_of(settings, service.shard_at(datetime.now(UTC)))
    while True:
        try:
            with database.write() as session:
                placed = service.sequence(session, log, most=37)
            with database.write() as session:
                service.publish(session, log, now=datetime.now(UTC))
            if not placed:
                time.sleep(0.01)
        except Exception:
            time.sleep(0.05)


def settings_of(folder: Path) -> Settings:
    return Settings(data_dir=folder)


def connect(folder: Path) -> Database:
    return Database(settings_of(folder))


def start(role: Callable[[Path, int], None], folder: Path, number: int) -> int:
    pid = os.fork()
    if pid == 0:
        try:
            role(folder, number)
        finally:
            os._exit(0)
    return pid


def main(folder: Path, seed: int) -> None:
    chance = random.Random(seed)
    (folder / "writers").mkdir()
    shown = folder / "shown"
    shown.mkdir()
    log = service.log_of(settings_of(folder), service.shard_at(datetime.now(UTC)))
    running = {
        start(role, folder, number): (role, number)
        for role, count in ((write_on_and_on, WRITERS), (sequence_on_and_on, SEQUENCERS))
        for number in range(count)
    }
    stops = set(chance.sample(range(2, KILLS), STOPS))
    for kill in range(KILLS):
        time.sleep(chance.uniform(0.05, 0.4))
        # Three of four are sequencers.
        wanted = write_on_and_on if kill % 4 == 3 else sequence_on_and_on
        victim = chance.choice([pid for pid, (role, _) in running.items() if role is wanted])
        role, number = running.pop(victim)
        os.kill(victim, signal.SIGKILL)
        os.waitpid(victim, 0)
        if kill in stops:
            stop_at_once(folder)
            cluster.up(folder)
        running[start(role, folder, number)] = (role, number)
        data = log.folder.read("checkpoint")
        if data is not None:
            (shown / str(kill)).write_bytes(data)
    time.sleep(0.5)
    (folder / "stop").touch()
    for pid, (role, _) in running.items():
        if role is write_on_and_on:
            os.waitpid(pid, 0)
    database = connect(folder)
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and not is_done(database, log):
        time.sleep(0.1)
    for pid, (role, _) in running.items():
        if role is sequence_on_and_on:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def stop_at_once(folder: Path) -> None:
    """As `pg_ctl stop -m immediate`: without a last word to disk."""
    found = cluster.find(folder)
    assert found is not None
    pid = int((Path(found.directory) / "postmaster.pid").read_text().split()[0])
    os.kill(pid, signal.SIGQUIT)
    while Path(f"/proc/{pid}").exists():
        time.sleep(0.02)


def is_done(database: Database, log: service.Log) -> bool:
    with database.read() as session:
        # The queue first: a batch that leaves it between the two reads has a checkpoint that the second one must see.
        if queries.oldest_queued(session, log.shard, most=1):
            return False
        newest = queries.newest_checkpoint(session, log.shard)
        return newest is not None and newest.published_at is not None


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
