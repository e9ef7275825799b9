"""Profiles, comparisons and sites: the sums by themselves, and through the API."""

from __future__ import annotations

import random
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import numpy as np
import pytest
import sqlalchemy as sa
from shapely.geometry import MultiPolygon, box
from sqlalchemy.orm import Session

from geo_o2o.config import Settings
from geo_o2o.geo.cells import cell_of, centre_of, parse_hex
from geo_o2o.geo.distance import distance_m
from geo_o2o.geo.point import Point
from geo_o2o.http import utcnow
from geo_o2o.insights.estimating import DISPERSION, Estimate, Part, change, ratio, shares, total
from geo_o2o.insights.schemas import DemandOf, ProfileResponse, SiteSchema
from geo_o2o.insights.sites import Model, Standing, pull_of, score_sites
from geo_o2o.releases import service as releases
from geo_o2o.releases.periods import parse_period
from geo_o2o.releases.products import PRODUCTS, VISITS, variance
from geo_o2o.stores.service import place_again
from geo_o2o.supply.service import known_since, roll_due

from ..conftest import NOW, Api
from ..factories import HELSINKI, make_district, make_offer, make_store, make_visits
from ..test_http import problem_of

# --- estimates -----------------------------------------------------------------------------------------------------------------------


def known(parts: list[Part], *, noise: float) -> Estimate:
    found = total(parts, noise=noise)
    assert found is not None
    return found


def test_a_sum_of_whole_cells_has_the_interval_of_its_noise() -> None:
    """Of a thousand districts whose counts carry the noise of a release, the interval holds the truth of about 95 %."""
    rng = np.random.default_rng(3)
    held = 0
    for _ in range(1_000):
        truth = rng.integers(100, 900, size=6)
        noisy = truth + rng.geometric(1 - np.exp(-1 / 6), 6) - rng.geometric(1 - np.exp(-1 / 6), 6)
        found = known([Part(float(value), 1.0) for value in noisy], noise=variance(VISITS.scale))
        held += found.low <= truth.sum() <= found.high
    assert 930 <= held <= 985


def test_which_stores_the_visits_of_a_cell_went_to_is_not_known_and_the_interval_says_so() -> None:
    """Stores that draw very different numbers: the interval holds the true part of a district about as often as it says."""
    rng = np.random.default_rng(4)
    inside, few, many = (known([Part(400.0, share, stores)], noise=72.0) for share, stores in ((1.0, 10), (0.5, 2), (0.5, 200)))
    assert (inside.value, few.value, many.value) == (400.0, 200.0, 200.0)
    assert few.high - few.low > 3 * (many.high - many.low) > 3 * (inside.high - inside.low) * 0.5
    assert few.low == 0.0
    held = 0
    for _ in range(1_000):
        draws = rng.gamma(1 / DISPERSION, size=40)
        truth = 600 * draws[:12].sum() / draws.sum()
        found = known([Part(600.0, 12 / 40, 40)], noise=0.0)
        held += found.low <= truth <= found.high
    assert held >= 920
    # What is not shown is not zero.
    assert total([], noise=72.0) is None


def test_changes_shares_and_ratios_have_intervals_of_their_own() -> None:
    growth = change([Part(550.0, 1.0)], [Part(500.0, 1.0)], noise=72.0)
    assert growth is not None
    assert growth.value == pytest.approx(0.1)
    assert growth.low < 0.1 < growth.high
    assert change([Part(5.0, 1.0)], [], noise=72.0) is None
    found = shares([[Part(300.0, 0.2)], [Part(100.0, 0.2)], []], noise=32.0)
    assert found is not None
    assert [one.value for one in found] == pytest.approx([0.75, 0.25, 0.0])
    assert all(0.0 <= one.low <= one.value <= one.high <= 1.0 for one in found)
    assert shares([[], []], noise=1.0) is None
    back = ratio([Part(200.0, 0.1)], [Part(800.0, 0.1)], noise=32.0)
    assert back is not None
    assert back.value == pytest.approx(0.25)
    assert ratio([], [], noise=1.0) is None


