from __future__ import annotations

from dataclasses import replace

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, OperationalError

from geo_o2o.config import Settings
from geo_o2o.db import Database, Statement


def test_a_read_refuses_a_stray_write(settings: Settings) -> None:
    database = Database(settings)
    with pytest.raises(DBAPIError, match="read-only"), database.read() as session:
        session.execute(sa.text("CREATE TABLE stray (x int)"))
    database.close()


def test_a_write_commits_at_the_end_and_not_where_it_raises(settings: Settings) -> None:
    database = Database(settings)
    with database.write() as session:
        session.execute(sa.text("CREATE TABLE kept (x int)"))
    with pytest.raises(DBAPIError, match="division by zero"), database.write() as session:
        session.execute(sa.text("INSERT INTO kept VALUES (1); SELECT 1 / 0"))
    with database.write() as session:
        assert session.scalar(sa.text("SELECT count(*) FROM kept")) == 0
        session.execute(sa.text("DROP TABLE kept"))
    database.close()


def test_a_long_statement_and_a_long_lock_end(settings: Settings) -> None:
    database = Database(replace(settings, statement_timeout_ms=200, lock_timeout_ms=100))
    with pytest.raises(OperationalError, match="statement timeout"), database.read() as session:
        session.execute(sa.text("SELECT pg_sleep(5)"))
    with database.write() as holder:
        holder.execute(sa.text("SELECT pg_advisory_xact_lock(77)"))
        with pytest.raises(OperationalError, match="lock timeout"), database.write() as session:
            session.execute(sa.text("SELECT pg_advisory_xact_lock(77)"))
    database.close()


def test_a_statement_is_prepared_once_a_connection_and_gives_the_same_rows(settings: Settings) -> None:
    statement = Statement("SELECT :a + :b AS sum, CAST(:a AS text) AS a, '10:30'::time AS clock", {"a": "bigint", "b": "bigint"})
    for prepared in (0, 1):
        database = Database(replace(settings, prepared=prepared))
        for _ in range(3):
            with database.read() as session:
                (row,) = statement.run(session, {"a": 40, "b": 2, "unused": 1})
                assert (row["sum"], row["a"], str(row["clock"])) == (42, "40", "10:30:00")
                assert session.scalar(sa.text("SELECT count(*) FROM pg_prepared_statements WHERE name LIKE 'geo_o2o%'")) == prepared
        database.close()


def test_production_settings_reach_the_connection(settings: Settings) -> None:
    database = Database(settings)
    with database.read() as session:
        assert session.scalar(sa.text("SHOW statement_timeout")) == "5s"
        assert session.scalar(sa.text("SHOW timezone")) == "UTC"
    database.close()
