"""A question of discovery as a value: where, which, in what order, from where on. Both paths answer the same one."""

from __future__ import annotations

from dataclasses import astuple, dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Literal
from uuid import UUID

from shapely.geometry import MultiPolygon

from ..geo.point import Point
from ..shelf.snapshot import minutes
from .ranking import Profile

Kind = Literal["stores", "offers"]
Sort = Literal["points", "distance", "rating", "price", "ending_soon"]


@dataclass(frozen=True)
class Filters:
    """What a hit must satisfy, wherever it lies; None and empty ask nothing.

    at: the moment of the question, a whole minute: for validity, and for `open` in the answer.
    open_from, open_until: open all the time between; the same moment twice for one moment.
    price_max, currency, offer_kinds, discount_min: of the offer; for stores, of one of their offers.
    """

    at: datetime
    open_from: datetime | None = None
    open_until: datetime | None = None
    category_ids: tuple[int, ...] | None = None
    brands: tuple[str, ...] = ()
    chains: tuple[str, ...] = ()
    merchant_id: UUID | None = None
    tags_any: tuple[str, ...] = ()
    tags_all: tuple[str, ...] = ()
    tags_none: tuple[str, ...] = ()
    price_bands: tuple[int, ...] = ()
    min_rating_milli: int | None = None
    min_rating_count: int | None = None
    price_max: int | None = None
    currency: str | None = None
    offer_kinds: tuple[str, ...] = ()
    discount_min: int | None = None
    sample: bool | None = None

    def __hash__(self) -> int:
        return self._hash

    @cached_property
    def _hash(self) -> int:
        # Asked for with every question, and of seventeen fields.
        return hash(astuple(self))

    @cached_property
    def minute(self) -> int:
        """The moment of the question in whole minutes since 1970."""
        return minutes(self.at)

    @property
    def asks_of_offers(self) -> bool:
        return self.price_max is not None or self.currency is not None or bool(self.offer_kinds) or self.discount_min is not None


@dataclass(slots=True)
class Where:
    """Places within radius_m of the origin and not nearer than min_radius_m, inside the area and in the cells, where they are given.

    area: WGS 84, cut at the date line. cells: H3, any resolution from 0 to 12. serves: only stores whose service area holds the origin.
    around: where there is an area or cells, the middle and the radius in metres of a circle that holds them.
    """

    origin: Point
    radius_m: float
    min_radius_m: float = 0.0
    area: MultiPolygon | None = None
    cells: tuple[int, ...] = ()
    serves: bool = False
    around: tuple[Point, float] | None = None

    def __post_init__(self) -> None:
        assert (self.around is None) == (self.area is None and not self.cells)


@dataclass(frozen=True)
class Words:
    """Text that is looked for. grams: of the question; category_found: ids of categories to how many of the grams their names have."""

    grams: tuple[int, ...]
    category_found: tuple[tuple[int, int], ...] = ()


@dataclass(slots=True)
class After:
    """The last hit of the page before: its place in the order and its id. key: see ranking.order_key."""

    key: int
    distance_m: int
    id: UUID


@dataclass(slots=True)
class Question:
    """Nothing changes it; it is not frozen because one is made for every request, and Python takes four times as long for a frozen one."""

    kind: Kind
    where: Where
    filters: Filters
    profile: Profile
    words: Words | None = None
    sort: Sort = "points"
    limit: int = 20
    after: After | None = None
    exclude: frozenset[UUID] = field(default_factory=frozenset)
    # Where not empty: only these (known to the database's path alone).
    only: frozenset[UUID] = field(default_factory=frozenset)
