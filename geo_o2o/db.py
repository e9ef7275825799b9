"""The database: one engine for writes, one for reads, and the two kinds of transaction. Knows no table."""

from __future__ import annotations

import os
import re
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import orjson
import sqlalchemy as sa
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.orm import DeclarativeBase, Session

from .config import Settings

# Every big table is distributed by this column (design: scale); the mark is read by the migrations' hook and by the tests.
SHARDED: dict[str, Any] = {"info": {"citus": "shard_cell"}}
# Small shared tables, copied to every node of a cluster.
REFERENCE: dict[str, Any] = {"info": {"citus": "reference"}}


class Base(DeclarativeBase):
    metadata = sa.MetaData(
        naming_convention={
            "pk": "pk_%(table_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
        }
    )


# A connection that was used a moment ago is trusted; one that rested longer is tried before use, because the server may have restarted.
_TRUSTED_S = 1.0
# So long may the database be silent, and a statement be under way, before nobody waits for it any more.
_LONGEST_SILENCE_S = 1.0
_PREPARED = "prepared"
# Of the database: it can read what planners are answered from, and nothing that is about one person (migration 17).
PLANNER_ROLE = "geo_o2o_planner"
_NAMED = re.compile(r"(?<!:):([a-z_]+)")


@dataclass(frozen=True)
class Statement:
    """A statement that is asked all the time. text: with :names. types: the PostgreSQL type of each name.

    On a connection that keeps plans it is prepared once: parsing and planning cost more than running it.
    """

    text: str
    types: Mapping[str, str]

    def run(self, session: Session, values: Mapping[str, Any]) -> list[sa.RowMapping]:
        """The rows. values: one for each name of the text; more do no harm."""
        connection = session.connection()
        kept: dict[str, str] | None = connection.info.get(_PREPARED)
        if kept is None:
            return list(session.execute(sa.text(self.text), dict(values)).mappings().all())
        names = self._names()
        plan = kept.get(self.text)
        if plan is None:
            plan = f"geo_o2o_{len(kept)}"
            numbered = _NAMED.sub(lambda match: f"${names.index(match[1]) + 1}", self.text)
            connection.exec_driver_sql(f"PREPARE {plan} ({', '.join(self.types[name] for name in names)}) AS {numbered}")
            kept[self.text] = plan
        arguments = ", ".join(f"%({name})s" for name in names)
        return list(connection.exec_driver_sql(f"EXECUTE {plan} ({arguments})", {name: values[name] for name in names}).mappings().all())

    def _names(self) -> list[str]:
        return list(dict.fromkeys(_NAMED.findall(self.text)))


class _Lines:
    """The sockets of connections that somebody is using, and since when.

    A server that is stopped and not gone sends nothing, not even an end: whoever waits for its answer would wait for ever.
    """

    def __init__(self) -> None:
        self._used: dict[int, tuple[int, float]] = {}

    def follow(self, engine: sa.Engine) -> None:
        sa.event.listen(engine, "checkout", lambda connection, *_: self._used.update({id(connection): (connection.fileno(), time.monotonic())}))
        for name in ("checkin", "close", "close_detached"):
            sa.event.listen(engine, name, lambda connection, *_: self._used.pop(id(connection), None))

    def hang_up(self, after_s: float) -> None:
        """Ends the wait on every line that has been in use for longer: its statement fails as if the server had gone."""
        for descriptor, since in list(self._used.values()):
            if time.monotonic() - since > after_s:
                with suppress(OSError), socket.socket(fileno=os.dup(descriptor)) as line:
                    line.shutdown(socket.SHUT_RDWR)


