"""`geo-o2o demo visits`: from stores to a map of visits."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from geo_o2o.app import create_app
from geo_o2o.auth import service as auth
from geo_o2o.db import Database
from geo_o2o.geo.point import Point
from geo_o2o.ops.invented import Invented, invent_visits

from ..factories import make_store

NOW = datetime(2026, 11, 18, 12, tzinfo=UTC)
WANTED = Invented(seed=3, source="test", people=1_500, weeks=8)


def test_invented_visits_are_released_and_marked_and_come_once(fresh_database: Any) -> None:
    settings = replace(fresh_database(), shelf=0)
    database = Database(settings)
    assert list(invent_visits(settings, WANTED, now=NOW)) == []  # nothing to visit
    with database.write() as session:
        _, admin = auth.create_key(session, role="admin", name="", merchant=None, now=NOW)
        for number in range(12):
            make_store(session, at=Point(24.94 + number / 2_000, 60.17), opening_hours="Mo-Sa 08:00-20:00", now=NOW, source_id=f"s{number}")
        make_store(session, at=Point(24.94, 60.17), category="health.doctor", source_id="doctor")
    said = list(invent_visits(settings, WANTED, now=NOW))
    assert "invented visits of 1,500 people in 8 weeks" in said[0]
    assert said[1] == "11 private releases of them"  # eight weeks, and three products of October
    with database.read() as session:
        hours = session.execute(
            sa.text(
                "/* test */ SELECT DISTINCT extract(hour FROM checked_in_at AT TIME ZONE 'Europe/Helsinki')::int, extract(isodow FROM checked_in_at)::int, sample, level,"
                " receipt_id FROM check_ins c JOIN stores s ON s.id = c.store_id AND s.shard_cell = c.shard_cell WHERE s.hours_id IS NOT NULL"
            )
        ).all()
        assert {row[0] for row in hours} <= set(range(8, 20))
        assert 7 not in {row[1] for row in hours}
        assert {tuple(row[2:]) for row in hours} == {(True, 1, None)}
        assert session.scalar(sa.text("/* test */ SELECT bool_and(checked_in_at < :now) FROM check_ins"), {"now": NOW})
        before = session.scalar(sa.text("/* test */ SELECT count(*) FROM check_ins"))
    assert list(invent_visits(settings, WANTED, now=NOW)) == []
    client = create_app(settings, database=database).test_client()
    headers = {"Authorization": f"Bearer {admin}"}
    counts = client.get("/v1/check-ins/counts", headers=headers).get_json()
    assert counts["headline"] == {"visits": 0}
    assert counts["apart"]["sample"] == before
    assert {one["sample"] for one in client.get("/v1/check-ins", headers=headers).get_json()["items"]} == {True}
    heat = client.get("/v1/heat/visits", headers=headers).get_json()
    assert heat["sample"] is True
    assert sum(heat["columns"]["value"]) > 300
    database.close()
