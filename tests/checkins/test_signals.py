"""Each rule catches the attack it was made for, and leaves honest people alone: noise, tunnels, trains and airports included."""

from __future__ import annotations

import json
import math
import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geo_o2o.checkins.geofence import R95_SIGMAS
from geo_o2o.checkins.signals import (
    Been,
    Score,
    Seen,
    accounts_together,
    least_speed_mps,
    measures_of_fixes,
    measures_of_past,
    parse_policy,
    present_policy,
    relayed_codes,
    score,
    stores_to_review,
)
from geo_o2o.geo.point import Point

POLICY = present_policy()
NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
HELSINKI = Point(24.9414, 60.1690)


def judged(**measures: float) -> Score:
    return score(measures, POLICY)


def codes(found: Score) -> set[str]:
    return {one.code for one in found.findings}


def near(at: Point, east_m: float, north_m: float) -> Point:
    return Point(at.lon + east_m / (111_320 * math.cos(math.radians(at.lat))), at.lat + north_m / 111_320)


def been(minutes_ago: float, at: Point = HELSINKI, *, store: str = "a", r95_m: float = 30.0) -> Been:
    return Been(at, r95_m, NOW - timedelta(minutes=minutes_ago), store)


def honest_fixes(chance: random.Random, *, count: int = 5, accuracy_m: float = 15.0, outliers: float = 0.0) -> list[Seen]:
    """What a phone on a table reports over a minute or two: its receiver wanders, and sometimes a wall throws it aside."""
    fixes, east, north = [], chance.gauss(0, accuracy_m / R95_SIGMAS), chance.gauss(0, accuracy_m / R95_SIGMAS)
    start = 1_795_000_000_000
    for number in range(count):
        east, north = 0.8 * east + chance.gauss(0, 2), 0.8 * north + chance.gauss(0, 2)
        thrown = chance.gauss(0, 150) if chance.random() < outliers else 0.0
        t_ms = start + number * 20_000 + chance.randrange(-300, 300)
        at = near(HELSINKI, east + thrown, north)
        # Clocks are set by the network now and then, by less than a second.
        mono_ms = t_ms - start + 5_000_000 + chance.randrange(-800, 800)
        fixes.append(Seen(at, round(accuracy_m + chance.uniform(-3, 3), 3), t_ms, chance.uniform(0, 12), mono_ms))
    return fixes


# --- rules as data -----------------------------------------------------------------------------------------------------------


def test_every_rule_says_what_it_is() -> None:
    assert {rule.code for rule in POLICY.rules} == {f"R{number:02d}" for number in (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 13)}
    assert {rule.family for rule in POLICY.rules} == {"device", "motion", "venue", "network", "graph"}
    assert all(len(rule.says) > 10 for rule in POLICY.rules)
    assert {rule.code for rule in POLICY.rules if rule.hard} == {"R01", "R03", "R13"}


