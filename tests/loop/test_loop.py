"""Rows of the field's own list that are true by now."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import psycopg2
from flask.testing import FlaskClient

from geo_o2o import cluster
from geo_o2o.auth.access import ROLES

from ..test_http import problem_of

ROOT = Path(__file__).parents[2]


def test_loop_L56(server: cluster.Cluster, client: FlaskClient) -> None:
    """One small host, stock PostGIS, no paid map key: the whole suite ran on it, and nothing in the code reaches elsewhere."""
    connection = psycopg2.connect(server.url.replace("+psycopg2", ""))
    with connection, connection.cursor() as cursor:
        cursor.execute("SELECT extname FROM pg_extension")
        extensions = {row[0] for row in cursor.fetchall()}
    connection.close()
    assert extensions == {"plpgsql", "postgis", "pg_trgm", "btree_gist"}
    for path in (ROOT / "geo_o2o").glob("**/*.py"):
        for host in re.findall(r"https?://([a-z0-9.-]+)", path.read_text(encoding="utf-8")):
            raise AssertionError(f"{path.name} names the outside host {host}")
    page = client.get("/docs").text
    assert not re.search(r"https?://", page)
    names = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    assert not [name for name in names if re.match(r"(google|mapbox|here|aws|azure)", name)]


def test_loop_L58(as_role: Any) -> None:
    """Three parties, three scopes, one report each: a key of one gets 403 on the others'."""
    reports = {
        "app": "/v1/offers/nearby?lat=60.169&lng=24.9414",
        "store": "/v1/check-ins/counts",
        "planner": "/v1/heat/supply?bbox=24.93,60.16,24.96,60.18",
    }
    for role in reports:
        api = as_role(role)
        for owner, path in reports.items():
            response = api.get(path)
            if owner == role:
                assert response.status_code == 200
            else:
                problem_of(response, 403, "forbidden")
    assert set(ROLES) == {"app", "store", "planner", "admin"}
