from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geo_o2o.cursor import BadCursor, read_cursor, sign_cursor

SECRET, QUESTION = "secret", "a question"
CURSOR = sign_cursor(["2026-11-21", 953, 40, "01a1fff2-7a41-8e99-af4d-281d51027579"], question=QUESTION, secret=SECRET)


def test_a_cursor_comes_back() -> None:
    assert read_cursor(CURSOR, question=QUESTION, secret=SECRET) == ["2026-11-21", 953, 40, "01a1fff2-7a41-8e99-af4d-281d51027579"]


@given(st.integers(0, len(CURSOR) - 1), st.characters(codec="ascii"))
def test_a_changed_cursor_is_refused(place: int, char: str) -> None:
    changed = CURSOR[:place] + char + CURSOR[place + 1 :]
    if changed != CURSOR:
        try:
            assert read_cursor(changed, question=QUESTION, secret=SECRET) == read_cursor(CURSOR, question=QUESTION, secret=SECRET)
            # Only the unused bits of the last character may differ.
            assert place == len(CURSOR) - 1
        except BadCursor as refused:
            assert refused.code == "cursor_invalid"


@pytest.mark.parametrize("text", ["", "a", CURSOR[:-4], CURSOR[4:], CURSOR + "AAAA", "é" * 30, "A" * 5_000])
def test_a_cut_or_foreign_cursor_is_refused(text: str) -> None:
    with pytest.raises(BadCursor):
        read_cursor(text, question=QUESTION, secret=SECRET)


def test_another_question_is_told_apart() -> None:
    with pytest.raises(BadCursor) as refused:
        read_cursor(CURSOR, question="another", secret=SECRET)
    assert refused.value.code == "cursor_of_other_question"


def test_another_secret_is_refused() -> None:
    with pytest.raises(BadCursor):
        read_cursor(CURSOR, question=QUESTION, secret="other")
