"""Two workers' shelves over one database that changes under them: no answer is ever older than the bound, and none is wrong.

Hypothesis writes, moves, closes, rates, restarts workers, cuts their connections, makes them deaf, kills builders by SIGKILL and cuts
files, in any order. Every answer must be the one that SQL gave at some moment within the bound; left alone, it must be the present one,
and come from the shelf.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import shutil
import signal
import threading
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule, run_state_machine_as_test
from sqlalchemy.exc import OperationalError

from geo_o2o.changes.service import note_change
from geo_o2o.config import Settings
from geo_o2o.db import Database
from geo_o2o.discovery.ordered import items_of_ranked, rows_in_order
from geo_o2o.discovery.question import Filters, Question, Where
from geo_o2o.discovery.ranking import built_in_profiles
from geo_o2o.discovery.service import Finder
from geo_o2o.errors import Unavailable
from geo_o2o.geo.cells import cell_of, parent
from geo_o2o.geo.point import Point
from geo_o2o.offers import service as offers
from geo_o2o.shelf.service import GROUP_RESOLUTION, Shelf
from geo_o2o.stores import service as stores

from ..factories import HELSINKI, OPERATOR, make_offer, make_store

BOUND_S = 1.0
# Between the moment that SQL answered for the model and that of the commit lie the test's own steps.
SLACK_S = 0.15
places = st.sampled_from([Point(HELSINKI.lon + 0.004 * x, HELSINKI.lat + 0.004 * y) for x in range(-4, 5) for y in range(-4, 5)])
Answer = bytes


def build_until_killed(settings: Settings, folder: Path) -> None:
    """A process that does nothing but build the shelf anew."""
    database = Database(settings)
    group = parent(cell_of(HELSINKI), GROUP_RESOLUTION)
    while True:
        shelf = Shelf(folder, reader=database.moment, url=None, staleness_s=BOUND_S, most_bytes=10**9)
        shelf.open()[0](cell_of(HELSINKI, 7))
        for path in folder.glob(f"{group:x}-*.arrow"):
            path.unlink(missing_ok=True)


_reading = threading.Lock()


class Workers(RuleBasedStateMachine):
    conf: ClassVar[Settings]
    counted: ClassVar[Counter[str]] = Counter()

    def __init__(self) -> None:
        super().__init__()
        self.database = Database(self.conf)
        with self.database.write() as session:
            session.execute(sa.text("TRUNCATE stores, offers, offer_store, store_districts, cell_versions, store_moves"))
        shutil.rmtree(self.conf.data_dir / "shelf", ignore_errors=True)
        self.workers = [Finder.of(self.conf, lambda: self.database) for _ in range(2)]
        # What was right from when on: (time.monotonic() just before the commit, answers by kind).
        self.history: list[tuple[float, dict[str, Answer]]] = [(0.0, self.by_sql())]
        self.known: list[Any] = []
        self.offered: list[Any] = []

    def teardown(self) -> None:
        for worker in self.workers:
            assert worker.shelf is not None
            worker.shelf.close()
        self.database.close()

    # --- the world changes ---------------------------------------------------------------------------------------------------

    def write(self, change: Any) -> Any:
        before = time.monotonic()
        with self.database.write() as session:
            made = change(session)
        self.history.append((before, self.by_sql()))
        return made

    @initialize()
    def a_city(self) -> None:
        for number in range(12):
            at = Point(HELSINKI.lon + 0.001 * number, HELSINKI.lat)
            self.known.append(self.write(lambda session, at=at, number=number: make_store(session, name=f"first {number}", at=at).id))

    @rule(at=places, rating=st.integers(0, 9))
    def add(self, at: Point, rating: int) -> None:
        self.counted["add"] += 1
        self.known.append(self.write(lambda session: make_store(session, name="new", at=at, rating=(5 * rating, rating)).id))

    @precondition(lambda self: len(self.known) > 3)
    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        self.counted["remove"] += 1
        id_ = self.known.pop(data.draw(st.integers(0, len(self.known) - 1)))
        self.write(lambda session: stores.remove_store(session, caller=OPERATOR, store_id=id_, version=self.version(session, id_), now=_now()))

    @rule(data=st.data(), at=places)
    def move(self, data: st.DataObject, at: Point) -> None:
        self.counted["move"] += 1
        self.change(data, {"at": at})

    @rule(data=st.data(), hours=st.sampled_from(["24/7", "off", "Mo-Su 00:00-12:00", None]))
    def set_hours(self, data: st.DataObject, hours: str | None) -> None:
        self.counted["hours"] += 1
        self.change(data, {"opening_hours": hours})

    @rule(data=st.data(), number=st.integers(0, 999))
    def rename(self, data: st.DataObject, number: int) -> None:
        self.counted["rename"] += 1
        self.change(data, {"name": f"name {number}"})

    @rule(data=st.data(), count=st.integers(1, 50))
    def rate(self, data: st.DataObject, count: int) -> None:
        self.counted["rate"] += 1
        id_ = data.draw(st.sampled_from(self.known))

        def change(session: Any) -> None:
            store = stores.get_store(session, id_, lock=True)
            store.rating_sum, store.rating_count = 4 * count, count
            note_change(session, [store.cell])

        self.write(change)

    @rule(data=st.data(), price=st.integers(0, 999))
    def offer(self, data: st.DataObject, price: int) -> None:
        self.counted["offer"] += 1
        ids = data.draw(st.lists(st.sampled_from(self.known), min_size=1, max_size=3, unique=True))
        self.offered.append(
            self.write(
                lambda session: (
                    make_offer(session, *(stores.get_store(session, one) for one in ids), title=f"for {price}", price_minor=price, now=_now()).id
                )
            )
        )

    @precondition(lambda self: self.offered)
    @rule(data=st.data())
    def take_offer_back(self, data: st.DataObject) -> None:
        self.counted["take back"] += 1
        id_ = self.offered.pop(data.draw(st.integers(0, len(self.offered) - 1)))

        def change(session: Any) -> None:
            version = offers.get_offer(session, id_).version
            offers.remove_offer(session, caller=OPERATOR, offer_id=id_, version=version, now=_now())

        self.write(change)

    def change(self, data: st.DataObject, fields: dict[str, Any]) -> None:
        id_ = data.draw(st.sampled_from(self.known))
        self.write(
            lambda session: stores.change_store(
                session, caller=OPERATOR, store_id=id_, version=self.version(session, id_), fields=fields, now=_now(), horizon_d=35
            )
        )

    @staticmethod
    def version(session: Any, id_: Any) -> int:
        return stores.get_store(session, id_).version

    # --- workers have accidents ----------------------------------------------------------------------------------------------

    @rule(which=st.integers(0, 1))
    def restart(self, which: int) -> None:
        self.counted["restart"] += 1
        shelf = self.workers[which].shelf
        assert shelf is not None
        shelf.close()
        self.workers[which] = Finder.of(self.conf, lambda: self.database)

    @rule()
    def cut_connections(self) -> None:
        self.counted["cut connections"] += 1
        with self.database.write() as session:
            session.execute(
                sa.text(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'geo_o2o listener' AND datname = current_database()"
                )
            )

    @rule(which=st.integers(0, 1))
    def lose_notifications(self, which: int) -> None:
        """As behind a pooler: the statements are answered, and no notification arrives; the worker's own neither."""
        self.counted["lose notifications"] += 1
        shelf = self.workers[which].shelf
        assert shelf is not None
        assert shelf.listener is not None
        listener: Any = shelf.listener
        listener._pass_on = lambda connection: connection.notifies.clear()

    @rule(which=st.integers(0, 1))
    def hear_again(self, which: int) -> None:
        shelf = self.workers[which].shelf
        assert shelf is not None
        assert shelf.listener is not None
        vars(shelf.listener).pop("_pass_on", None)

    @rule(after_ms=st.integers(20, 250))
    def kill_a_builder(self, after_ms: int) -> None:
        self.counted["kill -9"] += 1
        folder = next((self.conf.data_dir / "shelf").iterdir(), None) if (self.conf.data_dir / "shelf").exists() else None
        if folder is None:
            return
        process = multiprocessing.get_context("fork").Process(target=build_until_killed, args=(self.conf, folder), daemon=True)
        process.start()
        time.sleep(after_ms / 1000)
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        process.join()

    @rule(how=st.sampled_from(["cut", "delete"]))
    def spoil_a_file(self, how: str) -> None:
        self.counted[f"{how} a file"] += 1
        found = sorted((self.conf.data_dir / "shelf").glob("*/*.arrow"))
        # Workers prune meanwhile: a file that is gone by now needs no spoiling.
        with suppress(FileNotFoundError):
            if found and how == "cut":
                # Between questions: whoever reads a file at the very moment in which it is cut is killed by the kernel, whatever it had looked at.
                with _reading:
                    os.truncate(found[0], found[0].stat().st_size // 2)
            elif found:
                found[0].unlink()

    @rule(seconds=st.sampled_from([0.05, 0.3, 0.7]))
    def wait(self, seconds: float) -> None:
        time.sleep(seconds)

    # --- what must be true ---------------------------------------------------------------------------------------------------

    @invariant()
    def no_answer_is_wrong_or_too_old(self) -> None:
        for worker in self.workers:
            for kind in ("stores", "offers"):
                asked_at = time.monotonic()
                try:
                    page = worker.page(self.question(kind))
                except (Unavailable, OperationalError):
                    # A machine that stands still for a second looks like a database that is gone; no answer is not a wrong one.
                    self.counted["refused"] += 1
                    continue
                self.counted[page.path if page.stale_since is None else "stale"] += 1
                found = page.items
                # What says that it may be older is right as of the moment that it names.
                age_s = BOUND_S if page.stale_since is None else (_now() - page.stale_since).total_seconds()
                right = self.right_between(asked_at - age_s - SLACK_S, time.monotonic(), kind)
                assert found in right, f"{kind} by {page.path}: {found}\nnone of {right}"

    @rule()
    def left_alone_the_shelf_is_right(self) -> None:
        self.counted["left alone"] += 1
        for worker in self.workers:
            assert worker.shelf is not None
            assert worker.shelf.listener is not None
        time.sleep(BOUND_S)
        for worker in self.workers:
            deadline = time.monotonic() + 15
            while (page := worker.page(self.question("stores"))).path != "shelf" and time.monotonic() < deadline:
                time.sleep(0.05)
            assert page.path == "shelf", self.about(worker)
            found = page.items
            assert found == self.history[-1][1]["stores"]

    @staticmethod
    def about(worker: Finder) -> str:
        """What a shelf knows of itself, for whoever must find out why it does not answer."""
        shelf: Any = worker.shelf
        age_s = time.monotonic() - shelf.listener.heard_at
        return f"newer {shelf._newer}, waiting {shelf._waiting}, groups {list(shelf._groups)}, heard {age_s:.2f} s ago, trouble {shelf._trouble}"

    def right_between(self, since: float, until: float, kind: str) -> list[Answer]:
        """The answers that were right at some moment of a time."""
        ends = [begin for begin, _ in self.history[1:]] + [float("inf")]
        return [answers[kind] for (begin, answers), end in zip(self.history, ends, strict=True) if end >= since and begin <= until]

    def by_sql(self) -> dict[str, Answer]:
        found = {}
        with self.database.read() as session:
            for kind in ("stores", "offers"):
                asked = self.question(kind)
                found[kind] = items_of_ranked(rows_in_order(session, asked)[: asked.limit - 1], asked)
        return found

    @staticmethod
    def question(kind: Any) -> Question:
        # A fixed minute, so that an answer changes by writes alone.
        return Question(kind=kind, where=Where(HELSINKI, 1_500.0), filters=Filters(at=_AT), profile=built_in_profiles()["balanced-1"], limit=41)


_AT = datetime.now(UTC).replace(second=0, microsecond=0) + timedelta(minutes=1)


def _now() -> datetime:
    return datetime.now(UTC)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills forked processes")
def test_workers_in_any_trouble(fresh_database: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    built = Shelf._build

    def build(shelf: Shelf, wanted: Sequence[int]) -> None:
        with _reading:
            built(shelf, wanted)

    monkeypatch.setattr(Shelf, "_build", build)
    conf: Settings = fresh_database()
    Workers.conf = replace(conf, data_dir=tmp_path, shelf_max_staleness_s=int(BOUND_S))
    Workers.counted.clear()
    random.seed(1)
    run_state_machine_as_test(
        Workers,
        settings=settings(
            max_examples=12,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            derandomize=True,
            database=None,
            phases=[Phase.generate],
        ),
    )
    with capsys.disabled():
        print("\n" + ", ".join(f"{name} {number}" for name, number in sorted(Workers.counted.items())))  # noqa: T201 - the statistics of the run
    assert Workers.counted["shelf"] > Workers.counted["database"] / 10
    assert Workers.counted["refused"] + Workers.counted["stale"] < Workers.counted["shelf"] / 10
    assert len(Workers.counted) >= 14
