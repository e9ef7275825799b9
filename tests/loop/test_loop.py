"""Rows of the field's own list that are true by now."""

from __future__ import annotations

import random
import re
import tomllib
from collections import Counter
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import psycopg2
import pytest
from flask.testing import FlaskClient
from sqlalchemy.orm import Session
from xxhash import xxh3_128_hexdigest

from geo_o2o import cluster
from geo_o2o.app import create_app
from geo_o2o.auth.access import ROLES
from geo_o2o.checkins.tillcode import make_scan
from geo_o2o.client import Refused, TillKey
from geo_o2o.config import Settings
from geo_o2o.geo.distance import distance_m
from geo_o2o.http import utcnow

from .. import visiting
from ..conftest import Api
from ..factories import HELSINKI, make_offer, make_store, north_of
from ..test_http import problem_of

ROOT = Path(__file__).parents[2]
NEAR: dict[str, Any] = {"lat": HELSINKI.lat, "lng": HELSINKI.lon}


def test_loop_L56(server: cluster.Cluster, client: FlaskClient) -> None:
    """One small host, stock PostGIS, no paid map key: the whole suite ran on it, and nothing in the code reaches elsewhere."""
    connection = psycopg2.connect(server.url.replace("+psycopg2", ""))
    with connection, connection.cursor() as cursor:
        cursor.execute("SELECT extname FROM pg_extension")
        extensions = {row[0] for row in cursor.fetchall()}
    connection.close()
    assert extensions == {"plpgsql", "postgis", "pg_trgm", "btree_gist"}
    for path in (ROOT / "geo_o2o").glob("**/*.py"):
        for host in re.findall(r"https?://([a-z0-9.-]+)", path.read_text(encoding="utf-8")):
            assert host == "localhost" or host.startswith("127.0.0.1") or host.endswith(".example"), f"{path.name} names the outside host {host}"
    page = client.get("/docs").text
    assert not re.search(r"https?://", page)
    names = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    assert not [name for name in names if re.match(r"(google|mapbox|here|aws|azure)", name)]


def test_loop_L58(as_role: Any) -> None:
    """Three parties, three scopes, one report each: a key of one gets 403 on the others'."""
    reports = {
        "app": "/v1/offers/nearby?lat=60.169&lng=24.9414",
        "store": "/v1/check-ins/counts",
        "planner": "/v1/heat/supply?bbox=24.93,60.16,24.96,60.18",
    }
    for role in reports:
        api = as_role(role)
        for owner, path in reports.items():
            response = api.get(path)
            if owner == role:
                assert response.status_code == 200
            else:
                problem_of(response, 403, "forbidden")
    assert set(ROLES) == {"app", "web", "store", "planner", "admin"}


def test_loop_L9(app_api: Api, session: Session) -> None:
    """Met exactly when the need exists: open now, open at, meal, category, walking time; every filter equals brute force over all stores."""
    chance, now = random.Random(9), utcnow()
    hours = {
        "24/7": lambda local: True,
        "Mo-Su 11:00-15:00": lambda local: 11 <= local.hour < 15,
        "Mo-Su 18:00-23:00": lambda local: 18 <= local.hour < 23,
    }
    rows = []
    for number in range(60):
        text, category, metres = chance.choice([*hours, None]), chance.choice(["food.cafe", "shop.books"]), chance.randrange(0, 1_500)
        store = make_store(session, name=str(number), at=north_of(HELSINKI, metres), category=category, opening_hours=text, now=now)
        rows.append((str(number), store, text, category, distance_m(HELSINKI, north_of(HELSINKI, metres))))
    session.commit()
    zone = ZoneInfo("Europe/Helsinki")
    tomorrow = (now + timedelta(days=1)).astimezone(zone).replace(hour=13, minute=0, second=0, microsecond=0)

    def expected(moment: Any = None, category: str | None = None, within_m: float = 2_000) -> set[str]:
        return {
            name
            for name, _, text, own, metres in rows
            if (moment is None or (text is not None and hours[text](moment.astimezone(zone)))) and category in (None, own) and metres <= within_m
        }

    def found(**params: Any) -> set[str]:
        answer = app_api.get("/v1/stores/nearby", **NEAR, limit=100, **params)
        assert answer.status_code == 200, answer.text
        return {hit["name"] for hit in answer.get_json()["items"]}

    assert found(open_now="true") == expected(now)
    assert found(open_at=tomorrow.isoformat()) == expected(tomorrow)
    assert found(meal="lunch") == expected(tomorrow)
    assert found(meal="dinner", category="food.cafe") == expected(tomorrow.replace(hour=19), "food.cafe")
    assert found(walk_min=5) == expected(within_m=400)
    assert found(walk_min=10, open_at=tomorrow.isoformat(), category="shop.books") == expected(tomorrow, "shop.books", 800)


