from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import IO

import click

from ..config import from_environment
from ..db import Database
from ..errors import InvalidInput
from . import profiles as rank_profiles
from . import queries
from .ranking import BadProfile, built_in_profiles, parse_profile


@click.group()
def profiles() -> None:
    """Rank profiles: the weights behind every answer."""


@profiles.command(name="list")
def show() -> None:
    """Print every profile as one JSON object a line."""
    with Database(from_environment()).read() as session:
        own = [parse_profile(row.body) for row in queries.list_profiles(session)]
    for profile in [*built_in_profiles().values(), *own]:
        click.echo(json.dumps(profile.as_json()))


@profiles.command()
@click.argument("file", type=click.File(encoding="utf-8"))
def add(file: IO[str]) -> None:
    """Add a profile from a JSON FILE of the form that `profiles list` prints. A name is used once."""
    try:
        profile = parse_profile(json.load(file))
    except (BadProfile, ValueError) as failure:
        raise InvalidInput(str(failure)) from failure
    with Database(from_environment()).write() as session:
        rank_profiles.add_profile(session, profile, now=datetime.now(UTC))
    click.echo(f"added {profile.name}")


@profiles.command()
@click.argument("name")
def use(name: str) -> None:
    """Let profile NAME answer every question that names none, from now on."""
    with Database(from_environment()).write() as session:
        profile = rank_profiles.use_profile(session, name, now=datetime.now(UTC))
    click.echo(f"{profile.name} is in use; running services take it within seconds")


@profiles.command()
@click.argument("name")
def refit(name: str) -> None:
    """Make the next version of profile NAME, with the mean ratings of today frozen as its priors."""
    with Database(from_environment(), statement_timeout_ms=120_000).write() as session:
        profile = rank_profiles.refit_profile(session, name, now=datetime.now(UTC))
    click.echo(json.dumps(profile.as_json()))
