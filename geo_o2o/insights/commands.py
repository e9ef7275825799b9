from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click
from rich.console import Console
from rich.progress import Progress

from ..config import from_environment
from ..db import Database
from ..geo.bounds import Bounds
from ..geo.shapes import to_geojson
from . import service
from .proposing import Proposal, Shape
from .rollup import days_of, export_days, first_and_last, roll_up


def _box(context: click.Context, parameter: click.Parameter, value: str) -> Bounds:
    try:
        return Bounds(*(float(part) for part in value.split(",")))
    except (ValueError, TypeError) as failure:
        raise click.BadParameter(f"expected west,south,east,north in degrees: {failure}") from failure


@click.group()
def districts() -> None:
    """Business districts where nobody has drawn them."""


@districts.command()
@click.option("--bbox", required=True, callback=_box, help="west,south,east,north in degrees: the city to look at.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Write GeoJSON to FILE, for `load geojson --as districts`.")
@click.option("--bandwidth-m", default=Shape.bandwidth_m, show_default=True, help="How far a store counts, in metres: about a block.")
@click.option("--least-per-km2", default=Shape.least_per_km2, show_default=True, help="Stores per square kilometre at the edge of a district.")
@click.option("--valley", default=Shape.valley, show_default=True, type=click.FloatRange(0, 1), help="Share of its height by which it stands out.")
@click.option("--least-stores", default=Shape.least_stores, show_default=True, help="Stores that a district holds.")
def propose(bbox: Bounds, out: Path | None, bandwidth_m: float, least_per_km2: float, valley: float, least_stores: int) -> None:
    """Find business districts by the density of stores: each with a name, an outline and how clearly it stands out."""
    database = Database(from_environment(), statement_timeout_ms=0)
    shape = Shape(bandwidth_m=bandwidth_m, least_per_km2=least_per_km2, valley=valley, least_stores=least_stores)
    with database.read() as session:
        found = service.propose_districts(session, bbox, shape)
    for one in found:
        click.echo(f"{one.stores:6,} stores  {one.per_km2:8,.0f}/km²  quality {one.quality:.2f}  {one.name}")
    click.echo(f"{len(found)} districts")
    if out is not None:
        out.write_text(json.dumps({"type": "FeatureCollection", "features": [_feature(one) for one in found]}, ensure_ascii=False), encoding="utf-8")
        click.echo(f"to add them: geo-o2o load geojson {out} --as districts --source proposed --layer proposed")


def _feature(one: Proposal) -> dict[str, object]:
    said = {"name": one.name, "quality": one.quality, "stores": one.stores, "per_km2": one.per_km2, "categories": dict(one.categories)}
    return {"type": "Feature", "id": f"{min(one.cells):x}", "geometry": to_geojson(one.area), "properties": said}


@click.group()
def rollup() -> None:
    """Exact counts of check-ins per cell and hour, for the operator alone. Planners are answered from `heat release`."""


@rollup.command()
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option("--since", type=click.DateTime(["%Y-%m-%d"]), help="First day, UTC; by default that of the first check-in.")
@click.option("--until", type=click.DateTime(["%Y-%m-%d"]), help="Last day, UTC; by default yesterday.")
@click.option("--level", default=1, show_default=True, type=click.IntRange(0, 4), help="Least level of evidence.")
def export(folder: Path, since: datetime | None, until: datetime | None, level: int) -> None:
    """Write check-ins to FOLDER as Parquet, a file a day; days that stand already are left alone."""
    with Database(from_environment(), statement_timeout_ms=0).read() as session:
        known = first_and_last(session)
        if known is None:
            click.echo("there are no check-ins")
            return
        # Today is not over.
        last = min(known[1], datetime.now(UTC).date() - timedelta(days=1))
        total = 0
        first, last = since.date() if since else known[0], min(until.date(), last) if until else last
        for day, rows in export_days(session, folder, first=first, last=last, level=level):
            click.echo(f"{day}  {rows:10,} check-ins")
            total += rows
        click.echo(f"{total:,} check-ins")


@rollup.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("out", type=click.Path(file_okay=False, path_type=Path))
@click.option("--resolution", default=9, show_default=True, type=click.IntRange(0, 12), help="H3 resolution of the cells.")
@click.option("--memory-gb", default=4, show_default=True, type=click.IntRange(1), help="Memory that DuckDB may use.")
def run(folder: Path, out: Path, resolution: int, memory_gb: int) -> None:
    """Sum up an export in FOLDER to OUT: visits and distinct people per cell and hour."""
    screen = Console(stderr=True)
    with Progress(console=screen, transient=True, disable=not screen.is_terminal) as bar:
        task = bar.add_task("days", total=len(days_of(folder)))
        rows = roll_up(folder, out, resolution=resolution, progress=lambda count: bar.advance(task, count), memory_gb=memory_gb)
    click.echo(f"{rows:,} cells and hours")
