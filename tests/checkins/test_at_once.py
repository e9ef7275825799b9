"""The same thing sent many times at the same moment, over real connections: it happens once, and everybody hears the same."""

from __future__ import annotations

import hashlib
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import sqlalchemy as sa

from geo_o2o.app import create_app
from geo_o2o.auth import service as auth
from geo_o2o.db import Database
from geo_o2o.http import utcnow

from ..conftest import Api
from ..factories import make_store
from ..test_http import problem_of
from ..visiting import ADDRESS, House, position, till, visitor

AT_ONCE = 12


@pytest.fixture
def real(fresh_database: Any, tmp_path: Path) -> Iterator[House]:
    """A house whose requests are transactions of their own."""
    settings = replace(fresh_database(), data_dir=tmp_path, pool_size=AT_ONCE, lock_timeout_ms=20_000)
    database = Database(settings)
    app = create_app(settings, database=database)
    with database.write() as session:
        keys = {role: auth.create_key(session, role=role, name="", merchant=None, now=utcnow())[1] for role in ("app", "admin")}
        store = make_store(session)
    apis = {role: Api(app.test_client(), key) for role, key in keys.items()}
    yield House(apis["app"], apis["admin"], apis["admin"], store, till(apis["admin"], store.id), settings, database)
    app.extensions["finder"].shelf.close()
    database.close()


def together(deed: Callable[[int], Any]) -> list[Any]:
    """What a deed returns to each of many threads that begin at the same moment."""
    ready, found = threading.Barrier(AT_ONCE), [None] * AT_ONCE

    def run(number: int) -> None:
        ready.wait()
        found[number] = deed(number)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(AT_ONCE)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def sender(house: House, someone: Any, body: Any, key: Callable[[int], str]) -> Callable[[int], Any]:
    """A request for each thread, each with a proof of its own."""
    proofs = [someone.device.prove("POST", f"{ADDRESS}/v1/check-ins", someone.calls.nonce) for _ in range(AT_ONCE)]
    clients = [Api(house.app.client.application.test_client(), house.app.key) for _ in range(AT_ONCE)]
    return lambda number: clients[number].post("/v1/check-ins", body, Idempotency_Key=key(number), DPoP=proofs[number])


def test_one_claim_sent_by_many_is_one_check_in(real: House) -> None:
    anna = visitor(real.app)
    same = anna.sign(real.store.id, [position()])
    answers = together(sender(real, anna, same, lambda number: "same"))
    assert Counter(one.status_code for one in answers) == {201: AT_ONCE}
    assert len({one.get_json()["id"] for one in answers}) == 1
    other = anna.sign(real.store.id, [position()])
    answers = together(sender(real, anna, other, str))
    assert Counter(one.status_code for one in answers) == {201: 1, 409: AT_ONCE - 1}
    assert {one.get_json()["code"] for one in answers if one.status_code == 409} == {"challenge_used"}
    with real.database.read() as session:
        assert session.scalar(sa.text("SELECT count(*) FROM check_ins")) == 2


def test_one_proof_is_used_by_one(real: House) -> None:
    anna = visitor(real.app)
    body, proof = anna.sign(real.store.id, [position()]), anna.device.prove("POST", f"{ADDRESS}/v1/check-ins", anna.calls.nonce)
    clients = [Api(real.app.client.application.test_client(), real.app.key) for _ in range(AT_ONCE)]
    answers = together(lambda number: clients[number].post("/v1/check-ins", body, Idempotency_Key="same", DPoP=proof))
    assert Counter(one.status_code for one in answers) == {201: 1, 401: AT_ONCE - 1}


def test_many_confirmations_and_receipts_of_one_visit(real: House) -> None:
    visit = real.visit()
    said = [real.till.till.confirmation(visit["scan"], store_id=real.store.id) for _ in range(AT_ONCE)]
    clients = [Api(real.app.client.application.test_client(), real.shop.key) for _ in range(AT_ONCE)]
    path = f"/v1/check-ins/{visit['id']}"
    answers = together(lambda number: clients[number].post(f"{path}/confirmations", {"confirmation": said[number]}))
    assert Counter(one.status_code for one in answers) == {201: 1, 409: AT_ONCE - 1}
    answers = together(lambda number: clients[number].post(f"{path}/receipts", {"audience": "brand:cola"}))
    assert len({one.get_json()["receipt_id"] for one in answers}) == 1
    with real.database.read() as session:
        assert session.scalar(sa.text("SELECT count(*) FROM receipts")) == 2
        assert session.scalar(sa.text("SELECT count(*) FROM operator_keys")) == 1


def test_guesses_at_the_same_moment_are_counted_all(real: House) -> None:
    anna = visitor(real.app)
    bodies = [anna.sign(real.store.id, [position()], code=f"{number:06}") for number in range(AT_ONCE)]
    proofs = [anna.device.prove("POST", f"{ADDRESS}/v1/check-ins", anna.calls.nonce) for _ in range(AT_ONCE)]
    clients = [Api(real.app.client.application.test_client(), real.app.key) for _ in range(AT_ONCE)]
    answers = together(lambda number: clients[number].post("/v1/check-ins", bodies[number], Idempotency_Key=str(number), DPoP=proofs[number]))
    assert Counter(one.status_code for one in answers)[429] == AT_ONCE - 5


def test_a_twin_that_takes_long_is_not_waited_for_for_ever(real: House) -> None:
    anna = visitor(real.app)
    body = anna.sign(real.store.id, [position()])
    impatient = create_app(replace(real.settings, lock_timeout_ms=200), database=Database(replace(real.settings, lock_timeout_ms=200)))
    api = Api(impatient.test_client(), real.app.key)
    own_key = hashlib.sha256(f"{anna.device.id} slow".encode()).hexdigest()
    with real.database.write() as session:
        values = {"caller": session.scalar(sa.text("SELECT id FROM api_keys WHERE role = 'app'")), "key": own_key, "id": uuid4()}
        text = "INSERT INTO idempotency_keys (caller_id, key, request_hash, resource_id, created_at) VALUES (:caller, :key, '', :id, now())"
        session.execute(sa.text(text), values)
        proof = anna.device.prove("POST", f"{ADDRESS}/v1/check-ins", anna.calls.nonce)
        problem_of(api.post("/v1/check-ins", body, Idempotency_Key="slow", DPoP=proof), 409, "request_in_progress")
        session.rollback()
    proof = anna.device.prove("POST", f"{ADDRESS}/v1/check-ins", anna.calls.nonce)
    assert api.post("/v1/check-ins", body, Idempotency_Key="slow", DPoP=proof).status_code == 201, "once the twin is gone it is taken"
    impatient.extensions["finder"].shelf.close()
    impatient.extensions["database"].close()
