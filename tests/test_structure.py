"""Tests that guard whole classes of mistakes."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from dataclasses import fields
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from flask import Flask
from geoalchemy2 import alembic_helpers

from geo_o2o.auth.access import PUBLIC, SCOPES, mark_of
from geo_o2o.config import Settings, variable
from geo_o2o.db import Base

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "geo_o2o"
JOBS = {"__init__", "views", "schemas", "service", "queries", "models", "commands"}
ROOT_RULES = {"errors", "cursor", "caller"}
# What a pure file may never reach: requests, sessions, the clock, chance, the environment, the network.
IMPURE = {
    "flask",
    "flask_smorest",
    "sqlalchemy",
    "psycopg2",
    "geoalchemy2",
    "marshmallow",
    "secrets",
    "os",
    "time",
    "socket",
    "subprocess",
    "requests",
}
IMPURE_CALLS = {"now", "utcnow", "today", "urandom", "getenv"}
# Files beside the jobs that are doors to the outside and say so.
DOORS = {
    "checkins/codes.py": "asks the database for tills and codes",
    "checkins/confirming.py": "reads and writes check-ins",
    "checkins/samples.py": "writes invented check-ins",
    "checkins/risk.py": "asks the database for measures",
    "client/calls.py": "calls the API over the network",
    "client/signing.py": "draws keys, keeps one in a file, reads the clock",
    "client/till.py": "calls the API over the network",
    "client/visitor.py": "calls the API over the network",
    "discovery/ordered.py": "asks the database",
    "discovery/profiles.py": "reads and writes the profiles of this deployment",
    "ops/demo.py": "runs processes",
    "ops/jobs.py": "runs the worker's jobs",
    "ops/logs.py": "names the clock for logging to read",
    "erasure/listing.py": "keeps a file",
    "insights/rollup.py": "reads the database, writes files",
    "insights/profiles.py": "asks the database",
    "ingest/recording.py": "writes beside the load's own transaction, and reads the clock",
    "ingest/visiting.py": "reads stores and writes visits",
    "ops/invented.py": "reads and writes the database",
    "maps/tiles.py": "asks the database",
    "web/files.py": "reads files",
    "maps/keeping.py": "listens to the database and reads the clock",
    "ledger/folder.py": "keeps files",
    "ledger/keys.py": "keeps secrets in files",
    "ledger/witnesses.py": "asks witnesses over the network",
    "releases/noise.py": "draws noise and chance",
    "receipts/keys.py": "keeps secrets in files",
    "receipts/trust.py": "asks the database for keys",
    "shelf/builder.py": "reads the database and writes files",
    "shelf/everything.py": "runs processes",
    "shelf/files.py": "keeps files",
    "signers/request.py": "reads the request in hand",
    "witness/app.py": "wires the witness, and reads the clock for it",
    "witness/store.py": "keeps a file",
}


def pure_files() -> list[Path]:
    found = [path for path in PACKAGE.glob("*/*.py") if path.stem not in JOBS and str(path.relative_to(PACKAGE)) not in DOORS]
    return sorted(found + [PACKAGE / f"{name}.py" for name in ROOT_RULES])


@pytest.mark.parametrize("path", pure_files(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_pure_file_imports_nothing_impure(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names = {(node.module or "").split(".")[0]}
        elif isinstance(node, ast.ImportFrom):
            # Inside the package: no job's file, neither of this room nor of another.
            names = {part for part in (node.module or "").split(".") if part in JOBS | {"db", "http", "config", "cluster"}}
            assert not names, f"{path.name} imports {node.module}"
            continue
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            assert node.func.attr not in IMPURE_CALLS, f"{path.name} calls {node.func.attr}()"
            continue
        else:
            continue
        assert not names & IMPURE, f"{path.name} imports {names & IMPURE}"


def test_the_contract_of_pure_files_knows_every_pure_file() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    listed = set(next(one for one in contracts if one["type"] == "forbidden")["source_modules"])
    found = {str(path.relative_to(ROOT).with_suffix("")).replace("/", ".") for path in pure_files()}
    assert listed == {name for name in found if not name.startswith("geo_o2o.geo.")} | {"geo_o2o.geo"}


def test_the_verifier_needs_nothing_but_its_one_library() -> None:
    """It must do without the service whose promises it checks."""
    allowed = sys.stdlib_module_names | {"cryptography"}
    for path in (ROOT / "verifier" / "visit_verify").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                assert {alias.name.split(".")[0] for alias in node.names} <= allowed, path.name
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                assert (node.module or "").split(".")[0] in allowed, f"{path.name} imports {node.module}"
    own = tomllib.loads((ROOT / "verifier" / "pyproject.toml").read_text())["project"]
    whole = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert set(own["dependencies"]) <= set(whole["dependencies"])


def test_the_floors_hold() -> None:
    done = subprocess.run([Path(sys.executable).parent / "lint-imports"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:]


def test_views_and_commands_are_imported_by_app_and_cli_alone() -> None:
    for path in PACKAGE.glob("**/*.py"):
        if path.name in ("app.py", "cli.py"):
            continue
        assert not re.search(r"^from \.+[a-z.]*(views|commands) import|^from \.+[a-z]+ import .*\b(views|commands)\b", path.read_text(), re.M), path


def test_every_route_declares_access(app: Flask) -> None:
    for rule in app.url_map.iter_rules():
        mark = mark_of(app.view_functions[rule.endpoint])
        assert mark == PUBLIC or mark in SCOPES, f"{rule.rule} does not say who may call it"


def test_only_operations_documentation_and_what_proves_receipts_are_public(app: Flask) -> None:
    public = {rule.rule for rule in app.url_map.iter_rules() if mark_of(app.view_functions[rule.endpoint]) == PUBLIC}
    assert public == {
        "/",
        "/admin",
        "/counter",
        "/offers/<offer_id>",
        "/planner",
        "/stores/<store_id>",
        "/verify",
        "/static/<path:name>",
        "/v1/sign-ins",
        "/v1/sign-ins/options",
        "/health/live",
        "/health/ready",
        "/metrics",
        "/openapi.json",
        "/docs",
        "/docs/start.js",
        "/docs/assets/<name>",
        "/log/<shard>/<path:name>",
        "/.well-known/jwks.json",
        "/v1/receipts/policy",
        "/v1/receipts/verify",
        "/v1/receipts/voids",
    }


def test_every_setting_is_documented() -> None:
    page = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    for one in fields(Settings):
        assert f"`{variable(one)}`" in page, f"{variable(one)} is missing in docs/settings.md"
        assert one.metadata["meaning"] in page, f"docs/settings.md tells another meaning of {variable(one)}"


def test_every_route_has_a_line_for_the_api_page(app: Flask) -> None:
    for rule in app.url_map.iter_rules():
        if rule.rule.startswith(("/v1", "/health", "/metrics")):
            assert (app.view_functions[rule.endpoint].__doc__ or "").strip(), f"{rule.rule} has no docstring"


def test_migrations_match_the_models(engine: sa.Engine) -> None:
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"include_object": alembic_helpers.include_object, "compare_type": True})
        differences = [one for one in compare_metadata(context, Base.metadata) if not _is_postgis(one)]
    assert differences == []


def _is_postgis(difference: object) -> bool:
    return isinstance(difference, tuple) and difference[0] == "remove_table" and difference[1].name == "spatial_ref_sys"


def test_migrations_are_numbered_without_a_gap() -> None:
    names = sorted(path.name for path in (ROOT / "migrations" / "versions").glob("*.py"))
    assert [name[:4] for name in names] == [f"{number:04}" for number in range(1, len(names) + 1)]
    assert all(re.fullmatch(r"\d{4}_[a-z_]+\.py", name) for name in names)


def test_migrations_run_both_ways(fresh_database: object) -> None:
    from alembic import command

    from geo_o2o.ops.service import alembic_config

    settings = fresh_database()  # type: ignore[operator]
    config = alembic_config(settings.write_url())
    command.downgrade(config, "base")
    engine = sa.create_engine(settings.write_url())
    assert set(sa.inspect(engine).get_table_names()) == {"alembic_version", "spatial_ref_sys"}
    engine.dispose()
    command.upgrade(config, "head")


def test_areas_that_have_their_sample_column_already_keep_it(fresh_database: object) -> None:
    """For a while the migration that makes the table made the column, too."""
    from alembic import command

    from geo_o2o.ops.service import alembic_config

    settings = fresh_database()  # type: ignore[operator]
    config = alembic_config(settings.write_url())
    command.downgrade(config, "0020")
    engine = sa.create_engine(settings.write_url())
    area = "INSERT INTO heat_areas (name, title, time_zone, cells, attested_only, created_at, sample) VALUES (%s, 'A', 'UTC', '{}', false, now(), %s)"
    with engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE heat_areas ADD COLUMN sample boolean NOT NULL")
        for name, sample in (("real", False), ("invented", True)):
            connection.exec_driver_sql(area, (name, sample))
    command.upgrade(config, "head")
    with engine.connect() as connection:
        found = connection.exec_driver_sql("SELECT name, sample FROM heat_areas ORDER BY name").all()
    engine.dispose()
    assert [tuple(row) for row in found] == [("invented", True), ("real", False)]


def test_sharded_tables_follow_the_rules_of_scale() -> None:
    for table in Base.metadata.tables.values():
        if table.info.get("citus") != "shard_cell":
            continue
        assert next(iter(table.primary_key.columns)).name == "shard_cell", table.name
        for constraint in table.constraints:
            if isinstance(constraint, sa.UniqueConstraint):
                assert next(iter(constraint.columns)).name == "shard_cell", f"{table.name}: {constraint.name}"
        for index in table.indexes:
            assert not index.unique or next(iter(index.columns)).name == "shard_cell", index.name
        for key in table.foreign_key_constraints:
            other = key.elements[0].column.table
            if other.info.get("citus") == "shard_cell":
                assert key.column_keys[0] == "shard_cell", key.name
            else:
                assert other.info.get("citus") == "reference", f"{table.name} refers to {other.name}, which is neither sharded nor a reference table"
            assert key.ondelete in (None, "CASCADE")
            assert key.onupdate is None
        assert "at" not in table.columns
    check_ins = Base.metadata.tables["check_ins"]
    assert not check_ins.foreign_key_constraints


def test_there_are_no_triggers_but_those_that_guard_the_log(engine: sa.Engine) -> None:
    """Sharded tables could not have them. The log is local wherever it is, and its triggers only refuse."""
    with engine.connect() as connection:
        found = connection.execute(sa.text("SELECT tgrelid::regclass::text AS name, tgname FROM pg_trigger WHERE NOT tgisinternal")).all()
    assert {row.tgname for row in found} == {"append_only", "never_emptied"}
    assert {row.name for row in found} == {"log_entries", "log_checkpoints"}


def test_nothing_committed_names_this_machine() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode != 0:
        pytest.skip("not a checkout")
    for name in listed.stdout.split():
        path = ROOT / name
        if path.suffix in (".pbf", ".png") or not path.exists():
            continue
        text = path.read_text(encoding="utf-8", errors="replace")
        assert not re.search(r"/(work|root)/[a-z]", text), name
        assert not re.search(r"(files\.pythonhosted|pypi\.org/simple|registry\.npmjs|deb\.debian)\.?", text) or name == "tests/test_structure.py", (
            name
        )
