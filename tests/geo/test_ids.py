from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from uuid import UUID

import h3.api.basic_int as h3
import sqlalchemy as sa
from sqlalchemy.orm import Session

from geo_o2o.geo.cells import cell_of, parent
from geo_o2o.geo.ids import RANDOM_BITS, located_id, shard_of, unlocated_id
from geo_o2o.geo.point import Point

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


def test_an_id_knows_its_shard_for_every_res_4_cell_of_some_base_cells() -> None:
    chance = random.Random(1)
    for base in [*h3.get_res0_cells()[::7], *h3.get_pentagons(0)]:
        for cell in h3.cell_to_children(base, 4):
            assert shard_of(located_id(cell, now=NOW, chance=chance.getrandbits(RANDOM_BITS))) == cell


def test_ids_are_valid_uuids_of_version_8_and_sort_by_time() -> None:
    cells = [cell_of(Point(lon, 10)) for lon in range(-170, 170, 10)]
    ids = [located_id(cell, now=NOW + timedelta(milliseconds=number), chance=2**RANDOM_BITS - 1 - number) for number, cell in enumerate(cells)]
    assert ids == sorted(ids)
    assert all(one.version == 8 and one.variant == "specified in RFC 4122" for one in ids)


def test_the_shard_of_an_unlocated_id_is_a_hash_of_its_random_part() -> None:
    chance = random.Random(2)
    shards = {shard_of(unlocated_id(now=NOW, chance=chance.getrandbits(RANDOM_BITS))) for _ in range(1_000)}
    assert len(shards) > 980
    assert shard_of(unlocated_id(now=NOW, chance=5)) == shard_of(unlocated_id(now=NOW + timedelta(days=9), chance=5))


def test_two_ids_differ_by_chance_alone() -> None:
    cell = cell_of(Point(0, 0))
    assert located_id(cell, now=NOW, chance=1) != located_id(cell, now=NOW, chance=2)


def test_sql_shard_of_equals_python(session: Session) -> None:
    chance = random.Random(3)
    ids = [
        located_id(cell_of(Point(chance.uniform(-180, 180), chance.uniform(-90, 90))), now=NOW, chance=chance.getrandbits(RANDOM_BITS))
        for _ in range(2_000)
    ]
    ids += [unlocated_id(now=NOW, chance=chance.getrandbits(RANDOM_BITS)) for _ in range(2_000)] + [UUID(int=0), UUID(int=2**128 - 1)]
    rows = session.execute(sa.text("SELECT id, shard_of(id) AS shard FROM unnest(CAST(:ids AS uuid[])) AS id"), {"ids": ids})
    assert all(row.shard == shard_of(row.id) for row in rows)


def test_a_located_shard_is_the_cells_parent() -> None:
    cell = cell_of(Point(24.94, 60.17))
    assert shard_of(located_id(cell, now=NOW, chance=0)) == parent(cell, 4)
