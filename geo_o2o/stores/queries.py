"""Every SELECT and set-wise write on stores. Each names shard_cell, so that a cluster asks only the shards concerned;
the exceptions are listed with their reasons in tests/test_sharding.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from ..districts.models import District
from ..geo.ids import shard_of
from .models import Attribution, Category, OpeningHours, Store, StoreDistrict, StoreMove

_ONE = sa.select(Store).where(Store.shard_cell == sa.bindparam("shard"), Store.id == sa.bindparam("id"))
_ONE_LOCKED = _ONE.with_for_update()


def find_store(session: Session, store_id: UUID, *, lock: bool = False) -> Store | None:
    """One store by id, whatever its status. lock: held until the transaction ends."""
    return session.scalar(_ONE_LOCKED if lock else _ONE, {"shard": shard_of(store_id), "id": store_id})


def stores_without_grams(session: Session, *, limit: int) -> Sequence[Any]:
    """Stores that cannot be found by a word yet."""
    columns = (Store.shard_cell, Store.id, Store.cell, Store.name, Store.names, Store.brand)
    return session.execute(sa.select(*columns).where(Store.search_grams.is_(None)).limit(limit)).all()


def write_grams(session: Session, rows: Sequence[tuple[int, UUID, Sequence[int]]]) -> None:
    """rows: shard cell, id and grams of each store."""
    statement = sa.text("UPDATE stores SET search_grams = :grams WHERE shard_cell = :shard_cell AND id = :id")
    if rows:
        session.execute(statement, [{"shard_cell": shard, "id": id_, "grams": list(found)} for shard, id_, found in rows])


def walk_stores(
    session: Session,
    *,
    after: tuple[int, UUID] | None,
    limit: int,
    merchant_id: UUID | None = None,
    source: str | None = None,
    district: UUID | None = None,
    category_ids: Sequence[int] | None = None,
    changed_since: datetime | None = None,
) -> Sequence[Store]:
    """Stores that are live or closed, in the order of (shard_cell, id), from after a position on; no cap over all pages."""
    query = sa.select(Store).where(Store.status.in_(["live", "closed"])).order_by(Store.shard_cell, Store.id).limit(limit)
    if after is not None:
        query = query.where(sa.tuple_(Store.shard_cell, Store.id) > sa.tuple_(sa.literal(after[0], sa.BigInteger), sa.literal(after[1])))
    if merchant_id is not None:
        query = query.where(Store.merchant_id == merchant_id)
    if source is not None:
        query = query.where(Store.source == source)
    if category_ids is not None:
        query = query.where(Store.category_id == sa.any_(sa.literal(list(category_ids), sa.ARRAY(sa.SmallInteger))))
    if changed_since is not None:
        query = query.where(Store.updated_at >= changed_since)
    if district is not None:
        query = query.where(
            sa.exists().where(
                StoreDistrict.shard_cell == Store.shard_cell,
                StoreDistrict.store_id == Store.id,
                StoreDistrict.district_id == district,
            )
        )
    return session.scalars(query).all()


def districts_of(session: Session, store_ids: Sequence[UUID]) -> dict[UUID, list[tuple[str, UUID, str]]]:
    """(layer, id, name) of the districts of each store; stores outside every district are absent."""
    rows = session.execute(
        sa.select(StoreDistrict.store_id, StoreDistrict.layer, District.id, District.name)
        .join(District, District.id == StoreDistrict.district_id)
        .where(_is_shard_of(StoreDistrict.shard_cell, store_ids), StoreDistrict.store_id == _any_id(store_ids))
        .order_by(StoreDistrict.layer)
    )
    found: dict[UUID, list[tuple[str, UUID, str]]] = {}
    for store_id, layer, district_id, name in rows:
        found.setdefault(store_id, []).append((layer, district_id, name))
    return found


def attributions(session: Session, sources: Sequence[str]) -> Sequence[Attribution]:
    return session.scalars(
        sa.select(Attribution).where(Attribution.source == sa.any_(sa.literal(sorted(set(sources)), sa.ARRAY(sa.Text)))).order_by(Attribution.source)
    ).all()


def all_attributions(session: Session) -> Sequence[Attribution]:
    return session.scalars(sa.select(Attribution).order_by(Attribution.source)).all()


# --- opening hours -----------------------------------------------------------------------------------------------------------


def find_hours(session: Session, hours_id: int | None) -> OpeningHours | None:
    return None if hours_id is None else session.get(OpeningHours, hours_id)


def missing_hours(session: Session, ids: Sequence[int]) -> set[int]:
    """Those of the ids that have no row yet."""
    known = session.scalars(sa.select(OpeningHours.id).where(OpeningHours.id == sa.any_(sa.literal(list(ids), sa.ARRAY(sa.BigInteger)))))
    return set(ids) - set(known)


def add_hours(session: Session, rows: Sequence[Mapping[str, Any]]) -> None:
    """Adds rows of opening_hours; those that exist already stay as they are."""
    if rows:
        session.execute(insert(OpeningHours).on_conflict_do_nothing(), rows)


def hours_to_extend(session: Session, *, before: datetime, limit: int) -> Sequence[OpeningHours]:
    """Rows expanded to less than a moment, locked; rows that another worker holds are left to it."""
    return session.scalars(
        sa.select(OpeningHours)
        .where(OpeningHours.expanded_until < before)
        .order_by(OpeningHours.expanded_until)
        .limit(limit)
        .with_for_update(skip_locked=True)
    ).all()


def ask_offers_to_follow(session: Session, *, old_id: UUID, new_id: UUID, now: datetime) -> None:
    """Leaves a row for the worker: the offers of a store must be placed anew, at its new id or for its new owner."""
    statement = insert(StoreMove).values(old_id=old_id, new_id=new_id, moved_at=now)
    session.execute(statement.on_conflict_do_update(index_elements=["old_id"], set_={"new_id": new_id, "moved_at": now}))


# --- districts of stores -----------------------------------------------------------------------------------------------------

_BEST_DISTRICTS = """
INSERT INTO store_districts (shard_cell, store_id, layer, district_id)
SELECT DISTINCT ON (s.shard_cell, s.id, d.layer) s.shard_cell, s.id, d.layer, d.id
  FROM stores s
  JOIN districts d ON d.in_force AND ST_Covers(d.area, s.location::geometry)
 WHERE s.shard_cell = ANY(:shard_cells) AND s.status IN ('live', 'closed') AND {which}
 ORDER BY s.shard_cell, s.id, d.layer, d.area_m2, d.id
