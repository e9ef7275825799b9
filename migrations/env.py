"""Alembic's environment: short timeouts, GeoAlchemy2's helpers, and the hook that distributes tables where Citus is present."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import context
from geoalchemy2 import alembic_helpers

from geo_o2o.app import import_models
from geo_o2o.config import from_environment
from geo_o2o.db import Base

import_models()
# A migration that cannot get its lock must fail and not queue up in front of the whole service.
LOCK_TIMEOUT = "4s"
STATEMENT_TIMEOUT = "5min"


def distribute(table: sa.Table, connection: sa.Connection, **_: object) -> None:
    """Distributes a table right after it is made, parents first. Does nothing on plain PostgreSQL."""
    how = table.info.get("citus")
    if how is None or connection.scalar(sa.text("SELECT 1 FROM pg_extension WHERE extname = 'citus'")) is None:
        return
    if how == "reference":
        connection.execute(sa.text("SELECT create_reference_table(:name)"), {"name": table.name})
    else:
        connection.execute(sa.text("SELECT create_distributed_table(:name, :key)"), {"name": table.name, "key": how})


def partition(table: sa.Table, connection: sa.Connection, **_: object) -> None:
    """With `-x partitions=N` (tests only) makes sharded tables hash-partitioned: the stand-in for a cluster."""
    if _partitions() and table.info.get("citus") == "shard_cell":
        table.dialect_options["postgresql"]["partition_by"] = "HASH (shard_cell)"


def add_partitions(table: sa.Table, connection: sa.Connection, **_: object) -> None:
    if not _partitions() or table.info.get("citus") != "shard_cell":
        return
    for number in range(_partitions()):
        connection.execute(
            sa.text(f"CREATE TABLE {table.name}_p{number} PARTITION OF {table.name} FOR VALUES WITH (MODULUS {_partitions()}, REMAINDER {number})")
        )


def _partitions() -> int:
    return int(context.get_x_argument(as_dictionary=True).get("partitions", "0"))


def run(connection: sa.Connection) -> None:
    connection.execute(sa.text(f"SET lock_timeout = '{LOCK_TIMEOUT}'"))
    connection.execute(sa.text(f"SET statement_timeout = '{STATEMENT_TIMEOUT}'"))
    connection.commit()
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        compare_type=True,
        include_object=alembic_helpers.include_object,
        process_revision_directives=alembic_helpers.writer,
        render_item=alembic_helpers.render_item,
    )
    hooks = [("before_create", partition), ("after_create", distribute), ("after_create", add_partitions)]
    for event, hook in hooks:
        sa.event.listen(sa.Table, event, hook)
    try:
        with context.begin_transaction():
            context.run_migrations()
    finally:
        # This file is read once a run; in one process (the tests) hooks of an earlier run must not stay.
        for event, hook in hooks:
            sa.event.remove(sa.Table, event, hook)


given = context.config.attributes.get("connection")
if given is not None:
    run(given)
else:
    engine = sa.create_engine(context.config.get_main_option("sqlalchemy.url") or from_environment().write_url())
    with engine.connect() as fresh:
        run(fresh)
