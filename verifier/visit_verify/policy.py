"""Whom a verifier trusts: logs, witnesses and how many of them, operators, tills. A text file. Pure.

Source: C2SP tlog-policy for `log`, `witness`, `group` and `quorum`; `operator`, `till` and `revoked` are ours.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from .jws import BadJws, ed25519_thumbprint, from_base64url
from .note import COSIGNATURE, PLAIN, BadNote, VerifierKey, parse_verifier_key

_NONE = "none"
_INDEX = re.compile(r"(after|before)=(0|[1-9][0-9]{0,18})")


class BadPolicy(ValueError):
    """The policy cannot be read; the message names the line."""


@dataclass(frozen=True)
class SigningParty:
    """An Ed25519 key with the time that it was good for, as places in the log: from behind `after` to ahead of `before`."""

    public: bytes
    after: int | None = None
    before: int | None = None

    @property
    def id(self) -> str:
        return ed25519_thumbprint(self.public)

    def holds_at(self, index: int) -> bool:
        return (self.after is None or self.after < index) and (self.before is None or index < self.before)


@dataclass(frozen=True)
class Group:
    least: int
    members: tuple[str, ...]


@dataclass
class Policy:
    """operators: by the thumbprint of the key. tills: by store and thumbprint. urls: where witnesses are asked, by name.

    quorum: the name of a witness or a group, None for none. revoked_devices: by thumbprint, the place in the log from which on nothing of a
    device is believed; None for nothing at all.
    """

    logs: list[VerifierKey] = field(default_factory=list)
    witnesses: dict[str, VerifierKey] = field(default_factory=dict)
    urls: dict[str, str] = field(default_factory=dict)
    groups: dict[str, Group] = field(default_factory=dict)
    quorum: str | None = None
    operators: dict[str, SigningParty] = field(default_factory=dict)
    tills: dict[tuple[str, str], SigningParty] = field(default_factory=dict)
    revoked_devices: dict[str, int | None] = field(default_factory=dict)

    def is_revoked(self, device: str, index: int) -> bool:
        """Whether what a device signed is not believed at a place of the log."""
        before = self.revoked_devices.get(device)
        return device in self.revoked_devices and (before is None or index >= before)

    def reached_at(self, seen_s: Mapping[str, int]) -> int | None:
        """When the quorum was reached, in seconds since 1970; None where it was not. seen_s: when each witness signed, by its name.

        That is the moment before which as many as are needed had signed, not the one at which the last did.
        """
        return None if self.quorum is None else self._reached(self.quorum, seen_s)

    def _reached(self, name: str, seen_s: Mapping[str, int]) -> int | None:
        if name in self.witnesses:
            return seen_s.get(name)
        group = self.groups[name]
        times = sorted(time_s for one in group.members if (time_s := self._reached(one, seen_s)) is not None)
        return times[group.least - 1] if len(times) >= group.least else None


def parse_policy(text: str) -> Policy:
    """Raises BadPolicy."""
    policy, quorums = Policy(), 0
    for number, line in enumerate(text.split("\n"), start=1):
        words = re.split(r"[ \t]+", line.strip(" \t"))
        if words == [""] or words[0].startswith("#"):
            continue
        try:
            if words[0] == "quorum":
                quorums += 1
            _read_line(policy, words)
        except (BadPolicy, BadNote, BadJws) as failure:
            raise BadPolicy(f"line {number} of the policy: {failure}") from failure
    if quorums != 1:
        raise BadPolicy("a policy has one line `quorum`; `quorum none` asks for no witness")
    return policy


def _read_line(policy: Policy, words: list[str]) -> None:
    match words:
        case ["log", key, *url] if len(url) <= 1:
            policy.logs.append(_key(key, PLAIN, policy.logs))
        case ["witness", name, key, *url] if len(url) <= 1:
            _check_new(policy, name)
            policy.witnesses[name] = _key(key, COSIGNATURE, policy.witnesses.values())
            policy.urls.update((name, one) for one in url)
        case ["group", name, least, *members] if members:
            _check_new(policy, name)
            _check_members(policy, members)
            policy.groups[name] = Group(_least(least, len(members)), tuple(members))
        case ["quorum", name]:
            if name != _NONE and name not in policy.witnesses and name not in policy.groups:
                raise BadPolicy(f"nothing is called {name} so far")
            policy.quorum = None if name == _NONE else name
        case ["operator", key, *limits]:
            party = _party(key, limits)
            policy.operators[party.id] = party
        case ["till", store, key, *limits]:
            party = _party(key, limits)
            policy.tills[store, party.id] = party
        case ["revoked", device, *limits] if len(limits) <= 1:
            found = _limits(limits)
            if "after" in found:
                raise BadPolicy("a device is revoked from a place on: before=<place in the log>")
            policy.revoked_devices[device] = found.get("before")
        case _:
            raise BadPolicy(
                f"expected log, witness, group, quorum, operator, till or revoked with what belongs to it, found {' '.join(words)[:80]!r}"
            )


def _key(text: str, kind: int, others: Collection[VerifierKey]) -> VerifierKey:
    key = parse_verifier_key(text)
    if key.kind != kind:
        raise BadPolicy(f"the key {key.name} is of the kind {key.kind}, expected {kind}")
    if any(one.public == key.public for one in others):
        raise BadPolicy(f"the key of {key.name} was named before")
    return key


def _check_new(policy: Policy, name: str) -> None:
    if name == _NONE or name in policy.witnesses or name in policy.groups:
        raise BadPolicy(f"the name {name} is taken")


def _check_members(policy: Policy, members: list[str]) -> None:
    taken = {member for group in policy.groups.values() for member in group.members}
    for name in members:
        if name not in policy.witnesses and name not in policy.groups:
            raise BadPolicy(f"nothing is called {name} so far")
        if name in taken or members.count(name) > 1:
            raise BadPolicy(f"{name} is a member already")


def _least(text: str, count: int) -> int:
    if text in ("all", "any"):
        return count if text == "all" else 1
    if not re.fullmatch(r"[1-9][0-9]{0,3}", text) or int(text) > count:
        raise BadPolicy(f"expected all, any, or a number from 1 to {count}, found {text[:20]!r}")
    return int(text)


def _party(key: str, limits: list[str]) -> SigningParty:
    public = from_base64url(key)
    if len(public) != 32:
        raise BadPolicy("an Ed25519 key has 32 bytes, in base64url")
    found = _limits(limits)
    return SigningParty(public, found.get("after"), found.get("before"))


def _limits(limits: list[str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for limit in limits:
        match = _INDEX.fullmatch(limit)
        if match is None or match[1] in found:
            raise BadPolicy(f"expected after=<place in the log> or before=<place in the log>, found {limit[:40]!r}")
        found[match[1]] = int(match[2])
    return found
