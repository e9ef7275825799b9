from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geo_o2o.stores.words import asked_grams, fold, grams, is_match


def share(name: str, query: str) -> float:
    asked = asked_grams(query)
    return len(set(grams([name])).intersection(asked)) / len(asked)


@pytest.mark.parametrize(
    ("text", "folded"),
    [
        ("Café KÄMP", "cafe kamp"),
        ("ＡＢＣ", "abc"),
        ("ラーメン", "らーめん"),
        ("パン", "ぱん"),
        ("Straße", "strasse"),
        ("İstanbul", "istanbul"),
        ("Ørsted Łódź Đurđa", "orsted lodz durda"),
        ("Œuvre Ærø þing", "oeuvre aero thing"),
        ("kapı", "kapi"),
        ("Ὀδός", "οδοσ"),
    ],
)
def test_folding(text: str, folded: str) -> None:
    assert fold(text) == folded


@pytest.mark.parametrize(
    ("name", "query"),
    [
        ("Stockmann", "stockmann"), ("新竹米粉", "新竹"), ("新竹米粉", "xinzhu"), ("新竹米粉", "xin zhu"), ("新竹米粉", "xzmf"), ("らーめん太郎", "ラーメン"),
        ("Кофе Хауз", "кофе"), ("O'Neill's", "o neill s"), ("7-Eleven", "7 eleven"), ("スターバックス Coffee", "coffee"), ("北京 Duck", "duck"),
        ("Ørsted Kaffe", "orsted"), ("Smørrebrød", "smorrebrod"), ("Łódź Bar", "lodz"), ("L'Œuvre", "oeuvre"), ("Orsted", "Ørsted"),
    ],
)  # fmt: skip
def test_every_part_is_found(name: str, query: str) -> None:
    assert share(name, query) == 1.0


@pytest.mark.parametrize(
    ("name", "query"), [("Stockmann", "stokmann"), ("Pizzeria Roma", "pizeria"), ("Kahvila", "kahvla"), ("Hesburger", "hessburger")]
)
def test_a_typing_error_is_forgiven(name: str, query: str) -> None:
    assert 0.6 <= share(name, query) < 1.0


@pytest.mark.parametrize(("name", "query"), [("Bakery", "bar"), ("Alko", "prisma"), ("新竹", "台北"), ("Cafe", "tea")])
def test_another_name_is_not(name: str, query: str) -> None:
    assert not is_match(round(share(name, query) * len(asked_grams(query))), len(asked_grams(query)))


def test_what_is_typed_so_far_finds_what_begins_so() -> None:
    name = set(grams(["Stockmann Herkku"]))
    for length in range(1, len("stockmann herkku") + 1):
        typed = asked_grams("stockmann herkku"[:length], unfinished=True)
        assert typed
        assert name.issuperset(typed)
    assert not name.issuperset(asked_grams("stockm"))


@pytest.mark.parametrize("text", ["", "☕", "%_\\", "---", "  ", "\u200d"])
def test_no_letters_are_no_words(text: str) -> None:
    assert asked_grams(text) == ()
    assert grams([text]) == []


@given(st.text(max_size=60))
def test_any_text_is_found_by_itself(text: str) -> None:
    found = grams([text])
    assert found == sorted(set(found))
    assert set(asked_grams(text)) <= set(found)
    assert all(-(1 << 31) <= one < 1 << 31 for one in found)
