from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import click
from geoalchemy2.shape import to_shape
from rich.console import Console
from rich.progress import Progress
from shapely.geometry import MultiPolygon
from sqlalchemy.orm import Session

from ..config import Settings, from_environment
from ..db import Database
from ..districts.service import get_district
from ..errors import Conflict, NotFound
from ..geo.bounds import Bounds
from ..geo.shapes import area_of
from . import queries, service
from .models import HeatArea
from .periods import Period
from .products import PRODUCTS, Product


@click.group()
def heat() -> None:
    """Private heat maps of visits: cities, releases, what they have spent, and whether the log holds them."""


@heat.group()
def area() -> None:
    """Cities whose visits are released."""


@area.command()
@click.argument("name")
@click.option("--title", help="As people read it; by default the name.")
@click.option("--bbox", help="west,south,east,north in degrees.")
@click.option("--district", type=click.UUID, help="Id of a district that is the city.")
@click.option("--time-zone", required=True, help="IANA zone, as Europe/Helsinki: weeks and days are the city's own.")
@click.option("--attested-only", is_flag=True, help="Count only visits of devices that their platform vouches for: accounts cost nothing.")
def add(name: str, title: str | None, bbox: str | None, district: UUID | None, time_zone: str, attested_only: bool) -> None:
    """Add a city. Its grid is public and cannot be changed: whatever is released stands on it."""
    if (bbox is None) == (district is None):
        raise click.UsageError("give either --bbox or --district")
    now = datetime.now(UTC)
    with Database(from_environment(), statement_timeout_ms=0).write() as session:
        shape = MultiPolygon(to_shape(get_district(session, district, now=now).area)) if district else _box(bbox or "")
        made = service.add_area(session, name=name, title=title or name, area=shape, time_zone=time_zone, attested_only=attested_only, now=now)
        click.echo(f"{made.name}: {len(made.cells)} cells of resolution {service.GRID_RESOLUTION}")


def _box(text: str) -> MultiPolygon:
    try:
        return area_of(Bounds(*(float(part) for part in text.split(","))))
    except (ValueError, TypeError) as failure:
        raise click.BadParameter(f"expected west,south,east,north in degrees: {failure}", param_hint="--bbox") from failure


@area.command(name="list")
def list_areas() -> None:
    """List the cities."""
    with Database(from_environment()).read() as session:
        for one in queries.list_areas(session):
            click.echo(f"{one.name:20} {one.title:30} {len(one.cells):6,} cells  {one.time_zone}")


@heat.command()
@click.argument("name")
@click.option("--product", type=click.Choice(list(PRODUCTS)), help="By default each of them.")
@click.option("--period", help="A week (2026-W47) or a month (2026-11), with --product; by default every one that is over since --since.")
@click.option("--since", type=click.DateTime(["%Y-%m-%d"]), help="First day to look at; by default when the city was added.")
def release(name: str, product: str | None, period: str | None, since: datetime | None) -> None:
    """Release what is over. A period is released once: what stands is not drawn again."""
    if period and not product:
        raise click.UsageError("a period needs --product")
    settings = from_environment()
    database = Database(settings, statement_timeout_ms=0)
    now = datetime.now(UTC)
    with database.read() as session:
        city = service.get_area(session, name)
    products = [PRODUCTS[product]] if product else list(PRODUCTS.values())
    start = since.replace(tzinfo=UTC) if since else city.created_at
    wanted = [
        (one, each)
        for one in products
        for each in ([service.parse(one, period)] if period else service.ended_periods(city, one, now=now, since=start))
    ]
    screen = Console(stderr=True)
    with Progress(console=screen, transient=True, disable=not screen.is_terminal) as bar:
        for one, each in bar.track(wanted, description=name):
            # Each in a transaction of its own: what was released stays, whatever comes after.
            with database.write() as session:
                click.echo(_release(session, settings, city, one, each, now))
    if not wanted:
        click.echo("nothing is over yet; a period can be released two days after its end")


def _release(session: Session, settings: Settings, city: HeatArea, product: Product, period: Period, now: datetime) -> str:
    try:
        made, is_new = service.release(session, settings, city, product, period, now=now)
    except Conflict as failure:
        raise click.ClickException(f"{failure.code}: {failure.message}") from failure
    cells = len(queries.cells_of(session, area=city.name, product=product.name, periods=[str(period)]))
    return f"{product.name:10} {period}  {cells:6,} published  epsilon {made.epsilon:g}  {'released' if is_new else 'stands already'}"


@heat.command()
@click.argument("name")
def budget(name: str) -> None:
    """What the releases of each year have spent."""
    settings = from_environment()
    with Database(settings).read() as session:
        for year in service.budget(session, settings, service.get_area(session, name)):
            click.echo(f"{year['year']}  epsilon {year['epsilon']:g} of {year['limit']}  delta {year['delta']:.2g}  {year['releases']} releases")


@heat.command()
@click.argument("name")
@click.argument("product", type=click.Choice(list(PRODUCTS)))
@click.argument("period")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Write the canonical JSON to FILE.")
def show(name: str, product: str, period: str, out: Path | None) -> None:
    """Print the SHA-256 of a release as it stands in the tables, and the one that was written down and logged."""
    with Database(from_environment()).read() as session:
        found = queries.find_release(session, name, product, period)
        if found is None:
            raise NotFound(f"there is no release of {product} of {period} for {name}")
        text = service.content_of(session, found)
    if out is not None:
        out.write_bytes(text)
    now, then = hashlib.sha256(text).hexdigest(), found.content_hash.hex()
    click.echo(
        f"in the tables {now}\nin the log    {then} (entry {found.log_id})\n{'the same' if now == then else 'NOT THE SAME: the tables were changed'}"
    )
    if now != then:
        raise SystemExit(1)
