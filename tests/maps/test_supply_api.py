"""Supply through the API: what is asked for, what is answered, in which form, and what is refused."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from typing import Any

import h3.api.basic_int as h3
import pyarrow as pa
import pytest
from shapely.geometry import box, shape
from sqlalchemy.orm import Session

from geo_o2o.geo.cells import cell_of, parse_hex
from geo_o2o.geo.point import Point
from geo_o2o.http import utcnow
from geo_o2o.maps.outlines import outline
from geo_o2o.maps.schemas import Heat

from ..conftest import Api
from ..factories import HELSINKI, make_district, make_offer, make_store
from ..test_http import problem_of
from .asking import BOX, rolled_up, rows_of, scatter


@pytest.mark.parametrize("resolution", [6, 8, 9, 11])
def test_supply_counts_every_store_once_in_the_cell_that_holds_its_index(planner_api: Api, session: Session, resolution: int) -> None:
    points = scatter(session, 60)
    outside = Point(24.97, 60.17)
    make_store(session, name="outside the box", at=outside)
    make_store(session, name="closed", status="closed")
    session.commit()
    touching = box(24.93, 60.16, 24.96, 60.18)
    cells = Counter(h3.cell_to_parent(cell_of(point), resolution) for point in [*points, outside])
    expected = {cell: count for cell, count in cells.items() if shape(outline(cell)).intersects(touching)}
    for _ in range(2):
        # Summed up with the question, and then from what was rolled up.
        body = planner_api.get("/v1/heat/supply", bbox=BOX, resolution=resolution).get_json()
        assert {parse_hex(one["cell"]): one["stores"] for one in rows_of(body)} == expected
        assert set(body) <= set(Heat().fields)
        for one in rows_of(body):
            assert one["area_km2"] == pytest.approx(h3.cell_area(parse_hex(one["cell"]), unit="km^2"), abs=1e-6)
            assert one["stores_per_km2"] == pytest.approx(one["stores"] / one["area_km2"], abs=0.001 + one["stores_per_km2"] * 1e-3)
        rolled_up(session)


def test_offers_ratings_and_open_share_are_the_cells(planner_api: Api, session: Session) -> None:
    always = make_store(session, opening_hours="24/7", rating=(9, 2), now=utcnow())
    make_store(session, opening_hours="off", rating=(3, 1), now=utcnow())
    make_store(session)
    make_offer(session, always)
    make_offer(session, always, status="draft")
    session.commit()
    (cell,) = rows_of(planner_api.get("/v1/heat/supply", bbox=BOX, resolution=9).get_json())
    assert cell["sample"] is False
    assert (cell["stores"], cell["offers"], cell["rating_mean"], cell["rating_count"], cell["open_share"]) == (3, 1, 4.0, 3, 0.5)


def test_figures_made_from_samples_say_so(planner_api: Api, session: Session) -> None:
    make_store(session, rating=(9, 2), rating_sample=True)
    session.commit()
    assert [one["sample"] for one in rows_of(planner_api.get("/v1/heat/supply", bbox=BOX).get_json())] == [True]


def test_a_districts_supply_is_that_of_its_stores_and_sums_to_them(planner_api: Api, session: Session) -> None:
    district = make_district(session, half_deg=0.005)
    inside = sum(abs(point.lon - HELSINKI.lon) <= 0.005 and abs(point.lat - HELSINKI.lat) <= 0.005 for point in scatter(session, 80))
    session.commit()
    sums = {
        resolution: sum(
            one["stores"] for one in rows_of(planner_api.get("/v1/heat/supply", district=str(district.id), resolution=resolution).get_json())
        )
        for resolution in (6, 9, 11)
    }
    assert set(sums.values()) == {inside}
    assert 0 < inside < 80
    books = rows_of(planner_api.get("/v1/heat/supply", district=str(district.id), category="shop").get_json())
    assert 0 < sum(one["stores"] for one in books) < inside


def test_supply_as_geojson_has_outlines(planner_api: Api, session: Session) -> None:
    scatter(session, 20)
    session.commit()
    response = planner_api.get("/v1/heat/supply", bbox=BOX, resolution=10, format="geojson")
    assert response.mimetype == "application/geo+json"
    body = response.get_json()
    assert body["type"] == "FeatureCollection"
    for one in body["features"]:
        hexagon = shape(one["geometry"])
        assert hexagon.is_valid
        assert hexagon.exterior.is_ccw
        assert hexagon.contains(shape({"type": "Point", "coordinates": [one["properties"]["lng"], one["properties"]["lat"]]}))


def test_a_box_across_the_date_line_counts_both_sides(planner_api: Api, session: Session) -> None:
    make_store(session, at=Point(179.99, -17), time_zone="UTC")
    make_store(session, at=Point(-179.99, -17), time_zone="UTC")
    make_store(session, at=Point(179.0, -17), time_zone="UTC")
    session.commit()
    items = rows_of(planner_api.get("/v1/heat/supply", bbox="179.9,-17.1,-179.9,-16.9", resolution=8).get_json())
    assert sum(one["stores"] for one in items) == 2


def test_an_outline_across_the_date_line_is_cut_in_two() -> None:
    cell = cell_of(Point(180, 10), 5)
    geometry = shape(outline(cell))
    assert geometry.geom_type == "MultiPolygon"
    west, _, east, _ = geometry.bounds
    assert (west, east) == (-180.0, 180.0)


@pytest.mark.parametrize(
    ("params", "field"),
    [
        ({}, "district"), ({"bbox": BOX, "district": "01a1fff2-6630-8112-9b5c-a9272055c5ec"}, "district"), ({"bbox": "24,60,25"}, "bbox"), ({"bbox": "24,61,25,60"}, "bbox"),
        ({"bbox": "nan,60,25,61"}, "bbox"), ({"bbox": "60,24,61,125"}, "bbox"), ({"bbox": BOX, "resolution": 5}, "resolution"), ({"bbox": BOX, "resolution": 12}, "resolution"),
        ({"bbox": BOX, "category": "x"}, "category"), ({"bbox": BOX, "format": "xml"}, "format"), ({"bbox": "-180,-90,180,90"}, "bbox"),
    ],
)  # fmt: skip
def test_supply_refuses_nonsense_by_name(planner_api: Api, params: dict[str, Any], field: str) -> None:
    response = planner_api.get("/v1/heat/supply", **params)
    assert response.status_code == 422, response.text
    assert response.get_json()["errors"][0]["field"] == field


def test_supply_of_a_district_that_is_not_there(planner_api: Api) -> None:
    problem_of(planner_api.get("/v1/heat/supply", district="01a1fff2-6630-8112-9b5c-a9272055c5ec"), 404, "not_found")


@pytest.mark.parametrize(
    ("params", "field"),
    [
        ({"bbox": BOX, "as_of": "2026-11-01T00:00:00Z", "since": "2026-11-02T00:00:00Z"}, "since"),
        ({"bbox": BOX, "as_of": "yesterday"}, "as_of"),
        ({"bbox": BOX, "as_of": "2026-11-01T00:00:00Z", "open_at": "2026-11-02T00:00:00Z"}, "open_at"),
        ({"bbox": BOX, "within": "{}"}, "within"),
        ({"within": "nonsense"}, "within"),
        ({"within": json.dumps({"type": "Polygon", "coordinates": [[[0, 0], [1, 1], [1, 0], [0, 1], [0, 0]]]})}, "within"),
        ({"bbox": BOX, "zoom": 23}, "zoom"),
        ({"bbox": BOX, "resolution": 15}, "resolution"),
    ],
)
def test_questions_that_cannot_be_are_refused_by_name(planner_api: Api, params: dict[str, Any], field: str) -> None:
    assert problem_of(planner_api.get("/v1/heat/supply", **params), 422, "invalid_input")["errors"][0]["field"] == field


def test_a_country_at_the_finest_resolution_is_refused_with_the_reason(planner_api: Api) -> None:
    body = problem_of(planner_api.get("/v1/heat/supply", bbox="-8,50,2,59", resolution=11), 422, "too_many_cells")
    assert "coarser" in body["errors"][0]["message"]
    assert planner_api.get("/v1/heat/supply", bbox="-8,50,2,59").get_json()["resolution"] == 6


@pytest.mark.parametrize(("zoom", "resolution"), [(0, 6), (10, 6), (12, 8), (14, 9), (16, 10), (22, 11)])
def test_the_zoom_chooses_the_resolution(planner_api: Api, zoom: int, resolution: int) -> None:
    assert planner_api.get("/v1/heat/supply", bbox=BOX, zoom=zoom).get_json()["resolution"] == resolution


def test_without_either_the_area_chooses_it(planner_api: Api) -> None:
    assert planner_api.get("/v1/heat/supply", bbox=BOX).get_json()["resolution"] == 11
    assert planner_api.get("/v1/heat/supply", bbox="24.5,60.0,25.5,60.5").get_json()["resolution"] == 7


def test_every_form_says_the_same(planner_api: Api, session: Session) -> None:
    scatter(session, 30)
    session.commit()
    rolled_up(session)

    def ask(form: str) -> Any:
        return planner_api.get("/v1/heat/supply", bbox=BOX, resolution=10, format=form)

    rows = rows_of(ask("json").get_json())
    assert len(rows) > 10
    assert [one["properties"] for one in ask("geojson").get_json()["features"]] == rows
    answer = ask("csv")
    assert answer.mimetype == "text/csv"
    read = list(csv.DictReader(io.StringIO(answer.text)))
    assert [(one["cell"], int(one["stores"]), one["rating_mean"]) for one in read] == [
        (one["cell"], one["stores"], "" if one["rating_mean"] is None else str(one["rating_mean"])) for one in rows
    ]
    answer = ask("arrow")
    assert answer.mimetype == "application/vnd.apache.arrow.stream"
    table = pa.ipc.open_stream(answer.data).read_all()
    assert table.to_pylist() == rows
    assert table.schema.metadata[b"layer"] == b'"supply"'
    tag = ask("csv").headers["ETag"]
    assert planner_api("GET", f"/v1/heat/supply?bbox={BOX}&resolution=10&format=csv", headers={"If-None-Match": tag}).status_code == 304


def test_an_outline_shows_the_cells_that_touch_it(planner_api: Api, session: Session) -> None:
    scatter(session, 60)
    session.commit()
    triangle = {"type": "Polygon", "coordinates": [[[24.935, 60.162], [24.955, 60.162], [24.945, 60.178], [24.935, 60.162]]]}
    found = rows_of(planner_api.get("/v1/heat/supply", within=json.dumps(triangle), resolution=10).get_json())
    everywhere = rows_of(planner_api.get("/v1/heat/supply", bbox=BOX, resolution=10).get_json())
    expected = [one for one in everywhere if shape(outline(parse_hex(one["cell"]))).intersects(shape(triangle))]
    assert 0 < len(found) < len(everywhere)
    assert found == expected
