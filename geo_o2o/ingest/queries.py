"""Set-wise loading: COPY into a temporary table, compare by fingerprint, write what differs. All in one transaction."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import psycopg2
import sqlalchemy as sa
from sqlalchemy.orm import Session

from ..copying import Stream
from ..geo.cells import shard_cells_of_circle
from ..geo.point import Point
from .models import Load

STORE_COLUMNS = (
    "shard_cell", "id", "cell", "location", "category_id", "rating_sum", "rating_count", "price_band", "hours_id", "name", "names",
    "brand", "address", "phone", "website", "tags", "opening_hours", "time_zone", "country", "footprint", "source_id", "source_hash", "search_grams",
)  # fmt: skip
# What a file says of a store and a rerun may change. Ratings are left to it too: a source that has none says 0.
_CHANGED = (
    "cell", "location", "category_id", "price_band", "hours_id", "name", "names", "brand", "address", "phone", "website", "tags",
    "opening_hours", "time_zone", "country", "footprint", "source_hash", "search_grams",
)  # fmt: skip

_INCOMING = """
CREATE TEMPORARY TABLE incoming (
    shard_cell bigint, id uuid, cell bigint, location geography(Point, 4326), category_id smallint, rating_sum integer,
    rating_count integer, price_band smallint, hours_id bigint, name text, names jsonb, brand text, address jsonb, phone text,
    website text, tags text[], opening_hours text, time_zone text, country text, footprint geometry(MultiPolygon, 4326),
    source_id text, source_hash bigint, search_grams integer[],
    old_shard_cell bigint, old_id uuid, fate text
) ON COMMIT DROP
"""


def lock_source(session: Session, source: str) -> None:
    """Two loads of one source run one after the other; the second then finds everything unchanged."""
    session.execute(sa.text("SET LOCAL lock_timeout = 0"))
    session.execute(sa.text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))"), {"name": f"load {source}"})


def copy_stores(session: Session, lines: Iterable[str], *, progress: Callable[[int], None] | None) -> None:
    session.execute(sa.text("DROP TABLE IF EXISTS incoming"))
    session.execute(sa.text(_INCOMING))
    _copy(session, f"COPY incoming ({', '.join(STORE_COLUMNS)}) FROM STDIN", lines, progress)


def _copy(session: Session, command: str, lines: Iterable[str], progress: Callable[[int], None] | None) -> None:
    raw = session.connection().connection.driver_connection
    with raw.cursor() as cursor:  # type: ignore[union-attr]
        stream = Stream(lines, progress=progress)
        try:
            cursor.copy_expert(command, stream, size=1 << 18)
        except psycopg2.Error:
            if stream.failure is not None:
                raise stream.failure from None
            raise


# The bulk of a file lies within these quantiles, and half as far again outside. A row outside whose swapped point lies inside was
# written latitude first. Below _ENOUGH_ROWS there is no bulk to compare with.
_ENOUGH_ROWS = 50
# A file of a whole continent holds honest places that look like another one's mirror image; a region's does not.
_WIDEST_DEG = 20
_SWAPPED = """
WITH bulk AS (
    SELECT percentile_cont(ARRAY[0.02, 0.98]) WITHIN GROUP (ORDER BY ST_X(location::geometry)) AS x,
           percentile_cont(ARRAY[0.02, 0.98]) WITHIN GROUP (ORDER BY ST_Y(location::geometry)) AS y, count(*) AS number
      FROM incoming
), room AS (
    SELECT x[1] - greatest(x[2] - x[1], 1) / 2 AS west, x[2] + greatest(x[2] - x[1], 1) / 2 AS east,
           y[1] - greatest(y[2] - y[1], 1) / 2 AS south, y[2] + greatest(y[2] - y[1], 1) / 2 AS north, number FROM bulk
)
DELETE FROM incoming i USING room r
 WHERE r.number >= :enough AND r.east - r.west <= :widest AND r.north - r.south <= :widest
   AND NOT (ST_X(i.location::geometry) BETWEEN r.west AND r.east AND ST_Y(i.location::geometry) BETWEEN r.south AND r.north)
   AND ST_Y(i.location::geometry) BETWEEN r.west AND r.east AND ST_X(i.location::geometry) BETWEEN r.south AND r.north
