"""The compiled writer says of hits what plain Python would say, and the same by SQL and from the shelf."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any
from uuid import UUID

import numpy as np
import orjson
import pytest

from geo_o2o.discovery.answer import hits_of
from geo_o2o.discovery.hits import Hits, empty_page
from geo_o2o.discovery.items import item_of_row, items_of_hits
from geo_o2o.discovery.nearest import DISTANCE_BITS
from geo_o2o.discovery.ranking import Candidate, Profile, Score, built_in_profiles
from geo_o2o.discovery.selection import View, rating_columns
from geo_o2o.shelf.fragments import offer_fragment, rating_fragment, store_fragment
from geo_o2o.shelf.snapshot import minutes
from geo_o2o.stores.categories import tree

from .conftest import NOW

PROFILE = built_in_profiles()["balanced-1"]
ID = UUID("01a1fff2-6630-8112-9b5c-a9272055c5ec")


def store_row(**changes: Any) -> dict[str, Any]:
    return {
        "store_id": ID, "name": "Café \u2028 \"Ж\" 茶", "names": {"fi": "Kahvila"}, "brand": None, "chain": None, "tags": ["wifi"], "address": "",
        "opening_hours": None, "time_zone": "Europe/Helsinki", "price_band": None, "source": "osm", "lat": 60.17, "lon": 24.94,
        "category_id": tree()["food"].id, "rating_sum": 9, "rating_count": 2, "rating_sample": False, "is_open": True, **changes,
    }  # fmt: skip


def offer_row(**changes: Any) -> dict[str, Any]:
    return {
        "offer_id": ID, "offer_category_id": tree()["shop"].id, "title": "Two for one", "titles": {}, "kind": "discount", "price_minor": 450, "currency": "EUR",
        "list_price_minor": None, "valid_from": NOW, "valid_until": None, "sample": True, "store_count": 3, **changes,
    }  # fmt: skip


def written(row: dict[str, Any], *, metres: int = 120, distance: int = 640, rating: int = 244, text: int | None = None, bayes: int = 4_100,
            profile: Profile = PROFILE) -> dict[str, Any]:  # fmt: skip
    candidate = Candidate(ID, metres, "food", 9, 2)
    score = Score(distance + rating + (text or 0), distance, rating, bayes, text)
    return orjson.loads(item_of_row(row, candidate, score, profile=profile))  # type: ignore[no-any-return]


@pytest.mark.parametrize("milli", [0, 1, 10, 100, 999, 1_000, 1_001, 2_500, 4_125, 4_990, 5_000, *range(3_000, 3_130)])
def test_a_rating_is_written_as_json_has_it(milli: int) -> None:
    raw = item_of_row(store_row(), Candidate(ID, 1, "food", 9, 2), Score(3, 1, 2, milli), profile=PROFILE)
    assert b'"bayes":%b}' % orjson.dumps(milli / 1_000) in raw


@pytest.mark.parametrize("number", [0, 7, 10, 99, 100, 262_143, 10**12, -1, -100])
def test_whole_numbers_are_written_whatever_their_length(number: int) -> None:
    hit = written(store_row(), metres=abs(number), distance=number, rating=number, text=number)
    assert hit["distance_m"] == abs(number)
    assert hit["score"] == {"total": 3 * number, "distance": number, "rating": number, "text": number, "profile": "balanced-1"}


@pytest.mark.parametrize(("state", "said"), [(True, True), (False, False), (None, None)])
def test_a_store_says_whether_it_is_open(state: bool | None, said: bool | None) -> None:
    hit = written(store_row(is_open=state))
    assert hit["open"] is said
    assert list(hit) == ["id", *list(hit)[1:-4], "open", "distance_m", "rating", "score"]
    assert hit["name"] == store_row()["name"]
    assert "text" not in hit["score"]


def test_an_offer_carries_its_store() -> None:
    hit = written({**store_row(), **offer_row()}, text=12)
    assert hit["title"] == "Two for one"
    assert hit["store"]["name"] == store_row()["name"]
    assert hit["store"]["open"] is True
    assert hit["score"]["total"] == 640 + 244 + 12
    assert hit["rating"] == {"mean": 4.5, "count": 2, "sum": 9, "sample": False, "bayes": 4.1}


@pytest.mark.parametrize("offers", [False, True])
@pytest.mark.parametrize("words", [False, True])
def test_hits_of_several_views_come_in_the_order_of_the_page(offers: bool, words: bool) -> None:
    views = []
    for letter in "ab":
        stores = [store_row(name=f"{letter}{number}" * number, source=letter) for number in range(1, 5)]
        texts = [text for row in stores for text in (store_fragment(row), rating_fragment(row))]
        ends = np.cumsum([0, *map(len, texts)])
        placed = [offer_fragment(offer_row(title=f"{letter}{number}")) for number in range(4)] if offers else []
        columns = {
            "store_end": ends, "store_text": np.frombuffer(b"".join(texts), dtype=np.uint8), "source": np.zeros(4, dtype=np.int32),
            "hours_id": np.array([0, 1, -1, 0], dtype=np.int32), "offer_end": np.cumsum([0, *map(len, placed)]),
            "offer_text": np.frombuffer(b"".join(placed), dtype=np.uint8), "category": np.full(4, tree()["food"].id, dtype=np.int16),
            "rating_sum": np.array([9, 0, 50, 7], dtype=np.int32), "rating_count": np.array([2, 0, 10, 7], dtype=np.int32),
        }  # fmt: skip
        snapshot: Any = Columns(columns, credit={0: (letter, f"© {letter}", "ODbL")})
        stores_of_rows = np.array([3, 1, 0], dtype=np.int32)
        things = np.array([2, 0, 3], dtype=np.int32) if offers else None
        text = np.array([5, 0, 70], dtype=np.int32) if words else None
        views.append(View(snapshot, stores_of_rows, things, np.zeros(3, dtype=np.int32), text))
    page = empty_page(5)
    for at, (number, row) in enumerate(((1, 0), (0, 2), (1, 1), (0, 0), (1, 2))):
        page[at]["order"], page[at]["number"], page[at]["row"] = (-(500 - at) << DISTANCE_BITS) + 100 * at + 7, number, row
    items, credit = items_of_hits(Hits(views, page), profile=PROFILE, minute=minutes(NOW))
    hits = hits_of(items)
    assert [hit["distance_m"] for hit in hits] == [7, 107, 207, 307, 407]
    assert [hit.get("store", hit)["name"] for hit in hits] == ["b4b4b4b4", "a1", "b2b2", "a4a4a4a4", "b1"]
    assert [hit.get("store", hit)["open"] for hit in hits] == [True, True, False, True, True]
    if offers:
        assert [hit["title"] for hit in hits] == ["b2", "a3", "b0", "a2", "b3"]
    if words:
        assert [hit["score"]["text"] for hit in hits] == [5, 70, 0, 5, 70]
    bayes, points = rating_columns(views[0].snapshot, PROFILE)
    for hit, store in zip(hits, (3, 0, 1, 3, 0), strict=True):
        score = hit["score"]
        assert score["rating"] == points[store]
        assert hit["rating"]["bayes"] == bayes[store] / 1_000
        assert score["distance"] == PROFILE.points_by_metre[hit["distance_m"]]
        assert score["total"] == score["distance"] + score["rating"] + score.get("text", 0)
    assert credit == {"a": ("© a", "ODbL"), "b": ("© b", "ODbL")}


def test_no_hits_are_no_items() -> None:
    assert items_of_hits(Hits([], empty_page(0)), profile=PROFILE, minute=0) == (b"", {})


class Columns(SimpleNamespace):
    """What the writer needs of a snapshot."""

    def __init__(self, columns: dict[str, Any], *, credit: dict[int, tuple[str, str, str]]):
        super().__init__(columns=columns, credit=credit, views={})

    def __getitem__(self, name: str) -> Any:
        return self.columns[name]

    def open_state(self, minute: int) -> Any:
        return np.array([1, 0, 1], dtype=np.int8)
