"""`geo-o2o`: gathers each room's commands."""

from __future__ import annotations

import sys

import click
from psycopg2.errors import UndefinedTable
from sqlalchemy.exc import DBAPIError, OperationalError

from .auth import commands as auth
from .checkins import commands as checkins
from .client import commands as client
from .cluster import ClusterFailed
from .config import BadSettings
from .discovery import commands as discovery
from .erasure import commands as erasure
from .errors import GeoO2OError
from .ingest import commands as ingest
from .ledger import commands as ledger
from .ops import commands as ops
from .ports import Busy
from .receipts import commands as receipts
from .shelf import commands as shelf
from .witness import commands as witness


class Cli(click.Group):
    """Failures that a user can understand end in one sentence, not in a trace."""

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


main.add_command(ops.db)
main.add_command(ops.serve)
main.add_command(ops.worker)
main.add_command(ops.demo)
main.add_command(ops.bench)
main.add_command(auth.keys)
main.add_command(ingest.load)
main.add_command(discovery.profiles)
main.add_command(shelf.shelf)
main.add_command(ledger.log)
main.add_command(receipts.receipt)
main.add_command(erasure.subject)
main.add_command(checkins.check_ins)
main.add_command(client.visit)
main.add_command(witness.witness)

if __name__ == "__main__":
    sys.exit(main())
