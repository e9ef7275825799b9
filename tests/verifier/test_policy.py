"""A policy names whom one trusts, and a line that cannot be read is no trust at all."""

from __future__ import annotations

import pytest

from visit_verify.policy import BadPolicy, parse_policy

from .parties import LOG_KEY, OPERATOR_ID, STORE, TILL_ID, WITNESSES, policy, policy_text


def test_a_policy_is_read() -> None:
    found = policy()
    assert found.logs == [LOG_KEY.verifier]
    assert list(found.witnesses.values()) == [one.verifier for one in WITNESSES]
    assert found.operators.keys() == {OPERATOR_ID}
    assert found.tills.keys() == {(STORE, TILL_ID)}
    assert parse_policy("  \t\n" + policy_text().replace(" ", " \t ").replace("# \t whom", "  # whom")) == found


@pytest.mark.parametrize(
    ("seen", "least", "expected"),
    [
        ({}, "any", None), ({"first": 5}, "any", 5), ({"first": 5, "second": 3}, "any", 3), ({"first": 5, "second": 3}, "all", 5),
        ({"first": 5, "second": 3}, "1", 3), ({"first": 5}, "2", None), ({"first": 5, "stranger": 1}, "all", None),
    ],
)  # fmt: skip
def test_a_quorum_is_reached_when_enough_have_signed(seen: dict[str, int], least: str, expected: int | None) -> None:
    assert policy(group=f"group both {least} first second").reached_at(seen) == expected


def test_groups_may_have_groups() -> None:
    found = policy(group="group one any first\ngroup both all one second")
    assert found.reached_at({"first": 5, "second": 9}) == 9
    assert found.reached_at({"first": 5}) is None


def test_one_witness_may_be_the_quorum() -> None:
    assert policy(quorum="second").reached_at({"first": 1, "second": 2}) == 2


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"quorum": ""}, "one line `quorum`"),
        ({"quorum": "quorum none\nquorum none"}, "one line `quorum`"),
        ({"quorum": "quorum nobody"}, "nothing is called nobody"),
        ({"log": f"log {WITNESSES[0].verifier}"}, "kind 4, expected 1"),
        ({"first": f"witness first {LOG_KEY.verifier}"}, "kind 1, expected 4"),
        ({"first": f"witness first {WITNESSES[1].verifier}"}, "named before"),
        ({"first": f"witness none {WITNESSES[0].verifier}"}, "the name none is taken"),
        ({"second": f"witness first {WITNESSES[1].verifier}"}, "the name first is taken"),
        ({"group": "group both all first third"}, "nothing is called third"),
        ({"group": "group both all first first"}, "member already"),
        ({"group": "group one any first\ngroup both any first second"}, "member already"),
        ({"group": "group both 3 first second"}, "from 1 to 2"),
        ({"group": "group both 0 first second"}, "from 1 to 2"),
        ({"group": "group both"}, "expected log, witness"),
        ({"operator": "operator AAAA"}, "32 bytes"),
        ({"operator": "operator ????"}, "base64url"),
        ({"till": f"till {STORE}"}, "expected log, witness"),
        ({"till": f"till {STORE} {'A' * 43} after=x"}, "expected after="),
        ({"till": f"till {STORE} {'A' * 43} after=1 after=2"}, "expected after="),
        ({"more": "trust everybody"}, "found 'trust"),
        ({"log": "log example.com+00000000+AAAA"}, "line 3"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_line(change: dict[str, str], said: str) -> None:
    with pytest.raises(BadPolicy, match=said):
        parse_policy(policy_text() if not change else _text(change))


def _text(change: dict[str, str]) -> str:
    return policy_text(**change) if "quorum" not in change else policy_text().replace("quorum both", change["quorum"])
