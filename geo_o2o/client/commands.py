from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from .calls import Refused
from .signing import Device, TillKey
from .till import Till
from .visitor import Position, Visitor

_url = click.option("--url", envvar="VISIT_URL", default="http://127.0.0.1:8000", show_default=True, help="Address of the service.")
_key = click.option("--key", envvar="VISIT_KEY", required=True, help="An API key: of an app for a visitor, of a store or of the operator for a till.")
_store = click.option("--store", envvar="VISIT_STORE", required=True, help="The store's id.")
_device = click.option("--device", type=click.Path(path_type=Path), default="device.pem", show_default=True, help="File with the device's key.")
_till = click.option("--till", "till_file", type=click.Path(path_type=Path), default="till.key", show_default=True, help="File with the till's key.")


class Visits(click.Group):
    """What the service refuses is one sentence."""

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except (Refused, OSError, ValueError) as failure:
            raise click.ClickException(str(failure)) from failure


@click.group(cls=Visits)
def visit() -> None:
    """Play a visitor's phone and a store's till against a running service."""


@visit.command()
@_url
@_key
@_store
@click.option("--at", required=True, help="Where the phone stands: latitude,longitude.")
@click.option("--accuracy", type=float, default=12.0, show_default=True, help="Metres, as Android means them (68 %).")
@click.option("--code", help="What the till shows (XC1:..., or six digits).")
@click.option("--account", help="The app's pseudonym of the visitor.")
@_device
def check_in(url: str, key: str, store: str, at: str, accuracy: float, code: str | None, account: str | None, device: Path) -> None:
    """Enrol the phone where it is new, and check in. Prints the check-in as JSON."""
    visitor = Visitor(url, key, Device.kept(device), account=account)
    visitor.enrol()
    lat, _, lng = at.partition(",")
    _print(visitor.check_in(store, [Position(float(lat), float(lng), accuracy)], code=code))


@visit.command()
@_url
@_key
@click.argument("check_in_id")
@click.option("--keep", type=click.Path(path_type=Path), required=True, help="File to write, such as coffee.visit.")
@_device
def receipt(url: str, key: str, check_in_id: str, keep: Path, device: Path) -> None:
    """Fetch the receipt of a check-in, waiting for the log, and keep it as a file that `visit-verify` reads."""
    visitor = Visitor(url, key, Device.kept(device))
    visitor.keep(visitor.receipt({"id": check_in_id}), keep)
    click.echo(f"{keep}: {keep.stat().st_size:,} bytes")


@visit.command()
@_url
@_key
@_store
@_till
@click.option("--name", default="till", help="What the store calls it.")
def enrol_till(url: str, key: str, store: str, till_file: Path, name: str) -> None:
    """Enrol a store's till; its key is made where there is none."""
    _print(Till(url, key, store, TillKey.kept(till_file)).enrol(name))


@visit.command()
@_store
@_till
def code(store: str, till_file: Path) -> None:
    """Print what the till shows now, good for a quarter of a minute."""
    click.echo(TillKey.kept(till_file).code(store))


@visit.command()
@_url
@_key
@_store
@_till
@click.argument("scan")
def confirm(url: str, key: str, store: str, till_file: Path, scan: str) -> None:
    """Confirm whoever shows the code SCAN (XCV1:...). Prints the check-in as JSON."""
    _print(Till(url, key, store, TillKey.kept(till_file)).confirm(scan))


def _print(found: dict[str, Any]) -> None:
    click.echo(json.dumps(found, ensure_ascii=False, indent=2))
