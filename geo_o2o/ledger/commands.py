from __future__ import annotations

import urllib.error
import urllib.request
from datetime import UTC, datetime
from pathlib import Path

import click

from visit_verify.note import BadNote, parse_checkpoint, parse_note, parse_verifier_key

from ..config import from_environment
from ..db import Database
from . import queries, service
from .audit import Audit, AuditFailed, Fetch
from .audit import audit as audit_log

_TIMEOUT_S = 30


@click.group()
def log() -> None:
    """The transparency log: publish it, audit it, take it back after a restored backup."""


def _shard(given: str | None) -> str:
    return given or service.shard_at(datetime.now(UTC))


_of_shard = click.option("--shard", help="The half-year, such as 2026h2; by default the present one.")


@log.command()
def publish() -> None:
    """Give places to all that waits, and write what is new as files. The worker does this by itself."""
    settings, now = from_environment(), datetime.now(UTC)
    database = Database(settings, statement_timeout_ms=60_000)
    entries = 0
    while True:
        with database.write() as session:
            placed = service.sequence(session, service.log_of(settings, _shard(None)))
        entries += placed
        if not placed:
            break
    with database.write() as session:
        shown = service.publish_all(session, settings, now=now)
        trouble = service.trouble_of(session, now=now)
    database.close()
    if trouble:
        raise click.ClickException(trouble)
    click.echo(f"{entries} entries got their places, {shown} were published")


@log.command()
@_of_shard
def recover(shard: str | None) -> None:
    """Take back from the published files what a restored database has lost, and let the log grow again."""
    settings = from_environment()
    database = Database(settings, statement_timeout_ms=0)
    with database.write() as session:
        entries = service.recover(session, service.log_of(settings, _shard(shard)))
    database.close()
    click.echo(f"{entries} entries were taken back")


@log.command()
@_of_shard
def key(shard: str | None) -> None:
    """Print the public key of the log, which whoever checks it must have from you and not from the log."""
    settings = from_environment()
    database = Database(settings)
    with database.read() as session:
        state = queries.find_state(session, _shard(shard))
    database.close()
    if state is None:
        raise click.ClickException(f"the log {_shard(shard)} has no entries yet, and so no key")
    click.echo(state.verifier)


@log.command()
@click.argument("url", required=False)
@click.option("--key", "key_text", help="The log's public key; needed with a URL.")
@click.option("--since", type=click.Path(path_type=Path), help="A file with the head that was seen last; the one found now is written to it.")
@_of_shard
def audit(url: str | None, key_text: str | None, since: Path | None, shard: str | None) -> None:
    """Read the whole log under URL and check every entry, tile and signature; without a URL, the tables of this database."""
    if url:
        if not key_text:
            raise click.UsageError("with a URL the log's public key is needed: --key, as its owner published it")
        found = _audited(lambda name: _fetched(f"{url.rstrip('/')}/{name}"), key_text, since)
    else:
        settings, of = from_environment(), _shard(shard)
        database = Database(settings, statement_timeout_ms=0)
        with database.read() as session:
            state = queries.find_state(session, of)
            if state is None:
                raise click.ClickException(f"the log {of} has no entries yet")
            found = _audited(lambda name: service.fetch_from_tables(session, of, name), key_text or state.verifier, since)
        database.close()
    kinds = ", ".join(f"kind {kind}: {number:,}" for kind, number in sorted(found.kinds.items()))
    click.echo(f"{found.checkpoint.origin}: {found.checkpoint.size:,} entries, all as they were logged ({kinds})")


def _audited(fetch: Fetch, key_text: str, since: Path | None) -> Audit:
    try:
        seen = parse_checkpoint(parse_note(since.read_bytes()).text) if since and since.exists() else None
        found = audit_log(fetch, key=parse_verifier_key(key_text), since=seen)
    except (AuditFailed, BadNote) as failure:
        raise click.ClickException(str(failure)) from failure
    if since:
        since.write_text(str(found.note))
    return found


def _fetched(url: str) -> bytes:
    try:
        with urllib.request.urlopen(url, timeout=_TIMEOUT_S) as answer:
            return bytes(answer.read())
    except (urllib.error.URLError, ValueError, TimeoutError) as failure:
        raise click.ClickException(f"{url}: {failure}") from failure
