"""What speaks against a visit, as named rules whose points add up, each explained by its value and its threshold. Pure.

The rules are data (signals.json). Measures that nobody could take are absent and cost nothing. Rules of one family see the same thing from
several sides, so a family counts up to a limit; only a hard rule ends a visit by itself.
Source: design of the project (trust, section 6).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from importlib import resources
from typing import Any, Literal, cast

import numpy as np
from scipy.special import bdtrc

from ..geo.distance import distance_m
from ..geo.point import Point

Band = Literal["clean", "review", "refused"]

# The rule that is asked of a till's code and of a visitor's scan.
RELAYED = "R10"
# Below this distance receivers that wander look like people who move.
_MOVED_M = 1_000.0
# Half a minute and not a whole one, as first planned: five fixes of which none is older than a minute do not span one.
_SAME_SPAN_S = 30.0
_STALE_S = 20.0
_CLOCKS_APART_S = 5.0
_HOUR_S, _HALF_HOUR_S = 3_600.0, 1_800.0
# A code counts as relayed where the phone was surely elsewhere: so unlikely inside, and so sure of its place.
_RELAY_P_IN, _RELAY_R95_M = 0.02, 200.0
# Whatever a phone says of its accuracy: so unlikely inside it is farther away than it can be wrong.
_ELSEWHERE_P_IN = 0.001
_VENUE_Q = 0.01
# Who comes within five minutes of somebody, at five stores in a week, comes with them.
_TOGETHER_S, _STORES_TOGETHER = 300.0, 5


@dataclass(frozen=True)
class Rule:
    """above or from_: the value that is exceeded, or reached. points: of the rule, or of each thing that is counted. hard: ends a visit."""

    code: str
    family: str
    measure: str
    says: str
    above: float | None = None
    from_: float | None = None
    points: int = 0
    each: bool = False
    hard: bool = False

    @property
    def threshold(self) -> float:
        return cast(float, self.above if self.above is not None else self.from_)

    def is_met(self, value: float) -> bool:
        return value > self.threshold if self.above is not None else value >= self.threshold


@dataclass(frozen=True)
class Policy:
    """A set of rules and what their points come to. A change of any number is a new name."""

    name: str
    family_most: int
    total_most: int
    review_from: int
    refuse_from: int
    rules: tuple[Rule, ...]


@dataclass(frozen=True)
class Finding:
    """A rule that was met. points: before the limits of family and total."""

    code: str
    family: str
    measure: str
    value: float
    threshold: float
    points: int
    hard: bool
    says: str


@dataclass(frozen=True)
class Score:
    """total: 0..100. band: clean, review (the level stands, a reward waits), refused (level 0)."""

    total: int
    band: Band
    findings: tuple[Finding, ...]
    policy: str

    @property
    def caps_level(self) -> bool:
        """Whether the visit has level 0, whatever else it shows."""
        return self.band == "refused"

    def explanation(self) -> dict[str, Any]:
        """The score as a sum that can be done by hand."""
        return {
            "risk": self.total,
            "band": self.band,
            "policy": self.policy,
            "reasons": [
                {"code": one.code, "family": one.family, "measure": one.measure, "value": one.value, "threshold": one.threshold, "says": one.says}
                | ({"hard": True} if one.hard else {"points": one.points})
                for one in self.findings
            ],
        }


def score(measures: Mapping[str, float], policy: Policy) -> Score:
    """measures: by name, only those that were taken. Raises KeyError where no rule asks for one: then somebody misspelt it."""
    unknown = measures.keys() - {rule.measure for rule in policy.rules}
    if unknown:
        raise KeyError(f"no rule asks for {', '.join(sorted(unknown))}")
    met: dict[tuple[str, str], Finding] = {}
    for rule in policy.rules:
        value = measures.get(rule.measure)
        if value is not None and rule.is_met(value):
            points = rule.points * int(value) if rule.each else rule.points
            found = Finding(rule.code, rule.family, rule.measure, value, rule.threshold, points, rule.hard, rule.says)
            before = met.get((rule.code, rule.measure))
            # Of the steps of one rule the highest counts.
            if before is None or (found.hard, found.points) > (before.hard, before.points):
                met[rule.code, rule.measure] = found
    findings = tuple(met.values())
    total = _total([(one.family, one.points, one.hard) for one in findings], policy)
    return Score(total, band_of(total, policy), findings, policy.name)


def total_of(explained: Sequence[Mapping[str, Any]], policy: Policy) -> int:
    """The total of findings as they were explained (Score.explanation), perhaps of several scores. 0..100."""
    return _total([(one["family"], one.get("points", 0), bool(one.get("hard"))) for one in explained], policy)


def _total(findings: Sequence[tuple[str, int, bool]], policy: Policy) -> int:
    """findings: family, points, and whether it ends the visit."""
    families: dict[str, int] = {}
    for family, points, _ in findings:
        families[family] = min(families.get(family, 0) + points, policy.family_most)
    return policy.total_most if any(hard for _, _, hard in findings) else min(sum(families.values()), policy.total_most)


def band_of(total: int, policy: Policy) -> Band:
    """total: of a score, 0..100."""
    return "refused" if total >= policy.refuse_from else "review" if total >= policy.review_from else "clean"


@cache
def present_policy() -> Policy:
    return parse_policy((resources.files(__package__) / "signals.json").read_text(encoding="utf-8"))


def parse_policy(text: str) -> Policy:
    """Raises ValueError where a rule has not one threshold, or neither points nor a hard end."""
    found = json.loads(text)
    rules = []
    for one in found["rules"]:
        rule = Rule(**{("from_" if name == "from" else name): value for name, value in one.items()})
        if (rule.above is None) == (rule.from_ is None) or rule.hard == (rule.points > 0):
            raise ValueError(f"the rule {rule.code} needs `above` or `from`, and points or `hard`")
        rules.append(rule)
    return Policy(found["policy"], found["family_most"], found["total_most"], found["review_from"], found["refuse_from"], tuple(rules))


# --- measures ----------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Seen:
    """One reported position as it bears on trust. age_s: when it was sent; mono_ms: of a clock that never jumps, where there is one."""

    at: Point
    accuracy_m: float
    t_ms: int
    age_s: float
    mono_ms: int | None = None
    mock: bool = False


@dataclass(frozen=True)
class Been:
    """A check-in of the same account before. r95_m: radius of 95 %."""

    at: Point
    r95_m: float
    when: datetime
    store: str


def measures_of_fixes(fixes: Sequence[Seen]) -> dict[str, float]:
    """What the fixes of one claim show by themselves. fixes: one or more."""
    return {
        "mocked_fixes": sum(fix.mock for fix in fixes),
        "identical_fixes": _identical(fixes),
        "stale_fixes": sum(fix.age_s > _STALE_S for fix in fixes) + _clocks_apart(fixes),
    }


def measures_of_past(now: Been, before: Iterable[Been]) -> dict[str, float]:
    """What the account's check-ins before this one show. before: in any order; later ones are passed by."""
    past = sorted((one for one in before if one.when <= now.when), key=lambda one: one.when)
    ages = [(now.when - one.when).total_seconds() for one in past]
    measures: dict[str, float] = {
        "stores_in_hour": len({now.store, *(one.store for one, age_s in zip(past, ages, strict=True) if age_s < _HOUR_S)}),
        "visits_of_store": 1 + sum(one.store == now.store for one, age_s in zip(past, ages, strict=True) if age_s < _HALF_HOUR_S),
    }
    if past:
        measures["speed_mps"] = least_speed_mps(past[-1], now)
    return measures


