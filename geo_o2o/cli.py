"""`geo-o2o`: gathers each room's commands."""

from __future__ import annotations

import sys

import click
from sqlalchemy.exc import DBAPIError, OperationalError

from .auth import commands as auth
from .cluster import ClusterFailed
from .config import BadSettings
from .discovery import commands as discovery
from .errors import GeoO2OError
from .ingest import commands as ingest
from .ops import commands as ops


class Cli(click.Group):
    """Failures that a user can understand end in one sentence, not in a trace."""

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except (BadSettings, ClusterFailed, GeoO2OError) as failure:
            raise click.ClickException(str(failure)) from failure
        except OperationalError as failure:
            raise click.ClickException(f"the database does not answer: {str(failure.orig).strip().splitlines()[0]}") from failure
        except DBAPIError as failure:
            raise click.ClickException(f"the database refused, and nothing was changed: {str(failure.orig).strip()}") from failure


@click.group(cls=Cli, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="geo-o2o")
def main() -> None:
    """A self-hosted service for offers nearby, proven visits and living districts."""


main.add_command(ops.db)
main.add_command(ops.serve)
main.add_command(ops.worker)
main.add_command(ops.demo)
main.add_command(ops.bench)
main.add_command(auth.keys)
main.add_command(ingest.load)
main.add_command(discovery.profiles)

if __name__ == "__main__":
    sys.exit(main())
