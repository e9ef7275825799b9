"""The code that a till shows, and the one that a visitor shows."""

from __future__ import annotations

import contextlib
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geo_o2o.checkins.tillcode import STEP_S, BadCode, is_fresh, make_scan, make_till_code, parse_scan, parse_till_code, short_store
from geo_o2o.ledger.receipt import public_of

STORE, SEED, AT = UUID(int=7), b"t" * 32, 1_795_000_000
# What a QR code of version 6-M holds in its alphanumeric mode.
_QR_CHARACTERS = 154
_ALPHABET = set("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ $%*+-./:")


def code(**more: object) -> str:
    return make_till_code(**{"store_id": STORE, "seed": SEED, "at_s": AT, "chance": b"c" * 8, **more})  # type: ignore[arg-type]


def test_a_code_fits_a_small_qr_code_and_names_store_and_step() -> None:
    text = code()
    assert (len(text), set(text) <= _ALPHABET) == (126, True)
    assert len(text) < _QR_CHARACTERS
    read = parse_till_code(text)
    assert (read.store, read.step) == (short_store(STORE), AT // STEP_S)
    assert read.is_of(public_of(SEED))
    assert not read.is_of(public_of(b"u" * 32))
    assert not read.is_of(b"short")
    assert len(make_scan(UUID(int=1), b"h" * 32)) == 77


def test_a_code_is_good_for_its_step_and_one_beside() -> None:
    read = parse_till_code(code())
    assert [is_fresh(read, at_s=AT + STEP_S * away) for away in range(-3, 4)] == [False, False, True, True, True, False, False]


@given(st.integers(0, 125), st.sampled_from(sorted(_ALPHABET)))
def test_no_other_letter_is_taken_anywhere(place: int, letter: str) -> None:
    text = code()
    other = text[:place] + letter + text[place + 1 :]
    try:
        read = parse_till_code(other)
    except BadCode:
        return
    assert other == text or not read.is_of(public_of(SEED))


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused(text: str) -> None:
    for parse in (parse_till_code, parse_scan):
        for prefix in ("", "XC1:", "XCV1:"):
            with contextlib.suppress(BadCode):
                parse(prefix + text)


@given(st.uuids(), st.binary(min_size=32, max_size=32))
def test_what_a_visitor_shows_is_what_a_till_reads(id_: UUID, claim_hash: bytes) -> None:
    read = parse_scan(make_scan(id_, claim_hash))
    assert (read.check_in_id, read.claim_hash) == (id_, claim_hash)


def test_chance_has_eight_bytes() -> None:
    with pytest.raises(ValueError, match="8 random bytes"):
        code(chance=b"c")
