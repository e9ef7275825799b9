from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid4, uuid5

from sqlalchemy.orm import Session

from visit_verify.merkle import EMPTY_ROOT, HASH_BYTES, leaf_hash
from visit_verify.note import Checkpoint, Note, parse_checkpoint, parse_note
from visit_verify.policy import BadPolicy, Policy, parse_policy
from visit_verify.proof import Proof

from ..config import BadSettings, Settings
from ..errors import Conflict, Unavailable
from . import queries
from .events import CLOSE, event_entry
from .folder import CHECKPOINT, LogFolder
from .keys import find_key, make_key
from .merkle import Frontier
from .models import LogState
from .note import SigningKey, signed
from .tiles import (
    WIDTH,
    Tile,
    bundle_path,
    consistency_path,
    edge_of,
    format_bundle,
    grown_tiles,
    inclusion_path,
    parse_bundle,
    root,
    tile_path,
    tiles_of,
)
from .witnesses import WitnessAhead, cosigned

_log = logging.getLogger("geo_o2o")
# The most entries of one batch: one signature and one commit for all of them.
MOST_TOGETHER = 5_000
# What was signed and is not published by then has somebody look.
_ALARM = timedelta(seconds=60)


class LogFrozen(Unavailable):
    code = "log_frozen"


class NothingToRecover(Conflict):
    code = "nothing_to_recover"


@dataclass(frozen=True)
class Log:
    """One shard of the log on this machine. name: what its checkpoints and its signatures go by. policy: its witnesses, if any."""

    shard: str
    name: str
    keys: Path
    folder: LogFolder
    policy: Policy | None = None


def shard_at(now: datetime) -> str:
    """The half-year that entries of a moment belong to."""
    return f"{now.year}h{1 if now.month <= 6 else 2}"


def log_of(settings: Settings, shard: str) -> Log:
    """Raises BadSettings where the file that names the witnesses cannot be read."""
    high_water = Path(settings.log_high_water) if settings.log_high_water else settings.data_dir / "log-high-water"
    folder = LogFolder(settings.data_dir / "log" / shard, high_water=high_water.with_name(f"{high_water.name}-{shard}"))
    try:
        policy = parse_policy(Path(settings.log_policy).read_text(encoding="utf-8")) if settings.log_policy else None
    except (OSError, UnicodeDecodeError, BadPolicy) as failure:
        raise BadSettings(f"GEO_O2O_LOG_POLICY: {failure}") from failure
    return Log(shard, f"{settings.log_name}/{shard}", settings.data_dir / "keys", folder, policy)


def append(session: Session, *, shard: str, id_: UUID, entry: bytes) -> None:
    """Queues an entry with the transaction that it is about; it gets its place soon after the commit. id_: of what it is about."""
    queries.queue(session, shard=shard, id_=id_, entry=entry)


def append_event(session: Session, *, id_: UUID, kind: int, event: Mapping[str, Any], now: datetime) -> None:
    """The same for what everybody may read: keys, releases, the end of a shard."""
    append(session, shard=shard_at(now), id_=id_, entry=event_entry(kind, event))


def check_not_frozen(session: Session, *, now: datetime) -> None:
    """Raises LogFrozen where nothing can be promised, because the log may not grow."""
    shard = shard_at(now)
    if queries.is_frozen(session, shard):
        raise LogFrozen(f"the log {shard} was published further than this database knows, so no visit can be proven: run `geo-o2o log recover`")


def beacon(session: Session, *, now: datetime) -> tuple[int, bytes]:
    """Size and root of the newest published checkpoint: whoever signs them did not sign before it."""
    return queries.newest_published(session, shard_at(now)) or (0, EMPTY_ROOT)


# --- proofs ------------------------------------------------------------------------------------------------------------------


def proof_of(session: Session, log: Log, id_: UUID, *, extra: bytes) -> Proof | None:
    """The proof that what is known by an id stands in the log, under the newest checkpoint that everybody can see; None before it is there."""
    found = queries.find_index(session, id_)
    note = log.folder.read(CHECKPOINT)
    if found is None or note is None:
        return None
    published = parse_note(note)
    size = parse_checkpoint(published.text).size
    if found[1] >= size:
        return None
    return Proof(found[1], tuple(inclusion_path(found[1], size, _reader(session, log.shard))), published, extra)