def test_loop_L17(app_api: Api, session: Session) -> None:
    """Sparse areas: the radius is widened and said; never empty while there is a store under the cap."""
    make_store(session, name="far out", at=north_of(HELSINKI, 31_000))
    session.commit()
    found = app_api.get("/v1/stores/nearby", **NEAR).get_json()
    assert ([hit["name"] for hit in found["items"]], found["radius_used_m"]) == (["far out"], 32_000.0)
    assert app_api.get("/v1/stores/nearby", **NEAR, radius_m=5_000).get_json()["items"] == [], "a radius that was asked for is kept"
    make_store(session, name="near", at=north_of(HELSINKI, 1_900))
    session.commit()
    found = app_api.get("/v1/stores/nearby", **NEAR).get_json()
    assert ([hit["name"] for hit in found["items"]], found["radius_used_m"]) == (["near"], 2_000.0)
    assert app_api.get("/v1/offers/nearby", lat=0, lng=-150).get_json()["radius_used_m"] == 50_000.0


@pytest.mark.parametrize(("budget_ms", "over"), [(1, 1), (60_000, 0)])
def test_loop_L25(settings: Settings, database: Any, app_api: Api, session: Session, budget_ms: int, over: int) -> None:
    """A latency budget in the metrics: how long nearby may take, which answers took longer, the distribution of all, and searches in vain."""
    make_store(session)
    session.commit()
    app = create_app(replace(settings, nearby_budget_ms=budget_ms, shelf=0), database=database)
    api = Api(app.test_client(), app_api.key)

    def counted(name: str) -> float:
        found = re.search(rf"^geo_o2o_nearby_{name}_total (.+)$", api.client.get("/metrics").text, re.MULTILINE)
        assert found, name
        return float(found[1])

    before = counted("over_budget"), counted("empty")
    # By SQL, which takes longer than a millisecond and not a minute.
    assert len(api.get("/v1/stores/nearby", **NEAR).get_json()["items"]) == 1
    assert counted("over_budget") == before[0] + over
    assert counted("empty") == before[1]
    assert api.get("/v1/stores/nearby", **NEAR, brand="nobody").get_json()["items"] == []
    assert counted("empty") == before[1] + 1
    text = api.client.get("/metrics").text
    assert re.search(rf"^geo_o2o_nearby_budget_seconds {budget_ms / 1_000}$", text, re.MULTILINE)
    assert 'geo_o2o_request_seconds_bucket{le="0.05",method="GET",route="/v1/stores/nearby"}' in text


def test_loop_L31(app_api: Api, admin_api: Api, session: Session) -> None:
    """The shelf of a store now: what is out of hours or sold out is not on it."""
    now = utcnow()
    open_, closed = make_store(session, opening_hours="24/7", now=now), make_store(session, opening_hours="off", now=now)
    lasting = make_offer(session, open_, closed, title="lasting", price_minor=300)
    make_offer(session, open_, title="sold out", stock=0)
    make_offer(session, open_, title="not yet", valid_from=now + timedelta(hours=1))
    few = make_offer(session, open_, title="few", price_minor=200, stock=3)
    session.commit()

    def shelf(store: Any) -> list[str]:
        answer = app_api.get(f"/v1/stores/{store.id}/shelf", **NEAR)
        assert answer.status_code == 200, answer.text
        return [one["title"] for one in answer.get_json()["items"]]

    assert (shelf(open_), shelf(closed)) == (["few", "lasting"], [])
    assert admin_api.patch(f"/v1/offers/{few.id}", {"stock": 0}, version=1).status_code == 200
    assert shelf(open_) == ["lasting"]
    assert admin_api.patch(f"/v1/offers/{lasting.id}", {"status": "paused"}, version=1).status_code == 200
    assert shelf(open_) == []
    body = app_api.get(f"/v1/stores/{open_.id}/shelf", **NEAR).get_json()
    assert (body["open"], body["distance_m"]) == (True, 0)


