from __future__ import annotations

import json
import logging
import re
from dataclasses import replace
from datetime import timedelta
from typing import Any

import sqlalchemy as sa
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy.orm import Session

from geo_o2o.app import create_app
from geo_o2o.auth.access import PUBLIC, mark_of
from geo_o2o.config import Settings
from geo_o2o.http import utcnow
from geo_o2o.ops import logs
from geo_o2o.ops.jobs import JOBS, run_jobs

from ..conftest import NOW, Api
from ..factories import HELSINKI, make_store
from ..test_http import problem_of


def test_live_and_ready(client: FlaskClient) -> None:
    assert client.get("/health/live").get_json() == {"status": "ok"}
    ready = client.get("/health/ready").get_json()
    assert ready["status"] == "ok"
    assert re.fullmatch(r"\d{4}", ready["migration"])


def test_hours_that_ran_out_are_told_and_are_unknown_not_closed(client: FlaskClient, app_api: Api, session: Session) -> None:
    make_store(session, opening_hours="24/7", now=utcnow() - timedelta(days=90))
    session.commit()
    ready = client.get("/health/ready").get_json()
    assert ready["opening_hours_known_until"] < utcnow().isoformat()
    assert "worker" in ready["warnings"][0]
    (hit,) = app_api.get("/v1/stores/nearby", lat=HELSINKI.lat, lng=HELSINKI.lon).get_json()["items"]
    assert hit["open"] is None


def test_a_database_that_is_down_is_a_503_with_retry_after(settings: Settings) -> None:
    down = create_app(replace(settings, database_url="postgresql+psycopg2://nobody:x@127.0.0.1:1/none")).test_client()
    for path in ("/health/ready", "/v1/stores"):
        response = down.get(path, headers={"Authorization": "Bearer go_app_00000000_" + "0" * 64})
        problem_of(response, 503, "database_unavailable")
        assert int(response.headers["Retry-After"]) > 0
    assert down.get("/health/live").status_code == 200


def test_a_database_that_is_not_migrated_is_not_ready(fresh_database: Any) -> None:
    behind = create_app(fresh_database(migrated=False)).test_client()
    body = problem_of(behind.get("/health/ready"), 503, "not_migrated")
    assert "geo-o2o db upgrade" in body["detail"]


def test_metrics_have_few_labels(app_api: Api, session: Session, client: FlaskClient) -> None:
    def counted() -> float:
        # The counter lives as long as the process, and other tests ask this route too: what is checked is by how much it rises.
        line = r'^geo_o2o_requests_total\{method="GET",route="/v1/stores/<store_id>",status="200"\} (\S+)$'
        found = re.search(line, client.get("/metrics").text, re.MULTILINE)
        return float(found[1]) if found else 0.0

    before = counted()
    for _ in range(3):
        store = make_store(session)
        session.commit()
        app_api.get(f"/v1/stores/{store.id}")
    client.get("/nowhere/at/all")
    assert counted() == before + 3
    text = client.get("/metrics").text
    assert 'route="(none)"' in text
    assert str(store.id) not in text
    assert "geo_o2o_request_seconds_bucket" in text


def test_requests_are_logged_with_their_id_and_without_secrets(settings: Settings, database: Any, capsys: Any) -> None:
    produced = create_app(replace(settings, env="production", secret_key="x" * 32), database=database).test_client()
    produced.get("/v1/stores?cursor=secret", headers={"Authorization": "Bearer go_app_secret", "X-Request-Id": "trace-7"})
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines() if line.startswith("{")]
    (line,) = [one for one in lines if one.get("request_id") == "trace-7"]
    assert (line["route"], line["status"], line["role"], line["message"]) == ("/v1/stores", 401, "-", "request")
    assert "secret" not in json.dumps(line)
    logs.set_up(production=False, level=logging.WARNING)


