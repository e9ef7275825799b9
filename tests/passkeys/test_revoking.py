"""Signing in while the store's last key is revoked: neither overlooks the other."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from geo_o2o.auth import service as auth
from geo_o2o.auth.models import ApiKey
from geo_o2o.db import Database
from geo_o2o.errors import Unauthenticated
from geo_o2o.geo.ids import RANDOM_BITS, unlocated_id
from geo_o2o.http import utcnow


@pytest.fixture(scope="module")
def database(fresh_database: Any) -> Iterator[Database]:
    """Of its own, since two transactions must see each other."""
    found = Database(fresh_database())
    yield found
    found.close()


@pytest.fixture
def keys(database: Database) -> list[ApiKey]:
    """Two live keys of one store: the first, and its replacement."""
    with database.write() as session:
        merchant = auth.add_merchant(session, name=f"Owner {secrets.token_hex(4)}", now=utcnow())
        first, _ = auth.create_key(session, role="store", name="", merchant=merchant, now=utcnow())
        second, _ = auth.replace_key(session, prefix=first.prefix, name="", now=utcnow())
        session.flush()
        session.expunge_all()
    return [first, second]


def sign_in(session: Any, key: ApiKey) -> str | None:
    assert key.merchant_id is not None
    passkey_id = unlocated_id(now=utcnow(), chance=secrets.randbits(RANDOM_BITS))
    until = utcnow() + timedelta(hours=12)
    made = auth.create_sign_in(session, account_id=key.id, merchant_id=key.merchant_id, passkey_id=passkey_id, until=until, now=utcnow())
    return made[1] if made else None


def revoke(database: Database, key: ApiKey) -> None:
    with database.write() as session:
        auth.revoke_key(session, prefix=key.prefix, now=utcnow())


def is_known(database: Database, text: str) -> bool:
    with database.read() as session:
        try:
            auth.identify(session, text)
        except Unauthenticated:
            return False
        return True


def test_whoever_signs_in_at_that_very_moment_is_signed_out(database: Database, keys: list[ApiKey]) -> None:
    revoke(database, keys[1])
    with database.write() as session:
        text = sign_in(session, keys[0])
        assert text is not None
        other = threading.Thread(target=revoke, args=(database, keys[0]))
        other.start()
        other.join(0.5)
        assert other.is_alive(), "it waits for the end of the sign-in"
    other.join(10)
    assert not is_known(database, text)


def test_whoever_comes_a_moment_later_does_not_sign_in(database: Database, keys: list[ApiKey]) -> None:
    revoke(database, keys[1])
    found: list[str | None] = []

    def late() -> None:
        with database.write() as session:
            found.append(sign_in(session, keys[0]))

    with database.write() as session:
        auth.revoke_key(session, prefix=keys[0].prefix, now=utcnow())
        other = threading.Thread(target=late)
        other.start()
        other.join(0.5)
        assert found == []
    other.join(10)
    assert found == [None]


def test_two_keys_that_are_revoked_together_leave_nobody_signed_in(database: Database, keys: list[ApiKey]) -> None:
    with database.write() as session:
        text = sign_in(session, keys[0])
    assert text is not None
    with database.write() as session:
        auth.revoke_key(session, prefix=keys[0].prefix, now=utcnow())
        other = threading.Thread(target=revoke, args=(database, keys[1]))
        other.start()
        other.join(0.5)
        assert other.is_alive()
    other.join(10)
    assert not is_known(database, text)
    with database.read() as session:
        assert (
            session.scalar(sa.text("/* test */ SELECT count(*) FROM api_keys WHERE revoked_at IS NULL AND stands_for = :id"), {"id": keys[0].id}) == 0
        )
