"""What is released, and with which guarantee. Pure.

Each product bounds what one account can change, adds integer Laplace noise to that, and publishes only what is surely about many people.
Source: design of the project (trust, section 7); Google's community mobility reports and SafeGraph before it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

Cadence = Literal["week", "month"]

# No published figure ever covers fewer accounts.
LEAST_ACCOUNTS = 20
# Chance that noise alone lifts a count of fewer than LEAST_ACCOUNTS over the threshold: what the exact check can tell is worth no more.
_LIFTED = 8.8e-7


@dataclass(frozen=True)
class Product:
    """name: of the layer in the API. resolutions: of its cells, from coarse to fine. parts: names of what a cell is divided into; one empty
    name where it is not. kept: cells (of visits), or cells with their part (of day_parts), that one account counts in at most.
    sensitivity: by how much one account can change all counts together. epsilon: spent by one release.
    """

    name: str
    cadence: Cadence
    resolutions: tuple[int, ...]
    parts: tuple[str, ...]
    kept: int
    sensitivity: int
    threshold: int
    epsilon: float = 1.0

    @property
    def scale(self) -> float:
        """Of the Laplace noise on each count."""
        return self.sensitivity / self.epsilon

    @property
    def delta(self) -> float:
        """The price of the exact check: one account in that of LEAST_ACCOUNTS shows through with at most this chance."""
        return self.sensitivity * tail(self.scale, self.threshold - LEAST_ACCOUNTS)

    def terms(self) -> dict[str, Any]:
        """Everything that a reader needs to judge a release."""
        return {
            "epsilon": self.epsilon, "delta": float(f"{self.delta:.2g}"), "unit": f"account and {self.cadence}", "kept_per_account": self.kept,
            "noise": "integer Laplace", "scale": self.scale, "threshold": self.threshold, "least_accounts": LEAST_ACCOUNTS,
            "resolutions": list(self.resolutions),
        }  # fmt: skip

    def margin(self, count: int) -> int:
        """Half-width of the interval that holds the noise of a sum of so many published counts with 95 %."""
        if count == 1:
            # Two-sided quantile of one integer Laplace.
            return math.ceil(self.scale * math.log(1.0 / 0.05))
        return math.ceil(1.96 * math.sqrt(count * variance(self.scale)))


def tail(scale: float, at_least: int) -> float:
    """Chance that integer Laplace noise is at_least or more; at_least > 0."""
    step = math.exp(-1.0 / scale)
    return step**at_least / (1.0 + step)


def variance(scale: float) -> float:
    """Of integer Laplace noise."""
    step = math.exp(-1.0 / scale)
    return 2.0 * step / (1.0 - step) ** 2


def threshold_for(scale: float) -> int:
    """The least threshold that noise alone reaches from fewer than LEAST_ACCOUNTS with a chance of _LIFTED at most."""
    step = math.exp(-1.0 / scale)
    return LEAST_ACCOUNTS + math.ceil(math.log(_LIFTED * (1.0 + step)) / math.log(step))


DAY_PARTS = ("morning", "midday", "afternoon", "evening")
# The hour at which each begins; the evening lasts through the night.
DAY_PARTS_FROM = (6, 11, 15, 19)


def _product(name: str, cadence: Cadence, *, resolutions: tuple[int, ...], parts: tuple[str, ...] = ("",), kept: int, counted: int) -> Product:
    """counted: in how many counts each of what is kept appears."""
    sensitivity = kept * counted
    return Product(name, cadence, resolutions, parts, kept, sensitivity, threshold_for(float(sensitivity)))


VISITS = _product("visits", "week", resolutions=(7, 8, 9), kept=2, counted=3)
PARTS_OF_DAY = _product("day_parts", "month", resolutions=(7,), parts=DAY_PARTS, kept=4, counted=1)
# Who was seen in a cell, and who of them on two days or more.
RETURNS = _product("returns", "month", resolutions=(7,), parts=("seen", "again"), kept=2, counted=2)
# From the cell where somebody is seen on most days to another one.
ORIGINS = _product("origins", "month", resolutions=(8,), kept=2, counted=1)
PRODUCTS = {one.name: one for one in (VISITS, PARTS_OF_DAY, RETURNS, ORIGINS)}
