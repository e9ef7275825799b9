from __future__ import annotations

from datetime import UTC, datetime

import click

from ..config import from_environment
from ..db import Database
from . import queries, service
from .access import ROLES


@click.group()
def keys() -> None:
    """API keys: create, list, revoke."""


@keys.command()
@click.option("--role", type=click.Choice(list(ROLES)), required=True, help="What the key may do.")
@click.option("--merchant", help="For role store: the merchant's name; made where there is none.")
@click.option("--name", default="", help="A note for yourself, shown by `keys list`.")
def create(role: str, merchant: str | None, name: str) -> None:
    """Make a key and print it once; it is kept only as a hash."""
    now = datetime.now(UTC)
    with Database(from_environment()).write() as session:
        owner = service.add_merchant(session, name=merchant, now=now) if merchant else None
        _, text = service.create_key(session, role=role, name=name or role, merchant=owner, now=now)
    click.echo(text)


@keys.command()
@click.argument("prefix")
@click.option("--name", default="", help="A note for yourself; by default that of the old one.")
def replace(prefix: str, name: str) -> None:
    """Make a new key for the app or store of an old one, known by 8 characters; revoke the old one when nobody uses it any more."""
    with Database(from_environment()).write() as session:
        _, text = service.replace_key(session, prefix=prefix, name=name, now=datetime.now(UTC))
    click.echo(text)


@keys.command(name="list")
def show() -> None:
    """Show every key by its prefix, with role, merchant and dates."""
    with Database(from_environment()).read() as session:
        for key, merchant in queries.list_keys(session):
            state = f"revoked {key.revoked_at:%Y-%m-%d}" if key.revoked_at else "live"
            click.echo(f"{key.prefix}  {key.role:8} {merchant or '-':24} {key.created_at:%Y-%m-%d}  {state:18} {key.name}")


@keys.command()
@click.argument("prefix")
def revoke(prefix: str) -> None:
    """Make a key useless, by the 8 characters after its role."""
    with Database(from_environment()).write() as session:
        key = service.revoke_key(session, prefix=prefix, now=datetime.now(UTC))
    click.echo(f"{key.prefix} ({key.role}) is revoked; running services forget it within {from_environment().key_cache_s} s")