@pytest.mark.parametrize(
    ("measures", "total", "band", "found"),
    [
        ({}, 0, "clean", set()),
        ({"mocked_fixes": 0, "speed_mps": 70}, 0, "clean", set()),
        ({"mocked_fixes": 1}, 100, "refused", {"R01"}),
        ({"integrity_failures": 1}, 40, "review", {"R02"}),
        ({"speed_mps": 70.1}, 30, "review", {"R03"}),
        ({"speed_mps": 281}, 100, "refused", {"R03"}),
        ({"identical_fixes": 4}, 0, "clean", set()),
        ({"identical_fixes": 5}, 30, "review", {"R04"}),
        ({"stale_fixes": 1}, 10, "clean", {"R05"}),
        ({"stale_fixes": 5}, 40, "review", {"R05"}),
        ({"foreign_ip_km": 501, "proxies": 1}, 20, "review", {"R06"}),
        ({"foreign_ip_km": 500}, 0, "clean", set()),
        ({"accounts_at_point": 3}, 25, "review", {"R07"}),
        ({"accounts_of_device": 1}, 0, "clean", set()),
        ({"accounts_of_device": 3}, 15, "clean", {"R08"}),
        ({"accounts_of_device": 4}, 40, "review", {"R08"}),
        ({"stores_in_hour": 6}, 0, "clean", set()),
        ({"stores_in_hour": 7}, 20, "review", {"R09"}),
        ({"visits_of_store": 2}, 20, "review", {"R09"}),
        ({"relayed_codes": 1}, 40, "review", {"R10"}),
        ({"accounts_together": 4}, 25, "review", {"R12"}),
        ({"honeypots": 1}, 100, "refused", {"R13"}),
        # One family counts to forty: the same thing seen from several sides.
        ({"speed_mps": 100, "identical_fixes": 5, "stale_fixes": 3, "stores_in_hour": 9}, 40, "review", {"R03", "R04", "R05", "R09"}),
        ({"speed_mps": 100, "accounts_of_device": 2, "proxies": 1}, 50, "refused", {"R03", "R08", "R06"}),
        ({"integrity_failures": 1, "relayed_codes": 1, "accounts_at_point": 9, "accounts_together": 9, "foreign_ip_km": 900}, 100, "refused",
         {"R02", "R10", "R07", "R12", "R06"}),
    ],
)  # fmt: skip
def test_points_add_up_within_their_limits(measures: dict[str, float], total: int, band: str, found: set[str]) -> None:
    one = judged(**measures)
    assert (one.total, one.band, codes(one)) == (total, band, found)
    assert one.caps_level == (band == "refused")


@given(st.dictionaries(st.sampled_from(sorted({rule.measure for rule in POLICY.rules})), st.floats(0, 1_000)))
def test_more_against_somebody_is_never_less(measures: dict[str, float]) -> None:
    whole = judged(**measures)
    assert 0 <= whole.total <= 100
    for name in measures:
        fewer = judged(**{other: value for other, value in measures.items() if other != name})
        assert fewer.total <= whole.total
        assert codes(fewer) <= codes(whole)


def test_a_score_can_be_done_by_hand() -> None:
    found = judged(speed_mps=100, accounts_of_device=4, proxies=1).explanation()
    assert (found["risk"], found["band"], found["policy"]) == (75, "refused", "signals-1")
    assert found["risk"] == sum(one["points"] for one in found["reasons"])
    assert {(one["code"], one["value"], one["threshold"]) for one in found["reasons"]} == {("R03", 100, 70), ("R08", 4, 4), ("R06", 1, 1)}
    assert judged(honeypots=1).explanation()["reasons"][0]["hard"] is True


def test_a_misspelt_measure_is_no_silence() -> None:
    with pytest.raises(KeyError, match="speed_kmh"):
        judged(speed_kmh=300)


@pytest.mark.parametrize(
    "rule",
    [
        {"code": "X", "family": "f", "measure": "m", "says": "s", "points": 1},
        {"code": "X", "family": "f", "measure": "m", "says": "s", "above": 1, "from": 1, "points": 1},
        {"code": "X", "family": "f", "measure": "m", "says": "s", "above": 1},
        {"code": "X", "family": "f", "measure": "m", "says": "s", "above": 1, "points": 1, "hard": True},
    ],
)
def test_a_rule_that_says_nothing_is_refused(rule: dict[str, object]) -> None:
    text = json.dumps({"policy": "p", "family_most": 40, "total_most": 100, "review_from": 20, "refuse_from": 50, "rules": [rule]})
    with pytest.raises(ValueError, match="the rule X"):
        parse_policy(text)


# --- attacks -----------------------------------------------------------------------------------------------------------------


def test_a_mock_app_is_caught_by_its_mark() -> None:
    fixes = honest_fixes(random.Random(1))
    assert codes(judged(**measures_of_fixes([*fixes[:4], replace(fixes[4], mock=True)]))) == {"R01"}