def is_behind(session: Session, *, now: datetime) -> bool:
    """Whether something has waited for its place for longer than it ever should."""
    return queries.is_queued_before(session, now - _ALARM) or queries.is_unpublished_since(session, now - _ALARM)


# --- the end of a shard --------------------------------------------------------------------------------------------------------


def sequence_all(session: Session, settings: Settings, *, now: datetime) -> int:
    """One batch of every shard that something waits for; returns how many entries got their places."""
    return sum(sequence(session, log_of(settings, shard)) for shard in queries.queued_shards(session))


def close_ended(session: Session, *, now: datetime) -> int:
    """Puts a last entry into each log whose half-year has been over for a day: what comes later stands in the next one. Returns how many."""
    closed = 0
    for shard in queries.list_shards(session, frozen=False):
        id_ = uuid5(NAMESPACE_URL, f"geo-o2o:log-close:{shard}")
        if shard < shard_at(now - timedelta(days=1)) and not queries.is_queued(session, id_) and queries.find_index(session, id_) is None:
            append(session, shard=shard, id_=id_, entry=event_entry(CLOSE, {"closed": shard, "next": shard_at(now)}))
            closed += 1
    return closed


# --- sequencing --------------------------------------------------------------------------------------------------------------


def sequence(session: Session, log: Log, *, most: int = MOST_TOGETHER) -> int:
    """One batch: the entries that have waited longest get their places, and the new head is signed, all in this one transaction.

    Returns how many; 0 also where another sequencer is at work, or where the log is frozen.
    """
    state = queries.take_state(session, log.shard)
    if state is None and queries.find_state(session, log.shard) is None and queries.oldest_queued(session, log.shard, most=1):
        queries.add_state(session, shard=log.shard, verifier=str(make_key(log.keys, log.name).verifier), root=EMPTY_ROOT)
        state = queries.take_state(session, log.shard)
    if state is None or _frozen(session, log, state):
        return 0
    waiting = queries.oldest_queued(session, log.shard, most=most)
    if waiting:
        _give_places(session, log, state, waiting)
        if queries.take_from_queue(session, [id_ for id_, _ in waiting]) != len(waiting):
            raise RuntimeError("somebody else took entries from the queue")
    return len(waiting)


def _give_places(session: Session, log: Log, state: LogState, entries: Sequence[tuple[UUID, bytes]]) -> None:
    key = _key_of(log, state)
    frontier = Frontier(state.size, tuple(state.frontier))
    if frontier.root != state.root:
        raise RuntimeError(f"the head of the log {log.name} is not what it was: the table log_state was changed by hand")
    read = _reader(session, log.shard)
    edge = [Tile(level, n, read(level, n, width)) for level, n, width in edge_of(state.size)]
    leaves = [leaf_hash(entry) for _, entry in entries]
    grown = frontier.grown(leaves)
    queries.add_entries(session, shard=log.shard, first=state.size, entries=entries)
    queries.put_tiles(session, shard=log.shard, tiles=grown_tiles(state.size, edge, leaves))
    moved = queries.move_state(session, shard=log.shard, epoch=state.epoch, size=grown.size, root=grown.root, frontier=grown.hashes)
    if moved != 1:
        raise RuntimeError("somebody else moved the head of the log")
    note = signed(str(Checkpoint(log.name, grown.size, grown.root)), key)
    queries.add_checkpoint(session, shard=log.shard, size=grown.size, root=grown.root, note=str(note))


def _key_of(log: Log, state: LogState) -> SigningKey:
    """Raises LogFrozen where this machine has not the key that signed the log so far."""
    key = find_key(log.keys, log.name)
    if key is None or str(key.verifier) != state.verifier:
        raise LogFrozen(f"the log {log.name} is signed by {state.verifier}, and that key is not in {log.keys.name}/: put it back")
    return key


