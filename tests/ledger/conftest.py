from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from geo_o2o.config import Settings
from geo_o2o.db import Database
from geo_o2o.ledger.service import Log, log_of, shard_at

from ..conftest import NOW


@pytest.fixture
def own(fresh_database: Any, tmp_path: Path) -> Iterator[tuple[Database, Settings, Log]]:
    """An empty database with a log and a data folder of its own."""
    conf = replace(fresh_database(), data_dir=tmp_path)
    database = Database(conf)
    yield database, conf, log_of(conf, shard_at(NOW))
    database.close()
