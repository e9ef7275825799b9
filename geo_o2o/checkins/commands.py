from __future__ import annotations

import json
from datetime import UTC, datetime
from uuid import UUID

import click

from ..config import from_environment
from ..db import Database
from . import service


@click.group(name="check-ins")
def check_ins() -> None:
    """Check-ins: the weekly look at what no single one shows, and stores that only cheats can know."""


@check_ins.command()
def review() -> None:
    """Look at the last week: stores whose confirmed visitors were elsewhere (R11), accounts that go about together (R12)."""
    database = Database(from_environment(), statement_timeout_ms=0)
    with database.write() as session:
        stores, together = service.review(session, now=datetime.now(UTC))
    database.close()
    for store in stores:
        click.echo(f"store {store}: too many confirmed visits with a phone that was elsewhere (R11)")
    for subject, size in sorted(together.items()):
        click.echo(f"account {subject}: one of {size} that go about together (R12)")
    click.echo(f"{len(stores)} stores and {len(together)} accounts to be looked at")


@check_ins.command()
@click.argument("check_in_id", type=click.UUID)
def evidence(check_in_id: UUID) -> None:
    """Print what a disputed check-in was judged by, as JSON: positions, salt, and what was signed."""
    database = Database(from_environment())
    with database.read() as session:
        found = service.open_evidence(session, check_in_id)
    database.close()
    click.echo(json.dumps(found, indent=2))


@check_ins.command()
@click.argument("store_id", type=click.UUID)
def honeypot(store_id: UUID) -> None:
    """Mark a closed store, which no answer shows, as one that never was: whoever checks in there has copied a list (R13)."""
    database = Database(from_environment())
    with database.write() as session:
        service.mark_honeypot(session, store_id)
    database.close()
    click.echo(f"{store_id} is a honeypot from now on")
