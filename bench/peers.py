"""What one would build instead, in the same Flask: the naive PostGIS query, and Redis with the same ranking in Python."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import sqlalchemy as sa
from flask import Flask, Response, request

from geo_o2o.db import Database
from geo_o2o.discovery.ranking import built_in_profiles
from geo_o2o.http import answer
from geo_o2o.shelf.fragments import store_fragment
from geo_o2o.shelf.queries import STORE_COLUMNS
from geo_o2o.stores.categories import codes_by_id, with_descendants

KEY = "places"
PROFILE = built_in_profiles()["balanced-1"]
# What one writes first: everything within the radius, sorted by the same score.
NAIVE = """
SELECT id, name, names, brand, address, opening_hours, time_zone, source, ST_X(location::geometry) AS lng, ST_Y(location::geometry) AS lat,
       rating_sum, rating_count, round(distance)::int AS distance_m,
       round(600 * power(2::float8, -round(distance) / 800))
         + round(400 * (round((20 * 3.9 + rating_sum) / (20 + rating_count)::float8 * 1000) / 1000 - 1) / 4) AS total
  FROM (SELECT *, ST_Distance(location, CAST(:origin AS geography)) AS distance
          FROM stores s WHERE status = 'live' AND ST_DWithin(location, CAST(:origin AS geography), :radius_m) {more}) near
 ORDER BY total DESC, distance_m, id LIMIT :limit
"""
_FOOD = " AND category_id = ANY(:categories)"
_OPEN = " AND EXISTS (SELECT FROM opening_hours h WHERE h.id = s.hours_id AND h.open_during @> now())"


def naive(database: Database) -> Flask:
    app = Flask("naive")

    @app.get("/")
    def nearby() -> Any:
        args = request.args
        origin = f"SRID=4326;POINT({float(args['lng'])} {float(args['lat'])})"
        values: dict[str, Any] = {"origin": origin, "radius_m": float(args["radius_m"]), "limit": int(args["limit"])}
        more = (_FOOD if "category" in args else "") + (_OPEN if "open_now" in args else "")
        if "category" in args:
            values["categories"] = with_descendants(args["category"])
        with database.read() as session:
            rows = session.execute(sa.text(NAIVE.format(more=more)), values).mappings().all()
        return answer({"items": [{**row, "total": int(row["total"])} for row in rows]})

    return app


def load_redis(database: Database, port: int, *, source: str) -> int:
    """Positions as a GEO key, and the ready-made JSON of each place."""
    import redis

    client: Any = redis.Redis(port=port)
    count = 0
    text = sa.text(f"SELECT {STORE_COLUMNS} FROM stores s WHERE source = :source ORDER BY source_id")
    with database.read() as session:
        pipe = client.pipeline(transaction=False)
        for row in session.execute(text, {"source": source}, execution_options={"yield_per": 5_000}).mappings():
            pipe.execute_command("GEOADD", KEY, row["lon"], row["lat"], count)
            pipe.set(f"f{count}", store_fragment(dict(row)))
            count += 1
            if count % 5_000 == 0:
                pipe.execute()
        pipe.execute()
    return count


def by_redis(database: Database, *, source: str) -> Flask:
    """GEOSEARCH for all within the radius; filters and ranking by numpy on columns that every process holds; MGET of the page."""
    import redis

    app = Flask("redis")
    client: Any = redis.Redis(port=int(os.environ["BENCH_REDIS_PORT"]))
    columns: dict[str, Any] = {}

    def load() -> None:
        text = "SELECT category_id, rating_sum, rating_count, hours_id FROM stores WHERE source = :source ORDER BY source_id"
        with database.read() as session:
            rows = session.execute(sa.text(text), {"source": source}).all()
            now_open = set(session.scalars(sa.text("SELECT id FROM opening_hours WHERE open_during @> now()")))
        codes = codes_by_id()
        prior = np.array([0, *[PROFILE.prior_of(codes.get(one, "default")) for one in range(1, max(codes) + 1)]])
        category = np.array([row.category_id for row in rows])
        stars, count = np.array([row.rating_sum for row in rows]), np.array([row.rating_count for row in rows])
        bayes = np.rint((PROFILE.prior_count * prior[category] + stars * 1000) / (PROFILE.prior_count + count))
        columns["category"], columns["open"] = category, np.array([row.hours_id in now_open for row in rows])
        columns["rating"] = np.rint(PROFILE.rating_weight * (bayes - 1000) / 4000)

    @app.get("/")
    def nearby() -> Any:
        if not columns:
            load()
        args = request.args
        found = client.execute_command("GEOSEARCH", KEY, "FROMLONLAT", args["lng"], args["lat"], "BYRADIUS", args["radius_m"], "m", "WITHDIST")
        members = np.array([int(one[0]) for one in found], dtype=np.int64)
        metres = np.rint(np.array([float(one[1]) for one in found]))
        if "category" in args:
            kept = np.isin(columns["category"][members], with_descendants(args["category"]))
            members, metres = members[kept], metres[kept]
        if "open_now" in args:
            kept = columns["open"][members]
            members, metres = members[kept], metres[kept]
        total = np.rint(PROFILE.distance_weight * np.exp2(-metres / PROFILE.half_distance_m)) + columns["rating"][members]
        best = np.lexsort((members, metres, -total))[: int(args["limit"])].tolist()
        texts = client.mget([f"f{members[one]}" for one in best]) if best else []
        items = [b'{%b,"distance_m":%d,"total":%d}' % (text, metres[one], total[one]) for text, one in zip(texts, best, strict=True)]
        return Response(b'{"items":[%b]}' % b",".join(items), content_type="application/json")

    return app
