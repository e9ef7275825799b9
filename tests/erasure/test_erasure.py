"""A person is erased: nothing of them is left in the tables, the log is as it was, and a restored backup does not bring them back."""

from __future__ import annotations

import subprocess
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa

from geo_o2o import cluster
from geo_o2o.app import create_app
from geo_o2o.auth import service as auth
from geo_o2o.caller import Caller
from geo_o2o.checkins import queries as checkin_queries
from geo_o2o.checkins import service as checkins
from geo_o2o.checkins.models import CheckInEvidence
from geo_o2o.client import Device
from geo_o2o.config import BadSettings, Settings
from geo_o2o.db import Database
from geo_o2o.erasure import listing, service
from geo_o2o.errors import NotFound
from geo_o2o.http import utcnow
from geo_o2o.ledger import service as ledger
from geo_o2o.ledger.audit import audit
from geo_o2o.ledger.keys import make_key
from geo_o2o.ops.jobs import run_jobs
from geo_o2o.ops.service import look_back
from geo_o2o.receipts import service as receipts
from geo_o2o.signers import queries as signers
from visit_verify.file import parse_visit
from visit_verify.note import parse_verifier_key
from visit_verify.policy import parse_policy
from visit_verify.receipt import verify

from ..conftest import Api
from ..factories import make_store
from ..test_http import problem_of
from ..visiting import House, located_row, position, visitor


def erase(house: House, name: str, *, app: str | None = None) -> service.Erased:
    with house.database.write() as session:
        return service.erase(session, house.settings, visitor=name, app=app, now=utcnow())


def test_what_is_known_of_somebody_goes_and_the_log_stays(house: House, session: Any) -> None:
    anna, bert = house.visitor("anna"), house.visitor("bert")
    visits = [house.visit(anna), house.visit(bert)]
    for visit in visits:
        house.till.confirm(visit["scan"])
    house.publish()
    receipts = [one.receipt(visit) for one, visit in zip((anna, bert), visits, strict=True)]
    before = house.app.get("/log/" + ledger.shard_at(utcnow()) + "/checkpoint").data
    erased = erase(house, "anna")
    assert (erased.check_ins, erased.receipts) == (1, 1)
    house.publish()
    assert house.app.get("/log/" + ledger.shard_at(utcnow()) + "/checkpoint").data == before
    # Her own copy is hers: it still verifies, and nobody else can open the entry.
    for receipt in receipts:
        assert verify(*parse_visit(receipt), house.policy()).level == 3
    problem_of(house.app.get(f"/v1/receipts/{verify(*parse_visit(receipts[0]), house.policy()).id}"), 404, "not_found")
    left = house.shop.get(f"/v1/check-ins/{visits[0]['id']}").get_json()
    assert (left["level"], left["visitor"], left["scan"], left["receipt_id"]) == (3, None, None, None)
    assert house.shop.get("/v1/check-ins/counts").get_json()["headline"]["visits"] == 2, "a number has no person"
    everything = "\n".join(
        str(row)
        for table in session.scalars(sa.text("SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename NOT LIKE 'spatial%'"))
        for row in session.execute(sa.text(f"SELECT t::text FROM {table} t"))
    )
    assert "anna" not in everything
    assert "bert" in everything
    assert anna.device.id not in everything
    assert bert.device.id in everything
    with pytest.raises(NotFound):
        erase(house, "anna")
    problem_of(house.app.post(f"/v1/check-ins/{visits[0]['id']}/receipts", {}), 410, "checkin_expired")


def test_a_device_that_somebody_else_uses_too_stays(house: House, session: Any) -> None:
    anna = house.visitor("anna")
    house.visit(anna)
    anna.account = "her brother"
    house.visit(anna)
    erase(house, "anna")
    assert house.visit(anna)["visitor"] == "her brother"


