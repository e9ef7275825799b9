"""Words as numbers: what a name can be found by, in any script, without word breaks, and with a typing error or two.

Letters of alphabets give trigrams of each word, padded as pg_trgm pads them. Chinese and Japanese have no spaces: each character and each
pair counts, and Chinese names also by their sound (pinyin, and its initials). pg_trgm itself leaves out every letter that the
database's locale does not know, which is all of Chinese in the locale C; so the grams are made here, once, when a name is written.
"""

from __future__ import annotations

import re
import unicodedata
import zlib
from collections.abc import Iterable, Iterator
from functools import lru_cache

LONGEST_QUERY = 100
# Of the grams of a question so many fifths must be found: one wrong letter in a word of five passes.
NEEDED, OF = 3, 5
# Han; hiragana (katakana is folded into it); the long vowel mark.
_HAN = "㐀-䶿一-鿿豈-﫿\U00020000-\U0003134f"
_RUNS = re.compile(f"(?P<han>[{_HAN}]+)|(?P<kana>[ぁ-ゟー]+)|(?P<word>[^\\W_]+?)(?=[{_HAN}ぁ-ゟー]|[\\W_]|$)")
# Letters that Unicode does not take apart, as people write them who have not got them.
_LETTERS = str.maketrans(
    {"ø": "o", "đ": "d", "ð": "d", "ł": "l", "ħ": "h", "ı": "i", "ŧ": "t", "ŋ": "n", "ĸ": "k", "æ": "ae", "œ": "oe", "þ": "th", "ƒ": "f", "ə": "e"}
)
_KATAKANA = {code: code - 0x60 for code in range(ord("ァ"), ord("ヶ") + 1)}
_FOLDED: dict[int, int | str] = {**_KATAKANA, **_LETTERS}
_MOST_GRAMS = 400


def grams(texts: Iterable[str]) -> list[int]:
    """What texts can be found by, sorted; signed 32-bit numbers. With the sound of Chinese."""
    found: set[str] = set()
    for text in texts:
        for kind, run in _runs(text):
            found.update(_grams_of(kind, run))
            if kind == "han":
                found.update(_sounds(run))
    return sorted({_number(gram) for gram in found})[:_MOST_GRAMS]


@lru_cache(maxsize=4_096)
def asked_grams(query: str, *, unfinished: bool = False) -> tuple[int, ...]:
    """What a question looks for, sorted; empty where it has no letter and no digit. unfinished: more of its last word may come."""
    runs = list(_runs(query))
    found: set[str] = set()
    for place, (kind, run) in enumerate(runs):
        found.update(_grams_of(kind, run, open_end=unfinished and place == len(runs) - 1))
    return tuple(sorted({_number(gram) for gram in found}))


def is_match(found: int, asked: int) -> bool:
    """Whether so many of the asked grams are enough."""
    return OF * found >= NEEDED * asked


def least_match(asked: int) -> int:
    """The fewest of the asked grams that are enough."""
    return -(-NEEDED * asked // OF)


def fold(text: str) -> str:
    """Small letters without accents; full-width as half-width, katakana as hiragana."""
    plain = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", text).casefold())
    # The sounding marks of kana are letters of their own, accents are not.
    bare = "".join(char for char in plain if not unicodedata.combining(char) or char in "\u3099\u309a")
    return unicodedata.normalize("NFC", bare).translate(_FOLDED)


def _runs(text: str) -> Iterator[tuple[str, str]]:
    for match in _RUNS.finditer(fold(text)):
        yield str(match.lastgroup), match[0]


def _grams_of(kind: str, run: str, *, open_end: bool = False) -> Iterator[str]:
    if kind == "word":
        padded = f"  {run}" if open_end else f"  {run} "
        yield from (padded[place : place + 3] for place in range(len(padded) - 2))
    else:
        yield from run
        yield from (run[place : place + 2] for place in range(len(run) - 1))


def _sounds(run: str) -> Iterator[str]:
    # Its dictionary takes a moment and some memory: only for those who have Chinese names.
    from pypinyin import lazy_pinyin

    syllables = [fold(one) for one in lazy_pinyin(run)]
    for word in ("".join(syllables), "".join(one[0] for one in syllables), *syllables):
        yield from _grams_of("word", word)


def _number(gram: str) -> int:
    return zlib.crc32(gram.encode()) - (1 << 31)
