from __future__ import annotations

import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import click

from visit_verify.cli import main as verify_main
from visit_verify.file import parse_visit

from ..config import from_environment
from ..db import Database
from ..ledger.service import shard_at
from . import service
from .trust import policy_for, policy_text


@click.group()
def receipt() -> None:
    """Receipts: verify one, the policy to verify by, the keys that sign them."""


@receipt.command(context_settings={"ignore_unknown_options": True})
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--policy", "policy_file", type=click.Path(path_type=Path), help="Whom you trust; by default this installation's own keys.")
@click.option("--voids", type=click.Path(path_type=Path), help="The signed list of receipts that were taken back.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def verify(file: Path, policy_file: Path | None, voids: Path | None, as_json: bool) -> None:
    """Check a .visit file. The same as `visit-verify`, which needs nothing of this service."""
    more = [*(["--voids", str(voids)] if voids else []), *(["--json"] if as_json else [])]
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as own:
        if policy_file is None:
            own.write(_own_policy(file))
            own.flush()
        sys.exit(verify_main([str(file), "--policy", str(policy_file or own.name), *more]))


def _own_policy(file: Path) -> str:
    """This installation's own keys, as far as a receipt needs them."""
    settings = from_environment()
    database = Database(settings)
    try:
        with database.read() as session:
            return policy_for(session, settings, *parse_visit(file.read_bytes()))
    except (OSError, ValueError) as failure:
        raise click.ClickException(f"{file}: {failure}") from failure
    finally:
        database.close()


@receipt.command()
@click.option("--store", "stores", multiple=True, type=click.UUID, help="A store whose tills are named; may be given again.")
@click.option("--shard", help="The half-year of the log, such as 2026h2; by default the present one.")
def policy(stores: tuple[UUID, ...], shard: str | None) -> None:
    """Print a policy to start from. Whoever doubts this operator takes tills' keys from merchants and witnesses' keys from witnesses."""
    settings = from_environment()
    database = Database(settings)
    with database.read() as session:
        text = policy_text(session, settings, shard=shard or shard_at(datetime.now(UTC)), store_ids=stores)
    database.close()
    click.echo(text, nl=False)


@receipt.command()
def rotate_key() -> None:
    """Let a new key sign receipts from now on; the old one stays listed for ever, and what it signed stays good."""
    settings = from_environment()
    database = Database(settings)
    with database.write() as session:
        key = service.rotate_key(session, settings, now=datetime.now(UTC))
    database.close()
    click.echo(f"{key.id} signs from now on; the log says so")


@receipt.command()
@click.argument("key_id")
def revoke_key(key_id: str) -> None:
    """Say that a key was stolen: what is logged from now on under it is refused, what was logged before stays good."""
    database = Database(from_environment())
    with database.write() as session:
        key = service.revoke_key(session, key_id, now=datetime.now(UTC))
    database.close()
    click.echo(f"{key.id} is revoked; the log says so")


@receipt.command()
def voids() -> None:
    """Print the signed list of all receipts that were taken back."""
    settings = from_environment()
    database = Database(settings)
    with database.read() as session:
        text = service.voids(session, settings, now=datetime.now(UTC))
    database.close()
    click.echo(text)
