"""One problem document for every failure, before and behind the views."""

from __future__ import annotations

import json
from typing import Any

import pytest
from flask.testing import FlaskClient

from .conftest import Api

FIX = {"lat_e7": 0, "lng_e7": 0, "acc_mm": 1, "acc_kind": "p68", "t_ms": 10**12}
CHECK_IN = {"claim": "x", "evidence": {"fixes": [FIX]}, "evidence_salt": "x"}


def problem_of(response: Any, status: int, code: str) -> dict[str, Any]:
    """The problem document of a response, checked for its shape."""
    assert response.status_code == status, response.text
    assert response.mimetype == "application/problem+json"
    body = response.get_json()
    assert body["status"] == status
    assert body["code"] == code
    assert body["detail"]
    assert body["request_id"] == response.headers["X-Request-Id"]
    return body  # type: ignore[no-any-return]


def test_an_unknown_route(client: FlaskClient) -> None:
    problem_of(client.get("/v1/nothing"), 404, "no_such_route")


def test_a_method_that_is_not_there(client: FlaskClient) -> None:
    response = client.delete("/v1/stores/nearby")
    assert response.status_code in (401, 405)
    response = client.put("/v1/offers/nearby")
    problem_of(response, 405, "method_not_allowed")
    assert "GET" in response.headers["Allow"]


@pytest.mark.parametrize("header", [None, "", "Bearer", "Basic abc", "Bearer nonsense", "Bearer go_app_00000000_" + "0" * 64, "Bearer " + "x" * 9000])
def test_no_key_or_a_wrong_one(client: FlaskClient, header: str | None) -> None:
    response = client.get("/v1/stores", headers={"Authorization": header} if header is not None else {})
    problem_of(response, 401, "unauthenticated")
    assert response.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"nonsense", b'{"a": 1, "a": 2}', b"\xff\xfe", b"[" * 100_000, b'{"a":' * 50_000, b"1" * 10_000],
    ids=["empty", "cut", "text", "twin names", "no utf-8", "deep array", "deep object", "huge number"],
)
def test_a_body_that_is_no_json(app_api: Api, body: bytes) -> None:
    response = app_api("POST", "/v1/check-ins", data=body, content_type="application/json", headers={"Idempotency-Key": "a"})
    problem_of(response, 400, "malformed")


@pytest.mark.parametrize("body", [b"[]", b"1", b'"text"', b"null", b"true"])
def test_json_of_another_shape(app_api: Api, body: bytes) -> None:
    response = app_api("POST", "/v1/check-ins", data=body, content_type="application/json", headers={"Idempotency-Key": "a"})
    assert response.status_code == 422
    problem_of(response, 422, "invalid_input")


def test_a_wrong_content_type(app_api: Api) -> None:
    response = app_api("POST", "/v1/check-ins", data=json.dumps(CHECK_IN), content_type="text/plain", headers={"Idempotency-Key": "a"})
    problem_of(response, 415, "unsupported_media_type")


def test_a_body_of_10_mb(app_api: Api) -> None:
    response = app_api(
        "POST", "/v1/check-ins", data=b'"' + b"x" * 10_000_000 + b'"', content_type="application/json", headers={"Idempotency-Key": "a"}
    )
    problem_of(response, 413, "body_too_large")


def test_an_unknown_parameter_is_named(app_api: Api) -> None:
    body = problem_of(app_api.get("/v1/stores/nearby", lat=60, lng=24, raduis_m=5), 422, "invalid_input")
    assert body["errors"] == [{"field": "raduis_m", "message": "Unknown field."}]


def test_a_parameter_given_twice(app_api: Api) -> None:
    body = problem_of(app_api("GET", "/v1/stores/nearby?lat=60&lat=61&lng=24"), 422, "invalid_input")
    assert body["errors"][0]["field"] == "lat"


def test_a_nested_field_is_named_by_its_path(app_api: Api) -> None:
    claim = {**CHECK_IN, "evidence": {"fixes": [{**FIX, "acc_mm": -1}]}}
    body = problem_of(app_api.post("/v1/check-ins", claim, Idempotency_Key="a"), 422, "invalid_input")
    assert body["errors"][0]["field"] == "evidence.fixes.0.acc_mm"


def test_an_id_that_is_none(app_api: Api) -> None:
    for text in ("1", "x" * 36, "01a1fff2-6630-8112-9b5c-a9272055c5e", "' OR 1=1 --"):
        problem_of(app_api.get(f"/v1/stores/{text}"), 404, "not_found")


def test_a_request_id_is_taken_over_or_made(client: FlaskClient) -> None:
    assert client.get("/health/live", headers={"X-Request-Id": "trace-1"}).headers["X-Request-Id"] == "trace-1"
    made = client.get("/health/live", headers={"X-Request-Id": "bad id\t"}).headers["X-Request-Id"]
    assert len(made) == 16


def test_json_numbers_beyond_all_bounds_reach_the_field(app_api: Api) -> None:
    for number in ("NaN", "Infinity", "-Infinity", "1e400", "9" * 400):
        text = json.dumps({**CHECK_IN, "evidence": {"fixes": [{**FIX, "t_ms": "HERE"}]}}).replace('"HERE"', number)
        response = app_api("POST", "/v1/check-ins", data=text, content_type="application/json", headers={"Idempotency-Key": "a"})
        body = problem_of(response, 422, "invalid_input")
        assert body["errors"][0]["field"] == "evidence.fixes.0.t_ms"