def test_the_openapi_document_tells_every_route_and_every_error(client: FlaskClient, app: Flask) -> None:
    document = client.get("/openapi.json").get_json()
    assert document["openapi"] == "3.1.0"
    routes = {
        (re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule), method.lower())
        for rule in app.url_map.iter_rules()
        for method in rule.methods or ()
        if method not in ("HEAD", "OPTIONS")
        and not rule.rule.startswith(("/admin", "/counter", "/docs", "/offers", "/openapi", "/planner", "/static", "/stores", "/verify"))
        and rule.rule != "/"
    }
    documented = {
        (path, method) for path, operations in document["paths"].items() for method in operations if method in ("get", "post", "patch", "delete")
    }
    assert documented == routes
    marks = {re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule): mark_of(app.view_functions[rule.endpoint]) for rule in app.url_map.iter_rules()}
    for path, method in documented:
        operation = document["paths"][path][method]
        assert operation["summary"]
        assert operation["x-scope"]
        codes = set(operation["responses"])
        assert {"500", "503"} <= codes
        assert ("401" in codes and "403" in codes) == (marks[path] != PUBLIC) or path.startswith(("/health", "/metrics"))
        for code, response in operation["responses"].items():
            if code >= "305":
                assert response["content"]["application/problem+json"]["schema"] == {"$ref": "#/components/schemas/Problem"}
        headers = {one["name"] for one in operation.get("parameters", []) if one.get("in") == "header"}
        assert ("If-Match" in headers) == (method in ("patch", "delete"))
    assert "Idempotency-Key" in {one["name"] for one in document["paths"]["/v1/check-ins"]["post"]["parameters"]}
    nearby = document["paths"]["/v1/offers/nearby"]["get"]
    names = {one["name"] for one in nearby["parameters"]}
    assert {
        "lat",
        "lng",
        "radius_m",
        "category",
        "min_rating",
        "open_now",
        "open_at",
        "price_max",
        "profile",
        "limit",
        "cursor",
        "explain",
        "crs",
    } <= names
    lat = next(one for one in nearby["parameters"] if one["name"] == "lat")
    assert (lat.get("required", False), lat["schema"]["minimum"], lat["schema"]["maximum"]) == (False, -90, 90)


def test_every_error_that_a_test_can_provoke_is_documented(client: FlaskClient, app_api: Api) -> None:
    document = client.get("/openapi.json").get_json()
    for method, path, template, kwargs in (
        ("GET", "/v1/stores/nearby", "/v1/stores/nearby", {}), ("GET", "/v1/stores/x", "/v1/stores/{store_id}", {}), ("POST", "/v1/stores", "/v1/stores", {"json": {}}),
        ("POST", "/v1/check-ins", "/v1/check-ins", {"data": b"{", "content_type": "application/json"}), ("GET", "/v1/heat/supply", "/v1/heat/supply", {}),
    ):  # fmt: skip
        status = app_api(method, path, **kwargs).status_code
        assert str(status) in document["paths"][template][method.lower()]["responses"], (path, status)


def test_the_api_page_brings_its_own_assets(client: FlaskClient) -> None:
    page = client.get("/docs")
    assert page.status_code == 200
    assert "Content-Security-Policy" in page.headers
    for address in re.findall(r'(?:src|href)="([^"]+)"', page.text):
        assert address.startswith("/docs/"), "an asset comes from elsewhere"
        assert client.get(address).status_code == 200, address
    problem_of(client.get("/docs/assets/../../etc/passwd"), 404, "no_such_route")
    problem_of(client.get("/docs/assets/index.css"), 404, "not_found")


def test_the_api_page_credits_the_data(client: FlaskClient, session: Session) -> None:
    session.execute(sa.text("INSERT INTO attributions VALUES ('osm', '© <OpenStreetMap> contributors', 'ODbL-1.0', now())"))
    session.commit()
    assert "© &lt;OpenStreetMap&gt; contributors (ODbL-1.0)" in client.get("/docs").text


def test_jobs_do_their_work_once_and_leave_it_when_another_worker_has_it(
    engine: sa.Engine, database: Any, session: Session, settings: Settings
) -> None:
    make_store(session, opening_hours="24/7", now=NOW - timedelta(days=30))
    session.commit()
    with engine.connect() as other:
        other.execute(sa.text("SELECT pg_advisory_xact_lock(1002)"))
        assert "extend opening hours" not in run_jobs(database, settings, clock=utcnow)
    assert run_jobs(database, settings, clock=utcnow)["extend opening hours"] == 1
    assert run_jobs(database, settings, clock=utcnow)["extend opening hours"] == 0
    assert len({job.lock for job in JOBS}) == len(JOBS)
