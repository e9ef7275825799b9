"""The database: one engine for writes, one for reads, and the two kinds of transaction. Knows no table."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
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


class Database:
    """Engines for a primary and, where there is one, a replica."""

    def __init__(self, settings: Settings, *, statement_timeout_ms: int | None = None, lock_timeout_ms: int | None = None):
        options = (
            f"-c statement_timeout={settings.statement_timeout_ms if statement_timeout_ms is None else statement_timeout_ms}"
            f" -c lock_timeout={settings.lock_timeout_ms if lock_timeout_ms is None else lock_timeout_ms}"
            " -c timezone=UTC"
            # Short statements on known indexes: compiling them costs more than it ever saves.
            " -c jit=off"
        )

        def engine(url: str) -> sa.Engine:
            return sa.create_engine(
                url,
                pool_size=settings.pool_size,
                # A connection that died with a restarted server is replaced before use, so the service heals by itself.
                pool_pre_ping=True,
                connect_args={
                    "options": options,
                    "connect_timeout": settings.connect_timeout_s,
                    "application_name": "geo_o2o",
                },
            )

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
    def write(self) -> Iterator[Session]:
        """One transaction, committed at the end of the block, rolled back where the block raises."""
        with Session(self.engine, expire_on_commit=False) as session, session.begin():
            yield session

    def close(self) -> None:
        self.engine.dispose()
        self.read_engine.dispose()
