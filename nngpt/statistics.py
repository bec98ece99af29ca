"""Estimates with 95% intervals: shares, means, medians, differences and trends.

Wilson intervals for shares and t intervals for means follow the papers (appendix K); differences
use Newcombe's and Welch's intervals.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev, variance
from statistics import median as middle

Z95 = 1.959963984540054
"""97.5% point of the normal distribution."""


def wilson(successes: int, total: int) -> tuple[float, float]:
    """Wilson score interval of a share, 0…1; (0, 1) when nothing was counted."""
    if total == 0:
        return 0.0, 1.0
    share, z2 = successes / total, Z95**2
    centre = (share + z2 / (2 * total)) / (1 + z2 / total)
    spread = Z95 * math.sqrt(share * (1 - share) / total + z2 / (4 * total**2))
    half = spread / (1 + z2 / total)
    low = 0.0 if successes == 0 else centre - half
    high = 1.0 if successes == total else centre + half
    return low, high


def mean_half_width(values: Sequence[float]) -> tuple[float, float | None]:
    """Mean and half the width of its t interval; None for the latter below two values.

    Raises:
        statistics.StatisticsError: there are no values.
    """
    mean = fmean(values)
    if len(values) < 2:
        return mean, None
    return mean, _t95(len(values) - 1) * stdev(values) / math.sqrt(len(values))


def newcombe(one: tuple[int, int], other: tuple[int, int]) -> tuple[float, float, float]:
    """Difference of two shares, each as (successes, total), with its interval.

    Newcombe's hybrid of the two Wilson intervals (Statistics in Medicine 1998, method 10).

    Returns:
        The first share less the other, and the ends of the interval, -1…1.

    Raises:
        ZeroDivisionError: a total is 0.
    """
    first, second = one[0] / one[1], other[0] / other[1]
    (low, high), (other_low, other_high) = wilson(*one), wilson(*other)
    difference = first - second
    below = math.hypot(first - low, other_high - second)
    above = math.hypot(high - first, second - other_low)
    return difference, difference - below, difference + above


def welch(one: Sequence[float], other: Sequence[float]) -> tuple[float, tuple[float, float] | None]:
    """Difference of two means with Welch's t interval; None for that below two values in either.

    Raises:
        statistics.StatisticsError: there are no values.
    """
    difference = fmean(one) - fmean(other)
    if min(len(one), len(other)) < 2:
        return difference, None
    # Not scipy's test: it complains of values that are all equal, as those of chance are.
    first, second = variance(one) / len(one), variance(other) / len(other)
    spread = first + second
    if spread == 0:
        return difference, (difference, difference)
    freedom = spread**2 / (first**2 / (len(one) - 1) + second**2 / (len(other) - 1))
    half = _t95(freedom) * math.sqrt(spread)
    return difference, (difference - half, difference + half)


def _t95(freedom: float) -> float:
    """97.5% point of Student's t distribution."""
    from scipy.special import stdtrit  # scipy.stats takes a second longer to import

    return float(stdtrit(freedom, 0.975))


def percent_of(successes: int, total: int) -> str:
    """`7/12 = 58% [32–81]`, or `0/0`."""
    if total == 0:
        return "0/0"
    low, high = wilson(successes, total)
    return f"{successes}/{total} = {successes / total:.0%} [{low * 100:.0f}–{high * 100:.0f}]"


def accuracy_of(accuracy: float, total: int | None = None) -> str:
    """`91.3%`, with the Wilson half width `±1.8` when the number of images is known."""
    if not total:
        return f"{accuracy:.1%}"
    low, high = wilson(round(accuracy * total), total)
    return f"{accuracy:.1%} ±{(high - low) * 50:.1f}"


def mean_of(values: Sequence[float]) -> str:
    """`88.2% ±3.1`, `88.2%` for one value, `–` for none."""
    if not values:
        return "–"
    mean, half = mean_half_width(values)
    return f"{mean:.1%}" if half is None else f"{mean:.1%} ±{half * 100:.1f}"


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


Interval = tuple[float, float]


@dataclass(frozen=True)
class Trend:
    """How a figure went over the steps.

    Attributes:
        steps: how many values there were, one a step.
        first: mean of the first third of them.
        last: mean of the last third.
        rise: `last` less `first`; `rise_interval` is Welch's t interval of it.
        slope: change a step, by ordinary least squares; `slope_interval` is its t interval.
    """

    steps: int
    first: float
    last: float
    rise: float
    rise_interval: Interval | None
    slope: float | None
    slope_interval: Interval | None


def trend(values: Sequence[float]) -> Trend:
    """The trend of one value a step, in order; intervals are None where there are too few.

    The intervals take the steps for independent but for the trend.

    Raises:
        statistics.StatisticsError: there are no values.
    """
    third = max(1, len(values) // 3)
    first, last = values[:third], values[-third:]
    rise, rise_interval = welch(last, first)
    slope, slope_interval = slope_of(values)
    return Trend(len(values), fmean(first), fmean(last), rise, rise_interval, slope, slope_interval)


def slope_of(values: Sequence[float]) -> tuple[float | None, Interval | None]:
    """Slope over 1, 2, 3 …, and its 95% t interval; None below two, and below three values."""
    if len(values) < 2:
        return None, None
    from scipy.stats import linregress, t

    line = linregress(range(1, len(values) + 1), values)
    slope = float(line.slope)
    if len(values) < 3:
        return slope, None
    half = float(t.ppf(0.975, len(values) - 2)) * float(line.stderr)
    return slope, (slope - half, slope + half)
