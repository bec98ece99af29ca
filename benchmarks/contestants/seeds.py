"""Means over seeds with their intervals."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf

from nngpt.statistics import Estimate, cut, mean_half_width


def over_seeds(
    values: Sequence[float], lowest: float = -inf, highest: float = inf, fewest: int = 2
) -> Estimate | None:
    """Return the mean of a value per seed, None without a seed.

    From `fewest` seeds on it has a t interval (95%), cut to what is possible.
    """
    if not values:
        return None
    centre, half = mean_half_width(values)
    if half is None or len(values) < fewest:
        return Estimate(centre, None, None, len(values), values=tuple(values))
    low, high = cut((centre - half, centre + half), lowest, highest)
    return Estimate(centre, low, high, len(values), values=tuple(values))
