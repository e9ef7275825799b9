"""Databases of their own in the private cluster, so that no measurement meets another's rows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from geo_o2o import cluster
from geo_o2o.config import Settings, from_environment


@contextmanager
def private_cluster() -> Iterator[cluster.Cluster]:
    """The private cluster, stopped again where it did not run before."""
    data_dir = from_environment().data_dir
    before = cluster.find(data_dir)
    ran = before is not None and cluster.is_running(before)
    try:
        yield cluster.up(data_dir)
    finally:
        if not ran:
            cluster.down(data_dir)


def bench_settings(name: str) -> Settings:
    """A database of its own in the private cluster, so that no measurement meets another's rows."""
    settings = from_environment()
    found = cluster.up(settings.data_dir)
    cluster.create_database(found, name)
    return replace(settings, database_url=cluster.database_url(found, name))
