"""Every test runs against a real PostGIS built by the migrations: a cluster of the suite's own, thrown away at the end.

The fixture a test asks for tells its kind: none (pure), `session` (database), `client` (through HTTP), `service` (real processes).
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy.orm import Session

from geo_o2o import cluster
from geo_o2o.app import create_app
from geo_o2o.auth import service as auth
from geo_o2o.config import Settings
from geo_o2o.db import take_role
from geo_o2o.ops.service import upgrade
from geo_o2o.ports import free_port

from . import sharding

sharding.record()

SHARED = Path(__file__).parents[2] / "shared"
FIXTURES = Path(__file__).parents[1] / "fixtures"
NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


def shared_data(name: str) -> Path:
    """A file of real data, or a skip that says what is missing."""
    path = SHARED / "data" / name
    if not path.exists():
        pytest.skip(f"needs ../shared/data/{name}")
    return path


def vectors(name: str) -> Path:
    """A folder of published test vectors, or a skip that says what is missing."""
    path = SHARED / "vectors" / name
    if not path.exists():
        pytest.skip(f"needs ../shared/vectors/{name}")
    return path


def own_port(first: int) -> int:
    """A free port for a service of this process; the others of a run look elsewhere."""
    return free_port(first + 2_000 * int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:]))


@pytest.fixture(scope="session")
def data_dir() -> Iterator[Path]:
    """A data folder of the suite's own, whose cluster ends with it."""
    folder = Path(tempfile.mkdtemp(prefix="geo-o2o-test-"))
    folder.chmod(0o755)
    yield folder
    cluster.destroy(folder)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def server(data_dir: Path) -> cluster.Cluster:
    return cluster.up(data_dir, durable=False)


@pytest.fixture(scope="session")
def settings(data_dir: Path, server: cluster.Cluster) -> Settings:
    # Without kept plans: the statements reach the database as text, and so the test of sharding can explain them.
    found = Settings(data_dir=data_dir, database_url=server.url, key_cache_s=1, prepared=0)
    upgrade(found)
    return found


@pytest.fixture(scope="session")
def engine(settings: Settings) -> Iterator[sa.Engine]:
    made = sa.create_engine(settings.write_url(), connect_args={"options": "-c timezone=UTC -c lock_timeout=5000"})
    yield made
    made.dispose()


class OneTransaction:
    """Stands where Database stands: every read and write happens in the test's own transaction, which is rolled back, commits and all."""

    # Nothing of it is ever committed, so nobody is told: the shelf looks at the versions anew for each question.
    notifies = False
    away = False

    def __init__(self, connection: sa.Connection):
        self.connection = connection

    @contextmanager
    def read(self) -> Iterator[Session]:
        with self._session() as session:
            yield session

    moment = read

    @contextmanager
    def planner(self) -> Iterator[Session]:
        with self._session() as session:
            take_role(session)
            try:
                yield session
            finally:
                # The test's own transaction goes on.
                session.execute(sa.text("RESET ROLE"))

    @contextmanager
    def write(self) -> Iterator[Session]:
        with self._session() as session, session.begin():
            yield session

    def _session(self) -> Session:
        return Session(self.connection, join_transaction_mode="create_savepoint", expire_on_commit=False)


@pytest.fixture
def database(engine: sa.Engine) -> Iterator[OneTransaction]:
    with engine.connect() as connection:
        transaction = connection.begin()
        yield OneTransaction(connection)
        transaction.rollback()


@pytest.fixture
def session(database: OneTransaction) -> Iterator[Session]:
    with database._session() as session:
        yield session


@pytest.fixture(scope="session")
def _app(settings: Settings, engine: sa.Engine) -> Flask:
    # The database is put in by `app`, anew for each test.
    return create_app(settings, database=OneTransaction(None))  # type: ignore[arg-type]


@pytest.fixture
def app(_app: Flask, database: OneTransaction) -> Flask:
    _app.extensions["database"] = database
    _app.extensions["known_callers"].clear()
    _app.extensions["finder"].forget()
    return _app


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


