"""Ids as halves, and hits in order."""

from __future__ import annotations

from uuid import UUID

import numpy as np

from geo_o2o.discovery.hits import is_among, is_later, order_of
from geo_o2o.discovery.question import After


def test_ids_are_found_by_both_halves() -> None:
    high, low = np.array([1, 2, 1, 2, 2**64 - 1], dtype=np.uint64), np.array([5, 5, 6, 7, 2**64 - 1], dtype=np.uint64)
    assert is_among(high, low, frozenset({(1 << 64) | 5, (2 << 64) | 7, (2 << 64) | 6, (1 << 128) - 1})).tolist() == [True, False, False, True, True]
    assert is_among(high, low, frozenset()).tolist() == [False] * 5
    assert is_among(high[:0], low[:0], frozenset({7})).tolist() == []


def test_hits_of_one_order_are_later_by_their_id() -> None:
    after = After(-500, 120, UUID(int=(2 << 64) | 5))
    orders = order_of(after) + np.array([0, 0, 0, 0, -1, 1])
    high, low = np.array([2, 2, 1, 3, 9, 0], dtype=np.uint64), np.array([5, 6, 9, 0, 9, 0], dtype=np.uint64)
    assert is_later(orders, high, low, after).tolist() == [False, True, False, True, False, True]
