"""What a process remembers of the filters that were asked: never more than its bytes, and what is asked again and again stays."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from geo_o2o.discovery import selection
from geo_o2o.discovery.question import Filters, Question, Where
from geo_o2o.discovery.ranking import built_in_profiles
from geo_o2o.discovery.selection import Views, view_of
from geo_o2o.shelf.snapshot import empty

from ..factories import HELSINKI
from .conftest import NOW

CELLS = [empty(cell, 1) for cell in range(4)]
SIZE = view_of(CELLS[0], Question("stores", Where(HELSINKI, 100.0), Filters(at=NOW), built_in_profiles()["balanced-1"])).size


def question(number: int) -> Question:
    at = NOW + timedelta(minutes=number)
    return Question("stores", Where(HELSINKI, 100.0), Filters(at=at), built_in_profiles()["balanced-1"])


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Minute and cell of each view that was made."""
    found: list[tuple[int, int]] = []

    def counted(snapshot: Any, asked: Question) -> Any:
        found.append((asked.filters.minute - question(0).filters.minute, snapshot.cell))
        return view_of(snapshot, asked)

    monkeypatch.setattr(selection, "view_of", counted)
    return found


def ask(views: Views, number: int) -> None:
    view = views.asked(question(number))
    for snapshot in CELLS:
        view(snapshot)


def test_a_view_is_made_once_for_a_snapshot(made: list[tuple[int, int]]) -> None:
    views = Views(100 * SIZE)
    ask(views, 0)
    ask(views, 0)
    assert made == [(0, cell) for cell in range(4)]
    newer = empty(2, 2)
    assert views.asked(question(0))(newer).snapshot is newer
    assert made[4:] == [(0, 2)]


def test_what_is_asked_again_and_again_is_not_driven_out_by_what_is_asked_once(made: list[tuple[int, int]]) -> None:
    views = Views(5 * len(CELLS) * SIZE)
    for number in range(1, 50):
        ask(views, 0)
        ask(views, number)
    assert made.count((0, 0)) == 1
    assert len(made) == 50 * len(CELLS)
    ask(views, 1)
    assert made.count((1, 0)) == 2, "what nobody has asked again was forgotten"


@pytest.mark.parametrize("room", [0, 1, 3, 4, 9])
def test_no_more_is_kept_than_there_is_room_for(room: int) -> None:
    views = Views(room * SIZE)
    for number in range(12):
        ask(views, number % 5)
        kept = [view for one in views._kept.values() for view in one.values()]
        assert sum(view.size for view in kept) == views._bytes <= room * SIZE
