from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from sqlalchemy.orm import Session

from ..config import Settings, from_environment
from ..db import Database
from . import fhrs, geojson, osm, service, tables
from .recording import recorded
from .report import Report

FILE = click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))


def _options(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in (
        click.option("--dry-run", is_flag=True, help="Say what would happen and change nothing."),
        click.option("--report", type=click.Path(dir_okay=False, path_type=Path), help="Write every refused row to FILE, one JSON object a line."),
        click.option("--json", "as_json", is_flag=True, help="Print the counts as JSON."),
    ):
        command = option(command)
    return command


def _columns(context: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    for value in values:
        if "=" not in value:
            raise click.BadParameter("expected ours=theirs, as lat=Latitude")
    return dict(value.split("=", 1) for value in values)


COLUMN = click.option(
    "--column", "columns", multiple=True, callback=_columns, help="Our field = the file's column, as lat=Latitude; may be given often."
)


@click.group()
def load() -> None:
    """Files in, stores and districts out.

    A load is one transaction: a broken file, a full disk or a kill leaves nothing behind, and running it again changes nothing.
    """


@load.command(name="osm")
@FILE
@click.option("--source", default="osm", show_default=True, help="Name of the source; with the object's id it tells rows apart.")
@_options
def load_osm(file: Path, source: str, dry_run: bool, report: Path | None, as_json: bool) -> None:
    """Load an OpenStreetMap FILE (.osm.pbf, .osm): stores, districts (named commercial areas, administrative boundaries), and the basemap."""

    def run(session: Session, settings: Settings, now: datetime, progress: Callable[[int], None]) -> list[Report]:
        found = [
            *(
                service.load_districts(session, source=source, layer=layer, rows=osm.districts(file, layer), attribution=osm.ATTRIBUTION, now=now)
                for layer in ("administrative", "business")
            ),
            service.load_stores(session, source=source, rows=osm.stores(file), now=now, horizon_d=settings.hours_horizon_d, progress=progress),
            service.load_basemap(session, source=source, rows=osm.basemap(file), now=now, progress=progress),
        ]
        service.write_attribution(session, source=source, attribution=osm.ATTRIBUTION, licence=osm.LICENCE, now=now)
        return found

    _run(run, file, dry_run, report, as_json, kind="osm", source=source)


@load.command(name="csv")
@FILE
@click.option("--source", required=True, help="Name of the source; with the row's id it tells rows apart.")
@COLUMN
@click.option("--encoding", default="utf-8-sig", show_default=True, help="Encoding of a CSV file.")
@click.option("--attribution", default="", help="Credit to show with the rows.")
@click.option("--licence", default="", help="Licence of the rows.")
@_options
def load_csv(
    file: Path, source: str, columns: Mapping[str, str], encoding: str, attribution: str, licence: str,
    dry_run: bool, report: Path | None, as_json: bool,
) -> None:  # fmt: skip
    """Load a table FILE (.csv, .csv.gz, .parquet) with columns name, lat, lng and any of: id, category, brand, street, housenumber, postcode,
    city, region, phone, website, opening_hours, tags, price_band, rating, rating_count, name:en, name:zh and so on."""

    def run(session: Session, settings: Settings, now: datetime, progress: Callable[[int], None]) -> list[Report]:
        rows = tables.stores(file, given=columns, encoding=encoding)
        found = service.load_stores(session, source=source, rows=rows, now=now, horizon_d=settings.hours_horizon_d, progress=progress)
        if attribution:
            service.write_attribution(session, source=source, attribution=attribution, licence=licence, now=now)
        return [found]

    _run(run, file, dry_run, report, as_json, kind="csv", source=source)


@load.command(name="geojson")
@FILE
@click.option("--as", "kind", type=click.Choice(["districts", "stores"]), required=True, help="What the features are.")
@click.option("--source", required=True, help="Name of the source; with the feature's id it tells rows apart.")
@click.option("--layer", default="business", show_default=True, help="Layer of the districts.")
@COLUMN
@click.option("--attribution", default="", help="Credit to show with the rows.")
@click.option("--licence", default="", help="Licence of the rows.")
@_options
def load_geojson(
    file: Path, kind: str, source: str, layer: str, columns: Mapping[str, str], attribution: str, licence: str,
    dry_run: bool, report: Path | None, as_json: bool,
) -> None:  # fmt: skip
    """Load a GeoJSON FILE: areas as districts, or points as stores."""

    def run(session: Session, settings: Settings, now: datetime, progress: Callable[[int], None]) -> list[Report]:
        if kind == "districts":
            areas = geojson.districts(file, given=columns)
            found = service.load_districts(session, source=source, layer=layer, rows=areas, attribution=attribution, now=now, progress=progress)
        else:
            rows = geojson.stores(file, given=columns)
            found = service.load_stores(session, source=source, rows=rows, now=now, horizon_d=settings.hours_horizon_d, progress=progress)
        if attribution:
            service.write_attribution(session, source=source, attribution=attribution, licence=licence, now=now)
        return [found]

    _run(run, file, dry_run, report, as_json, kind="geojson", source=source)


@load.command(name="fhrs")
@FILE
@_options
def load_fhrs(file: Path, dry_run: bool, report: Path | None, as_json: bool) -> None:
    """Load UK Food Hygiene Ratings: the agency's XML FILE, or its columns as .csv, .csv.gz or .parquet."""

    def run(session: Session, settings: Settings, now: datetime, progress: Callable[[int], None]) -> list[Report]:
        found = service.load_stores(session, source="fhrs", rows=fhrs.stores(file), now=now, horizon_d=settings.hours_horizon_d, progress=progress)
        service.write_attribution(session, source="fhrs", attribution=fhrs.ATTRIBUTION, licence=fhrs.LICENCE, now=now)
        return [found]

    _run(run, file, dry_run, report, as_json, kind="fhrs", source="fhrs")


@load.command(name="samples")
@click.option("--source", default="osm", show_default=True, help="Only stores of this source get any.")
@click.option("--seed", default=20, show_default=True, help="The same seed makes the same samples.")
@click.option("--offers", default=service.SAMPLE_OFFERS, show_default=True, help="About how many offers.")
def load_samples(source: str, seed: int, offers: int) -> None:
    """Invent ratings and offers for stores that have none, marked as samples wherever they are shown."""
    database = Database(from_environment(), statement_timeout_ms=0)
    with recorded(database, kind="samples", file="", source=source) as recording, database.write() as session:
        report = service.load_samples(session, source=source, seed=seed, now=datetime.now(UTC), most_offers=offers)
        recording.reports = [report]
    click.echo("\n".join(report.lines()))


class _DryRun(Exception):
    """Takes the transaction back after everything was tried."""


def _run(
    run: Callable[[Session, Settings, datetime, Callable[[int], None]], list[Report]],
    file: Path,
    dry_run: bool,
    report_file: Path | None,
    as_json: bool,
    *,
    kind: str,
    source: str,
) -> None:
    settings = from_environment()
    # A load takes as long as it takes; only a web request has a time limit.
    database = Database(settings, statement_timeout_ms=0)
    with (
        recorded(database, kind=kind, file=file.name, source=source, dry_run=dry_run) as recording,
        suppress(_DryRun),
        _progress(file.name) as shown,
        database.write() as session,
    ):

        def progress(count: int) -> None:
            recording.progress(count)
            shown(count)

        recording.reports = reports = run(session, settings, datetime.now(UTC), progress)
        if dry_run:
            raise _DryRun
    if report_file is not None:
        with report_file.open("w", encoding="utf-8") as out:
            for report in reports:
                for row in report.rows:
                    out.write(
                        json.dumps({"what": report.what, "where": row.where, "reason": row.reason, "detail": row.detail}, ensure_ascii=False) + "\n"
                    )
    if as_json:
        click.echo(json.dumps({"file": file.name, "dry_run": dry_run, "reports": [report.as_json() for report in reports]}))
        return
    if dry_run:
        click.echo("dry run: nothing was changed")
    for report in reports:
        click.echo("\n".join(report.lines()))


@contextmanager
def _progress(name: str) -> Iterator[Callable[[int], None]]:
    """A moving line on the screen's error channel; silent without a terminal."""
    screen = Console(stderr=True)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("rows"), TimeElapsedColumn())
    with Progress(*columns, console=screen, transient=True, disable=not screen.is_terminal) as bar:
        task = bar.add_task(name, total=None)
        yield lambda count: bar.advance(task, count)
