"""Hears what transactions tell each other (LISTEN and NOTIFY), and knows until when it has heard everything.

PostgreSQL delivers notifications in the order of the commits. So the listener tells itself something again and again: when it hears
that, it has heard all that was committed before. Where its own words do not come back (behind a pooler that lends connections by the
transaction), it asks the owner to look for itself. It never holds up a request: those read `heard_at` and nothing else.
"""

from __future__ import annotations

import logging
import os
import secrets
import select
import threading
import time
from collections.abc import Callable
from typing import Any

import psycopg2
import psycopg2.extensions
from sqlalchemy.exc import SQLAlchemyError

_log = logging.getLogger("geo_o2o")
_TICK = "tick "


class Silent(Exception):
    """The database did not answer in time."""


class Listener:
    """One thread with a connection of its own.

    told: what to do with each notification of the channel. look: what to do when notifications may have been missed; it asks the
    database itself. noticed: told True when the database falls silent, False when it answers again. heard_at: all that was committed
    before this moment (time.monotonic) is known; 0 before the first time. heard_on: the same moment in seconds since 1970.
    """

    def __init__(
        self,
        url: str,
        channel: str,
        *,
        told: Callable[[str], None],
        look: Callable[[], None],
        noticed: Callable[[bool], None],
        every_s: float,
        patience_s: float,
    ):
        self._url = url.replace("+psycopg2", "")
        self._channel, self._told, self._look, self._noticed = channel, told, look, noticed
        self._every_s, self._patience_s = every_s, patience_s
        self._name = secrets.token_hex(6)
        self._thread: threading.Thread | None = None
        self._owner = 0
        self._connected = False
        self._stop = threading.Event()
        self._starting = threading.Lock()
        self._echo: str | None = None
        self.heard_at = self.heard_on = 0.0
        self.away = False

    def start(self) -> None:
        """Starts the thread where it does not run: after a fork there is none."""
        if self._thread is not None and self._owner == os.getpid():
            return
        with self._starting:
            if self._thread is None or self._owner != os.getpid():
                self._owner = os.getpid()
                self._thread = threading.Thread(target=self._run, name="listener", daemon=True)
                self._thread.start()

    def wait_until_heard(self, moment: float, *, patience_s: float) -> None:
        """Returns when everything is known that was committed before a moment (time.monotonic). Raises Silent."""
        deadline = time.monotonic() + patience_s
        while self.heard_at < moment:
            if time.monotonic() > deadline or self._stop.is_set():
                raise Silent(f"nothing was heard for {patience_s} s")
            time.sleep(self._every_s / 10)

    def stop(self) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join(5)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._listen()
            except (psycopg2.Error, SQLAlchemyError, Silent, OSError) as failure:
                # A connection that was cut says nothing of the database: the next one will tell.
                if not self._connected or isinstance(failure, Silent):
                    if not self.away:
                        words = str(failure).strip().splitlines()
                        _log.warning("the database is silent: %s", words[0] if words else type(failure).__name__)
                    self._note(away=True)
            except Exception:
                _log.exception("the listener stumbled")
                self._note(away=True)
            self._stop.wait(self._every_s)

    def _listen(self) -> None:
        self._connected = False
        connection = self._connect()
        self._connected = True
        try:
            self._ask(connection, f"LISTEN {self._channel}")
            asked_at = time.monotonic()
            self._look()
            self._hear(asked_at)
            while not self._stop.is_set():
                asked_at = time.monotonic()
                self._echo = f"{_TICK}{self._name} {asked_at}"
                self._ask(connection, f"SELECT pg_notify('{self._channel}', '{self._echo}')")
                if self._wait_for_echo(connection, asked_at + self._every_s):
                    self._hear(asked_at)
                    self._rest(connection, asked_at + self._every_s)
                else:
                    self._look()
                    self._hear(asked_at)
        finally:
            connection.close()

    def _hear(self, asked_at: float) -> None:
        self.heard_on = time.time() - (time.monotonic() - asked_at)
        self.heard_at = asked_at
        if self.away:
            _log.warning("the database answers again")
            self._note(away=False)

    def _note(self, *, away: bool) -> None:
        self.away = away
        self._noticed(away)

    def _connect(self) -> Any:
        connection = psycopg2.connect(self._url, async_=True, application_name="geo_o2o listener")
        try:
            self._settle(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _ask(self, connection: Any, text: str) -> None:
        # Kept until the end: the driver lets go of an answer whose cursor is gone.
        cursor = connection.cursor()
        cursor.execute(text)
        self._settle(connection)
        cursor.close()
        self._pass_on(connection)

    def _settle(self, connection: Any) -> None:
        """Waits until the connection has done what it was told. Raises Silent where that takes too long."""
        deadline = time.monotonic() + self._patience_s
        while (state := connection.poll()) != psycopg2.extensions.POLL_OK:
            left = deadline - time.monotonic()
            reading, writing = ([connection], []) if state == psycopg2.extensions.POLL_READ else ([], [connection])
            if left <= 0 or not any(select.select(reading, writing, [], left)):
                raise Silent(f"no answer within {self._patience_s} s")

    def _wait_for_echo(self, connection: Any, deadline: float) -> bool:
        while self._echo is not None and not self._stop.is_set():
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            self._receive(connection, left)
        return self._echo is None

    def _rest(self, connection: Any, until: float) -> None:
        while (left := until - time.monotonic()) > 0 and not self._stop.is_set():
            self._receive(connection, left)

    def _receive(self, connection: Any, seconds: float) -> None:
        if select.select([connection], [], [], seconds)[0]:
            self._settle(connection)
            self._pass_on(connection)

    def _pass_on(self, connection: Any) -> None:
        for note in list(connection.notifies):
            if note.payload == self._echo:
                self._echo = None
            elif not note.payload.startswith(_TICK):
                self._told(note.payload)
        connection.notifies.clear()
