"""Files in: what each reader makes of good and of broken ones. Nothing here touches the database."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geo_o2o.copying import Stream, line
from geo_o2o.ingest import fhrs, geojson, osm, tables
from geo_o2o.ingest.report import BrokenFile
from geo_o2o.ingest.rows import DistrictRow, Refused, StoreRow, check_store
from geo_o2o.stores.categories import from_fhrs, from_osm, tree

from ..conftest import FIXTURES, shared_data

HEADER = "id,name,lat,lng,category\n"


def rows_of(tmp_path: Path, text: str | bytes, name: str = "stores.csv", **kwargs: Any) -> list[StoreRow | Refused]:
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return list(tables.stores(path, given=kwargs.pop("given", {}), **kwargs))


def reasons(rows: list[StoreRow | Refused]) -> list[str]:
    return [row.reason if isinstance(row, Refused) else "ok" for row in rows]


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"name": None}, "no_name"), ({"name": "  "}, "no_name"), ({"name": "x" * 301}, "name_too_long"), ({"name": "a\x00b"}, "bad_encoding"),
        ({"lat": None}, "bad_point"), ({"lat": "north"}, "bad_point"), ({"lat": "nan"}, "bad_point"), ({"lat": "inf"}, "bad_point"), ({"lat": 91, "lon": 200}, "bad_point"),
        ({"lat": 121.0, "lon": 24.8}, "swapped_axes"), ({"lat": 0, "lon": 0}, "bad_point"), ({"source_id": "x" * 201}, "bad_id"),
    ],
)  # fmt: skip
def test_why_a_row_is_refused(values: dict[str, Any], reason: str) -> None:
    found = check_store("line 2", **{"source_id": "1", "name": "Store", "lon": 24.9, "lat": 60.1, **values})
    assert isinstance(found, Refused)
    assert (found.where, found.reason) == ("line 2", reason)


@pytest.mark.parametrize(
    "rest", [{"brand": "a\x00"}, {"brand": "\ud800"}, {"address": {"city": "\x01"}}, {"names": {"en": "\ud800"}}, {"tags": ("a\x00",)}]
)
def test_text_that_cannot_be_stored_costs_one_row(rest: dict[str, Any]) -> None:
    found = check_store("", source_id="1", name="A", lon=24, lat=60, **rest)
    assert isinstance(found, Refused)
    assert found.reason == "bad_encoding"


def test_ratings_beyond_all_bounds_and_scripts_for_websites() -> None:
    assert isinstance(check_store("", source_id="1", name="A", lon=24, lat=60, rating_sum=10**12, rating_count=10**11), Refused)
    row = check_store("", source_id="1", name="A", lon=24, lat=60, website="javascript:alert(1)")
    assert isinstance(row, StoreRow)
    assert row.website is None


def test_a_row_without_an_id_gets_one_of_its_own_that_stays(tmp_path: Path) -> None:
    text = "name,lat,lng\nKahvila,60.1,24.9\nKahvila,60.2,24.9\n"
    first, again = rows_of(tmp_path, text), rows_of(tmp_path, text)
    assert [row.source_id for row in first] == [row.source_id for row in again]  # type: ignore[union-attr]
    assert len({row.source_id for row in first}) == 2  # type: ignore[union-attr]


def test_a_csv_with_a_byte_order_mark_and_windows_lines(tmp_path: Path) -> None:
    (row,) = rows_of(tmp_path, b"\xef\xbb\xbfid,name,lat,lng,category\r\n1,Kahvila,60.1,24.9,food.cafe\r\n")
    assert isinstance(row, StoreRow)
    assert (row.source_id, row.name, row.category) == ("1", "Kahvila", "food.cafe")


def test_columns_by_their_usual_or_given_names(tmp_path: Path) -> None:
    text = "ID,Name,Latitude,Longitude,name:zh\n1,Kahvila,60.1,24.9,咖啡馆\n"
    (row,) = rows_of(tmp_path, text)
    assert isinstance(row, StoreRow)
    assert (row.at.lat, row.names) == (60.1, {"zh": "咖啡馆"})
    (row,) = rows_of(tmp_path, "nimi,y,x\nKahvila,60.1,24.9\n", given={"name": "nimi", "lat": "y", "lng": "x"})
    assert isinstance(row, StoreRow)
    assert row.name == "Kahvila"


@pytest.mark.parametrize(("text", "words"), [("id,name,lat\n1,a,2\n", "lng"), ("", "empty"), ("a,b\n", "name, lat, lng")])
def test_a_missing_column_is_named_and_nothing_is_read(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(BrokenFile, match=words):
        rows_of(tmp_path, text)


def test_a_given_column_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(BrokenFile, match="Breite"):
        rows_of(tmp_path, HEADER, given={"lat": "Breite"})


def test_latin_1_bytes_spoil_their_row_alone_unless_the_encoding_is_given(tmp_path: Path) -> None:
    text = (HEADER + "1,Kahvila Ääni,60.1,24.9,\n2,Plain,60.1,24.9,\n").encode("latin-1")
    found = rows_of(tmp_path, text)
    assert reasons(found) == ["bad_encoding", "ok"]
    assert "--encoding" in found[0].detail  # type: ignore[union-attr]
    assert rows_of(tmp_path, text, encoding="latin-1")[0].name == "Kahvila Ääni"  # type: ignore[union-attr]


def test_an_encoding_that_nobody_knows(tmp_path: Path) -> None:
    with pytest.raises(BrokenFile, match="klingon"):
        rows_of(tmp_path, HEADER, encoding="klingon")


def test_one_broken_row_in_10_000_costs_one_row(tmp_path: Path) -> None:
    lines = [f"{number},Store {number},60.{number:04},24.9," for number in range(10_000)]
    lines[5_000] = "5000,Store 5000,60.1"
    lines[7_000] = "7000,Store 7000,60.1,24.9,,one,too,many"
    found = rows_of(tmp_path, HEADER + "\n".join(lines))
    assert reasons(found).count("ok") == 9_998
    assert {row.where: row.reason for row in found if isinstance(row, Refused)} == {
        "line 5002": "wrong_number_of_fields",
        "line 7002": "wrong_number_of_fields",
    }


def test_a_gzipped_csv_and_one_cut_in_the_middle(tmp_path: Path) -> None:
    whole = gzip.compress((HEADER + "".join(f"{number},Store {number},60.1,24.9,\n" for number in range(5_000))).encode())
    assert len(rows_of(tmp_path, whole, "stores.csv.gz")) == 5_000
    with pytest.raises(BrokenFile):
        rows_of(tmp_path, whole[: len(whole) // 2], "stores.csv.gz")


def test_a_parquet_table_and_one_cut_in_the_middle(tmp_path: Path) -> None:
    path = tmp_path / "stores.parquet"
    pq.write_table(pa.table({"id": [1, 2], "name": ["A", None], "lat": [60.1, 60.2], "lng": [24.9, 24.8]}), path)
    assert reasons(list(tables.stores(path, given={}))) == ["ok", "no_name"]
    with pytest.raises(BrokenFile):
        rows_of(tmp_path, path.read_bytes()[:100], "cut.parquet")


@pytest.mark.parametrize(
    ("rating", "count", "expected"),
    [("", "", (0, 0)), ("4.5", "10", (45, 10)), ("4.5", "", (4, 1)), ("5", "0", (5, 1)), ("1", "3", (3, 3))],
)
def test_ratings_of_a_table(tmp_path: Path, rating: str, count: str, expected: tuple[int, int]) -> None:
    (row,) = rows_of(tmp_path, f"id,name,lat,lng,rating,rating_count\n1,A,60,24,{rating},{count}\n")
    assert isinstance(row, StoreRow)
    assert (row.rating_sum, row.rating_count) == expected


def test_a_rating_out_of_range_refuses_the_row(tmp_path: Path) -> None:
    assert reasons(rows_of(tmp_path, "id,name,lat,lng,rating\n1,A,60,24,9\n2,A,60,24,nan\n")) == ["bad_rating", "bad_rating"]


def test_categories_of_osm_tags() -> None:
    cases: list[tuple[dict[str, str], str | None]] = [
        ({"shop": "books"}, "shop.books"), ({"shop": "spaceships"}, "shop"), ({"shop": "vacant"}, None), ({"amenity": "bench"}, None), ({"amenity": "cafe"}, "food.cafe"),
        ({"amenity": "nightclub;restaurant"}, "leisure.nightclub"), ({"shop": "unknown;books"}, "shop.books"), ({"shop": "no", "amenity": "bar"}, "food.bar"), ({}, None),
    ]  # fmt: skip
    for tags, category in cases:
        assert from_osm(tags) == category, tags
    assert from_fhrs("Restaurant/Cafe/Canteen") == "food.restaurant"
    assert from_fhrs("Something new") == "other"


def test_the_category_tree_is_whole() -> None:
    ids = [node.id for node in tree().values()]
    assert len(ids) == len(set(ids))
    assert all(node.parent_code is None or node.parent_code in tree() for node in tree().values())
    tags = [tag for node in tree().values() for tag in node.osm]
    assert len(tags) == len(set(tags)), "an OSM tag stands in two categories"


def test_the_fixture_city_is_read_as_the_data_page_says() -> None:
    found = list(osm.stores(FIXTURES / "helsinki.osm.pbf"))
    stores = [row for row in found if isinstance(row, StoreRow)]
    assert len(stores) > 1_000
    assert sum(bool(row.opening_hours) for row in stores) > 400
    assert any(row.names.get("en") for row in stores)
    assert any(row.footprint is not None for row in stores)
    assert {row.reason for row in found if isinstance(row, Refused)} == {"no_name", "bad_point"}
    assert len([row for row in osm.districts(FIXTURES / "helsinki.osm.pbf") if isinstance(row, DistrictRow)]) == 15
    layers = [row.layer for row in osm.basemap(FIXTURES / "helsinki.osm.pbf")]
    assert layers.count("roads") > 2_000
    assert layers.count("buildings") > 400
    assert layers.count("water") > 0
    assert layers.count("landuse") > 0


def test_chinese_names_of_another_city() -> None:
    stores = [row for row in osm.stores(shared_data("hsinchu/hsinchu_east.osm.pbf")) if isinstance(row, StoreRow)]
    assert len(stores) > 100
    assert any(any("\u4e00" <= char <= "\u9fff" for char in row.name) for row in stores)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("reader", [osm.stores, osm.districts, osm.basemap])
def test_a_pbf_cut_in_the_middle(tmp_path: Path, share: float, reader: Any) -> None:
    whole = (FIXTURES / "helsinki.osm.pbf").read_bytes()
    path = tmp_path / "cut.osm.pbf"
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(BrokenFile, match=r"cut\.osm\.pbf"):
        list(reader(path))


def test_a_file_that_is_no_osm_file(tmp_path: Path) -> None:
    path = tmp_path / "text.osm.pbf"
    path.write_text("no map at all")
    with pytest.raises(BrokenFile):
        list(osm.stores(path))


def test_hygiene_ratings_of_a_real_file() -> None:
    rows = list(fhrs.stores(shared_data("london/fhrs_central_london.csv.gz")))
    stores = [row for row in rows if isinstance(row, StoreRow)]
    assert len(rows) == 18_387
    assert {row.rating_count for row in stores} == {0, 1}
    assert {row.rating_sum for row in stores} == {0, 1, 2, 3, 4, 5}
    assert all(row.tags[0].startswith("fhrs_rating:") for row in stores if row.rating_count)


def test_hygiene_ratings_as_the_agencys_xml(tmp_path: Path) -> None:
    path = tmp_path / "ratings.xml"
    detail = (
        "<EstablishmentDetail><FHRSID>{id}</FHRSID><BusinessName>{name}</BusinessName><BusinessType>Restaurant/Cafe/Canteen</BusinessType>"
        "<PostCode>NW1</PostCode><RatingValue>{value}</RatingValue>{geo}</EstablishmentDetail>"
    )
    geo = "<Geocode><Longitude>-0.14</Longitude><Latitude>51.53</Latitude></Geocode>"
    body = (
        detail.format(id=1, name="Café", value="0", geo=geo)
        + detail.format(id=2, name="B", value="Exempt", geo=geo)
        + detail.format(id=3, name="C", value="5", geo="<Geocode/>")
    )
    path.write_text(f"<FHRSEstablishment><EstablishmentCollection>{body}</EstablishmentCollection></FHRSEstablishment>", encoding="utf-8")
    found = list(fhrs.stores(path))
    assert reasons(found) == ["ok", "ok", "no_point"]
    assert [(row.name, row.rating_sum, row.rating_count, row.category) for row in found[:2]] == [
        ("Café", 1, 1, "food.restaurant"),
        ("B", 0, 0, "food.restaurant"),
    ]  # type: ignore[union-attr]
    path.write_text(path.read_text()[:300])
    with pytest.raises(BrokenFile):
        list(fhrs.stores(path))


def test_hygiene_ratings_without_their_columns(tmp_path: Path) -> None:
    path = tmp_path / "other.csv"
    path.write_text("a,b\n1,2\n")
    with pytest.raises(BrokenFile, match="FHRSID"):
        list(fhrs.stores(path))


def feature(geometry: Any, **properties: Any) -> dict[str, Any]:
    return {"type": "Feature", "geometry": geometry, "properties": properties}


def test_geojson_points_and_areas(tmp_path: Path) -> None:
    path = tmp_path / "map.geojson"
    square = {"type": "Polygon", "coordinates": [[[0, 0], [1, 0], [1, 1], [0, 1], [0, 0]]]}
    bow = {"type": "Polygon", "coordinates": [[[0, 0], [1, 1], [1, 0], [0, 1], [0, 0]]]}
    features = [
        feature({"type": "Point", "coordinates": [24.9, 60.1, 3]}, name="A", category="amenity=cafe"), feature({"type": "Point", "coordinates": []}, name="B"),
        feature(None, name="C"), feature(square, name="D"), feature(bow, name="E"), feature(square), feature({"type": "Polygon", "coordinates": [[[0, 0]]]}, name="F"),
    ]  # fmt: skip
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [*features, "nonsense"]}))
    stores = list(geojson.stores(path, given={}))
    assert reasons(stores) == ["ok", "bad_point", "bad_point", "bad_point", "bad_point", "bad_point", "bad_point"]
    assert stores[0].category == "food.cafe"  # type: ignore[union-attr]
    districts = list(geojson.districts(path, given={}))
    assert [row.name if isinstance(row, DistrictRow) else row.reason for row in districts] == [
        "not_an_area", "not_an_area", "not_an_area", "D", "E", "no_name", "ring_not_closed",
    ]  # fmt: skip


@pytest.mark.parametrize("text", ["", "{", "[]", '{"type": "FeatureCollection"}', "[" * 100_000])
def test_a_file_that_is_no_geojson(tmp_path: Path, text: str) -> None:
    path = tmp_path / "broken.geojson"
    path.write_text(text)
    with pytest.raises(BrokenFile):
        list(geojson.districts(path, given={}))


def test_boundaries_are_districts_of_the_administrative_layer(tmp_path: Path) -> None:
    square = "".join(f'<node id="{n}" lat="{60 + n // 2 % 2}" lon="{24 + (n + 1) // 2 % 2}"/>' for n in range(1, 5))
    way = '<way id="1">' + "".join(f'<nd ref="{n}"/>' for n in (1, 2, 3, 4, 1))
    tags = "".join(f'<tag k="{key}" v="{value}"/>' for key, value in {"boundary": "administrative", "name": "Kallio", "name:sv": "Berghäll"}.items())
    path = tmp_path / "a.osm"
    path.write_text(f'<osm version="0.6">{square}{way}{tags}</way></osm>')
    (found,) = osm.districts(path, "administrative")
    assert isinstance(found, DistrictRow)
    assert (found.name, found.names) == ("Kallio", {"sv": "Berghäll"})
    assert list(osm.districts(path)) == []


def test_new_yorks_business_districts_and_its_broken_borough() -> None:
    bids = [row for row in geojson.districts(shared_data("nyc/nyc_bids.geojson"), given={}) if isinstance(row, DistrictRow)]
    assert len(bids) == 65
    boroughs = list(geojson.districts(shared_data("nyc/nyc_boroughs.geojson"), given={"name": "borough"}))
    assert sum(isinstance(row, DistrictRow) for row in boroughs) == 5


def test_a_fingerprint_changes_with_every_field() -> None:
    base = check_store("", source_id="1", name="A", lon=24.9, lat=60.1)
    assert isinstance(base, StoreRow)
    prints = {base.fingerprint()}
    for change in ({"name": "B"}, {"lon": 24.91}, {"category": "food"}, {"names": {"en": "A"}}, {"brand": "b"}, {"address": {"city": "c"}}, {"phone": "1"},
                   {"website": "https://a"}, {"tags": ("a",)}, {"opening_hours": "24/7"}, {"price_band": 1}, {"rating_sum": 5, "rating_count": 1}):  # fmt: skip
        row = check_store("", **{"source_id": "1", "name": "A", "lon": 24.9, "lat": 60.1, **change})
        assert isinstance(row, StoreRow)
        prints.add(row.fingerprint())
    assert len(prints) == 13


@given(st.lists(st.text(max_size=80), max_size=30), st.integers(1, 50))
def test_a_stream_hands_over_all_bytes_whatever_the_size_asked(texts: list[str], size: int) -> None:
    texts = [text.encode("utf-8", "replace").decode() for text in texts]
    stream = Stream(texts)
    pieces = []
    while piece := stream.read(size):
        assert len(piece) <= size
        pieces.append(piece)
    assert b"".join(pieces) == "".join(texts).encode()


def test_copy_lines_escape_what_copy_would_misread() -> None:
    assert line([None, True, 5, "a\tb\\c\nd\re", {"k": "v\\"}, ["x,y", 'q"\\'], {}, []]) == (
        '\\N\tt\t5\ta\\tb\\\\c\\nd\\re\t{"k": "v\\\\\\\\"}\t{"x,y","q\\\\"\\\\\\\\"}\t{}\t{}\n'
    )