def test_loop_L42(as_role: Any, session: Session) -> None:
    """The same answer on every surface, with a content hash: one question, three clients, one tag."""
    make_offer(session, make_store(session))
    session.commit()
    answers = [as_role("app").get("/v1/offers/nearby", **NEAR) for _ in range(3)]
    assert len({answer.headers["ETag"] for answer in answers}) == 1
    assert len({answer.data for answer in answers}) == 1
    assert answers[0].headers["ETag"] == f'"{xxh3_128_hexdigest(answers[0].data)}"'


def test_loop_L76(app_api: Api, session: Session) -> None:
    """Geography, tags and chain in one question: equal to brute force."""
    chance = random.Random(76)
    rows = []
    for number in range(80):
        chain, tags = chance.choice(["sok", "sok.prisma", "sok.prisma.express", "kesko", None]), chance.choice([[], ["wifi"], ["wifi", "parking"]])
        metres = chance.randrange(0, 3_000)
        make_store(session, name=str(number), at=north_of(HELSINKI, metres), chain=chain, tags=tags)
        rows.append((str(number), chain, tags, metres))
    session.commit()
    for asked in ("sok", "sok.prisma", "sok.prisma,kesko"):
        wanted = asked.split(",")
        found = app_api.get("/v1/stores/nearby", **NEAR, chain=asked, tags="wifi", radius_m=2_000, limit=100).get_json()["items"]
        expected = {
            name
            for name, chain, tags, metres in rows
            if chain and any(chain == one or chain.startswith(one + ".") for one in wanted) and "wifi" in tags and metres <= 2_000
        }
        assert {hit["name"] for hit in found} == expected


def test_loop_L35(house: visiting.House, as_role: Any) -> None:
    """A thousand forged check-ins move no headline number: those of a place count what its till and a visitor's device both signed."""
    honest = house.visitor("honest")
    house.till.confirm(house.visit(honest)["scan"])
    before = house.shop.get("/v1/check-ins/counts").get_json()["headline"]
    assert before == {"visits": 1}
    chance, accepted, scanned, refused = random.Random(35), 0, 0, Counter()
    robots = [visiting.visitor(house.app, account=f"robot {number}") for number in range(20)]
    stranger, replayed = TillKey.make(), house.till.code()
    for number in range(1_000):
        robot = robots[number % len(robots)]
        at = north_of(HELSINKI, chance.random() * 30)
        code = (None, None, None, stranger.code(house.store.id), replayed, "000000")[number % 6]
        try:
            visit = robot.check_in(house.store.id, [visiting.position(at, mock=number % 50 == 0)], code=code)
        except Refused as failure:
            refused[failure.code] += 1
            continue
        accepted += 1
        # A store that is not asked cannot be made to have confirmed.
        for said in (
            ()
            if number % 20
            else (
                stranger.confirmation(visit["scan"], store_id=house.store.id),
                house.till.till.confirmation(make_scan(UUID(visit["id"]), b"f" * 32), store_id=house.store.id),
            )
        ):
            assert house.shop.post(f"/v1/check-ins/{visit['id']}/confirmations", {"confirmation": said}).status_code in (403, 422)
    # A friend at the till shows what robots far away have sent: the till signs in good faith, and it is no headline either.
    for number in range(20):
        robot = visiting.visitor(house.app, account=f"far away {number}")
        visit = robot.check_in(house.store.id, [visiting.position(north_of(HELSINKI, 3_000 + chance.random()))])
        accepted, scanned = accepted + 1, scanned + 1
        house.till.confirm(visit["scan"])
    after = house.shop.get("/v1/check-ins/counts").get_json()
    assert after["headline"] == before
    assert after["apart"] == {"unproven": accepted - scanned, "under_review": scanned, "voided": 0, "sample": 0}
    assert accepted > 500, refused
    assert {"till_not_of_store", "code_replayed", "code_invalid"} <= set(refused) | {"code_expired"}, refused
    # What many accounts do from one place is found out, too: nearly all of it is refused or waits.
    listed = house.shop.get("/v1/check-ins", limit=1_000).get_json()["items"]
    assert sum(one["band"] != "clean" for one in listed) > 0.9 * accepted
