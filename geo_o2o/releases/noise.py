"""Noise and chance: the one place where they are drawn."""

from __future__ import annotations

import secrets

import numpy as np
import opendp.prelude as dp

from .mechanism import Floats, Ints

# The library asks that one says so before anything is used that its vetting process has not finished with.
dp.enable_features("contrib")


def laplace(counts: Ints, scale: float) -> Ints:
    """Counts with integer Laplace noise, each drawn by itself from the system's own source of chance, without floating point.

    Source: Canonne, Kamath and Steinke, The discrete Gaussian for differential privacy, 2020, as OpenDP implements it.
    """
    if not len(counts):
        return counts
    space = dp.vector_domain(dp.atom_domain(T="i64")), dp.l1_distance(T="i64")
    return np.array((space >> dp.m.then_laplace(scale=scale))(counts.tolist()), dtype=np.int64)


def chance(count: int) -> Floats:
    """Numbers in 0..1. Which cells of an account are kept need not be secret, only be no function of who else was there."""
    return np.random.default_rng(secrets.randbits(128)).random(count)
