"""What pages say in each language: message catalogues (gettext), read as they were written. English is in the pages themselves.

A page's script gets the words of its own language with the page, as JSON; it never asks for them.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import resources

from babel import Locale, UnknownLocaleError
from babel.messages.pofile import read_po

# By the name that HTML has for a language; as its readers call it.
LANGUAGES = {"en": "English", "zh-Hans": "简体中文", "zh-Hant": "繁體中文", "fi": "Suomi"}
_TRADITIONAL = frozenset({"TW", "HK", "MO"})


def language_of(wanted: str | None, accepted: list[str]) -> str:
    """One of LANGUAGES: the one that is asked for by name, or the first that a browser says its reader knows; English where it is none."""
    if wanted in LANGUAGES:
        return wanted
    return next((found for one in accepted if (found := _known(one))), "en")


def _known(tag: str) -> str | None:
    try:
        locale = Locale.parse(tag, sep="-")
    except (ValueError, UnknownLocaleError):
        return None
    if locale.language != "zh":
        return locale.language if locale.language in LANGUAGES else None
    return "zh-Hant" if "hant" in tag.lower() or locale.territory in _TRADITIONAL else "zh-Hans"


@cache
def words(page: str, language: str) -> Mapping[str, str]:
    """Of one page (`verify`): English to the language. Empty for English."""
    if language == "en":
        return {}
    with resources.files(__package__).joinpath("locale", f"{page}.{language}.po").open("rb") as file:
        return {str(one.id): str(one.string) for one in read_po(file, locale=language.replace("-", "_")) if one.id and one.string}