ON CONFLICT (shard_cell, store_id, layer) DO UPDATE SET district_id = excluded.district_id
"""


def lock_placing(session: Session, *, exclusive: bool) -> None:
    """Held until the transaction ends: a store that comes while a district changes must not miss it, nor the other way round."""
    kind = "pg_advisory_xact_lock" if exclusive else "pg_advisory_xact_lock_shared"
    session.execute(sa.text(f"SELECT {kind}(1100)"))


def place_stores_in_districts(session: Session, store_ids: Sequence[UUID]) -> None:
    """Gives each store its one district per layer: of those that cover it the smallest, ties by id."""
    if not store_ids:
        return
    shard_cells = sorted({shard_of(store_id) for store_id in store_ids})
    session.execute(sa.delete(StoreDistrict).where(_is_shard_of(StoreDistrict.shard_cell, store_ids), StoreDistrict.store_id == _any_id(store_ids)))
    session.execute(sa.text(_BEST_DISTRICTS.format(which="s.id = ANY(:ids)")), {"shard_cells": shard_cells, "ids": list(store_ids)})


def stores_of_district(session: Session, district_id: UUID) -> Sequence[UUID]:
    """Ids of the stores that were last placed in a district."""
    return session.scalars(sa.select(StoreDistrict.store_id).where(StoreDistrict.district_id == district_id)).all()


def place_district_over_stores(session: Session, district_id: UUID, *, shard_cells: Sequence[int], lon: float, lat: float, radius_m: float) -> None:
    """Places every store within a district anew. The circle holds the district's area: it lets the index on location find the rows."""
    which = (
        "ST_DWithin(s.location, ST_SetSRID(ST_MakePoint(:lon, :lat), 4326)::geography, :radius_m)"
        " AND d.layer = (SELECT layer FROM districts WHERE id = :id)"
        " AND ST_Covers((SELECT area FROM districts WHERE id = :id), s.location::geometry)"
    )
    session.execute(
        sa.text(_BEST_DISTRICTS.format(which=which)),
        {"shard_cells": list(shard_cells), "id": district_id, "lon": lon, "lat": lat, "radius_m": radius_m},
    )


# --- categories --------------------------------------------------------------------------------------------------------------


def write_categories(session: Session, rows: Sequence[Mapping[str, Any]]) -> None:
    """Brings the table of categories to the state of the data file; parents come first."""
    statement = insert(Category)
    statement = statement.on_conflict_do_update(
        index_elements=["id"],
        set_={"code": statement.excluded.code, "parent_id": statement.excluded.parent_id, "names": statement.excluded.names},
    )
    for row in rows:
        session.execute(statement, row)


def _any_id(ids: Sequence[UUID]) -> Any:
    return sa.any_(sa.literal(list(ids), sa.ARRAY(sa.Uuid)))


def _is_shard_of(column: Any, ids: Sequence[UUID]) -> Any:
    return column == sa.any_(sa.literal(sorted({shard_of(one) for one in ids}), sa.ARRAY(sa.BigInteger)))
