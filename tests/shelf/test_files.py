"""Files of snapshots under the hands of others: replaced, cut, too many."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from geo_o2o.shelf.files import BrokenFile, Folder, Held, SnapshotFile
from geo_o2o.shelf.snapshot import empty


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    found = Folder(tmp_path)
    found.prepare()
    return found


def test_a_file_comes_back_as_it_was_written(folder: Folder) -> None:
    path = folder.path(5, 9)
    folder.write([empty(1, 7), empty(2, 9)], path)
    file = SnapshotFile(path)
    assert (file.cells, file.versions, file.stores, file.offers) == ([1, 2], [7, 9], [0, 0], [0, 0])
    found = Held(file, 1).snapshot()
    assert (found.cell, found.version, found.store_count) == (2, 9, 0)
    assert folder.listed() == {5: [path]}


def test_another_file_of_the_same_name_is_never_taken_for_the_first(folder: Folder) -> None:
    path = folder.path(5, 9)
    folder.write([empty(1, 7), empty(2, 9)], path)
    held = Held(SnapshotFile(path), 0)
    folder.write([empty(3, 8), empty(2, 9)], path)
    for _ in range(2):
        with pytest.raises(BrokenFile, match="another file"):
            held.snapshot()


def test_a_snapshot_in_use_notices_the_cut_also_when_its_file_was_let_go(folder: Folder) -> None:
    path = folder.path(5, 9)
    folder.write([empty(1, 7)], path)
    held = Held(SnapshotFile(path), 0)
    held.snapshot()
    held.file.let_go()
    os.truncate(path, 100)
    with pytest.raises(BrokenFile, match="cut"):
        held.snapshot()
    held.let_go()
    with pytest.raises(BrokenFile):
        held.snapshot()


@pytest.mark.parametrize("content", [b"", b"ARROW1", bytes(5_000)])
def test_what_is_no_snapshot_is_refused(folder: Folder, content: bytes) -> None:
    path = folder.path(5, 9)
    path.write_bytes(content)
    with pytest.raises(BrokenFile):
        SnapshotFile(path)


def test_what_was_used_longest_ago_goes_first(folder: Folder) -> None:
    paths = [folder.path(cell, 1) for cell in range(1, 6)]
    for age, path in enumerate(paths):
        folder.write([empty(1, 1)], path)
        os.utime(path, (1_000 + age, 1_000 + age))
    size = paths[0].stat().st_size
    assert folder.make_room(5 * size, used=[]) == set(paths)
    assert folder.make_room(3 * size, used=[paths[0]]) == {paths[0], paths[3], paths[4]}
    assert paths[0].stat().st_mtime > 2_000
    assert not paths[1].exists()
    # The last one stays, however small the limit: something must be there to answer from.
    assert len(folder.make_room(1, used=[])) == 1
