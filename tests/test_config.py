from __future__ import annotations

import json
from pathlib import Path

import pytest

from geo_o2o.config import CLUSTER_FILE, BadSettings, from_environment


def test_defaults_need_nothing() -> None:
    assert from_environment({}).port == 8000


def test_each_type_is_read(tmp_path: Path) -> None:
    found = from_environment({"GEO_O2O_PORT": "9000", "GEO_O2O_DATA_DIR": str(tmp_path), "GEO_O2O_HOST": "::1", "GEO_O2O_POOL_SIZE": ""})
    assert (found.port, found.data_dir, found.host, found.pool_size) == (9000, tmp_path, "::1", 4)


@pytest.mark.parametrize(
    ("name", "value"),
    [("PORT", "abc"), ("PORT", "0"), ("PORT", "70000"), ("WORKERS", "-1"), ("POOL_SIZE", "1.5"), ("ENV", "staging"), ("PREPARED", "2")],
)
def test_nonsense_is_refused_by_the_variables_name(name: str, value: str) -> None:
    with pytest.raises(BadSettings, match=f"GEO_O2O_{name}"):
        from_environment({f"GEO_O2O_{name}": value})


@pytest.mark.parametrize("secret", [None, "short", "development-secret-do-not-use"])
def test_production_refuses_a_development_secret(secret: str | None) -> None:
    with pytest.raises(BadSettings, match="GEO_O2O_SECRET_KEY"):
        from_environment({"GEO_O2O_ENV": "production", **({"GEO_O2O_SECRET_KEY": secret} if secret else {})})


def test_production_starts_with_a_secret() -> None:
    assert from_environment({"GEO_O2O_ENV": "production", "GEO_O2O_SECRET_KEY": "x" * 32}).env == "production"


def test_the_named_database_wins_over_the_private_cluster(tmp_path: Path) -> None:
    (tmp_path / CLUSTER_FILE).write_text(json.dumps({"url": "postgresql+psycopg2://private"}))
    base = {"GEO_O2O_DATA_DIR": str(tmp_path)}
    assert from_environment(base).write_url() == "postgresql+psycopg2://private"
    named = from_environment({**base, "GEO_O2O_DATABASE_URL": "postgres://u@h/d"})
    assert named.write_url() == named.replica_url() == "postgresql+psycopg2://u@h/d"
    both = from_environment({**base, "GEO_O2O_READ_URL": "postgresql://replica/d"})
    assert both.replica_url() == "postgresql+psycopg2://replica/d"


def test_no_database_at_all_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(BadSettings, match="geo-o2o db up"):
        from_environment({"GEO_O2O_DATA_DIR": str(tmp_path)}).write_url()
