"""The service with its peers beside it: on one server, in one process, behind one port."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from flask import Flask, request
from werkzeug.middleware.dispatcher import DispatcherMiddleware

from geo_o2o.app import create_app
from geo_o2o.http import answer

# What one writes first: everything within the radius, sorted by the same score.
NAIVE = sa.text(
    """
SELECT id, name, names, brand, address, opening_hours, time_zone, source, ST_X(location::geometry) AS lng, ST_Y(location::geometry) AS lat,
       rating_sum, rating_count, round(distance)::int AS distance_m,
       round(600 * power(2::float8, -round(distance) / 800))
         + round(400 * (round((20 * 3.9 + rating_sum) / (20 + rating_count)::float8 * 1000) / 1000 - 1) / 4) AS total
  FROM (SELECT *, ST_Distance(location, CAST(:origin AS geography)) AS distance
          FROM stores WHERE status = 'live' AND ST_DWithin(location, CAST(:origin AS geography), :radius_m)) near
 ORDER BY total DESC, distance_m, id LIMIT :limit
"""
)


def create() -> Any:
    service = create_app()
    database = service.extensions["database"]
    naive = Flask("naive")
    empty = Flask("empty")

    @naive.get("/")
    def nearby() -> Any:
        args = request.args
        origin = f"SRID=4326;POINT({float(args['lng'])} {float(args['lat'])})"
        with database.read() as session:
            rows = session.execute(NAIVE, {"origin": origin, "radius_m": float(args["radius_m"]), "limit": int(args["limit"])}).mappings().all()
        return answer({"items": [{**row, "total": int(row["total"])} for row in rows]})

    @empty.get("/")
    def nothing() -> Any:
        return {}

    return DispatcherMiddleware(service, {"/bench/naive": naive, "/bench/empty": empty})