RETURNING i.source_id, ST_X(i.location::geometry), ST_Y(i.location::geometry)
"""


def drop_swapped(session: Session) -> Sequence[tuple[str, float, float]]:
    """Takes out rows whose axes are swapped, judged by where the rest of the file lies; (source id, lon, lat) of each."""
    return [(row[0], row[1], row[2]) for row in session.execute(sa.text(_SWAPPED), {"enough": _ENOUGH_ROWS, "widest": _WIDEST_DEG})]


def compare_stores(session: Session, source: str) -> dict[str, int]:
    """Marks each incoming row new, changed, unchanged or moved (to another shard); counts by fate."""
    session.execute(
        sa.text(
            "UPDATE incoming i SET old_shard_cell = s.shard_cell, old_id = s.id,"
            " fate = CASE WHEN s.source_hash = i.source_hash THEN 'unchanged' WHEN s.shard_cell = i.shard_cell THEN 'changed' ELSE 'moved' END"
            " FROM stores s WHERE s.source = :source AND s.source_id = i.source_id AND s.status IN ('live', 'closed')"
        ),
        {"source": source},
    )
    # A store that its owner removed through the API stays removed, whatever the file says.
    session.execute(
        sa.text(
            "UPDATE incoming i SET fate = 'unchanged' FROM stores s"
            " WHERE i.fate IS NULL AND s.source = :source AND s.source_id = i.source_id AND s.status = 'removed'"
        ),
        {"source": source},
    )
    rows = session.execute(sa.text("SELECT coalesce(fate, 'new') AS fate, count(*) AS number FROM incoming GROUP BY 1"))
    return {row.fate: row.number for row in rows}


def count_gone(session: Session, source: str) -> int:
    """Live stores of a source that the file does not have; they are left as they are, because a file may be a part."""
    gone = (
        "SELECT count(*) FROM stores s WHERE s.source = :source AND s.status = 'live'"
        " AND NOT EXISTS (SELECT FROM incoming i WHERE i.source_id = s.source_id)"
    )
    return int(session.scalar(sa.text(gone), {"source": source}) or 0)


def write_stores(session: Session, source: str, *, now: datetime) -> None:
    """Writes new, changed and moved rows."""
    values = {"source": source, "now": now}
    session.execute(
        sa.text(
            f"UPDATE stores s SET {', '.join(f'{name} = i.{name}' for name in _CHANGED)},"
            f" {', '.join(f'{name} = {value}' for name, value in _rating('s').items())}, version = s.version + 1, updated_at = :now"
            " FROM incoming i WHERE i.fate = 'changed' AND s.shard_cell = i.shard_cell AND s.id = i.old_id"
        ),
        values,
    )
    _write_moved(session, values)
    columns = ", ".join(STORE_COLUMNS)
    # Sorted by cell, so that neighbours meet in the indexes' pages.
    session.execute(
        sa.text(
            f"INSERT INTO stores ({columns}, rating_sample, status, source, version, created_at, updated_at)"
            f" SELECT {columns}, false, 'live', :source, 1, :now, :now FROM incoming WHERE fate IS NULL ORDER BY cell"
        ),
        values,
    )


def _write_moved(session: Session, values: dict[str, Any]) -> None:
    """Stores that the file places in another shard: a new row with all that others said of them, and the old one as a signpost."""
    rating = _rating("o")
    plain = [name for name in STORE_COLUMNS if name not in rating]
    kept = ("status", "merchant_id", "fence_radius_m", "chain", "service_radius_m", "service_area", "created_at", "version")
    old = "stores o ON o.shard_cell = i.old_shard_cell AND o.id = i.old_id"
    for text in (
        f"INSERT INTO stores ({', '.join([*plain, *rating, *kept])}, source, updated_at)"
        f" SELECT {', '.join(f'i.{name}' for name in plain)}, {', '.join(rating.values())}, {', '.join(f'o.{name}' for name in kept)}, :source, :now"
        f" FROM incoming i JOIN {old} WHERE i.fate = 'moved'",
        "UPDATE stores s SET status = 'moved', moved_to = i.id, version = s.version + 1, updated_at = :now,"
        " source_id = s.source_id || ' until ' || CAST(:now AS text)"
        " FROM incoming i WHERE i.fate = 'moved' AND s.shard_cell = i.old_shard_cell AND s.id = i.old_id",
        "DELETE FROM store_districts d USING incoming i WHERE i.fate = 'moved' AND d.shard_cell = i.old_shard_cell AND d.store_id = i.old_id",
        "INSERT INTO store_moves (old_id, new_id, moved_at) SELECT old_id, id, :now FROM incoming WHERE fate = 'moved'",
    ):
        session.execute(sa.text(text), values)


def _rating(row: str) -> dict[str, str]:
    """The rating of a store that was there before: the file's where it has one, else what stands in the row."""
    return {
        "rating_sum": f"CASE WHEN i.rating_count > 0 THEN i.rating_sum ELSE {row}.rating_sum END",
        "rating_count": f"CASE WHEN i.rating_count > 0 THEN i.rating_count ELSE {row}.rating_count END",
        "rating_sample": f"CASE WHEN i.rating_count > 0 THEN false ELSE {row}.rating_sample END",
    }


