from __future__ import annotations

import random

import pytest
from sqlalchemy.orm import Session

from geo_o2o.districts.hierarchy import relate
from geo_o2o.geo.bounds import Bounds
from geo_o2o.geo.point import Point
from geo_o2o.insights.proposing import Proposal, Shape, Spot, propose
from geo_o2o.insights.service import propose_districts

from ..factories import make_store

CHANCE = random.Random(4)


def town(at: Point, count: int, *, spread_deg: float, street: str, category: str = "food") -> list[Spot]:
    points = [Point(CHANCE.gauss(at.lon, 2 * spread_deg), CHANCE.gauss(at.lat, spread_deg)) for _ in range(count)]
    return [Spot(point, street, category) for point in points]


EAST, WEST = Point(24.96, 60.17), Point(24.94, 60.17)


def test_two_towns_are_two_districts_named_by_their_streets() -> None:
    spots = town(WEST, 120, spread_deg=0.0008, street="Aleksanterinkatu") + town(EAST, 60, spread_deg=0.0008, street="Hämeentie", category="shop")
    first, second = propose(spots, Shape())
    assert (first.name, second.name) == ("Aleksanterinkatu · food", "Hämeentie · shop")
    assert (first.quality, second.quality) == (1.0, 1.0)
    assert first.stores > 90
    assert all(area.contains(point) for area, point in ((first.area, _shapely(WEST)), (second.area, _shapely(EAST))))
    assert first.categories == {"food": 1.0}


def test_a_shallow_valley_does_not_part_a_district_and_a_deep_one_does() -> None:
    near = Point(WEST.lon + 0.0065, WEST.lat)
    spots = town(WEST, 200, spread_deg=0.0007, street="A") + town(near, 150, spread_deg=0.0007, street="B")
    assert len(propose(spots, Shape(valley=0.9))) == 1
    parted = propose(spots, Shape(valley=0.1))
    assert len(parted) >= 2
    assert parted[1].quality < 1.0


def test_proposals_never_share_a_cell_and_do_not_depend_on_the_order() -> None:
    spots = [spot for number in range(6) for spot in town(Point(24.93 + number * 0.007, 60.17), 80, spread_deg=0.0006, street=f"S{number}")]
    found = propose(spots, Shape(valley=0.2))
    assert len(found) > 2
    assert sum(len(one.cells) for one in found) == len({cell for one in found for cell in one.cells})
    assert [one.cells for one in propose(spots[::-1], Shape(valley=0.2))] == [one.cells for one in found]
    for one in found:
        for other in found:
            if one is not other:
                shared = one.area.intersection(other.area).area
                assert relate(share=shared / one.area.area, other_share=shared / other.area.area) != "overlap"


@pytest.mark.parametrize("spots", [[], [Spot(WEST, None, "food")] * 3, [Spot(Point(lon / 50, 60.0), "A", "food") for lon in range(100)]])
def test_few_or_scattered_stores_make_no_district(spots: list[Spot]) -> None:
    assert propose(spots, Shape()) == []


def test_stores_without_a_street_make_a_district_all_the_same() -> None:
    (found,) = propose([Spot(spot.at, None, "food") for spot in town(WEST, 50, spread_deg=0.0005, street="")], Shape())
    assert found.name == "District · food"


def test_districts_are_proposed_from_the_catalogue(session: Session) -> None:
    for number in range(30):
        make_store(session, at=Point(24.94 + number % 6 / 3_000, 60.17 + number // 6 / 6_000), address={"street": "Esplanadi"})
    make_store(session, at=Point(24.94, 60.17), status="closed")
    session.commit()
    found: list[Proposal] = propose_districts(session, Bounds(24.9, 60.1, 25.0, 60.2), Shape())
    assert [(one.name, one.stores) for one in found] == [("Esplanadi · food", 30)]
    assert propose_districts(session, Bounds(25.1, 60.1, 25.2, 60.2), Shape()) == []


def _shapely(point: Point):  # type: ignore[no-untyped-def]
    from shapely.geometry import Point as ShapelyPoint

    return ShapelyPoint(point.lon, point.lat)