def _reader(session: Session, shard: str) -> Callable[[int, int, int], bytes]:
    def read(level: int, n: int, width: int) -> bytes:
        return (queries.find_tile(session, shard=shard, level=level, n=n) or b"")[: width * HASH_BYTES]

    return read


# --- a database that forgot --------------------------------------------------------------------------------------------------


def _frozen(session: Session, log: Log, state: LogState) -> bool:
    """Whether nothing may be appended, because more was published than the database knows: it was restored from a backup."""
    mark = _mark(log)
    behind = mark is not None and not _has(session, log, state, mark)
    if behind and not state.frozen:
        queries.freeze(session, log.shard, frozen=True)
        _log.error("the log %s is frozen: the database does not know all that was published; run `geo-o2o log recover`", log.name)
    return behind or state.frozen


def freeze_where_behind(session: Session, settings: Settings) -> Sequence[str]:
    """Freezes every log that was published further than this database knows; returns all that are frozen. To be asked before anybody is served."""
    for shard in queries.list_shards(session):
        state = queries.take_state(session, shard)
        if state is not None:
            _frozen(session, log_of(settings, shard), state)
    return queries.list_shards(session, frozen=True)


def _mark(log: Log) -> Checkpoint | None:
    """How far the log was ever published: by the file that is kept elsewhere, or by the folder where that is newer."""
    return max((one for one in (log.folder.high_water(), log.folder.published()) if one), key=lambda one: one.size, default=None)


def _has(session: Session, log: Log, state: LogState, mark: Checkpoint) -> bool:
    if mark.size > state.size:
        return False
    return (state.root if mark.size == state.size else root(mark.size, _reader(session, log.shard))) == mark.root


def trouble_of(session: Session, *, now: datetime) -> str | None:
    """What keeps the log from growing or from being seen, and what to do."""
    frozen = queries.list_shards(session, frozen=True)
    if frozen:
        return f"the log {', '.join(frozen)} was published further than this database knows: run `geo-o2o log recover`"
    if is_behind(session, now=now):
        return f"the log has not been published for {_ALARM.total_seconds():.0f} s: is the worker running, is its disk full, do its witnesses answer?"
    return None


@dataclass(frozen=True)
class LogReport:
    """One half-year's log as an operator looks at it. waiting: entries that have no place yet, the oldest of them `waiting_since`."""

    shard: str
    size: int
    published_size: int
    published_at: datetime | None
    waiting: int
    waiting_since: datetime | None
    frozen: bool


def report_logs(session: Session) -> list[LogReport]:
    """Every log, the newest first, the one of which nothing but waiting entries are known too."""
    waiting = queries.waiting_by_shard(session)
    states = {state.shard: state for state in queries.list_states(session)}
    found: list[LogReport] = []
    for shard in sorted(states.keys() | waiting.keys(), reverse=True):
        state, published = states.get(shard), queries.newest_published_checkpoint(session, shard)
        count, since = waiting.get(shard, (0, None))
        found.append(
            LogReport(
                shard,
                state.size if state else 0,
                published.size if published else 0,
                published.published_at if published else None,
                count,
                since,
                bool(state and state.frozen),
            )
        )
    return found


def recover(session: Session, log: Log) -> int:
    """Takes what was published and is missing in the database from the published files; returns how many entries.

    What waited in the queue and was published before leaves the queue. Raises NothingToRecover; LogFrozen where the files are not those
    that were published either, or the database has other entries than they: then nothing is changed.
    """
    state, mark = queries.take_state(session, log.shard), _mark(log)
    if state is None or not _frozen(session, log, state):
        raise NothingToRecover(f"the log {log.name} is not frozen")
    missing = mark is not None and not _has(session, log, state, mark)
    entries = _published_entries(log, mark, since=state.size) if mark is not None and missing else []
    if mark is not None and missing:
        grown = Frontier(state.size, tuple(state.frontier)).grown(map(leaf_hash, entries))
        if (grown.size, grown.root) != (mark.size, mark.root):
            raise LogFrozen(f"the database and the published files together do not give the root of the {mark.size} entries that were published")
        waiting = queries.queued_among(session, entries)
        _give_places(session, log, state, [(waiting.get(entry) or uuid4(), entry) for entry in entries])
        queries.take_from_queue(session, list(waiting.values()))
    queries.freeze(session, log.shard, frozen=False)
    return len(entries)


