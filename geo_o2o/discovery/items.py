"""The JSON of hits, written from ready-made fragments by compiled code. Pure; both paths end here, and a test holds it and the schemas together."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np
from numba import from_dtype, njit, types
from numpy.typing import NDArray

from ..shelf.fragments import offer_fragment, rating_fragment, store_fragment
from ..shelf.snapshot import NOTHING
from .compiling import column, compiled
from .hits import Hits
from .nearest import DISTANCE_BITS, HIT
from .ranking import Candidate, Profile, Score
from .selection import View, rating_columns

Array = NDArray[Any]

# What a hit says; what is written after a $ is filled in. $store, $stars and $offer are fragments: members without braces.
_STORE = '{$store,"open":$open,"distance_m":$metres,"rating":{$stars,"bayes":$bayes},$score}'
_OFFER = '{$offer,"distance_m":$metres,"rating":{$stars,"bayes":$bayes},$score,"store":{$store,"open":$open}}'
_SCORE = '"score":{"total":$total,"distance":$near,"rating":$rating,$words"profile":"$profile"}'
_WORDS = '"text":$text,'
# What is filled in, and its number in the compiled code: fragments first, then whether it is open and its stars, then integers.
_NAMES = ("store", "stars", "offer", "open", "bayes", "metres", "near", "rating", "text", "total")
_STORE_PART, _STARS_PART, _OFFER_PART, _IS_OPEN, _BAYES, _METRES, _NEAR, _RATING, _TEXT_POINTS, _TOTAL = range(len(_NAMES))
_OPEN, _CLOSED, _UNKNOWN = (np.frombuffer(word, dtype=np.uint8) for word in (b"true", b"false", b"null"))
# Under this name lies with a view what its hits are written from.
_COLUMNS = "items"
# Room for as many integers of the longest kind.
_DIGITS = 20 * len(_NAMES)

_TEMPLATE = (column(types.uint8), column(types.int64), column(types.int64))
_TEXT, _ENDS, _NUMBERS = column(types.uint8), column(types.int64), column(types.int32)


@lru_cache(maxsize=1_024)
def _template(profile: str, *, offers: bool, words: bool) -> tuple[Array, Array, Array]:
    """The texts between what is filled in, in one array; where each of them ends; and the number of what comes before each (none: -1)."""
    score = _SCORE.replace("$words", _WORDS if words else "").replace("$profile", profile)
    first, *rest = re.split(r"\$(\w+)", (_OFFER if offers else _STORE).replace("$score", score))
    texts = [text.encode() for text in (first, *rest[1::2])]
    names = np.array([-1, *(_NAMES.index(name) for name in rest[::2])])
    return np.frombuffer(b"".join(texts), dtype=np.uint8), np.cumsum([len(text) for text in texts]), names


def items_of_hits(hits: Hits, *, profile: Profile, minute: int) -> tuple[bytes, dict[str, tuple[str, str]]]:
    """The JSON of hits of the shelf, in their order with a comma between, and attribution and licence of the sources they come from."""
    numbers = hits.page["number"].tolist()
    spans = np.empty((len(numbers), 3), dtype=np.int64)
    texts: dict[int, bytes] = {}
    for number in set(numbers):
        view = hits.views[number]
        texts[number] = _items_of_view(hits.page, number, spans, view.snapshot.open_state(minute), *_columns_of(view, profile)).tobytes()
    if len(texts) == 1:
        sources = {(numbers[0], source) for source in set(spans[:, 0].tolist())}
        items = texts[numbers[0]]
    else:
        found = list(zip(numbers, spans.tolist(), strict=True))
        sources = {(number, source) for number, (source, _, _) in found}
        items = b",".join([texts[number][begin:end] for number, (_, begin, end) in found])
    known = (hits.views[number].snapshot.credit.get(source) for number, source in sources)
    return items, {one[0]: one[1:] for one in known if one}


def _columns_of(view: View, profile: Profile) -> tuple[Any, ...]:
    """What the hits of a view are written from; put together once, because a view belongs to one kind of question."""
    columns: tuple[Any, ...] | None = view.made.get(_COLUMNS)
    if columns is None:
        snapshot = view.snapshot
        bayes, rating = rating_columns(snapshot, profile)
        columns = view.made[_COLUMNS] = (
            *_template(profile.name, offers=view.offers is not None, words=view.text is not None), 1 << DISTANCE_BITS, view.stores, view.things,
            snapshot["source"], snapshot["hours_id"], bayes, rating, profile.points_by_metre, rating if view.text is None else view.text,
            snapshot["store_end"], snapshot["store_text"], snapshot["offer_end"], snapshot["offer_text"],
        )  # fmt: skip
    return columns


def item_of_row(row: Mapping[str, Any], candidate: Candidate, score: Score, *, profile: Profile) -> bytes:
    """The JSON of a row of SQL."""
    store, stars, offer = store_fragment(row), rating_fragment(row), offer_fragment(row) if "offer_id" in row else b""
    open_ = NOTHING if row["is_open"] is None else int(row["is_open"])
    template = _template(profile.name, offers="offer_id" in row, words=score.text is not None)
    ends = np.cumsum([0, len(store), len(stars), len(offer)])
    # In the order of _NAMES.
    numbers = np.array([0, 0, 0, open_, score.bayes_milli, candidate.distance_m, score.distance, score.rating, score.text or 0, score.total])
    return bytes(_item(*template, np.frombuffer(store + stars + offer, dtype=np.uint8), ends, numbers))


# --- compiled ----------------------------------------------------------------------------------------------------------------


@njit
def _copy(out: Array, at: int, text: Array, begin: int, end: int) -> int:
    # Numbers without a sign need no look at places before the first, so that this becomes a copy of memory.
    there, here = np.uintp(at), np.uintp(begin)
    for place in range(np.uintp(end - begin)):
        out[there + place] = text[here + place]
    return at + end - begin


@njit
def _write_integer(out: Array, at: int, number: int) -> int:
    if number < 0:
        out[at] = 45  # -
        at, number = at + 1, -number
    end = at + 1
    rest = number // 10
    while rest > 0:
        end, rest = end + 1, rest // 10
    for place in range(end - 1, at - 1, -1):
        out[place] = 48 + number % 10  # 0
        number //= 10
    return end


@njit
def _write_thousandths(out: Array, at: int, milli: int) -> int:
    """A number of three decimals as JSON has it: 4.0, 4.5, 4.125."""
    at = _write_integer(out, at, milli // 1_000)
    out[at] = 46  # .
    rest, unit = milli % 1_000, 100
    while True:
        at += 1
        out[at] = 48 + rest // unit
        rest, unit = rest % unit, unit // 10
        if rest == 0:
            return at + 1


@njit
def _write(
    out: Array, at: int, literals: Array, literal_end: Array, names: Array, store_text: Array, store_begin: int, stars_begin: int, stars_end: int,
    offer_text: Array, offer_begin: int, offer_end: int, numbers: Array,
) -> int:  # fmt: skip
    """Writes one hit; returns where it ends. numbers: by the place in _NAMES."""
    begin = 0
    for piece in range(len(names)):
        name = names[piece]
        if name == _STORE_PART:
            at = _copy(out, at, store_text, store_begin, stars_begin)
        elif name == _STARS_PART:
            at = _copy(out, at, store_text, stars_begin, stars_end)
        elif name == _OFFER_PART:
            at = _copy(out, at, offer_text, offer_begin, offer_end)
        elif name == _IS_OPEN:
            word = _OPEN if numbers[name] == 1 else _CLOSED if numbers[name] == 0 else _UNKNOWN
            at = _copy(out, at, word, 0, len(word))
        elif name == _BAYES:
            at = _write_thousandths(out, at, numbers[name])
        elif name > _BAYES:
            at = _write_integer(out, at, numbers[name])
        at = _copy(out, at, literals, begin, literal_end[piece])
        begin = literal_end[piece]
    return at


@compiled(types.uint8[::1](
    from_dtype(HIT)[::1], types.int64, types.int64[:, ::1], column(types.int8), *_TEMPLATE, types.int64, _NUMBERS, _NUMBERS, _NUMBERS, _NUMBERS,
    _NUMBERS, _NUMBERS, column(types.int64), _NUMBERS, _ENDS, _TEXT, _ENDS, _TEXT,
))  # fmt: skip
def _items_of_view(
    page: Array, number: int, spans: Array, open_state: Array, literals: Array, literal_end: Array, names: Array, distances: int, stores: Array,
    things: Array, source: Array, hours_id: Array, bayes: Array, rating: Array, points_by_metre: Array, text: Array, store_end: Array,
    store_text: Array, offer_end: Array, offer_text: Array,
) -> Array:  # fmt: skip
    """Writes the hits of the view of one number, one behind the other with a comma between.

    spans: shape (hits of the page, 3); of those of this view it is filled with their source and where they begin and end. distances: how
    many there are beside a key in an order. stores, things, text: of each row of the view; rating, bayes, source and hours_id of each store.
    store_end, store_text, offer_end, offer_text: see shelf/snapshot.
    """
    has_offer, has_words, size = _OFFER_PART in names, _TEXT_POINTS in names, 0
    for hit in range(len(page)):
        if page[hit].number == number:
            store, thing = stores[page[hit].row], things[page[hit].row]
            size += 1 + len(literals) + _DIGITS + store_end[2 * store + 2] - store_end[2 * store]
            if has_offer:
                size += offer_end[thing + 1] - offer_end[thing]
    out, numbers, at = np.empty(size, np.uint8), np.zeros(len(_NAMES), np.int64), 0
    for hit in range(len(page)):
        if page[hit].number != number:
            continue
        row = page[hit].row
        store, thing, metres = stores[row], things[row], page[hit].order % distances
        numbers[_IS_OPEN], numbers[_BAYES], numbers[_METRES] = open_state[hours_id[store]], bayes[store], metres
        numbers[_NEAR], numbers[_RATING], numbers[_TEXT_POINTS] = points_by_metre[metres], rating[store], text[row] if has_words else 0
        numbers[_TOTAL] = numbers[_NEAR] + numbers[_RATING] + numbers[_TEXT_POINTS]
        offer_begin, offer_until = (offer_end[thing], offer_end[thing + 1]) if has_offer else (0, 0)
        if at > 0:
            out[at] = 44  # ,
            at += 1
        begin = at
        at = _write(
            out, at, literals, literal_end, names, store_text, store_end[2 * store], store_end[2 * store + 1], store_end[2 * store + 2],
            offer_text, offer_begin, offer_until, numbers,
        )  # fmt: skip
        spans[hit, 0], spans[hit, 1], spans[hit, 2] = source[store], begin, at
    return out[:at]


@compiled(types.uint8[::1](*_TEMPLATE, _TEXT, column(types.int64), column(types.int64)))
def _item(literals: Array, literal_end: Array, names: Array, texts: Array, ends: Array, numbers: Array) -> Array:
    """Writes one hit. texts: of its store, its stars and its offer, one behind the other; ends: where they begin and end."""
    out = np.empty(len(literals) + _DIGITS + len(texts), np.uint8)
    return out[: _write(out, 0, literals, literal_end, names, texts, ends[0], ends[1], ends[2], texts, ends[2], ends[3], numbers)]
