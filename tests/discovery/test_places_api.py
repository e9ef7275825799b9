"""Where a typed place is: streets, waters, parks and districts by their names."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from ..conftest import Api
from ..factories import make_district
from ..test_http import problem_of

HERE = {"lat": 60.169, "lng": 24.9414}


def add(session: Session, name: str, shape: str, *, layer: str = "roads", names: str = "{}") -> None:
    session.execute(
        sa.text(
            "INSERT INTO basemap_features (source, source_id, layer, kind, name, names, shape, source_hash)"
            " VALUES ('test', :name || :shape, :layer, 'minor_road', :name, CAST(:names AS jsonb), ST_GeomFromText(:shape, 4326), 0)"
        ),
        {"name": name, "shape": shape, "layer": layer, "names": names},
    )
    session.commit()


def found(api: Api, q: str, **more: object) -> list[tuple[str, str]]:
    return [(one["text"], one["of"]) for one in api.get("/v1/places", q=q, **{**HERE, **more}).get_json()["items"]]


def test_a_street_of_many_pieces_is_one_place_at_its_nearest(session: Session, app_api: Api) -> None:
    for west in (24.93, 24.94, 24.95):
        add(session, "Eteläesplanadi", f"LINESTRING({west} 60.167, {west + 0.01} 60.167)", names='{"sv": "Södra Esplanaden"}')
    [one] = app_api.get("/v1/places", q="etel", **HERE).get_json()["items"]
    assert (one["kind"], one["text"], one["of"], one["lat"]) == ("place", "Eteläesplanadi", "roads", pytest.approx(60.167))
    assert one["lng"] == pytest.approx(24.9414, abs=1e-4)
    assert one["distance_m"] == pytest.approx(223, abs=2)
    assert found(app_api, "södra") == [("Södra Esplanaden", "roads")]


def test_a_park_and_a_district_are_found_inside_of_them(session: Session, app_api: Api) -> None:
    add(session, "Esplanadin puisto", "POLYGON((24.944 60.167, 24.95 60.167, 24.95 60.168, 24.944 60.168, 24.944 60.167))", layer="landuse")
    make_district(session, name="Esplanadi quarter")
    session.commit()
    assert set(found(app_api, "espla")) == {("Esplanadin puisto", "landuse"), ("Esplanadi quarter", "district")}
    assert found(app_api, "quart") == [("Esplanadi quarter", "district")]


def test_names_that_begin_so_come_first_and_then_the_nearest(session: Session, app_api: Api) -> None:
    add(session, "Uusi Kaivokatu", "LINESTRING(24.9414 60.169, 24.9415 60.169)")
    add(session, "Kaivopuisto", "LINESTRING(24.96 60.156, 24.961 60.156)")
    add(session, "Kaivokatu", "LINESTRING(24.94 60.171, 24.943 60.171)")
    assert [text for text, _ in found(app_api, "KAIVO")] == ["Kaivokatu", "Kaivopuisto", "Uusi Kaivokatu"]
    assert [text for text, _ in found(app_api, "kaivo", limit=1)] == ["Kaivokatu"]
    assert [text for text, _ in found(app_api, "kaivo", radius_m=500)] == ["Kaivokatu", "Uusi Kaivokatu"]


def test_signs_of_patterns_are_letters(session: Session, app_api: Api) -> None:
    add(session, "100% Street", "LINESTRING(24.94 60.169, 24.943 60.169)")
    assert found(app_api, "100%") == [("100% Street", "roads")]
    assert found(app_api, "1_0") == found(app_api, "%") == found(app_api, "\\") == []


def test_over_the_date_line(session: Session, app_api: Api) -> None:
    add(session, "Far Road", "LINESTRING(-179.999 0, -179.99 0)")
    assert found(app_api, "far", lat=0, lng=179.999) == [("Far Road", "roads")]
    assert found(app_api, "far", lat=0, lng=-179.98) == [("Far Road", "roads")]


def test_from_a_pole(app_api: Api) -> None:
    assert found(app_api, "x", lat=90, lng=0) == []


@pytest.mark.parametrize(
    "params", [{}, {"q": ""}, {"q": "x" * 1_000}, {"q": "a\0"}, {"q": "a", "lat": "nan"}, {"q": "a", "lat": 91}, {"q": "a", "limit": 0}, {"q": "a", "radius_m": 1e9}]
)  # fmt: skip
def test_what_is_not_a_question_is_refused_by_its_field(app_api: Api, params: dict[str, object]) -> None:
    problem_of(app_api.get("/v1/places", **{**HERE, **params}), 422, "invalid_input")
