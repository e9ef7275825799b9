from __future__ import annotations

from datetime import UTC, datetime

import click

from ..config import from_environment
from ..db import Database
from . import service


@click.group()
def subject() -> None:
    """People: erase what is known of one."""


@subject.command()
@click.argument("visitor")
@click.option("--app", help="8 characters of the app's key, where several apps have a visitor of that name.")
def erase(visitor: str, app: str | None) -> None:
    """Erase an account, by the pseudonym that its app gave it or by its id: receipts, salts, positions, devices. Its visits stay as numbers."""
    settings = from_environment()
    database = Database(settings, statement_timeout_ms=0)
    with database.write() as session:
        one = service.erase(session, settings, visitor=visitor, app=app, now=datetime.now(UTC))
    database.close()
    click.echo(f"{one.subject_id}: {one.receipts} receipts and their salts are gone, {one.check_ins} check-ins have no person any more")
    click.echo("merchants and brands that hold copies of these receipts must erase theirs: tell them (GDPR, article 19)")


@subject.command()
def replay() -> None:
    """After a restored backup: erase again whom it has brought back. The worker and `serve` do this by themselves."""
    settings = from_environment()
    database = Database(settings, statement_timeout_ms=0)
    with database.write() as session:
        erased = service.replay(session, settings, now=datetime.now(UTC))
    database.close()
    click.echo(f"{erased} accounts were erased again")
