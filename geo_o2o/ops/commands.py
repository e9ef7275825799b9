from __future__ import annotations

import logging
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Any

import click
from granian import Granian
from granian.constants import Interfaces
from sqlalchemy.exc import SQLAlchemyError

from .. import cluster
from ..config import PREFIX, Settings, from_environment
from ..db import Database
from ..ports import Busy, hold, is_free
from . import logs
from .demo import SEED, run_demo
from .invented import PEOPLE, WEEKS, Invented, invent_visits
from .jobs import run_jobs
from .service import look_back, upgrade


@click.group()
def db() -> None:
    """The private PostgreSQL cluster of this data folder, and migrations."""


@db.command()
def up() -> None:
    """Start the private cluster, making it first where there is none; prints its URL."""
    data_dir = from_environment().data_dir
    found = cluster.up(data_dir, say=lambda text: click.echo(text, err=True))
    cluster.keep(data_dir, kept=True)
    click.echo(found.url)


@db.command()
def down() -> None:
    """Stop the private cluster."""
    data_dir = from_environment().data_dir
    stopped = cluster.down(data_dir)
    cluster.keep(data_dir, kept=False)
    click.echo("stopped" if stopped else "was not running")


@db.command(name="upgrade")
def upgrade_command() -> None:
    """Bring the database to the newest migration."""
    upgrade(from_environment())
    click.echo("the database is at the newest migration")


@db.command()
@click.option("--libpq", is_flag=True, help="For psql and other programs: without the name of our driver.")
def url(libpq: bool) -> None:
    """Print the URL of the database in use."""
    text = from_environment().write_url()
    click.echo(text.replace("+psycopg2", "") if libpq else text)


@click.command()
def serve() -> None:
    """Run the web service; stops gracefully on SIGTERM or Ctrl-C."""
    settings = from_environment()
    settings.write_url()
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    look_back(settings)
    run_server(settings)


def run_server(settings: Settings) -> None:
    """Raises Busy where the port belongs to somebody else: the server itself would share it without a word."""
    with hold(f"port {settings.port}"):
        if not is_free(settings.port, settings.host):
            raise Busy(f"port {settings.port} is busy; set {PREFIX}PORT to another one")
        with tempfile.TemporaryDirectory(prefix="metrics-", dir=settings.data_dir) as metrics_dir:
            os.environ["PROMETHEUS_MULTIPROC_DIR"] = metrics_dir
            server = Granian(
                "geo_o2o.app:create_app",
                factory=True,
                address=settings.host,
                port=settings.port,
                interface=Interfaces.WSGI,
                workers=settings.workers,
                # Python runs one of them at a time; the others are there for bodies that come slowly or never.
                blocking_threads=settings.threads,
                backlog=1024,
                respawn_failed_workers=True,
                workers_kill_timeout=10,
                websockets=False,
                log_access=False,
            )
            stop: Any = server.signal_handler_interrupt
            server.signal_handler_interrupt = _once(stop)  # type: ignore[method-assign]
            server.serve()


def _once(handle: Callable[..., Any]) -> Callable[..., None]:
    """Of a signal: the first counts. A handler that takes a lock would wait for itself without end if a second signal came in its middle.

    They do come together: a killed parent of several threads sends one for each (PR_SET_PDEATHSIG).
    """
    handled = False

    def first(*told: Any) -> None:
        nonlocal handled
        if not handled:
            handled = True
            handle(*told)

    return first


@click.command()
@click.option("--once", is_flag=True, help="One round of every job, then stop.")
def worker(once: bool) -> None:
    """Run the periodic jobs: offers follow moved stores, opening hours are extended, what is old is erased."""
    settings = from_environment()
    logs.set_up(production=settings.env == "production")
    database = Database(settings, statement_timeout_ms=60_000)
    stop = threading.Event()
    end = _once(lambda *_: stop.set())
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    while True:
        try:
            run_jobs(database, settings, clock=lambda: datetime.now(UTC))
        except SQLAlchemyError as failure:
            logging.getLogger("geo_o2o").warning("the database does not answer, trying again: %s", str(failure).splitlines()[0])
            if once:
                sys.exit(1)
        if once or stop.wait(settings.worker_interval_s):
            return


@click.group(invoke_without_command=True)
@click.option("--once", is_flag=True, help="Print the first nearby answer as JSON and exit.")
@click.option("--visit-weeks", default=WEEKS, show_default=True, type=click.IntRange(0, 104), help="Weeks of invented visits for the planner's map.")
@click.pass_context
def demo(context: click.Context, once: bool, visit_weeks: int) -> None:
    """Everything at once: cluster, migrations, the fixture city, keys, service and worker."""
    if context.invoked_subcommand is None:
        sys.exit(run_demo(from_environment(), once=once, visit_weeks=0 if once else visit_weeks))


@demo.command()
@click.option("--source", default="osm", show_default=True, help="Source of the stores that are visited.")
@click.option("--city", default="helsinki", show_default=True, help="Name of the heat area; it is added where there is none.")
@click.option("--time-zone", default="Europe/Helsinki", show_default=True, help="IANA zone of the city.")
@click.option("--people", default=PEOPLE, show_default=True, type=click.IntRange(1, 1_000_000), help="How many people there are.")
@click.option("--weeks", default=WEEKS, show_default=True, type=click.IntRange(1, 104), help="How many weeks back.")
@click.option("--seed", default=SEED, show_default=True, help="The same seed, stores and weeks make the same visits.")
def visits(source: str, city: str, time_zone: str, people: int, weeks: int, seed: int) -> None:
    """Invent a year of visits, marked sample wherever they are shown, and release them week by week."""
    wanted = Invented(source=source, city=city, time_zone=time_zone, people=people, weeks=weeks, seed=seed)
    for text in invent_visits(from_environment(), wanted, now=datetime.now(UTC)):
        click.echo(text, err=True)


@click.group(invoke_without_command=False)
def bench() -> None:
    """Measurements, from a checkout: `bench nearby`, `bench load`, `bench checkins`, `bench districts`, `bench heat`."""


def _add_benchmarks() -> None:
    """The benchmarks live beside the package, in bench/ of the checkout."""
    root = Path(__file__).parents[2]
    if (root / "bench" / "commands.py").exists():
        sys.path.insert(0, str(root))
        commands: Any = import_module("bench.commands")

        bench.add_command(commands.nearby)
        bench.add_command(commands.load)
        bench.add_command(commands.checkins)
        bench.add_command(commands.districts)
        bench.add_command(commands.heat)


_add_benchmarks()
