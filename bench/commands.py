from __future__ import annotations

import json
from pathlib import Path

import click

from . import districts as bench_districts
from .checkins import measure_checkins
from .databases import private_cluster
from .heat import measure_heat
from .load import measure_load
from .nearby import measure_nearby
from .report import table

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data" / "scale"


@click.command()
@click.option("--data", type=click.Path(path_type=Path), default=SHARED / "fhrs_uk.parquet", help="Food Hygiene Ratings of the UK.")
@click.option("--venues", type=click.Path(path_type=Path), default=SHARED / "wof_us_venues.parquet", help="Venues of eleven US states.")
@click.option("--peers", is_flag=True, help="Also the venues with 1.5 M offers, Redis, memory, freshness and tags; takes some ten minutes.")
@click.option("--seconds", default=0.3, show_default=True, help="Length of one turn of one case.")
@click.option("--rounds", default=50, show_default=True, help="Rounds; the cases take turns within each.")
@click.option("--clients", default=8, show_default=True, help="Connections that ask at the same time; the kernel spreads few of them unevenly.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of the table.")
def nearby(data: Path, venues: Path, peers: bool, seconds: float, rounds: int, clients: int, as_json: bool) -> None:
    """Nearby on 428 k real rated places, beside the naive PostGIS query and an empty Flask answer on the same server."""
    with private_cluster():
        found = measure_nearby(data, venues, seconds=seconds, rounds=rounds, clients=clients, peers=peers)
    click.echo(json.dumps(found) if as_json else table(found))


@click.command()
@click.option("--data", type=click.Path(path_type=Path), default=SHARED / "wof_us_venues.parquet", help="Venues of eleven US states.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of the table.")
def load(data: Path, as_json: bool) -> None:
    """Loading 1,111,678 venues into an empty database, indexes included, and once more with nothing changed."""
    with private_cluster():
        found = measure_load(data)
    click.echo(json.dumps(found) if as_json else table(found))


@click.command()
@click.option("--claims", default=1_600, show_default=True, help="Claims in each of three turns.")
@click.option("--clients", default=8, show_default=True, help="Connections that send at the same time.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of the table.")
def checkins(claims: int, clients: int, as_json: bool) -> None:
    """Claims a second, time to a published proof, sequencer, verification; the service, its database and the senders on one machine."""
    with private_cluster():
        found = measure_checkins(claims=claims, clients=clients)
    click.echo(json.dumps(found) if as_json else table(found))


@click.command()
@click.option("--data", type=click.Path(path_type=Path), default=SHARED.parent / "nyc", help="Folder with New York's restaurants and its districts.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of the table.")
def districts(data: Path, as_json: bool) -> None:
    """Business districts proposed from restaurants alone, beside the 65 that New York has drawn."""
    found = bench_districts.measure_districts(data)
    click.echo(json.dumps(found) if as_json else bench_districts.as_text(found))


@click.command()
@click.option("--data", type=click.Path(path_type=Path), default=SHARED / "fhrs_uk.parquet", help="Food Hygiene Ratings of the UK.")
@click.option("--visits", default=2_000_000, show_default=True, help="Visits of the week that is released.")
@click.option("--check-ins", default=20_000_000, show_default=True, help="Check-ins that are summed up by cell and hour.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of the table.")
def heat(data: Path, visits: int, check_ins: int, as_json: bool) -> None:
    """Screens and tiles over 428 k places, a release, a roll-up of 20 M check-ins, and the audit of the privacy mechanism."""
    with private_cluster():
        found = measure_heat(data, visits=visits, check_ins=check_ins)
    click.echo(json.dumps(found) if as_json else table(found))
