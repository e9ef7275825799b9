from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from typing import Any
from uuid import UUID

from geoalchemy2.shape import from_shape
from shapely import to_wkb
from sqlalchemy.orm import Session

from ..caller import Caller
from ..changes.service import note_change, note_layer
from ..copying import line, point_hex
from ..districts.queries import find_district
from ..districts.service import DistrictOverlaps, add_district, change_district, new_district_id
from ..errors import InvalidInput
from ..geo.cells import SHARD_RESOLUTION, cell_of, parent
from ..geo.ids import RANDOM_BITS, located_id
from ..offers.service import add_offer, new_offer_id
from ..stores.categories import codes_by_id, tree
from ..stores.hours import BadHours, Hours, hours_of
from ..stores.queries import lock_placing
from ..stores.service import ensure_hours, place_again, stores_in_district
from ..stores.words import grams
from ..stores.zones import country_of, time_zone_at
from . import queries
from .report import Report
from .rows import BasemapRow, DistrictRow, Refused, StoreRow
from .samples import CURRENCY, offer_of, rating_of, share_of

Progress = Callable[[int], None] | None
# Above this many new or changed rows the planner's figures are made anew at once.
_WORTH_ANALYZING = 1_000
SAMPLE_OFFERS = 600


def load_stores(
    session: Session, *, source: str, rows: Iterable[StoreRow | Refused], now: datetime, horizon_d: int, progress: Progress = None
) -> Report:
    """Loads stores by (source, source id): new ones are added, changed ones changed, equal ones left alone.

    Nothing is written that the caller's transaction does not commit. A row that comes twice is refused the second time.
    """
    report = Report("stores")
    queries.lock_source(session, source)
    lock_placing(session, exclusive=False)
    hours: dict[int, Hours] = {}
    queries.copy_stores(session, _store_lines(rows, report, hours, now), progress=progress)
    for source_id, lon, lat in queries.drop_swapped(session):
        report.refuse(Refused(source_id, "swapped_axes", f"{lon}, {lat} lies far from the rest of the file, and {lat}, {lon} does not"))
    fates = queries.compare_stores(session, source)
    report.new, report.changed, report.unchanged, report.moved = (fates.get(fate, 0) for fate in ("new", "changed", "unchanged", "moved"))
    gone = queries.count_gone(session, source)
    if gone:
        report.notes["live_before_but_not_in_this_file"] = gone
    touched = report.new + report.changed + report.moved
    if touched:
        ensure_hours(session, list(hours.values()), now=now, horizon_d=horizon_d)
        note_change(session, queries.changed_cells(session))
        queries.write_stores(session, source, now=now)
        if touched >= _WORTH_ANALYZING:
            queries.analyze(session, "stores")
        queries.place_loaded_in_districts(session, source, shard_cells=queries.changed_shards(session))
    return report


def _store_lines(rows: Iterable[StoreRow | Refused], report: Report, hours: dict[int, Hours], now: datetime) -> Iterator[str]:
    """COPY lines of the rows that can be loaded; the others go to the report, opening hours to `hours`."""
    seen_ids: set[int] = set()
    seen_places: set[int] = set()
    for row in rows:
        if isinstance(row, Refused):
            report.refuse(row)
            continue
        identity = hash(row.source_id)
        if identity in seen_ids:
            report.refuse(Refused(row.source_id, "duplicate_id", "the same id comes twice in this file"))
            continue
        seen_ids.add(identity)
        if row.exact_place:
            likeness = row.likeness()
            if likeness in seen_places:
                report.refuse(Refused(row.source_id, "duplicate", f"{row.name!r} at the same place and address comes twice in this file"))
                continue
            seen_places.add(likeness)
        yield line(_store_values(row, report, hours, now))


def _store_values(row: StoreRow, report: Report, hours: dict[int, Hours], now: datetime) -> tuple[Any, ...]:
    """Values in the order of queries.STORE_COLUMNS."""
    cell = cell_of(row.at)
    time_zone = time_zone_at(row.at)
    country = country_of(time_zone)
    hours_id = None
    if row.opening_hours:
        try:
            found = hours_of(row.opening_hours, time_zone=time_zone, country=country, at=row.at)
            hours_id = found.id
            hours[hours_id] = found
        except BadHours:
            report.notes["opening_hours_not_understood"] += 1
    return (
        parent(cell, SHARD_RESOLUTION), located_id(cell, now=now, chance=secrets.randbits(RANDOM_BITS)), cell, point_hex(row.at),
        tree()[row.category].id, row.rating_sum, row.rating_count, row.price_band, hours_id, row.name, dict(row.names), row.brand,
        dict(row.address), row.phone, row.website, list(row.tags), row.opening_hours, time_zone, country,
        to_wkb(row.footprint, hex=True, include_srid=False) if row.footprint is not None else None, row.source_id, row.fingerprint(),
        grams([row.name, *row.names.values(), row.brand or ""]),
    )  # fmt: skip


def write_attribution(session: Session, *, source: str, attribution: str, licence: str, now: datetime) -> None:
    """Credit and licence of a source, shown wherever its stores are."""
    note_change(session, queries.write_attribution(session, source=source, attribution=attribution, licence=licence, now=now))


