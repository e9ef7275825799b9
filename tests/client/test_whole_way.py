"""A visit over the network, through real processes: phone, till, service, worker, log, and the verifier that asks none of them."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from geo_o2o.auth import service as auth
from geo_o2o.cli import main
from geo_o2o.client import Device, Position, Till, TillKey, Visitor
from geo_o2o.db import Database
from visit_verify.cli import main as visit_verify

from ..conftest import NOW, own_port
from ..factories import HELSINKI, make_store
from ..ops.test_service import get, wait_for


@dataclass
class Running:
    url: str
    app: str
    admin: str
    store: str
    database_url: str


@pytest.fixture
def running(fresh_database: Any, tmp_path: Path, environment: dict[str, str]) -> Iterator[Running]:
    settings = fresh_database()
    database = Database(settings)
    with database.write() as session:
        keys = {role: auth.create_key(session, role=role, name="", merchant=None, now=NOW)[1] for role in ("app", "admin")}
        store = str(make_store(session).id)
    database.close()
    port = own_port(8_760)
    url = f"http://127.0.0.1:{port}"
    env = {
        **environment, "GEO_O2O_DATABASE_URL": settings.database_url, "GEO_O2O_PORT": str(port), "GEO_O2O_DATA_DIR": str(tmp_path / "data"),
        "GEO_O2O_PUBLIC_URL": url, "GEO_O2O_WORKER_INTERVAL_S": "1", "GEO_O2O_WORKERS": "1",
    }  # fmt: skip
    quiet: Any = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    processes = [subprocess.Popen([sys.executable, "-m", "geo_o2o", name], env=env, **quiet) for name in ("serve", "worker")]
    try:
        assert wait_for(lambda: get(f"{url}/health/ready")[0] == 200, 60)
        yield Running(url, keys["app"], keys["admin"], store, settings.database_url)
    finally:
        for process in processes:
            process.send_signal(signal.SIGTERM)
        assert [process.wait(30) for process in processes] == [0, 0]


def test_phone_till_receipt_and_a_verifier_that_asks_nobody(running: Running, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def run(*arguments: str, fails: bool = False) -> Any:
        done = CliRunner().invoke(main, ["visit", *arguments], catch_exceptions=False)
        assert (done.exit_code != 0) == fails, done.output
        return done.output

    here, till, device = f"{HELSINKI.lat},{HELSINKI.lon}", str(tmp_path / "till.key"), str(tmp_path / "device.pem")
    at = ("--url", running.url)
    run("enrol-till", *at, "--key", running.admin, "--store", running.store, "--till", till)
    assert "till_enrolled_already" in run("enrol-till", *at, "--key", running.admin, "--store", running.store, "--till", till, fails=True)
    phone = (*at, "--key", running.app, "--device", device)
    code = run("code", "--store", running.store, "--till", till).strip()
    visit = json.loads(run("check-in", *phone, "--store", running.store, "--at", here, "--code", code, "--account", "anna"))
    assert (visit["level"], visit["visitor"]) == (2, "anna")
    assert "code_replayed" in run("check-in", *phone, "--store", running.store, "--at", here, "--code", code, fails=True)
    confirmed = json.loads(run("confirm", *at, "--key", running.admin, "--store", running.store, "--till", till, visit["scan"]))
    assert confirmed["level_name"] == "confirmed"
    kept = tmp_path / "coffee.visit"
    assert "coffee.visit" in run("receipt", *phone, visit["id"], "--keep", str(kept))
    policy = tmp_path / "policy.txt"
    policy.write_bytes(urllib.request.urlopen(f"{running.url}/v1/receipts/policy?store_ids={running.store}").read())
    assert visit_verify([str(kept), "--policy", str(policy)]) == 0
    said = capsys.readouterr().out
    assert said.startswith("level 3 (confirmed), by geo, till, staff\n")
    assert f"of {running.url} for holder" in said
    forged = kept.read_bytes()
    (tmp_path / "forged.visit").write_bytes(forged[:300] + bytes([forged[300] ^ 1]) + forged[301:])
    assert visit_verify([str(tmp_path / "forged.visit"), "--policy", str(policy)]) == 1
    assert "REFUSED" in capsys.readouterr().err
    log = policy.read_text().split()[1]
    audited = CliRunner().invoke(main, ["log", "audit", f"{running.url}/log/{log.split('+')[0].rpartition('/')[2]}", "--key", log])
    assert "all as they were logged" in audited.output, audited.output
    same = CliRunner().invoke(main, ["receipt", "verify", str(kept), "--policy", str(policy)])
    assert same.exit_code == 0
    own = {"GEO_O2O_DATABASE_URL": running.database_url}
    assert CliRunner(env=own).invoke(main, ["receipt", "verify", str(kept)]).exit_code == 0, "by this installation's own keys"
    assert CliRunner(env=own).invoke(main, ["receipt", "verify", str(policy)]).exit_code == 1
    listed = CliRunner(env=own).invoke(main, ["receipt", "policy", "--store", running.store])
    assert listed.output == policy.read_text()
    assert "signs from now on" in CliRunner(env={**own, "GEO_O2O_DATA_DIR": str(tmp_path / "data")}).invoke(main, ["receipt", "rotate-key"]).output
    again = json.loads(run("check-in", *phone, "--store", running.store, "--at", here, "--account", "bert"))
    run("receipt", *phone, again["id"], "--keep", str(tmp_path / "tea.visit"))
    assert CliRunner(env=own).invoke(main, ["receipt", "verify", str(tmp_path / "tea.visit")]).exit_code == 0
    key = json.loads(urllib.request.urlopen(f"{running.url}/.well-known/jwks.json").read())["keys"][0]
    assert key["status"] == "retired"
    erased = CliRunner(env={**own, "GEO_O2O_DATA_DIR": str(tmp_path / "data")}).invoke(main, ["subject", "erase", "anna"])
    assert "1 receipts and their salts are gone" in erased.output
    assert CliRunner(env=own).invoke(main, ["check-ins", "review"]).output == "0 stores and 0 accounts to be looked at\n"


def visit_and_keep(running: Running, folder: Path) -> Visitor:
    """A visit that the store's till confirms, as the documentation writes it; its receipt is coffee.visit."""
    till = Till(running.url, running.admin, running.store, TillKey.make())
    till.enrol()
    visitor = Visitor(running.url, key=running.app, device=Device.kept(folder / "device.pem"), account="a pseudonym")
    visitor.enrol()
    visit = visitor.check_in(running.store, [Position(HELSINKI.lat, HELSINKI.lon, accuracy_m=12)], code=till.code())
    till.confirm(visit["scan"])
    visitor.keep(visitor.receipt(visit), folder / "coffee.visit")
    return visitor


def test_the_ten_lines_of_the_documentation(running: Running, tmp_path: Path) -> None:
    visitor = visit_and_keep(running, tmp_path)
    assert (tmp_path / "coffee.visit").stat().st_size > 1_000
    assert Device.kept(tmp_path / "device.pem").id == visitor.device.id
    assert (tmp_path / "device.pem").stat().st_mode & 0o077 == 0