def test_a_script_that_repeats_one_position_is_caught() -> None:
    first = honest_fixes(random.Random(1))[0]
    script = [replace(first, t_ms=first.t_ms + 15_000 * number, mono_ms=(first.mono_ms or 0) + 15_000 * number) for number in range(5)]
    assert codes(judged(**measures_of_fixes(script))) == {"R04"}
    quick = [replace(first, t_ms=first.t_ms + 1_000 * number, mono_ms=(first.mono_ms or 0) + 1_000 * number) for number in range(5)]
    assert codes(judged(**measures_of_fixes(quick))) == set(), "a receiver may say the same for some seconds"


def test_positions_that_were_recorded_before_are_caught() -> None:
    fixes = [replace(fix, age_s=45) for fix in honest_fixes(random.Random(2))]
    assert judged(**measures_of_fixes(fixes)).band == "review"


def test_a_clock_that_was_turned_is_caught() -> None:
    fixes = [replace(fix, t_ms=fix.t_ms + 60_000 * number) for number, fix in enumerate(honest_fixes(random.Random(3)))]
    assert codes(judged(**measures_of_fixes(fixes))) == {"R05"}


def test_somebody_who_is_in_two_cities_is_caught() -> None:
    turku, tokyo = Point(22.2666, 60.4518), Point(139.69, 35.69)
    assert codes(judged(**measures_of_past(been(0), [been(20, turku, store="b")]))) == {"R03"}
    found = judged(**measures_of_past(been(0), [been(60, tokyo, store="b")]))
    assert (codes(found), found.band) == ({"R03"}, "refused")


def test_a_collector_of_stores_is_caught() -> None:
    places = [been(8 * number + 1, near(HELSINKI, 200 * number, 0), store=f"s{number}") for number in range(7)]
    assert codes(judged(**measures_of_past(been(0, store="last"), places))) == {"R09"}
    assert codes(judged(**measures_of_past(been(0), [been(29)]))) == {"R09"}
    assert codes(judged(**measures_of_past(been(0), [been(31)]))) == set()


def test_a_code_that_was_sent_to_a_friend_is_caught() -> None:
    assert codes(judged(relayed_codes=relayed_codes(p_in=0.0, r95_m=40))) == {"R10"}
    assert relayed_codes(p_in=0.019, r95_m=199) == 1
    # A phone that does not know where it is says nothing against a code.
    assert relayed_codes(p_in=0.01, r95_m=250) == relayed_codes(p_in=0.02, r95_m=40) == 0
    assert relayed_codes(p_in=0.0005, r95_m=450) == 1, "farther away than it can be wrong"


def test_stores_that_confirm_people_who_are_elsewhere_stand_out() -> None:
    chance = random.Random(5)
    honest = {f"s{number}": (visits := chance.randrange(20, 300), sum(chance.random() < 0.05 for _ in range(visits))) for number in range(200)}
    assert len(stores_to_review(honest)) <= 1
    cheats = {"cheat 1": (100, 40), "cheat 2": (30, 18), "cheat 3": (300, 60)}
    assert set(cheats) <= set(stores_to_review(honest | cheats))
    assert len(stores_to_review(honest | cheats)) <= 4
    assert stores_to_review({}) == stores_to_review({"new": (0, 0)}) == []


# --- honest people -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("outliers", [0.0, 0.2])
@pytest.mark.parametrize("accuracy_m", [4.0, 15.0, 60.0])
def test_a_phone_on_a_table_is_clean(accuracy_m: float, outliers: float) -> None:
    for seed in range(300):
        found = judged(**measures_of_fixes(honest_fixes(random.Random(seed), accuracy_m=accuracy_m, outliers=outliers)))
        assert found.findings == ()


def test_one_stale_fix_out_of_a_tunnel_is_no_more_than_a_note() -> None:
    for seed in range(100):
        first, *rest = honest_fixes(random.Random(seed))
        assert judged(**measures_of_fixes([replace(first, age_s=40), *rest])).band == "clean"


