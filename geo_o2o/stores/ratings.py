"""What is said of a store's rating."""

from __future__ import annotations

from typing import Any


def dump_rating(rating_sum: int, rating_count: int, sample: bool) -> dict[str, Any]:
    """RatingSchema of one store. rating_sum: stars of rating_count ratings."""
    mean = round(rating_sum / rating_count, 3) if rating_count else None
    return {"mean": mean, "count": rating_count, "sum": rating_sum, "sample": sample}
