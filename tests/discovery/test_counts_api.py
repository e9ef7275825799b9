"""How many: facets, and clusters for a map, at any zoom and of any size."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy.orm import Session

from geo_o2o.geo.cells import cell_of, parent, to_hex
from geo_o2o.geo.point import Point

from ..factories import HELSINKI, make_offer, make_store
from .places import HERE, at


def test_facets_count_every_hit_once(ask: Any, session: Session) -> None:
    stores = [
        make_store(
            session, name=str(n), at=at(10 * n, 0), category=("food.cafe", "shop.books")[n % 2], brand=("A", None)[n % 2], price_band=n % 3 + 1
        )
        for n in range(30)
    ]
    make_offer(session, *stores[:5], title="everywhere")
    make_offer(session, stores[7], title="one")
    session.commit()
    found = ask("stores/nearby", **HERE, facets="category,brand,price_band,open", limit=5)
    assert found["count"] == 30
    assert found["facets"]["category"] == [{"value": "food.cafe", "count": 15}, {"value": "shop.books", "count": 15}]
    assert found["facets"]["brand"] == [{"value": "A", "count": 15}, {"value": None, "count": 15}]
    assert found["facets"]["price_band"] == [{"value": band, "count": 10} for band in (1, 2, 3)]
    assert found["facets"]["open"] == [{"value": None, "count": 30}]
    assert ask("stores/nearby", **HERE, facets="category", category="food")["facets"]["category"] == [{"value": "food.cafe", "count": 15}]
    offers = ask("offers/nearby", **HERE, facets="category")
    assert (offers["count"], len(offers["items"])) == (2, 2)


def test_clusters_for_a_map_at_any_zoom(ask: Any, session: Session) -> None:
    for n in range(40):
        make_store(session, name=str(n), at=at(37 * n, 11 * n), category=("food.cafe", "shop.books")[n % 2])
    session.commit()
    low, high = at(-500, -500), at(3_000, 3_000)
    bbox = f"{low.lon},{low.lat},{high.lon},{high.lat}"
    for zoom in (4, 10, 14, 18, 22):
        found = ask("clusters", bbox=bbox, zoom=zoom)
        assert sum(one["count"] for one in found["items"]) == 40
        assert sum(one["count"] for one in ask("clusters", bbox=bbox, zoom=zoom, category="food")["items"]) == 20
    cells = {one["cell"]: one["count"] for one in ask("clusters", bbox=bbox, zoom=12)["items"]}
    expected: dict[str, int] = {}
    for n in range(40):
        cell = to_hex(parent(cell_of(at(37 * n, 11 * n)), found_resolution := ask("clusters", bbox=bbox, zoom=12)["resolution"]))
        expected[cell] = expected.get(cell, 0) + 1
    assert (cells, found_resolution) == (expected, 8)


# Boxes that hold Helsinki and have any size and place on the earth.
WIDE = ["24.5,60,25.5,60.4", "20,59,32,66", "0,40,60,70", "-180,-90,180,90", "-180,-85,180,85", "20,-60,40,80", "20,50,-170,70", "-20,0,100,89"]


@pytest.mark.parametrize("bbox", WIDE)
def test_clusters_of_any_size_count_what_the_filters_leave(ask: Any, session: Session, bbox: str) -> None:
    """The same forty stores, asked for in a small box and in large ones; only what is asked beside the box leaves some out."""
    made = []
    for n in range(40):
        near = at(37 * n, 11 * n)
        made.append(make_store(session, name="Kahvila Ö" if n % 4 == 0 else str(n), at=near, category=("food.cafe", "shop.books")[n % 2]))
        made[-1].service_radius_m = 200 if n < 10 else None
        if n % 5 == 0:
            make_offer(session, made[-1], price_minor=100 * n)
    session.commit()
    low, high, far = at(-500, -500), at(3_000, 3_000), at(1_000, 0)
    small = f"{low.lon},{low.lat},{high.lon},{high.lat}"
    square = f'{{"type":"Polygon","coordinates":[[[{low.lon},{low.lat}],[{far.lon},{low.lat}],[{far.lon},{high.lat}],[{low.lon},{high.lat}],[{low.lon},{low.lat}]]]}}'
    point = {"lat": HELSINKI.lat, "lng": HELSINKI.lon}
    for more in (
        {}, {"category": "food"}, {"q": "kahvila"}, {"q": "cafe"}, {"exclude": f"{made[0].id},{made[7].id}"}, {"price_max": 1_000, "currency": "EUR"},
        {**point, "radius_m": 600}, {**point, "radius_m": 600, "min_radius_m": 300}, {**point, "walk_min": 5}, {**point, "serves": "true"},
        {"within": square}, {"cells": to_hex(parent(cell_of(HELSINKI), 8))}, {**point, "min_radius_m": 200, "q": "kahvila"},
    ):  # fmt: skip
        few, many = (sum(one["count"] for one in ask("clusters", bbox=box, zoom=5, **more)["items"]) for box in (small, bbox))
        assert few == many, more
        assert 0 < few <= 40
        assert (few < 40) == bool(more), more


def test_clusters_far_from_the_point_are_counted(ask: Any, session: Session) -> None:
    for n in range(5):
        make_store(session, at=at(10 * n, 0))
    session.commit()
    low, high = at(-500, -500), at(500, 500)
    found = ask("clusters", bbox=f"{low.lon},{low.lat},{high.lon},{high.lat}", lat=60.7, lng=24.94)
    assert sum(one["count"] for one in found["items"]) == 5


def test_clusters_of_a_wide_box_in_another_system_of_coordinates(ask: Any, session: Session) -> None:
    for n in range(5):
        make_store(session, at=Point(116.39 + 0.01 * n, 39.9))
    session.commit()
    for crs in ("wgs84", "gcj02", "bd09"):
        found = ask("clusters", bbox="100,20,125,45", crs=crs, zoom=4)
        assert sum(one["count"] for one in found["items"]) == 5
