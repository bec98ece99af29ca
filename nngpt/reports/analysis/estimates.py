"""A figure and its 95% interval."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median as middle

from nngpt.reports.intervals import mean_half_width, newcombe, welch, wilson


@dataclass(frozen=True)
class Estimate:
    """A share, mean, median or difference.

    Attributes:
        value: the figure.
        low: lower end of its 95% interval, None if too little was counted for one.
        high: upper end, None likewise.
        count: how many it was made of; of a difference, the smaller side.
        hits: of a share, how many of `count`; None for anything else.
    """

    value: float
    low: float | None
    high: float | None
    count: int
    hits: int | None = None

    @property
    def decided(self) -> int:
        """-1 or 1 if the interval lies below or above 0, else 0."""
        if self.low is None or self.high is None:
            return 0
        return (self.low > 0) - (self.high < 0)


def share(hits: int, total: int) -> Estimate | None:
    """A share with its Wilson interval; None of nothing."""
    return Estimate(hits / total, *wilson(hits, total), total, hits) if total else None


def accuracy(value: float, images: int) -> Estimate:
    """One network's accuracy with the Wilson interval of its images; without, if that is 0."""
    if not images:
        return Estimate(value, None, None, 0)
    low, high = wilson(round(value * images), images)
    return Estimate(value, min(low, value), max(high, value), images)


def mean(values: Sequence[float]) -> Estimate | None:
    """A mean with its t interval; None of nothing."""
    if not values:
        return None
    centre, half = mean_half_width(values)
    if half is None:
        return Estimate(centre, None, None, 1)
    return Estimate(centre, centre - half, centre + half, len(values))


def median(values: Sequence[float]) -> Estimate | None:
    """A median with an interval of order statistics, which assumes no distribution.

    How many of n values lie below the median is binomial (n, ½): the ends are the j-th smallest
    and the j-th largest value, j the largest rank that misses on each side with at most 2.5%. Five
    values or fewer have no such rank.
    """
    if not values:
        return None
    from scipy.stats import binom

    ordered = sorted(values)
    rank = int(binom.ppf(0.025, len(ordered), 0.5))
    if rank > 0 and float(binom.cdf(rank - 1, len(ordered), 0.5)) > 0.025:
        rank -= 1
    if rank == 0:
        return Estimate(middle(ordered), None, None, len(ordered))
    return Estimate(middle(ordered), ordered[rank - 1], ordered[-rank], len(ordered))


def share_difference(one: tuple[int, int], other: tuple[int, int]) -> Estimate | None:
    """Difference of shares (hits, total) with Newcombe's interval; None if one is of nothing."""
    if not one[1] or not other[1]:
        return None
    return Estimate(*newcombe(one, other), min(one[1], other[1]))


def mean_difference(one: Sequence[float], other: Sequence[float]) -> Estimate | None:
    """Difference of two means with Welch's t interval; None if one is of nothing."""
    if not one or not other:
        return None
    value, ends = welch(one, other)
    low, high = ends or (None, None)
    return Estimate(value, low, high, min(len(one), len(other)))