class Database:
    """Engines for a primary and, where there is one, a replica.

    notifies: whether what is committed here reaches listeners on other connections. away: whether it has been silent for a while to
    whoever listens to it; then nobody need wait for it to learn the same.
    """

    notifies = True
    away = False
    _silent_since = 0.0

    def note(self, away: bool) -> None:
        """Told by the listener, again and again while the database is silent."""
        now = time.monotonic()
        self._silent_since = (self._silent_since or now) if away else 0.0
        # A server that is only slow for a moment is waited for.
        self.away = away and now - self._silent_since > _LONGEST_SILENCE_S
        if self.away:
            self._lines.hang_up(_LONGEST_SILENCE_S)

    def __init__(self, settings: Settings, *, statement_timeout_ms: int | None = None, lock_timeout_ms: int | None = None):
        options = (
            f"-c statement_timeout={settings.statement_timeout_ms if statement_timeout_ms is None else statement_timeout_ms}"
            f" -c lock_timeout={settings.lock_timeout_ms if lock_timeout_ms is None else lock_timeout_ms}"
            " -c timezone=UTC"
            # Short statements on known indexes: compiling them costs more than it ever saves.
            " -c jit=off"
        )

        if settings.prepared:
            # The generic plan is the good one here, and PostgreSQL would not believe it: it cannot guess what a box around a point holds.
            options += " -c plan_cache_mode=force_generic_plan"

        self._lines = _Lines()

        def engine(url: str) -> sa.Engine:
            made = sa.create_engine(
                url,
                pool_size=settings.pool_size,
                json_deserializer=orjson.loads,
                connect_args={
                    "options": options,
                    "connect_timeout": settings.connect_timeout_s,
                    "application_name": "geo_o2o",
                },
            )
            sa.event.listen(made, "connect", _remember_plans if settings.prepared else _forget)
            self._lines.follow(made)
            sa.event.listen(made, "checkin", _note_use)
            sa.event.listen(made, "checkout", _try_rested)
            return made

        write_url, read_url = settings.write_url(), settings.replica_url()
        self.engine = engine(write_url)
        self.read_engine = self.engine if read_url == write_url else engine(read_url)

    @contextmanager
    def read(self) -> Iterator[Session]:
        """One read-only transaction: PostgreSQL itself refuses a stray write."""
        with Session(self.read_engine, expire_on_commit=False) as session:
            session.connection(execution_options={"postgresql_readonly": True})
            yield session

    @contextmanager
    def planner(self) -> Iterator[Session]:
        """A read-only transaction that sees one moment and has no right on check-ins, receipts, devices or keys: PostgreSQL itself refuses."""
        with Session(self.read_engine, expire_on_commit=False) as session:
            session.connection(execution_options={"isolation_level": "REPEATABLE READ", "postgresql_readonly": True})
            take_role(session)
            yield session

    @contextmanager
    def moment(self) -> Iterator[Session]:
        """One read-only transaction on the primary whose statements all see the same moment."""
        with Session(self.engine, expire_on_commit=False) as session:
            session.connection(execution_options={"isolation_level": "REPEATABLE READ", "postgresql_readonly": True})
            yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        """One transaction, committed at the end of the block, rolled back where the block raises."""
        with Session(self.engine, expire_on_commit=False) as session, session.begin():
            yield session

    def close(self) -> None:
        self.engine.dispose()
        self.read_engine.dispose()


def take_role(session: Session) -> None:
    """Gives up every right but the planner's until the transaction ends."""
    session.execute(sa.text(f"SET LOCAL ROLE {PLANNER_ROLE}"))


def _remember_plans(_: Any, record: Any) -> None:
    record.info[_PREPARED] = {}


def _forget(_: Any, record: Any) -> None:
    record.info.pop(_PREPARED, None)


def _note_use(_: Any, record: Any) -> None:
    record.info["used_at"] = time.monotonic()


def _try_rested(connection: Any, record: Any, _: Any) -> None:
    """Replaces a connection that died while it rested, so that the service heals by itself after a restart of the server."""
    if time.monotonic() - record.info.get("used_at", time.monotonic()) < _TRUSTED_S:
        return
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        connection.rollback()
    except Exception as failure:
        raise DisconnectionError("the connection died while it rested") from failure
