"""The command line as a newcomer uses it: real processes on a database of their own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from geo_o2o.config import Settings


@pytest.fixture(scope="module")
def own(fresh_database: Any) -> Settings:
    return fresh_database()  # type: ignore[no-any-return]


def run(environment: dict[str, str], *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "geo_o2o", *arguments]
    return subprocess.run(command, env={**environment, **variables}, capture_output=True, text=True, timeout=60, check=False)


def test_keys_are_made_listed_and_revoked(environment: dict[str, str], own: Settings) -> None:
    env = {"GEO_O2O_DATABASE_URL": own.database_url}
    made = run(environment, "keys", "create", "--role", "store", "--merchant", "Stockmann", "--name", "till 1", **env)
    assert made.returncode == 0, made.stderr
    prefix = made.stdout.split("_")[2]
    listed = run(environment, "keys", "list", **env).stdout
    assert prefix in listed
    assert "Stockmann" in listed
    assert made.stdout.strip().split("_")[3] not in listed
    assert "is revoked" in run(environment, "keys", "revoke", prefix, **env).stdout
    assert "revoked" in run(environment, "keys", "list", **env).stdout
    again = run(environment, "keys", "revoke", prefix, **env)
    assert (again.returncode, "Traceback" in again.stderr) == (1, False)
    without = run(environment, "keys", "create", "--role", "store", **env)
    assert (without.returncode, "merchant" in without.stderr) == (1, True)


def test_profiles_are_listed_and_added_once(environment: dict[str, str], own: Settings, tmp_path: Path) -> None:
    env = {"GEO_O2O_DATABASE_URL": own.database_url}
    first = json.loads(run(environment, "profiles", "list", **env).stdout.splitlines()[0])
    assert first["name"] == "balanced-1"
    path = tmp_path / "profile.json"
    path.write_text(json.dumps({**first, "name": "mine-1"}))
    assert run(environment, "profiles", "add", str(path), **env).returncode == 0
    assert "already" in run(environment, "profiles", "add", str(path), **env).stderr
    assert "mine-1 is in use" in run(environment, "profiles", "use", "mine-1", **env).stdout
    assert "there is no rank profile" in run(environment, "profiles", "use", "mine-2", **env).stderr
    path.write_text("{}")
    assert run(environment, "profiles", "add", str(path), **env).stderr.startswith("Error: a field of the profile is missing")


def test_the_database_url_and_what_is_wrong_with_it(environment: dict[str, str], tmp_path: Path, fresh_database: Any) -> None:
    assert run(environment, "db", "url", "--libpq", GEO_O2O_DATABASE_URL="postgres://u@h/d").stdout.strip() == "postgresql://u@h/d"
    for arguments, variables, words in (
        (["db", "url"], {"GEO_O2O_DATA_DIR": str(tmp_path)}, "geo-o2o db up"),
        (["keys", "list"], {"GEO_O2O_DATABASE_URL": "garbage"}, "postgresql://"),
        (["keys", "list"], {"GEO_O2O_DATABASE_URL": "mysql://a/b"}, "postgresql://"),
        (["keys", "list"], {"GEO_O2O_DATABASE_URL": "postgresql://x:x@127.0.0.1:1/none"}, "does not answer"),
        (["keys", "list"], {"GEO_O2O_DATABASE_URL": fresh_database(migrated=False).database_url}, "geo-o2o db upgrade"),
        (["worker", "--once"], {"GEO_O2O_DATABASE_URL": "postgresql://x:x@127.0.0.1:1/none"}, "does not answer"),
        (["serve"], {"GEO_O2O_ENV": "production", "GEO_O2O_DATABASE_URL": "postgresql://x/y"}, "GEO_O2O_SECRET_KEY"),
    ):  # fmt: skip
        done = run(environment, *arguments, **variables)
        assert done.returncode == 1, arguments
        assert words in done.stderr, done.stderr
        assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "command", [[], ["db"], ["keys"], ["load"], ["load", "osm"], ["load", "csv"], ["profiles"], ["bench"], ["demo"], ["serve"], ["worker"]]
)
def test_every_command_has_a_help_to_follow(environment: dict[str, str], command: list[str]) -> None:
    done = run(environment, *command, "--help")
    assert done.returncode == 0
    assert len(done.stdout.splitlines()) > 4
