from __future__ import annotations

import click
from granian import Granian
from granian.constants import Interfaces

from ..config import PREFIX, from_environment
from ..ports import Busy, hold, is_free
from .app import witness_of


@click.group()
def witness() -> None:
    """Witness the logs of others: sign only what continues what was signed before."""


@witness.command()
def key() -> None:
    """Print the public key of this witness, for the policies of those who trust it; made where there is none."""
    click.echo(str(witness_of(from_environment()).key.verifier))


@witness.command()
def serve() -> None:
    """Run the witness; stops gracefully on SIGTERM or Ctrl-C."""
    settings = from_environment()
    witness_of(settings)
    with hold(f"port {settings.port}"):
        if not is_free(settings.port, settings.host):
            raise Busy(f"port {settings.port} is busy; set {PREFIX}PORT to another one")
        Granian(
            "geo_o2o.witness.app:create_app", factory=True, address=settings.host, port=settings.port, interface=Interfaces.WSGI, workers=1,
            blocking_threads=4, websockets=False, log_access=False, workers_kill_timeout=10,
        ).serve()  # fmt: skip
