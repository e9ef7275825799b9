"""`geo-o2o`: gathers each room's commands."""

from __future__ import annotations

import sys
from importlib import import_module

import click
from psycopg2.errors import UndefinedTable
from sqlalchemy.exc import DBAPIError, OperationalError

from .cluster import ClusterFailed
from .config import BadSettings
from .errors import GeoO2OError
from .ports import Busy

# Where each command stands. A room is imported when its command is called: nobody waits for what they do not use.
COMMANDS = {
    "db": "ops", "serve": "ops", "worker": "ops", "demo": "ops", "bench": "ops", "keys": "auth", "load": "ingest", "districts": "insights",
    "heat": "releases", "rollup": "insights", "profiles": "discovery", "shelf": "shelf", "log": "ledger", "receipt": "receipts", "subject": "erasure",
    "check-ins": "checkins", "visit": "client", "witness": "witness",
}  # fmt: skip


class Cli(click.Group):
    """Failures that a user can understand end in one sentence, not in a trace."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        room = COMMANDS.get(cmd_name)
        if room is None:
            return None
        command: click.Command = getattr(import_module(f"{__package__}.{room}.commands"), cmd_name.replace("-", "_"))
        return command

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except (BadSettings, Busy, ClusterFailed, GeoO2OError) as failure:
            raise click.ClickException(str(failure)) from failure
        except PermissionError as failure:
            raise click.ClickException(f"{failure.filename} belongs to somebody else: change its owner, or set GEO_O2O_DATA_DIR") from failure
        except OperationalError as failure:
            words = str(failure.orig).strip().splitlines()[0]
            raise click.ClickException(f"the database does not answer: {words}; the private one starts with `geo-o2o db up`") from failure
        except DBAPIError as failure:
            if isinstance(failure.orig, UndefinedTable):
                raise click.ClickException("the database has no tables yet: run `geo-o2o db upgrade`") from failure
            raise click.ClickException(f"the database refused, and nothing was changed: {str(failure.orig).strip()}") from failure


@click.group(cls=Cli, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="geo-o2o")
def main() -> None:
    """A self-hosted service for offers nearby, proven visits and living districts."""


if __name__ == "__main__":
    sys.exit(main())
