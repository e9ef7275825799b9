"""Message catalogues: every word of every page in every language, and none that nobody says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from geo_o2o.web.words import LANGUAGES, language_of, words

WEB = Path(__file__).parents[2] / "geo_o2o" / "web"
# Page to what speaks on it.
_PLANNER = ("planner", "basemap", "panel", "charts", "planner/districts", "planner/figures", "planner/layer", "planner/map", "planner/state")
_ADMIN = (
    "admin", "admin/differences", "admin/health", "admin/imports", "admin/keys", "admin/merchants", "admin/page", "admin/ranking", "admin/sample",
)  # fmt: skip
_VISITOR = ("visitor", "basemap", "visitor/here", "visitor/map", "visitor/search", "visitor/shelf", "visitor/visit")
SPEAKERS = {
    "admin": ["templates/admin.html", "templates/tongues.html", *(f"static/{name}.js" for name in _ADMIN)],
    "counter": [
        "templates/counter.html",
        "templates/tongues.html",
        *(f"static/{name}.js" for name in ("counter", "counter/day", "counter/guests", "counter/passkeys", "counter/queue", "counter/till")),
    ],
    "planner": ["templates/planner.html", "templates/tongues.html", *(f"static/{name}.js" for name in _PLANNER)],
    "verify": ["templates/verify.html", "templates/tongues.html", "static/verify.js"],
    "visitor": [
        *(f"templates/{name}.html" for name in ("visitor", "list", "place", "nothing", "tongues")),
        *(f"static/{name}.js" for name in _VISITOR),
        "cards.py",
        "formats.py",
        "service.py",
    ],
}
# The verifier's own sentences, which its page translates.
VERIFIER = [f"static/verify/{name}.js" for name in ("receipt", "policy", "file", "jws", "merkle")]
_SAID = re.compile(r"""(?:(?<!\w)(?:t|_)|formats\.say|self\.say)\(\s*(?:'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)")""")


def said(page: str) -> set[str]:
    texts = [(WEB / name).read_text() for name in SPEAKERS[page]]
    return {match[1] or match[2] for text in texts for match in _SAID.finditer(text)}


@pytest.mark.parametrize("language", [one for one in LANGUAGES if one != "en"])
@pytest.mark.parametrize("page", SPEAKERS)
def test_every_word_is_known_and_none_is_left_over(page: str, language: str) -> None:
    known = words(page, language)
    assert said(page) <= known.keys(), said(page) - known.keys()
    # The rest are sentences of the verifier: every part of one, between what is filled in, stands in its files.
    spoken = "".join((WEB / name).read_text() for name in VERIFIER).replace("\\`", "`")
    rest = known.keys() - said(page)
    assert [text for text in rest if not all(part in spoken for part in re.split(r"\{\w+\}|(?=, and its code)", text))] == []
    assert bool(rest) == (page == "verify")
    for text, other in known.items():
        assert sorted(re.findall(r"\{\w+\}", text)) == sorted(re.findall(r"\{\w+\}", other)), text
        assert other != text


@pytest.mark.parametrize(
    ("wanted", "accepted", "language"),
    [
        (None, [], "en"), (None, ["de", "fr"], "en"), ("fi", ["zh-CN"], "fi"), ("xx", ["fi-FI"], "fi"), (None, ["zh-CN"], "zh-Hans"), (None, ["zh"], "zh-Hans"),
        (None, ["zh-TW"], "zh-Hant"), (None, ["zh-HK"], "zh-Hant"), (None, ["zh-Hant-CN"], "zh-Hant"), (None, ["zh-SG"], "zh-Hans"), (None, ["de", "fi", "en"], "fi"),
        (None, ["*", "!", "x" * 500], "en"), ("", ["en-US", "fi"], "en"), ("../fi", [], "en"),
    ],
)  # fmt: skip
def test_the_language_is_that_of_the_reader(wanted: str | None, accepted: list[str], language: str) -> None:
    assert language_of(wanted, accepted) == language