def changed_cells(session: Session) -> Sequence[int]:
    """Cells of resolution 7 that lose, gain or change a store by this load."""
    rows = session.scalars(
        sa.text(
            "SELECT h3_parent(cell, 7) FROM incoming WHERE fate IS DISTINCT FROM 'unchanged'"
            " UNION SELECT h3_parent(s.cell, 7) FROM incoming i JOIN stores s ON s.shard_cell = i.old_shard_cell AND s.id = i.old_id"
            " WHERE i.fate IN ('changed', 'moved')"
        )
    )
    return rows.all()


def changed_shards(session: Session) -> Sequence[int]:
    return session.scalars(sa.text("SELECT DISTINCT shard_cell FROM incoming WHERE fate IS DISTINCT FROM 'unchanged'")).all()


def place_loaded_in_districts(session: Session, source: str, *, shard_cells: Sequence[int]) -> None:
    """Gives new, changed and moved stores their districts."""
    if not session.scalar(sa.text("SELECT EXISTS (SELECT FROM districts)")):
        return
    values = {"source": source, "shard_cells": list(shard_cells)}
    session.execute(
        sa.text(
            "DELETE FROM store_districts d USING incoming i WHERE d.shard_cell = ANY(:shard_cells) AND i.fate = 'changed'"
            " AND d.shard_cell = i.shard_cell AND d.store_id = i.old_id"
        ),
        values,
    )
    session.execute(
        sa.text(
            "INSERT INTO store_districts (shard_cell, store_id, layer, district_id)"
            " SELECT DISTINCT ON (s.shard_cell, s.id, d.layer) s.shard_cell, s.id, d.layer, d.id"
            " FROM incoming i JOIN stores s ON s.shard_cell = i.shard_cell AND s.id = CASE WHEN i.fate = 'changed' THEN i.old_id ELSE i.id END"
            " JOIN districts d ON d.in_force AND ST_Covers(d.area, s.location::geometry)"
            " WHERE s.shard_cell = ANY(:shard_cells) AND i.fate IS DISTINCT FROM 'unchanged'"
            " ORDER BY s.shard_cell, s.id, d.layer, d.area_m2, d.id"
            " ON CONFLICT (shard_cell, store_id, layer) DO UPDATE SET district_id = excluded.district_id"
        ),
        values,
    )


def analyze(session: Session, *tables: str) -> None:
    for table in tables:
        session.execute(sa.text(f"ANALYZE {table}"))


def any_store_near(session: Session, at: Point, *, radius_m: float) -> bool:
    return bool(
        session.scalar(
            sa.text(
                "SELECT EXISTS (SELECT FROM stores WHERE shard_cell = ANY(:shards) AND status = 'live'"
                " AND ST_DWithin(location, ST_SetSRID(ST_MakePoint(:lng, :lat), 4326)::geography, :radius_m))"
            ),
            {"shards": list(shard_cells_of_circle(at, radius_m)), "lng": at.lon, "lat": at.lat, "radius_m": radius_m},
        )
    )


def loaded_sources(session: Session) -> Sequence[Any]:
    return session.execute(sa.text("SELECT source FROM attributions")).all()


def write_attribution(session: Session, *, source: str, attribution: str, licence: str, now: datetime) -> Sequence[int]:
    """Returns the cells of resolution 7 whose stores must be credited otherwise than before."""
    values = {"source": source, "attribution": attribution, "licence": licence}
    same = "SELECT EXISTS (SELECT FROM attributions WHERE source = :source AND attribution = :attribution AND licence = :licence)"
    known = session.scalar(sa.text(same), values)
    session.execute(
        sa.text(
            "INSERT INTO attributions (source, attribution, licence, loaded_at) VALUES (:source, :attribution, :licence, :now)"
            " ON CONFLICT (source) DO UPDATE SET attribution = excluded.attribution, licence = excluded.licence, loaded_at = excluded.loaded_at"
        ),
        {**values, "now": now},
    )
    return [] if known else session.scalars(sa.text("SELECT DISTINCT h3_parent(cell, 7) FROM stores WHERE source = :source"), values).all()


# --- basemap -----------------------------------------------------------------------------------------------------------------