def _published_entries(log: Log, mark: Checkpoint, *, since: int) -> list[bytes]:
    """Raises LogFrozen where a file is missing or was cut."""
    entries: list[bytes] = []
    for level, n, width in tiles_of(mark.size, since=since):
        if level == 0:
            data = log.folder.read(bundle_path(n, width))
            try:
                found = parse_bundle(data or b"")
            except ValueError:
                found = []
            if len(found) != width:
                raise LogFrozen(f"the published file {bundle_path(n, width)} is missing or was cut: put it back, from a mirror if need be")
            entries += found[max(since - n * WIDTH, 0) :]
    return entries


# --- publishing --------------------------------------------------------------------------------------------------------------


def publish_all(session: Session, settings: Settings, *, now: datetime) -> int:
    """Every shard that has something new; returns how many entries."""
    return sum(publish(session, log_of(settings, shard), now=now) for shard in queries.list_shards(session))


def publish(session: Session, log: Log, *, now: datetime) -> int:
    """Writes the newest committed checkpoint, and before it the tiles and bundles it needs, as files.

    The session sees only what is committed, because nothing else may leave. Returns how many entries are shown for the first time.
    """
    with log.folder.locked():
        # Read behind the lock: while it was waited for, another may have published further than was known before.
        newest, state = queries.newest_checkpoint(session, log.shard), queries.find_state(session, log.shard)
        if newest is None or state is None or _frozen(session, log, state):
            return 0
        shown = log.folder.published()
        before = shown.size if shown else 0
        if before < newest.size:
            _write_tiles(session, log, newest.size, since=before)
            # Before anybody outside sees it, a witness included.
            log.folder.raise_high_water(newest.note)
            note = _cosigned(session, log, parse_note(newest.note), since=before)
            if note is None:
                return 0
            log.folder.write(CHECKPOINT, str(note).encode())
    queries.mark_published(session, shard=log.shard, size=newest.size, now=now)
    return max(newest.size - before, 0)


def _cosigned(session: Session, log: Log, note: Note, *, since: int) -> Note | None:
    """The note with the signatures of witnesses; None where it must wait for more of them, or where they know another log."""
    if log.policy is None:
        return note
    read = _reader(session, log.shard)
    try:
        found = cosigned(note, log.policy, lambda old, new: consistency_path(old, new, read), since=since)
    except WitnessAhead as failure:
        queries.freeze(session, log.shard, frozen=True)
        _log.error("the log %s is frozen: %s; run `geo-o2o log recover` with the files that were published", log.name, failure)
        return None
    if found is None:
        _log.warning("the log %s is not published: too few witnesses have signed", log.name)
    return found


def _write_tiles(session: Session, log: Log, size: int, *, since: int) -> None:
    read = _reader(session, log.shard)
    for level, n, width in tiles_of(size, since=since):
        written = {tile_path(level, n, width): read(level, n, width)}
        if level == 0:
            first = n * WIDTH
            written[bundle_path(n, width)] = format_bundle(queries.entries_between(session, shard=log.shard, first=first, end=first + width))
        for name, data in written.items():
            log.folder.write(name, data)
            if width == WIDTH:
                log.folder.drop_narrower(name)


def fetch_from_tables(session: Session, shard: str, name: str) -> bytes:
    """What the tables hold under a name below the log's address, for the auditor of this very database. Raises KeyError."""
    kind, _, rest = name.partition("/")
    if kind == CHECKPOINT:
        newest = queries.newest_checkpoint(session, shard)
        if newest is None:
            raise KeyError(name)
        return newest.note.encode()
    level, _, path = rest.partition("/")
    number, _, part = path.partition(".p/")
    n, width = int(number.replace("x", "").replace("/", "")), int(part or WIDTH)
    if level == "entries":
        return format_bundle(queries.entries_between(session, shard=shard, first=n * WIDTH, end=n * WIDTH + width))
    return (queries.find_tile(session, shard=shard, level=int(level), n=n) or b"")[: width * HASH_BYTES]