def load_districts(
    session: Session, *, source: str, layer: str, rows: Iterable[DistrictRow | Refused], attribution: str, now: datetime, progress: Progress = None
) -> Report:
    """Loads districts by (source, source id) and places the stores that they cover."""
    report = Report(f"{layer} districts")
    queries.lock_source(session, f"{source} districts")
    lock_placing(session, exclusive=True)
    known = queries.districts_of_source(session, source)
    seen: set[str] = set()
    for row in rows:
        if isinstance(row, Refused):
            report.refuse(row)
            continue
        if row.source_id in seen:
            report.refuse(Refused(row.source_id, "duplicate_id", "the same id comes twice in this file"))
            continue
        seen.add(row.source_id)
        district_id, fingerprint = known.get(row.source_id, (None, None))
        wanted = row.fingerprint(layer, attribution)
        if fingerprint == wanted:
            report.unchanged += 1
            continue
        fields = {
            "layer": layer, "name": row.name, "names": dict(row.names), "area": row.area, "source": source, "source_id": row.source_id,
            "source_hash": wanted, "attribution": attribution,
        }  # fmt: skip
        try:
            if district_id is None:
                _add_district(session, fields, now)
                report.new += 1
            elif _change_district(session, district_id, fields, now):
                report.changed += 1
            else:
                report.unchanged += 1
        except InvalidInput as failure:
            report.refuse(Refused(row.source_id, "area_out_of_size", failure.message))
        except DistrictOverlaps as failure:
            report.refuse(Refused(row.source_id, failure.code, failure.message))
        if progress:
            progress(1)
    return report


def _add_district(session: Session, fields: dict[str, Any], now: datetime) -> None:
    district = add_district(session, fields=fields, district_id=new_district_id(now=now), now=now)
    place_again(session, district.id, [])


def _change_district(session: Session, district_id: UUID, fields: dict[str, Any], now: datetime) -> bool:
    """A district that was ended here stays ended, whatever the file says; then False."""
    district = find_district(session, district_id, lock=True)
    if district is None or (district.valid_to is not None and district.valid_to <= now):
        return False
    were_in = stores_in_district(session, district_id)
    with session.begin_nested():
        change_district(session, district_id=district_id, version=district.version, fields=fields, now=now)
    place_again(session, district_id, were_in)
    return True


def load_basemap(session: Session, *, source: str, rows: Iterable[BasemapRow], now: datetime, progress: Progress = None) -> Report:
    """Loads streets, buildings, water and land use by (source, source id)."""
    report = Report("basemap")
    queries.lock_source(session, f"{source} basemap")

    def lines() -> Iterator[str]:
        seen: set[str] = set()
        for row in rows:
            if row.source_id in seen:
                continue
            seen.add(row.source_id)
            shape = from_shape(row.shape, srid=4326).desc
            yield line((row.source_id, row.layer, row.kind, row.name, dict(row.names), shape, row.fingerprint()))

    queries.copy_basemap(session, lines(), progress=progress)
    fates = queries.write_basemap(session, source)
    report.new, report.changed, report.unchanged = fates["new"], fates["changed"], fates["unchanged"]
    if report.new or report.changed:
        note_layer(session, "basemap", now=now)
    if report.new >= _WORTH_ANALYZING:
        queries.analyze(session, "basemap_features")
    return report


def load_samples(session: Session, *, source: str, seed: int, now: datetime, most_offers: int = SAMPLE_OFFERS) -> Report:
    """Sample ratings for every store of a source that has none, and about most_offers sample offers; the same for the same seed and stores."""
    report = Report("samples")
    targets = queries.sample_targets(session, source)
    unrated = [row for row in targets if row.rating_count == 0]
    if unrated:
        queries.write_sample_ratings(session, [_rating_values(seed, row) for row in unrated])
        note_change(session, [row.cell for row in unrated])
    report.new, report.unchanged = len(unrated), len(targets) - len(unrated)
    if not queries.has_sample_offers(session):
        report.notes["offers"] = _add_sample_offers(session, targets, seed=seed, now=now, most=most_offers)
    return report


def _rating_values(seed: int, row: Any) -> dict[str, Any]:
    rating = rating_of(seed, row.source_id)
    return {
        "shard_cell": row.shard_cell, "id": row.id, "rating_sum": rating.rating_sum, "rating_count": rating.rating_count,
    }  # fmt: skip


def _add_sample_offers(session: Session, targets: Iterable[Any], *, seed: int, now: datetime, most: int) -> int:
    operator = Caller(key_id=UUID(int=0), role="admin", merchant_id=None)
    added = 0
    for row in sorted(targets, key=lambda row: share_of(seed, row.source_id)):
        offer = offer_of(seed, row.source_id, category=codes_by_id()[row.category_id], now=now)
        if offer is None:
            continue
        fields = {
            "title": offer.title, "titles": offer.titles, "kind": offer.kind, "price_minor": offer.price_minor, "currency": CURRENCY,
            "valid_from": offer.valid_from, "valid_until": offer.valid_until, "store_ids": [row.id], "status": "live",
        }  # fmt: skip
        add_offer(session, caller=operator, fields=fields, offer_id=new_offer_id(now=now), now=now, sample=True)
        added += 1
        if added == most:
            break
    return added
