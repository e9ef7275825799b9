from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from ..discovery.answer import hits_of
from ..discovery.ranking import BadProfile, Profile, parse_profile
from ..discovery.reading import read_question
from ..discovery.schemas import NearbyRequest, OffersRequest
from ..discovery.service import Finder
from ..errors import InvalidInput
from .comparing import Difference, compare

_OFFERS, _STORES = OffersRequest(), NearbyRequest()


def read_profile(body: Mapping[str, Any]) -> Profile:
    """Raises InvalidInput."""
    try:
        return parse_profile(body)
    except BadProfile as failure:
        raise InvalidInput(str(failure), errors={"profile": [str(failure)]}) from failure


def draft_of(weights: Mapping[str, Any]) -> Profile:
    """A profile that nobody has added, by a name of its own: what is remembered of a profile is remembered by name. Raises InvalidInput."""
    digest = hashlib.sha256(json.dumps(weights, sort_keys=True).encode()).hexdigest()[:32]
    return read_profile({**weights, "name": f"draft-{digest}"})


def difference_at(
    finder: Finder, place: Mapping[str, float], asked: Mapping[str, Any], *, used: Profile, draft: Profile, now: datetime
) -> Difference:
    """What the draft would change at one place. asked: of PreviewRequest. now: a whole minute. Raises what nearby raises."""
    schema = _OFFERS if asked["kind"] == "offers" else _STORES
    question = read_question(
        schema.load({**place, **{name: asked[name] for name in ("radius_m", "category", "limit") if name in asked}}),
        kind=asked["kind"], at=now, profile=used, district=None, radius_m=None, after=None,
    )  # fmt: skip
    before, after = (hits_of(finder.page_by_sql(replace(question, profile=profile)).items) for profile in (used, draft))
    return compare(before, after)