def test_the_list_outlives_a_crash_in_the_middle_of_a_line(tmp_path: Path) -> None:
    secret = listing.secret_of(tmp_path, tmp_path / "keys")
    first, second = b"a" * 32, b"b" * 32
    listing.add(tmp_path, secret, first)
    with open(tmp_path / "erasures.list", "ab") as file:
        file.write(b"abcdef")
    assert first in listing.read(tmp_path)
    listing.add(tmp_path, secret, second)
    assert listing.read(tmp_path) >= {first, second}
    assert len(listing.read(tmp_path)) == 3, "and what says under which key it was written"
    assert listing.read(tmp_path / "nowhere") == frozenset()
    assert listing.secret_of(tmp_path, tmp_path / "keys") == secret


def test_without_the_key_of_the_list_nobody_is_served(fresh_database: Any, tmp_path: Path) -> None:
    settings = replace(fresh_database(), data_dir=tmp_path)
    database = Database(settings)
    with database.write() as session:
        located_row(session, make_store(session), account="anna", caller_id=UUID(int=0), device=Device.make())
    with database.write() as session:
        service.erase(session, settings, visitor="anna", now=utcnow())
        session.execute(sa.text("DELETE FROM erasures"))
    key = tmp_path / "keys" / "erasures.key"
    kept = key.read_bytes()
    key.unlink()
    with pytest.raises(BadSettings, match="put it back"):
        look_back(settings)
    make_key(tmp_path / "keys", "erasures")
    with pytest.raises(BadSettings, match="written under another key"):
        look_back(settings)
    with database.read() as session:
        assert session.scalar(sa.text("SELECT count(*) FROM erasures")) == 0, "nobody is noted as erased who was not looked for"
    key.write_bytes(kept)
    look_back(settings)
    database.close()


def test_two_apps_may_have_a_visitor_of_the_same_name(house: House, as_role: Any) -> None:
    other = as_role("app")
    mine, theirs = house.visitor("42"), visitor(other, account="42")
    for one in (mine, theirs):
        house.visit(one)
    with pytest.raises(service.Ambiguous, match="--app"):
        erase(house, "42")
    erase(house, "42", app=other.key.split("_")[2])
    assert house.visit(mine)["visitor"] == "42"
    with pytest.raises(NotFound):
        erase(house, "42", app="00000000")
    assert erase(house, "42").check_ins == 2


def test_what_is_under_way_when_somebody_is_erased_is_erased_too(fresh_database: Any, tmp_path: Path) -> None:
    """A confirmation that has begun, and a claim that has found the account: both are committed first, and go with the rest."""
    settings = replace(fresh_database(), data_dir=tmp_path, lock_timeout_ms=20_000)
    database = Database(settings)
    with database.write() as session:
        store = make_store(session)
        row = located_row(session, store, account="anna", caller_id=UUID(int=0), device=Device.make())
    done = threading.Event()

    def erase_her() -> None:
        with database.write() as session:
            service.erase(session, settings, visitor="anna", now=utcnow())
        done.set()

    with database.write() as session:
        kept = checkin_queries.find_check_in(session, row.id, lock=True)
        assert kept is not None
        signers.take_subject(session, id_=UUID(int=9), caller_id=UUID(int=0), visitor="anna", secret=b"", now=utcnow())
        thread = threading.Thread(target=erase_her)
        thread.start()
        assert not done.wait(0.5), "it waits for what is under way"
        checkins.issue(session, settings, kept, now=utcnow())
        located_row(session, store, account="anna", caller_id=UUID(int=0), device=Device.make())
    thread.join(20)
    assert done.is_set()
    with database.read() as session:
        for table in ("receipts", "receipt_salts", "subjects", "check_in_evidence"):
            assert session.scalar(sa.text(f"SELECT count(*) FROM {table}")) == 0, table
        assert session.scalar(sa.text("SELECT count(*) FROM check_ins WHERE subject_id IS NOT NULL OR visitor IS NOT NULL")) == 0
    database.close()


def run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)


def plain_url(settings: Settings) -> str:
    return settings.database_url.replace("+psycopg2", "")