@dataclass
class Api:
    """The API as one role sees it."""

    client: FlaskClient
    key: str
    merchant_id: Any = None

    def __call__(self, method: str, path: str, *, headers: dict[str, str] | None = None, **kwargs: Any) -> Any:
        return self.client.open(path, method=method, headers={"Authorization": f"Bearer {self.key}", **(headers or {})}, **kwargs)

    def get(self, path: str, **params: Any) -> Any:
        return self("GET", path, query_string=params or None)

    def post(self, path: str, body: Any, **headers: str) -> Any:
        return self("POST", path, json=body, headers={name.replace("_", "-"): value for name, value in headers.items()})

    def patch(self, path: str, body: Any, version: int) -> Any:
        return self("PATCH", path, json=body, headers={"If-Match": f'"v{version}"'})

    def delete(self, path: str, version: int) -> Any:
        return self("DELETE", path, headers={"If-Match": f'"v{version}"'})


@pytest.fixture
def as_role(client: FlaskClient, database: OneTransaction) -> Any:
    """Makes the API of a role; of role store for the merchant of that name."""

    def make(role: str, merchant: str | None = None) -> Api:
        with database.write() as session:
            owner = auth.add_merchant(session, name=merchant or "Merchant", now=NOW) if role == "store" else None
            _, key = auth.create_key(session, role=role, name="test", merchant=owner, now=NOW)
            return Api(client, key, owner.id if owner else None)

    return make


@pytest.fixture
def app_api(as_role: Any) -> Api:
    return as_role("app")


@pytest.fixture
def store_api(as_role: Any) -> Api:
    return as_role("store")


@pytest.fixture
def planner_api(as_role: Any) -> Api:
    return as_role("planner")


@pytest.fixture
def admin_api(as_role: Any) -> Api:
    return as_role("admin")


@pytest.fixture
def house(app: Flask, settings: Settings, database: OneTransaction, session: Session, as_role: Any, tmp_path: Path) -> Iterator[Any]:
    """A store with a till, an app, and a log of the test's own: what is published must not outlive the transaction that is rolled back."""
    from .factories import make_store
    from .visiting import House, till

    own = app.extensions["settings"] = replace(settings, data_dir=tmp_path)
    shop = as_role("store")
    store = make_store(session, merchant_id=shop.merchant_id)
    session.commit()
    yield House(as_role("app"), shop, as_role("admin"), store, till(shop, store.id), own, database)
    app.extensions["settings"] = settings


@pytest.fixture(scope="session")
def fresh_database(server: cluster.Cluster, settings: Settings) -> Iterator[Any]:
    """Makes empty databases, for what cannot run inside one transaction: loads, crashes, processes."""
    made: list[str] = []

    def make(*, migrated: bool = True) -> Settings:
        name = f"geo_o2o_test_{len(made)}"
        made.append(name)
        cluster.create_database(server, name)
        found = replace(settings, database_url=cluster.database_url(server, name))
        if migrated:
            upgrade(found)
        return found

    yield make
    for name in made:
        cluster.drop_database(server, name)


@pytest.fixture
def environment(data_dir: Path) -> dict[str, str]:
    """The environment of a command that a test runs: nothing of ours but what the test sets."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith("GEO_O2O_")}
    return {**plain, "PYTHONUNBUFFERED": "1", "PATH": f"{Path(sys.executable).parent}:{plain['PATH']}"}


# The longest first: then no process is left alone with one of them at the end. The test that explains every statement comes last.
_LONG = ("test_every_question.py", "test_shelf_stateful.py", "test_nearby_oracle.py", "test_shelf_service.py", "test_service.py")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    def place(item: pytest.Item) -> int:
        name = item.path.name
        return len(_LONG) + 1 if name == "test_sharding.py" else _LONG.index(name) if name in _LONG else len(_LONG)

    items.sort(key=place)
    config.stash[BEFORE_SHARDING] = sum(item.path.name != "test_sharding.py" for item in items)


BEFORE_SHARDING = pytest.StashKey[int]()


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        sharding.begin_run()


def pytest_unconfigure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        sharding.end_run()


def pytest_runtest_logfinish() -> None:
    sharding.share()