# --- a district ----------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def district(session: Session, settings: Settings) -> Any:
    """A district of ten stores in a city whose visits are released."""
    made = make_district(session, half_deg=0.006, name="Centre")
    stores = [
        make_store(
            session, at=Point(HELSINKI.lon + number / 3_000, HELSINKI.lat), category="food.cafe" if number % 2 else "shop.books", rating=(8, 2),
            opening_hours="Mo-Su 08:00-20:00" if number < 5 else None, now=utcnow(),
        )
        for number in range(10)
    ]  # fmt: skip
    make_offer(session, stores[0])
    city = releases.add_area(
        session, name="helsinki", title="Helsinki", area=MultiPolygon([box(24.92, 60.155, 24.96, 60.18)]), time_zone="Europe/Helsinki",
        attested_only=False, sample=True, now=NOW,
    )  # fmt: skip
    crowd = [uuid4() for _ in range(1_500)]
    for week in ("2026-W44", "2026-W45"):
        period = parse_period(week, "week")
        begin = period.instants("Europe/Helsinki")[0]
        for number, store in enumerate(stores):
            make_visits(
                session, store, crowd[100 * number : 100 * number + 400], at=begin + timedelta(days=number % 6, hours=9 + number), sample=True
            )
        releases.release(session, settings, city, VISITS, period, now=NOW)
    for product in ("day_parts", "returns", "origins"):
        releases.release(session, settings, city, PRODUCTS[product], parse_period("2026-10", "month"), now=NOW)
    session.commit()
    return made


def test_what_opened_and_closed_is_counted_from_when_the_past_is_known(planner_api: Api, session: Session, district: Any) -> None:
    def change_of() -> tuple[Any, int, int]:
        found = planner_api.get(f"/v1/districts/{district.id}/profile").get_json()["change"]
        return found["since"], found["opened"], found["closed"]

    assert change_of()[1:] == (0, 0)
    while roll_due(session, now=utcnow()):
        pass
    session.commit()
    begun = known_since(session)
    make_store(session, now=utcnow())
    closing = "/* test */ UPDATE stores SET status = 'closed', updated_at = clock_timestamp() WHERE id IN (SELECT id FROM stores ORDER BY id LIMIT 2)"
    session.execute(sa.text(closing))
    session.commit()
    since, opened, closed = change_of()
    assert (datetime.fromisoformat(since), opened, closed) == (begun, 1, 2)
    session.execute(sa.text("/* test */ UPDATE supply_history SET begun_at = now() - interval '90 days'"))
    session.commit()
    # All of them came within four weeks.
    assert change_of()[1:] == (9, 2)


def test_a_profile_says_everything_of_a_district(planner_api: Api, district: Any) -> None:
    body = planner_api.get(f"/v1/districts/{district.id}/profile").get_json()
    assert set(body) == set(ProfileResponse().fields)
    assert body["stores"]["count"] == 10
    assert {one["category"]: one["stores"] for one in body["stores"]["by_category"]} == {"food.cafe": 5, "shop.books": 5}
    assert (body["ratings"]["mean"], body["ratings"]["count"]) == (4.0, 20)
    assert body["offers"] == {"count": 1, "per_store": 0.1, "sample": False}
    assert body["open_hours"]["timed"] == 5
    assert body["open_hours"]["share"] == ([0.0] * 8 + [1.0] * 12 + [0.0] * 4) * 7
    demand = body["demand"]
    assert set(demand) == set(DemandOf().fields)
    assert (demand["period"], demand["sample"], demand["city"]) == ("2026-W45", True, "helsinki")
    assert demand["visits"]["low"] <= demand["visits"]["value"] <= demand["visits"]["high"]
    assert demand["per_store"]["value"] == pytest.approx(demand["visits"]["value"] / 10, abs=0.1)
    assert [one["period"] for one in demand["series"]] == ["2026-W44", "2026-W45"]
    assert 0 < demand["shown_share"] <= 1
    # What the noise of a week merges otherwise than another's is not compared, and a part of the day that few came in is not shown.
    assert demand["change"] is None or abs(demand["change"]["value"]) < 0.4
    assert demand["day_parts"] is None or sum(one["value"] for one in demand["day_parts"]["shares"]) == pytest.approx(1.0, abs=0.01)


def test_a_district_where_nothing_is_released_has_no_demand(planner_api: Api, session: Session) -> None:
    lonely = make_district(session, around=Point(25.5, 60.5), name="Lonely")
    session.commit()
    body = planner_api.get(f"/v1/districts/{lonely.id}/profile").get_json()
    assert body["demand"] is None
    assert body["stores"] == {"count": 0, "per_km2": 0.0, "by_category": []}
    assert body["open_hours"] == {"timed": 0, "share": None}
    assert body["peers"] == []