def test_a_train_ride_is_clean() -> None:
    """Helsinki to Tampere in an hour and a half, at up to 200 km/h, a coffee at both ends and one on the way, positions as trains have them."""
    tampere = Point(23.7735, 61.4982)
    for seed in range(200):
        chance = random.Random(seed)
        halfway = Point((HELSINKI.lon + tampere.lon) / 2 + chance.gauss(0, 0.005), (HELSINKI.lat + tampere.lat) / 2 + chance.gauss(0, 0.005))
        way = [been(95, HELSINKI, store="a", r95_m=20), been(45, halfway, store="b", r95_m=chance.choice((30, 150, 900)))]
        assert judged(**measures_of_past(been(0, tampere, store="c", r95_m=40), way)).findings == ()


def test_a_day_of_airports_is_no_crime() -> None:
    """Helsinki, Frankfurt, New York: faster than the ground, slower than what nobody does; the reward waits, the visit stands."""
    frankfurt, new_york = Point(8.5622, 50.0379), Point(-73.7781, 40.6413)
    hop = judged(**measures_of_past(been(0, frankfurt, store="b"), [been(150, Point(24.9633, 60.3172), store="a")]))
    assert hop.band in ("clean", "review")
    assert not hop.caps_level
    over = judged(**measures_of_past(been(0, new_york, store="c"), [been(9 * 60, frankfurt, store="b")]))
    assert not over.caps_level
    assert least_speed_mps(been(0, new_york), been(7.5 * 60, frankfurt)) < 280


def test_a_mall_and_a_market_day_are_clean() -> None:
    for seed in range(100):
        chance = random.Random(seed)
        mall = [been(9 * number + 5, near(HELSINKI, chance.gauss(0, 60), chance.gauss(0, 60)), store=f"s{number}", r95_m=50) for number in range(6)]
        found = judged(**measures_of_past(been(0, near(HELSINKI, chance.gauss(0, 60), 0), store="s9", r95_m=50), mall[:5]))
        assert found.findings == ()


def test_a_wandering_receiver_is_no_movement() -> None:
    assert least_speed_mps(been(0, near(HELSINKI, 900, 0)), been(0.1)) == 0.0
    assert least_speed_mps(been(0, near(HELSINKI, 1_500, 0), r95_m=900), been(0.1, r95_m=900)) == 0.0
    assert least_speed_mps(been(0, near(HELSINKI, 100_000, 0)), been(0)) > 280


def test_later_check_ins_say_nothing_of_earlier_ones() -> None:
    assert measures_of_past(been(60), [been(0, Point(139.69, 35.69), store="b")]) == {"stores_in_hour": 1, "visits_of_store": 1}


# --- accounts that go about together -----------------------------------------------------------------------------------------


def meetings(*accounts: str, stores: int, apart_s: float = 60.0) -> list[tuple[str, str, datetime]]:
    """Each of some accounts at each of some stores, one after another."""
    return [
        (account, f"s{store}", NOW + timedelta(hours=store, seconds=apart_s * place))
        for store in range(stores)
        for place, account in enumerate(accounts)
    ]


def test_a_crowd_that_goes_about_together_is_found_and_a_couple_is_small() -> None:
    assert accounts_together(meetings("a", "b", "c", "d", stores=5)) == {"a": 4, "b": 4, "c": 4, "d": 4}
    assert accounts_together(meetings("a", "b", stores=9)) == {"a": 2, "b": 2}, "two friends are no crowd: the rule asks for four"
    assert accounts_together(meetings("a", "b", "c", "d", stores=4)) == {}
    # The last of them comes nine minutes after the first, and each within five of the one before.
    assert accounts_together(meetings("a", "b", "c", "d", stores=5, apart_s=180)) == {"a": 4, "b": 4, "c": 4, "d": 4}
    assert accounts_together(meetings("a", "b", stores=5, apart_s=301)) == {}
    assert accounts_together([]) == {}


def test_a_regular_is_not_together_with_everybody() -> None:
    chance = random.Random(12)
    visits = [("barista", "s0", NOW + timedelta(minutes=10 * number)) for number in range(300)]
    visits += [(f"guest {chance.randrange(200)}", "s0", NOW + timedelta(minutes=chance.randrange(3_000))) for _ in range(600)]
    assert accounts_together(visits) == {}, "one store is one store, however often"