def least_speed_mps(one: Been, other: Been) -> float:
    """The slowest that somebody can have moved between two check-ins, both positions being as wrong as they may; 0 within a kilometre."""
    apart_m = distance_m(one.at, other.at)
    if apart_m <= _MOVED_M:
        return 0.0
    # Two clocks at the same second leave no time to have moved in, and that is not the phone's doing.
    return max(apart_m - one.r95_m - other.r95_m, 0.0) / max(abs((other.when - one.when).total_seconds()), 1.0)


def relayed_codes(*, p_in: float, r95_m: float) -> int:
    """For a right code of the till, or a right scan of the visitor's: 1 where the phone was surely elsewhere. r95_m: at most 500."""
    return int((p_in < _RELAY_P_IN and r95_m < _RELAY_R95_M) or p_in < _ELSEWHERE_P_IN)


def _identical(fixes: Sequence[Seen]) -> int:
    """How many fixes agree to the last digit, where they span half a minute: a receiver that works never does that."""
    alike: dict[tuple[float, float, float], list[int]] = {}
    for fix in fixes:
        alike.setdefault((fix.at.lon, fix.at.lat, fix.accuracy_m), []).append(fix.t_ms)
    return max((len(times) for times in alike.values() if max(times) - min(times) >= _SAME_SPAN_S * 1_000), default=0)