def test_the_restore_drill(fresh_database: Any, data_dir: Path, server: cluster.Cluster, tmp_path: Path) -> None:
    """1,000 receipts, 300 people erased, yesterday's backup restored: the log recovers, and the 300 are erased again."""
    settings = replace(fresh_database(), data_dir=tmp_path / "data", key_cache_s=60)
    settings.data_dir.mkdir()
    database = Database(settings, statement_timeout_ms=60_000)
    app = create_app(settings, database=database)
    with database.write() as session:
        store = make_store(session)
        key, text = auth.create_key(session, role="app", name="test", merchant=None, now=utcnow())
    api = Api(app.test_client(), text)
    house = House(api, api, api, store, None, settings, database)  # type: ignore[arg-type]
    device = Device.make()
    with database.write() as session:
        rows = [located_row(session, store, account=f"person {number}", caller_id=key.id, device=device) for number in range(1_000)]
        ids = [checkins.issue(session, settings, row, now=utcnow()).id for row in rows]
    house.publish()
    me = Caller(key_id=key.id, role="app", merchant_id=None)
    with database.read() as session:
        held = [receipts.hold(session, settings, id_, caller=me, now=utcnow()) for id_ in ids]
    kept = [(one.receipt.jws, one.proof) for one in held]
    backup = tmp_path / "backup.sql"
    run("pg_dump", "--format=plain", f"--file={backup}", plain_url(settings))
    dumped = backup.read_bytes()
    assert not [proof for _, proof in kept if proof is None or (proof.extra or b"").hex().encode() in dumped], "no salt can be read in a dump"
    gone = 300
    with database.write() as session:
        for number in range(gone):
            service.erase(session, settings, visitor=f"person {number}", now=utcnow())
    # What happened after the backup and is lost with it.
    late = visitor(api, account="late")
    visit = late.check_in(store.id, [position()])
    late.calls.json("POST", f"/v1/check-ins/{visit['id']}/receipts", {})
    house.publish()
    database.close()

    cluster.drop_database(server, name := settings.database_url.rpartition("/")[2])
    cluster.create_database(server, name)
    run("psql", "--quiet", "--set=ON_ERROR_STOP=1", f"--file={backup}", plain_url(settings))
    database = house.database = Database(settings, statement_timeout_ms=60_000)
    app.extensions["database"] = database
    with database.read() as session:
        assert session.scalar(sa.text("SELECT count(*) FROM subjects")) == 1_000
    assert run_jobs(database, settings, clock=utcnow)["erase again"] == gone
    with database.read() as session:
        assert session.scalar(sa.text("SELECT count(*) FROM receipt_salts")) == 1_000 - gone
        assert session.scalar(sa.text("SELECT count(*) FROM subjects WHERE visitor LIKE 'person %'")) == 1_000 - gone
        assert session.scalar(sa.select(sa.func.count()).select_from(CheckInEvidence)) == 1_000 - gone
    assert api.get(f"/v1/receipts/{ids[0]}").status_code == 404
    # The log was published further than the backup knows, so nothing new is promised until it is whole again.
    problem_of(api.post(f"/v1/check-ins/{rows[-1].id}/receipts", {}), 503, "log_frozen")
    shard = ledger.shard_at(utcnow())
    with database.write() as session:
        assert ledger.recover(session, ledger.log_of(settings, shard)) > 0
    house.publish()
    policy_text = api.get("/v1/receipts/policy").text
    policy = parse_policy(policy_text)
    for jws, proof in kept:
        assert proof is not None
        assert verify(jws, proof, policy).level == 1
    log = ledger.log_of(settings, shard)
    found = audit(lambda name: log.folder.read(name) or b"", key=parse_verifier_key(policy_text.splitlines()[0].removeprefix("log ")))
    assert found.kinds[1] == 1_001
    assert run_jobs(database, settings, clock=utcnow).get("erase again") == 0
    database.close()
    assert subprocess.run(["grep", "-c", "person", settings.data_dir / "erasures.list"], capture_output=True, text=True, check=False).stdout == "0\n"
