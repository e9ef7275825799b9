"""Loads: one transaction, upsert by source and id, a rerun changes nothing, a kill leaves nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from geo_o2o.config import Settings
from geo_o2o.geo.point import Point
from geo_o2o.ingest import geojson, osm, samples, tables
from geo_o2o.ingest import service as ingest
from geo_o2o.ingest.report import BrokenFile, Report
from geo_o2o.ingest.rows import Refused, StoreRow, check_store

from ..conftest import FIXTURES, NOW, shared_data

HELSINKI = FIXTURES / "helsinki.osm.pbf"


def row(source_id: str, name: str = "Store", lon: float = 24.94, lat: float = 60.17, **rest: Any) -> StoreRow:
    found = check_store(source_id, source_id=source_id, name=name, lon=lon, lat=lat, **rest)
    assert isinstance(found, StoreRow)
    return found


def load(session: Session, rows: Sequence[StoreRow | Refused], source: str = "test") -> Report:
    return ingest.load_stores(session, source=source, rows=rows, now=NOW, horizon_d=35)


def counts(report: Report) -> tuple[int, int, int, int]:
    return report.new, report.changed, report.unchanged, report.moved


def test_new_changed_unchanged_and_moved(session: Session) -> None:
    assert counts(load(session, [row("1"), row("2", lat=60.18), row("3", lat=60.19)])) == (3, 0, 0, 0)
    before = dict(session.execute(sa.text("SELECT source_id, id FROM stores")).all())
    assert counts(load(session, [row("1"), row("2", "Renamed", lat=60.18), row("3", lat=61.5), row("4", lat=60.2)])) == (1, 1, 1, 1)
    found = {one.source_id: one for one in session.execute(sa.text("SELECT * FROM stores WHERE status = 'live'"))}
    assert found["1"].id == before["1"]
    assert (found["2"].id, found["2"].name, found["2"].version) == (before["2"], "Renamed", 2)
    assert found["3"].id != before["3"]
    moved = session.execute(sa.text("SELECT * FROM stores WHERE status = 'moved'")).one()
    assert (moved.id, moved.moved_to) == (before["3"], found["3"].id)
    assert session.scalar(sa.text("SELECT new_id FROM store_moves")) == found["3"].id


def test_a_store_that_the_file_moves_keeps_what_others_said_of_it(session: Session) -> None:
    load(session, [row("1")])
    merchant = session.scalar(sa.text("INSERT INTO merchants VALUES (gen_random_uuid(), 'Owner', now()) RETURNING id"))
    session.execute(
        sa.text("UPDATE stores SET merchant_id = :owner, fence_radius_m = 80, rating_sum = 9, rating_count = 2, status = 'closed'"),
        {"owner": merchant},
    )
    assert load(session, [row("1", lat=61.5)]).moved == 1
    found = session.execute(sa.text("SELECT * FROM stores WHERE status <> 'moved'")).one()
    assert (found.merchant_id, found.fence_radius_m, found.rating_sum, found.status) == (merchant, 80, 9, "closed")
    assert load(session, [row("1")]).moved == 1, "and back again"
    assert load(session, [row("1")]).unchanged == 1


def test_a_store_moved_by_its_owner_is_found_by_the_next_load(session: Session) -> None:
    from geo_o2o.stores.service import change_store

    from ..factories import OPERATOR

    load(session, [row("1")])
    id_ = session.scalar(sa.text("SELECT id FROM stores"))
    change_store(session, caller=OPERATOR, store_id=id_, version=1, fields={"at": Point(23.7, 61.5)}, now=NOW, horizon_d=35)
    session.flush()
    assert counts(load(session, [row("1")])) == (0, 0, 1, 0)
    assert counts(load(session, [row("1", "Renamed")])) == (0, 0, 0, 1)
    assert session.scalar(sa.text("SELECT count(*) FROM stores WHERE status = 'live'")) == 1


def test_rows_that_the_file_lost_are_counted_and_left(session: Session) -> None:
    load(session, [row("1"), row("2", lat=60.2)])
    report = load(session, [row("1")])
    assert report.notes["live_before_but_not_in_this_file"] == 1
    assert session.scalar(sa.text("SELECT count(*) FROM stores WHERE status = 'live'")) == 2


def test_samples_are_for_one_source_alone(session: Session) -> None:
    load(session, [row("1")], source="real")
    load(session, [row("1")], source="osm")
    ingest.load_samples(session, source="osm", seed=1, now=NOW)
    assert session.scalar(sa.text("SELECT rating_count FROM stores WHERE source = 'real'")) == 0


def test_an_honest_outlier_of_a_wide_file_is_no_swapped_row(session: Session) -> None:
    europe = [row(str(number), f"Store {number}", -5 + number / 2, 38 + number / 5) for number in range(100)]
    assert dict(load(session, [*europe, row("dubai", "Dubai", 54.3, 25.2)]).refused) == {}


def test_the_same_rows_of_another_source_are_other_stores(session: Session) -> None:
    load(session, [row("1")], source="a")
    assert counts(load(session, [row("1")], source="b")) == (1, 0, 0, 0)


def test_duplicates_are_refused_with_the_reason(session: Session) -> None:
    report = load(session, [row("1"), row("1", "Other", lat=60.2), row("2"), row("3", "Store", lat=60.1700001), Refused("x", "no_name", "")])
    assert dict(report.refused) == {"duplicate_id": 1, "duplicate": 2, "no_name": 1}
    assert report.new == 1


def test_two_places_at_one_postcode_are_two_places(session: Session) -> None:
    assert load(session, [row("1", exact_place=False), row("2", exact_place=False)]).new == 2


def test_swapped_axes_are_found_by_where_the_rest_lies(session: Session) -> None:
    good = [row(str(number), f"Store {number}", 24.94 + number / 10_000, 60.17 + number / 10_000) for number in range(100)]
    bad = [row("s1", "Swapped", 60.17, 24.94), row("s2", "Swapped too", 60.175, 24.945)]
    far = row("far", "Tampere", 23.76, 61.5)
    report = load(session, [*good, *bad, far])
    assert dict(report.refused) == {"swapped_axes": 2}
    assert {one.where for one in report.rows} == {"s1", "s2"}
    assert report.new == 101


def test_a_few_rows_are_too_few_to_call_one_swapped(session: Session) -> None:
    assert load(session, [row("1"), row("2", "Swapped", 60.17, 24.94)]).new == 2


def test_hours_that_do_not_parse_are_noted_and_the_store_is_kept(session: Session) -> None:
    report = load(session, [row("1", opening_hours="whenever"), row("2", lat=60.18, opening_hours="24/7")])
    assert (report.new, dict(report.notes)) == (2, {"opening_hours_not_understood": 1})
    assert session.execute(sa.text("SELECT source_id FROM stores WHERE hours_id IS NOT NULL")).scalars().all() == ["2"]


def test_a_rating_of_the_file_replaces_a_sample_and_silence_keeps_what_is_there(session: Session) -> None:
    load(session, [row("1"), row("2", lat=60.18)])
    ingest.load_samples(session, source="test", seed=1, now=NOW, most_offers=0)
    load(session, [row("1", rating_sum=9, rating_count=2), row("2", "Renamed", lat=60.18)])
    found = {one.source_id: one for one in session.execute(sa.text("SELECT * FROM stores"))}
    assert (found["1"].rating_sum, found["1"].rating_count, found["1"].rating_sample) == (9, 2, False)
    assert found["2"].rating_count > 0
    assert found["2"].rating_sample is True


def test_a_store_that_its_owner_removed_stays_removed(session: Session) -> None:
    load(session, [row("1")])
    session.execute(sa.text("UPDATE stores SET status = 'removed'"))
    assert counts(load(session, [row("1", "Renamed")])) == (0, 0, 1, 0)
    assert session.scalar(sa.text("SELECT status FROM stores")) == "removed"


def test_the_fixture_city_loads_and_a_rerun_changes_nothing(session: Session) -> None:
    first = ingest.load_districts(session, source="osm", layer="business", rows=osm.districts(HELSINKI), attribution="x", now=NOW)
    stores = load(session, list(osm.stores(HELSINKI)), source="osm")
    basemap = ingest.load_basemap(session, source="osm", rows=osm.basemap(HELSINKI), now=NOW)
    assert (first.new, stores.new > 1_000, basemap.new > 3_000) == (15, True, True)
    assert session.scalar(sa.text("SELECT count(*) FROM store_districts")) > 50
    before = session.execute(sa.text("SELECT md5(string_agg(s::text, '|' ORDER BY id)) FROM stores s")).scalar()

    again = ingest.load_districts(session, source="osm", layer="business", rows=osm.districts(HELSINKI), attribution="x", now=NOW + timedelta(days=1))
    assert (again.new, again.changed, again.unchanged) == (0, 0, 15)
    assert counts(load(session, list(osm.stores(HELSINKI)), source="osm")) == (0, 0, stores.new, 0)
    assert counts(ingest.load_basemap(session, source="osm", rows=osm.basemap(HELSINKI), now=NOW)) == (0, 0, basemap.new, 0)
    assert session.execute(sa.text("SELECT md5(string_agg(s::text, '|' ORDER BY id)) FROM stores s")).scalar() == before


def test_districts_place_their_stores_and_a_changed_outline_places_them_anew(session: Session, tmp_path: Path) -> None:
    load(session, [row("1"), row("2", lat=60.30)])

    def districts(south: float, north: float) -> Report:
        ring = [[24.9, south], [25.0, south], [25.0, north], [24.9, north], [24.9, south]]
        feature = {"type": "Feature", "id": "d", "geometry": {"type": "Polygon", "coordinates": [ring]}, "properties": {"name": "D"}}
        path = tmp_path / "d.geojson"
        path.write_text(json.dumps({"type": "FeatureCollection", "features": [feature, feature]}))
        return ingest.load_districts(session, source="t", layer="business", rows=geojson.districts(path, given={}), attribution="", now=NOW)

    placed = sa.text("SELECT s.source_id FROM store_districts d JOIN stores s ON s.id = d.store_id AND s.shard_cell = d.shard_cell ORDER BY 1")
    report = districts(60.1, 60.2)
    assert (report.new, dict(report.refused)) == (1, {"duplicate_id": 1})
    assert session.scalars(placed).all() == ["1"]
    assert districts(60.25, 60.35).changed == 1
    assert session.scalars(placed).all() == ["2"]
    # A district that has ended takes no stores any more, whichever come.
    session.execute(sa.text("/* test */ UPDATE districts SET in_force = false, valid_to = valid_from + interval '1 second'"))
    load(session, [row("1"), row("2", lat=60.30), row("3", lat=60.31)])
    assert session.scalars(placed).all() == ["2"]


def test_a_broken_file_loads_nothing(session: Session, tmp_path: Path) -> None:
    whole = HELSINKI.read_bytes()
    path = tmp_path / "cut.osm.pbf"
    path.write_bytes(whole[: len(whole) * 9 // 10])
    with pytest.raises(BrokenFile), session.begin_nested():
        load(session, osm.stores(path), source="osm")  # type: ignore[arg-type]
    assert session.scalar(sa.text("SELECT count(*) FROM stores")) == 0


def test_samples_are_the_same_for_the_same_seed_and_marked(session: Session) -> None:
    load(session, [row(str(number), f"Store {number}", lat=60.17 + number / 1_000, category="food.cafe") for number in range(40)])
    report = ingest.load_samples(session, source="test", seed=20, now=NOW, most_offers=25)
    assert (report.new, report.notes["offers"]) == (40, 25)
    ratings = session.execute(sa.text("SELECT source_id, rating_sum, rating_count FROM stores ORDER BY source_id")).all()
    assert [tuple(one) for one in ratings] == [
        (one.source_id, (made := samples.rating_of(20, one.source_id)).rating_sum, made.rating_count) for one in ratings
    ]
    assert session.scalar(sa.text("SELECT bool_and(sample) FROM offers")) is True
    assert session.scalar(sa.text("SELECT bool_and(sample) FROM offer_store")) is True
    assert session.scalar(sa.text("SELECT bool_and(rating_sample) FROM stores")) is True
    assert ingest.load_samples(session, source="test", seed=20, now=NOW, most_offers=25).notes["offers"] == 0
    assert samples.rating_of(21, "1") != samples.rating_of(20, "1")


# --- with processes of their own -----------------------------------------------------------------------------------------------


def run(settings: Settings, environment: dict[str, str], *arguments: str, **kwargs: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "geo_o2o", "load", *arguments]
    return subprocess.run(
        command, env={**environment, "GEO_O2O_DATABASE_URL": settings.database_url}, capture_output=True, text=True, check=False, **kwargs
    )


@pytest.fixture(scope="module")
def empty(fresh_database: Any) -> Settings:
    return fresh_database()  # type: ignore[no-any-return]


def scalar(settings: Settings, text: str) -> Any:
    engine = sa.create_engine(settings.write_url())
    with engine.connect() as connection:
        found = connection.scalar(sa.text(text))
    engine.dispose()
    return found


def write_csv(path: Path, count: int) -> Path:
    path.write_text(
        "id,name,lat,lng\n" + "".join(f"{number},Store {number},{50 + number / 100_000:.5f},{10 + number / 200_000:.5f}\n" for number in range(count))
    )
    return path


def test_a_dry_run_reports_and_changes_nothing(empty: Settings, environment: dict[str, str], tmp_path: Path) -> None:
    path, refused = tmp_path / "stores.csv", tmp_path / "refused.jsonl"
    path.write_text("id,name,lat,lng\n1,A,60.1,24.9\n2,,60.1,24.9\n3,B,191,24.9\n")
    done = run(empty, environment, "csv", str(path), "--source", "dry", "--dry-run", "--report", str(refused))
    assert done.returncode == 0, done.stderr
    assert "dry run: nothing was changed" in done.stdout
    assert "stores: 1 new, 0 changed, 0 unchanged, 2 refused" in done.stdout
    assert [json.loads(one)["reason"] for one in refused.read_text().splitlines()] == ["no_name", "bad_point"]
    assert scalar(empty, "SELECT count(*) FROM stores WHERE source = 'dry'") == 0


def test_a_broken_file_ends_with_one_sentence(empty: Settings, environment: dict[str, str], tmp_path: Path) -> None:
    path = tmp_path / "stores.csv"
    path.write_text("name,lat\nA,1\n")
    done = run(empty, environment, "csv", str(path), "--source", "broken")
    assert done.returncode == 1
    assert done.stderr.startswith("Error: stores.csv has no column for lng")
    assert "Traceback" not in done.stderr
    cut = tmp_path / "cut.osm.pbf"
    cut.write_bytes(HELSINKI.read_bytes()[:500_000])
    done = run(empty, environment, "osm", str(cut), "--source", "cut")
    assert (done.returncode, done.stderr.startswith("Error: cut.osm.pbf is no whole OSM file")) == (1, True)
    assert scalar(empty, "SELECT count(*) FROM stores") == scalar(empty, "SELECT count(*) FROM districts") == 0


def test_two_loads_of_one_file_at_once_make_each_store_once(empty: Settings, environment: dict[str, str], tmp_path: Path) -> None:
    path = write_csv(tmp_path / "stores.csv", 3_000)
    results: list[dict[str, Any]] = []

    def once() -> None:
        done = run(empty, environment, "csv", str(path), "--source", "twice", "--json")
        assert done.returncode == 0, done.stderr
        results.append(json.loads(done.stdout)["reports"][0])

    threads = [threading.Thread(target=once) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted((one["new"], one["unchanged"]) for one in results) == [(0, 3_000), (3_000, 0)]
    assert scalar(empty, "SELECT count(*) FROM stores WHERE source = 'twice'") == 3_000


@pytest.mark.parametrize("delay_s", [1.6, 2.4, 3.2])
def test_a_kill_in_the_middle_leaves_nothing_and_the_next_run_loads_all(
    empty: Settings, environment: dict[str, str], tmp_path: Path, delay_s: float
) -> None:
    path, source = write_csv(tmp_path / "stores.csv", 60_000), f"killed-{delay_s}"
    command = [sys.executable, "-m", "geo_o2o", "load", "csv", str(path), "--source", source]
    with subprocess.Popen(
        command, env={**environment, "GEO_O2O_DATABASE_URL": empty.database_url}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        time.sleep(delay_s)
        finished = process.poll() is not None
        if not finished:
            os.kill(process.pid, signal.SIGKILL)
    count = scalar(empty, f"SELECT count(*) FROM stores WHERE source = '{source}'")
    assert count == (60_000 if finished else 0) or count == 60_000  # the kill may come between the commit and the end
    done = run(empty, environment, "csv", str(path), "--source", source, "--json")
    assert done.returncode == 0, done.stderr
    assert scalar(empty, f"SELECT count(*) FROM stores WHERE source = '{source}'") == 60_000


def test_a_real_change_feed_is_replayed(session: Session) -> None:
    """London in August and in November: what was re-rated changes, what opened is new, the rest is left alone."""
    import csv
    import gzip

    path = shared_data("london/rating_changes.csv.gz")
    with gzip.open(path, "rt", encoding="utf-8") as file:
        changes = [one for one in csv.DictReader(file) if one["lon"] and one["lat"] and one["name"]]
    rated = {one["FHRSID"]: one for one in changes if one["event"] == "rerated"}

    def rows(column: str) -> list[StoreRow | Refused]:
        return [
            check_store("", source_id=id_, name=one["name"], lon=one["lon"], lat=one["lat"], exact_place=False,
                        rating_sum=int(value) if (value := one[column]).isdigit() and value != "0" else 0,
                        rating_count=int(value.isdigit() and value != "0"))
            for id_, one in rated.items()
        ]  # fmt: skip

    assert load(session, rows("old_rating"), source="fhrs").new == len(rated)
    opened = [
        check_store("", source_id=one["FHRSID"], name=one["name"], lon=one["lon"], lat=one["lat"]) for one in changes if one["event"] == "opened"
    ]
    report = load(session, [*rows("new_rating"), *opened], source="fhrs")
    assert report.changed > len(rated) * 0.8
    assert report.new == len({one["FHRSID"] for one in changes if one["event"] == "opened"} - set(rated)) - report.refused["duplicate"]


def test_new_york_is_loaded_by_named_columns() -> None:
    path = shared_data("nyc/nyc_restaurants.csv.gz")
    rows = list(tables.stores(path, given={"source_id": "camis", "lng": "lon", "postcode": "zipcode"}))
    good = [one for one in rows if isinstance(one, StoreRow)]
    assert len(good) / len(rows) > 0.99