def _clocks_apart(fixes: Sequence[Seen]) -> int:
    """How many fixes, seen from the first, have a wall clock that went another way than the one that never jumps."""
    timed = [(fix.t_ms, fix.mono_ms) for fix in fixes if fix.mono_ms is not None and fix.age_s <= _STALE_S]
    if not timed:
        return 0
    wall_ms, mono_ms = timed[0]
    return sum(abs((t_ms - wall_ms) - (ms - mono_ms)) > _CLOCKS_APART_S * 1_000 for t_ms, ms in timed)


# --- stores ------------------------------------------------------------------------------------------------------------------


def stores_to_review(counts: Mapping[str, tuple[int, int]], *, q: float = _VENUE_Q) -> list[str]:
    """R11: stores whose confirmed visits have too often a phone that was elsewhere.

    counts: of each store its confirmed visits, and how many of these had p_in < 0.1. Each store is tested against the share of all others;
    of those that are found no more than q are to be false (Benjamini and Hochberg 1995).
    """
    stores = sorted(counts)
    visits, away = (np.array([counts[store][place] for store in stores]) for place in (0, 1))
    others = np.maximum(visits.sum() - visits, 1)
    chance = bdtrc(away - 1, visits, np.clip((away.sum() - away) / others, 1e-6, 1.0))
    sequence = np.argsort(chance)
    passing = np.flatnonzero(chance[sequence] <= q * np.arange(1, len(stores) + 1) / max(len(stores), 1))
    return sorted(stores[at] for at in sequence[: passing[-1] + 1]) if len(passing) else []


# --- accounts that go about together -----------------------------------------------------------------------------------------


def accounts_together(visits: Iterable[tuple[str, str, datetime]]) -> dict[str, int]:
    """R12: of each account how many, itself included, went to five stores or more together with it, directly or through others.

    visits: account, store and when, in any order, of one week. Together is within five minutes at one store.
    """
    by_store: dict[str, list[tuple[datetime, str]]] = {}
    for account, store, when in visits:
        by_store.setdefault(store, []).append((when, account))
    stores_of_pair: dict[tuple[str, str], set[str]] = {}
    for store, seen in by_store.items():
        for pair in _pairs(sorted(seen)):
            stores_of_pair.setdefault(pair, set()).add(store)
    group: dict[str, set[str]] = {}
    for (one, other), stores in stores_of_pair.items():
        if len(stores) >= _STORES_TOGETHER:
            joined = group.get(one, {one}) | group.get(other, {other})
            group.update(dict.fromkeys(joined, joined))
    return {account: len(members) for account, members in group.items()}


def _pairs(seen: Sequence[tuple[datetime, str]]) -> Iterable[tuple[str, str]]:
    """seen: at one store, in the order of time."""
    for number, (when, account) in enumerate(seen):
        for later, other in seen[number + 1 :]:
            if (later - when).total_seconds() > _TOGETHER_S:
                break
            if other != account:
                yield (min(account, other), max(account, other))
