"""The sets of weights that points come from: those that are built in, and those of this deployment, which are never changed."""

from __future__ import annotations

import re
from datetime import datetime

from sqlalchemy.orm import Session

from ..errors import Conflict, InvalidInput
from . import queries
from .models import ProfileUse, RankProfile
from .ranking import DEFAULT_PROFILE, MILLI, Profile, built_in_profiles, parse_profile


def get_profile(session: Session, name: str) -> Profile:
    """A built-in profile or one of this deployment. Raises InvalidInput."""
    built_in = built_in_profiles().get(name)
    if built_in is not None:
        return built_in
    row = queries.find_profile(session, name)
    if row is None:
        known = ", ".join([*built_in_profiles(), *(one.name for one in queries.list_profiles(session))])
        raise InvalidInput(f"there is no rank profile {name[:60]!r}; known are {known}", errors={"profile": [f"expected one of {known}"]})
    return parse_profile(row.body)


def add_profile(session: Session, profile: Profile, *, now: datetime) -> None:
    """Raises Conflict where the name is taken: a profile never changes, so that old answers can be recomputed."""
    if profile.name in built_in_profiles() or queries.find_profile(session, profile.name):
        raise Conflict(f"there is a profile {profile.name} already; a changed one gets a new name")
    session.add(RankProfile(name=profile.name, body=profile.as_json(), created_at=now))
    session.flush()


def profile_in_use(session: Session) -> tuple[str, datetime | None]:
    """The name of the profile that answers whoever names none, and since when; None where nobody has chosen one."""
    use = queries.newest_use(session)
    return (DEFAULT_PROFILE, None) if use is None else (use.name, use.begun_at)


def use_profile(session: Session, name: str, *, now: datetime) -> Profile:
    """From now on this profile answers whoever names none; running services hear of it within seconds. Raises InvalidInput."""
    profile = get_profile(session, name)
    if profile_in_use(session)[0] != name:
        session.add(ProfileUse(name=name, begun_at=now))
        session.flush()
    return profile


def refit_profile(session: Session, name: str, *, now: datetime) -> Profile:
    """The next version of a profile, its prior means those of the ratings as they are now.

    Raises InvalidInput where there is no such profile or nothing is rated.
    """
    old = get_profile(session, name)
    means = queries.mean_ratings_milli(session)
    if not means:
        raise InvalidInput("nothing is rated yet, so there is no mean to fit to")
    stem, number = _version(name)
    while f"{stem}-{number}" in built_in_profiles() or queries.find_profile(session, f"{stem}-{number}"):
        number += 1
    body = {**old.as_json(), "name": f"{stem}-{number}", "prior_mean": {code: mean / MILLI for code, mean in means.items()}}
    profile = parse_profile(body)
    add_profile(session, profile, now=now)
    return profile


def _version(name: str) -> tuple[str, int]:
    match = re.fullmatch(r"(.+)-(\d+)", name)
    return (match[1], int(match[2]) + 1) if match else (name, 2)