_BASEMAP_COLUMNS = "source_id, layer, kind, name, names, shape, source_hash"


def copy_basemap(session: Session, lines: Iterable[str], *, progress: Callable[[int], None] | None) -> None:
    session.execute(sa.text("DROP TABLE IF EXISTS incoming_basemap"))
    session.execute(
        sa.text(
            "CREATE TEMPORARY TABLE incoming_basemap (source_id text PRIMARY KEY, layer text, kind text, name text, names jsonb,"
            " shape geometry(Geometry, 4326), source_hash bigint) ON COMMIT DROP"
        )
    )
    _copy(session, f"COPY incoming_basemap ({_BASEMAP_COLUMNS}) FROM STDIN", lines, progress)


def write_basemap(session: Session, source: str) -> dict[str, int]:
    """Writes new and changed features; counts by fate."""
    counted = session.execute(
        sa.text(
            "SELECT count(*) FILTER (WHERE b.source_id IS NULL) AS new,"
            " count(*) FILTER (WHERE b.source_hash <> i.source_hash) AS changed,"
            " count(*) FILTER (WHERE b.source_hash = i.source_hash) AS unchanged"
            " FROM incoming_basemap i LEFT JOIN basemap_features b ON b.source = :source AND b.source_id = i.source_id"
        ),
        {"source": source},
    ).one()
    session.execute(
        sa.text(
            f"INSERT INTO basemap_features (source, {_BASEMAP_COLUMNS}) SELECT :source, {_BASEMAP_COLUMNS} FROM incoming_basemap"
            " ON CONFLICT (source, source_id) DO UPDATE SET layer = excluded.layer, kind = excluded.kind, name = excluded.name,"
            " names = excluded.names, shape = excluded.shape, source_hash = excluded.source_hash"
            " WHERE basemap_features.source_hash <> excluded.source_hash"
        ),
        {"source": source},
    )
    return dict(counted._mapping)


# --- districts ---------------------------------------------------------------------------------------------------------------


def districts_of_source(session: Session, source: str) -> dict[str, tuple[UUID, int | None]]:
    """Id and fingerprint of each district of a source, by source id."""
    rows = session.execute(sa.text("SELECT source_id, id, source_hash FROM districts WHERE source = :source"), {"source": source})
    return {row.source_id: (row.id, row.source_hash) for row in rows}


def sample_targets(session: Session, source: str) -> Sequence[Any]:
    """Live stores of a source that nobody has rated, or whose rating is a sample, in an order that does not depend on ids."""
    return session.execute(
        sa.text(
            "SELECT shard_cell, id, cell, source_id, category_id, rating_count FROM stores"
            " WHERE source = :source AND status = 'live' AND (rating_count = 0 OR rating_sample) ORDER BY source_id"
        ),
        {"source": source},
    ).all()


def write_sample_ratings(session: Session, rows: Sequence[dict[str, Any]]) -> None:
    session.execute(
        sa.text(
            "UPDATE stores SET rating_sum = :rating_sum, rating_count = :rating_count, rating_sample = true"
            " WHERE shard_cell = :shard_cell AND id = :id"
        ),
        rows,
    )


def has_sample_offers(session: Session) -> bool:
    return bool(session.scalar(sa.text("SELECT EXISTS (SELECT FROM offers WHERE sample AND status <> 'removed')")))


_PLACES = """
SELECT s.id, s.merchant_id, s.cell, ST_X(s.location::geometry) AS lon, ST_Y(s.location::geometry) AS lat, s.category_id, s.rating_count, s.hours_id
  FROM stores s
 WHERE s.shard_cell = ANY(:shard_cells) AND s.status = 'live' AND s.source = :source
 ORDER BY s.source_id
"""


def places_of(session: Session, source: str, *, shard_cells: Sequence[int]) -> Sequence[Any]:
    """Live stores of a source, in an order that every run has."""
    return session.execute(sa.text(_PLACES), {"source": source, "shard_cells": list(shard_cells)}).all()


def shards_of_source(session: Session, source: str) -> Sequence[int]:
    return session.scalars(sa.text("SELECT DISTINCT shard_cell FROM stores WHERE source = :source ORDER BY 1"), {"source": source}).all()


def now(session: Session) -> datetime:
    """By the clock of the database."""
    return session.execute(sa.select(sa.func.now())).scalar_one()


def newest_loads(session: Session, *, limit: int) -> Sequence[Load]:
    return session.scalars(sa.select(Load).order_by(Load.started_at.desc(), Load.id.desc()).limit(limit)).all()