def test_what_is_not_shown_is_said_to_be_so_and_not_to_be_nothing(planner_api: Api, session: Session, district: Any) -> None:
    """A week that shows nothing there has no figure; nor has a share of which a part is not shown."""
    session.execute(sa.text("/* test */ DELETE FROM heat_release_cells WHERE product = 'visits' AND period = '2026-W45'"))
    session.execute(sa.text("/* test */ DELETE FROM heat_release_cells WHERE product = 'day_parts' AND part = 2"))
    session.execute(sa.text("/* test */ DELETE FROM heat_release_cells WHERE product = 'returns' AND part = 1"))
    session.commit()
    demand = planner_api.get(f"/v1/districts/{district.id}/profile").get_json()["demand"]
    assert (demand["visits"], demand["per_store"], demand["change"], demand["day_parts"], demand["returns"]) == (None,) * 5
    assert [one["period"] for one in demand["series"]] == ["2026-W44"]
    assert demand["shown_share"] == 0.0


def test_parts_of_a_district_count_in_it(planner_api: Api, session: Session, district: Any) -> None:
    before = planner_api.get(f"/v1/districts/{district.id}/profile").get_json()
    part = make_district(session, half_deg=0.0006, name="Part")
    place_again(session, part.id, [])
    session.commit()
    assert 0 < planner_api.get(f"/v1/districts/{part.id}/profile").get_json()["stores"]["count"] < 10
    after = planner_api.get(f"/v1/districts/{district.id}/profile").get_json()
    assert after["stores"] == before["stores"]


def test_peers_are_districts_of_the_same_kind(planner_api: Api, session: Session, district: Any) -> None:
    for number, (name, category, count) in enumerate((("Alike", "shop.books", 9), ("Other", "leisure.cinema", 9), ("Huge", "shop.books", 60))):
        at = Point(25.05 + number / 20, 60.17)
        make_district(session, around=at, half_deg=0.005, name=name)
        for place in range(count):
            make_store(session, at=Point(at.lon + place / 30_000, at.lat), category="food.cafe" if place % 2 and name != "Other" else category)
    session.commit()
    peers = planner_api.get(f"/v1/districts/{district.id}/profile").get_json()["peers"]
    assert [one["name"] for one in peers] == ["Alike", "Huge", "Other"]
    assert peers[0]["likeness"] > 0.9
    assert peers[2]["likeness"] == 0.0


def test_districts_are_compared_side_by_side(planner_api: Api, session: Session, district: Any) -> None:
    other = make_district(session, around=Point(25.5, 60.5), name="Lonely")
    session.commit()
    body = planner_api.get("/v1/districts/compare", ids=f"{district.id},{other.id}").get_json()
    assert [one["district"]["name"] for one in body["items"]] == ["Centre", "Lonely"]
    assert len({one["at"] for one in body["items"]}) == 1
    problem_of(planner_api.get("/v1/districts/compare", ids=str(uuid4())), 404, "not_found")
    for ids in ("", "x", ",".join(str(uuid4()) for _ in range(9))):
        assert problem_of(planner_api.get("/v1/districts/compare", ids=ids), 422, "invalid_input")["errors"][0]["field"].startswith("ids")
    problem_of(planner_api.get("/v1/districts/compare"), 422, "invalid_input")


def test_a_profile_reads_no_visit(planner_api: Api, session: Session, district: Any) -> None:
    """By the planner's role: what it may not read it does not."""
    session.execute(sa.text("/* test */ REVOKE SELECT ON heat_release_cells FROM geo_o2o_planner"))
    session.commit()
    assert planner_api.get(f"/v1/districts/{district.id}/profile").status_code == 500


# --- sites ---------------------------------------------------------------------------------------------------------------------------

MODEL = Model()


def places(*east_m: float) -> list[Point]:
    return [Point(HELSINKI.lon + metres / 55_500, HELSINKI.lat) for metres in east_m]


def test_huff_s_rule_shares_visits_by_distance_and_pull() -> None:
    here, there = places(0, 400)
    cells = [(1, here), (2, there)]
    alone = score_sites(cells, demand=[(here, 100.0)], rivals=[], company=[], model=MODEL)
    assert {site.cell: site.visits for site in alone} == {1: 100.0, 2: 100.0}
    rival = Standing(places(200)[0], 1.0)
    shared = {site.cell: site for site in score_sites(cells, demand=[(here, 100.0)], rivals=[rival], company=[], model=MODEL)}
    apart = distance_m(here, rival.at)
    assert shared[1].visits == pytest.approx(100 * 50**-2 / (50**-2 + apart**-2), abs=0.2)
    assert shared[2].visits < shared[1].visits
    assert shared[1].nearest_rival_m == round(apart)
    famous = score_sites(cells[:1], demand=[(here, 100.0)], rivals=[Standing(rival.at, 9.0), Standing(places(250)[0], 1.0)], company=[], model=MODEL)
    assert famous[0].visits < shared[1].visits
    assert pull_of(0, MODEL) == 1.0 < pull_of(8, MODEL) == 3.0


