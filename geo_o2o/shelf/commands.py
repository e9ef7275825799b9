from __future__ import annotations

import click

from ..config import from_environment
from .everything import build_everything
from .service import folder_of


@click.group()
def shelf() -> None:
    """The snapshots that nearby reads."""


@shelf.command()
def build() -> None:
    """Write the snapshots of all areas now, so that no first question has to wait for the database. May be stopped and run again."""
    settings = from_environment()
    with click.progressbar(build_everything(settings, folder_of(settings)), label="building", show_pos=True) as groups:
        cells = sum(groups)
    click.echo(f"{cells:,} cells are on the shelf")