def test_nobody_comes_from_farther_than_the_reach() -> None:
    (far,) = score_sites([(1, HELSINKI)], demand=[(places(2_000)[0], 100.0)], rivals=[], company=[], model=MODEL)
    assert (far.visits, far.around, far.nearest_rival_m) == (0.0, 0.0, None)
    assert score_sites([], demand=[], rivals=[], company=[], model=MODEL) == []


def test_sites_are_scored_from_figures_that_the_answer_shows(planner_api: Api, session: Session, district: Any) -> None:
    asked = {"category": "food.cafe", "bbox": "24.93,60.165,24.95,60.173", "resolution": 10, "limit": 50}
    body = planner_api.post("/v1/insights/site", asked).get_json()
    assert body["demand_from"] == {"product": "visits", "city": "helsinki", "period": "2026-W45", "sample": True}
    model = body["model"]
    assert model["name"] == "huff-1"
    for one in body["items"]:
        assert set(one) == set(SiteSchema().fields)
        score = one["score"]
        assert score["demand"] == round(model["demand_points"] * (1 - 2 ** (-one["visits"] / model["half_visits"])))
        assert score["rivalry"] == round(model["rivalry_points"] * 2 ** (-one["rivals"] / model["half_rivals"]))
        assert score["company"] == round(model["company_points"] * (1 - 2 ** (-one["company"] / model["half_company"])))
        assert score["total"] == score["demand"] + score["rivalry"] + score["company"]
        assert cell_of(centre_of(parse_hex(one["cell"])), 10) == parse_hex(one["cell"])
    totals = [one["score"]["total"] for one in body["items"]]
    assert totals == sorted(totals, reverse=True)
    changed = planner_api.post("/v1/insights/site", {**asked, "distance_exponent": 1.0}).get_json()
    assert changed["model"]["name"] == "huff-1-changed"
    assert changed["items"] != body["items"]


def test_where_nothing_is_released_stores_stand_for_visits(planner_api: Api, session: Session) -> None:
    chance = random.Random(2)
    for _ in range(30):
        make_store(session, at=Point(chance.uniform(24.935, 24.945), chance.uniform(60.166, 60.172)))
    session.commit()
    body = planner_api.post("/v1/insights/site", {"category": "shop.books", "bbox": "24.93,60.165,24.95,60.173"}).get_json()
    assert body["demand_from"] == {"product": "stores"}
    assert body["items"][0]["visits"] > 0
    assert body["candidates"] > 40


@pytest.mark.parametrize(
    ("change", "field", "code"),
    [
        ({"category": "nonsense"}, "category", "invalid_input"),
        ({"category": None}, "category", "invalid_input"),
        ({"bbox": None}, "district", "invalid_input"),
        ({"district": str(uuid4())}, "district", "invalid_input"),
        ({"resolution": 12}, "resolution", "invalid_input"),
        ({"resolution": 11, "bbox": "24.92,60.15,24.97,60.18"}, "resolution", "too_many_cells"),
        ({"bbox": "-180,-85,180,85"}, "bbox", "area_too_large"),
        ({"reach_m": "NaN"}, "reach_m", "invalid_input"),
        ({"distance_exponent": -1}, "distance_exponent", "invalid_input"),
        ({"half_visits": 0}, "half_visits", "invalid_input"),
        ({"limit": 1_000}, "limit", "invalid_input"),
        ({"nonsense": 1}, "nonsense", "invalid_input"),
    ],
)
def test_sites_that_cannot_be_asked_for(planner_api: Api, change: dict[str, Any], field: str, code: str) -> None:
    asked = {"category": "food.cafe", "bbox": "24.93,60.165,24.95,60.173", **change}
    body = problem_of(planner_api.post("/v1/insights/site", {name: value for name, value in asked.items() if value is not None}), 422, code)
    assert body["errors"][0]["field"] == field


def test_only_planners_ask_for_insights(app_api: Api, store_api: Api) -> None:
    for api in (app_api, store_api):
        problem_of(api.post("/v1/insights/site", {}), 403, "forbidden")
        problem_of(api.get(f"/v1/districts/{uuid4()}/profile"), 403, "forbidden")
