"""Estimates with 95% intervals: shares, accuracies, means, medians, differences, trends.

Shares have Wilson intervals and means t intervals, as in the papers (appendix K); differences have
Newcombe's and Welch's intervals. Means are of fractions (accuracies, similarities), whose t
intervals are cut to what is possible: 0…1, and −1…1 for a difference. The true value lies there, so
an interval covers it as often as before; one on another scale (logit) has no value at 0 or 1.
All of these hold for one look at a fixed time; `anytime_difference` holds for all looks together.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev, variance
from statistics import median as middle
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Interval = tuple[float, float]

Z95 = 1.959963984540054
"""97.5% quantile of the standard normal distribution."""


FEWEST = 3
"""Smallest number of seeds (trainings, runs) with an interval; the values of fewer are shown."""


@dataclass(frozen=True)
class Estimate:
    """A share, mean, median or correlation with its 95% interval.

    Attributes:
        value: the point estimate.
        low: lower end of the interval, None if there are too few observations for one.
        high: upper end of the interval, None if there is none.
        count: number of observations.
        hits: number of successes among `count`; None unless the estimate is a share.
        values: the observations, where they are too few for an interval and few enough to be shown.
    """

    value: float
    low: float | None
    high: float | None
    count: int
    hits: int | None = None
    values: tuple[float, ...] = ()

    @property
    def interval(self) -> Interval | None:
        """Both ends of the interval, None if there is none."""
        return None if self.low is None or self.high is None else (self.low, self.high)

    @property
    def sign(self) -> int:
        """-1 or 1 if the whole interval lies below or above 0, else 0."""
        return sign_of(self.interval)


@dataclass(frozen=True)
class Difference(Estimate):
    """The share or mean of one sample minus that of another, with its 95% interval.

    Attributes:
        other_count: number of observations in the sample subtracted; `count` is that of the first.
    """

    other_count: int = 0


def cut(interval: Interval, lowest: float, highest: float) -> Interval:
    """Return the part of an interval that lies within a range, at least its nearest end."""
    low, high = (min(max(end, lowest), highest) for end in interval)
    return low, high


def sign_of(interval: Interval | None) -> int:
    """Return -1 or 1 if an interval lies below or above 0; 0 if it contains 0 or is None."""
    return 0 if interval is None else (interval[0] > 0) - (interval[1] < 0)


def wilson(successes: int, total: int) -> Interval:
    """Return the Wilson score interval of a share, 0…1; (0, 1) if `total` is 0."""
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
    """Return the mean and half the width of its t interval, None for only one value.

    Raises:
        statistics.StatisticsError: `values` is empty.
    """
    mean = fmean(values)
    if len(values) < 2:
        return mean, None
    return mean, _t95(len(values) - 1) * stdev(values) / math.sqrt(len(values))


def newcombe(one: tuple[int, int], other: tuple[int, int]) -> tuple[float, float, float]:
    """Return the difference of two shares, each given as (successes, total), and its interval.

    Newcombe's hybrid of the two Wilson intervals (Statistics in Medicine 1998, method 10).

    Returns:
        The first share minus the other, and the ends of its interval, all -1…1.

    Raises: ZeroDivisionError if a total is 0.
    """
    first, second = one[0] / one[1], other[0] / other[1]
    (low, high), (other_low, other_high) = wilson(*one), wilson(*other)
    difference = first - second
    below = math.hypot(first - low, other_high - second)
    above = math.hypot(high - first, second - other_low)
    return difference, difference - below, difference + above


def welch(one: Sequence[float], other: Sequence[float]) -> tuple[float, Interval | None]:
    """Return the difference of two means and Welch's t interval, None if a side has one value.

    Raises:
        statistics.StatisticsError: a side is empty.
    """
    difference = fmean(one) - fmean(other)
    if min(len(one), len(other)) < 2:
        return difference, None
    # scipy's test would warn about equal values, which answers counted as chance always are.
    first, second = variance(one) / len(one), variance(other) / len(other)
    spread = first + second
    if spread == 0:
        return difference, (difference, difference)
    freedom = spread**2 / (first**2 / (len(one) - 1) + second**2 / (len(other) - 1))
    half = _t95(freedom) * math.sqrt(spread)
    return difference, (difference - half, difference + half)


def _t95(freedom: float) -> float:
    """Return the 97.5% quantile of Student's t distribution."""
    from scipy.special import stdtrit  # scipy.stats takes a second longer to import

    return float(stdtrit(freedom, 0.975))


def share(hits: int, total: int) -> Estimate | None:
    """Return the share `hits / total` with its Wilson interval; None if `total` is 0."""
    return Estimate(hits / total, *wilson(hits, total), total, hits) if total else None


def accuracy(value: float, images: int, trainings: Sequence[float] = ()) -> Estimate:
    """Return one network's accuracy with its interval, none for 0 images.

    After one training this is the Wilson interval over the images. The mean of several trainings on
    the same images varies with the seed too: half its width is the root of the sum of squares of
    the t interval over the trainings and of the Wilson interval over the images, each counted once.
    Fewer than `FEWEST` trainings have no interval, but their values are shown.
    """
    if not images:
        return Estimate(value, None, None, 0)
    low, high = wilson(round(value * images), images)
    if 1 < len(trainings) < FEWEST:
        return Estimate(value, None, None, images, values=tuple(trainings))
    if trainings:
        half = mean_half_width(trainings)[1] or 0.0
        low, high = value - math.hypot(half, value - low), value + math.hypot(half, high - value)
    return Estimate(value, *cut((min(low, value), max(high, value)), 0, 1), images)


def mean(values: Sequence[float]) -> Estimate | None:
    """Return the mean of fractions with its t interval, cut to 0…1; None without values."""
    if not values:
        return None
    centre, half = mean_half_width(values)
    if half is None:
        return Estimate(centre, None, None, 1)
    return Estimate(centre, *cut((centre - half, centre + half), 0, 1), len(values))


def median(values: Sequence[float]) -> Estimate | None:
    """Return the median with a distribution-free interval of order statistics; None if empty.

    The number of values below the true median is binomial (n, ½). The ends are the j-th smallest
    and the j-th largest value for the largest rank j that leaves at most 2.5% on each side; for
    five values or fewer there is no such rank.
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


def share_difference(one: tuple[int, int], other: tuple[int, int]) -> Difference | None:
    """Estimate the difference of two shares (hits, total) with Newcombe's 95% interval.

    None if a total is 0.
    """
    if not one[1] or not other[1]:
        return None
    return Difference(*newcombe(one, other), one[1], other_count=other[1])


def mean_difference(one: Sequence[float], other: Sequence[float]) -> Difference | None:
    """Return the difference of two means of fractions with Welch's t interval, cut to −1…1.

    None if a side is empty.
    """
    if not one or not other:
        return None
    value, ends = welch(one, other)
    low, high = cut(ends, -1, 1) if ends else (None, None)
    return Difference(value, low, high, len(one), other_count=len(other))


_STAKES = (0.125, 0.25, 0.5, 1.0, 2.0, 4.0)
"""Stakes of the bets behind `anytime_difference`; the largest serve the first outcomes."""

_STEPS = 4000
"""Number of steps in which 0…1 is searched for the ends of `anytime_difference`."""


def anytime_difference(one: Sequence[float], other: Sequence[float]) -> Difference | None:
    """Return the difference of two means of outcomes in 0…1 with a 95% confidence sequence.

    With a probability of 95% or more, *all* intervals that are computed while outcomes are added,
    one after the other, cover what they estimate: the mean of the expectations of the outcomes of
    `one` minus that of `other`, where the expectation of an outcome is the one given all earlier
    outcomes of both. So one may look, and stop, at any time. Nothing else is assumed: outcomes may
    depend on earlier ones, as those of a writer that learns from them do.

    For a stake λ, forecasts fᵢ made from earlier outcomes, and expectations eᵢ, the product of all
    (1 + λ(xᵢ − fᵢ)) · exp(λ(fᵢ − eᵢ)) is a supermartingale, as 1 + y ≤ exp(y); of the eᵢ it
    depends on their mean alone. Its mean over the stakes for one sample times that for the other
    exceeds 40 with a probability of 2.5% at most (Ville), in each direction. The bets, the first
    factors, are those of Waudby-Smith and Ramdas (JRSS B, 2024). Their stakes adapt, which needs a
    constant expectation; a mixture of fixed stakes, as in theorem 4 of Howard et al. (Annals of
    Statistics, 2021), does not. There, a lower bound stands in place of each bet.

    None if a sample is empty.
    """
    if not one or not other:
        return None
    low, high = _anytime_low(one, other), -_anytime_low(other, one)
    return Difference(fmean(one) - fmean(other), low, high, len(one), other_count=len(other))


def _anytime_low(one: Sequence[float], other: Sequence[float]) -> float:
    """Return the lower end of the interval of `anytime_difference`."""
    import numpy as np

    limit = math.log(2 / 0.05)
    # Both fall along the grid: the higher the mean, the less its outcomes exceed it.
    above, below = _log_wealth(one), _log_wealth([1 - value for value in other])
    first = np.searchsorted(-below, above - limit)
    grid, reached = np.arange(_STEPS + 1), first <= _STEPS
    least = int(np.min(grid[reached] + first[reached])) - 2  # between two points of each grid
    return max(least / _STEPS - 1, -1.0)


def _log_wealth(values: Sequence[float]) -> NDArray[np.float64]:
    """Return, for each possible mean expectation, the logarithm of what bets above it won."""
    import numpy as np

    stakes, outcomes = np.array(_STAKES)[:, None], np.array(values)
    number = np.arange(1, len(values) + 1)
    before = (0.5 + np.cumsum(outcomes) - outcomes) / number
    forecasts = np.minimum(before, 0.75 / stakes)  # a bet loses three quarters at most
    won = np.sum(np.log1p(stakes * (outcomes - forecasts)) + stakes * forecasts, 1, keepdims=True)
    wealth = won - stakes * len(values) * np.linspace(0, 1, _STEPS + 1)
    most = np.max(wealth, 0)  # exp of it may be too large a number
    return np.asarray(most + np.log(np.mean(np.exp(wealth - most), 0)))


class Count(NamedTuple):
    """Hits among a total: the counts of a share."""

    hits: int
    total: int


Measure = Count | Sequence[float]
"""A figure of a group before its estimate: the counts of a share, or the values of a mean."""


def estimate(found: Measure) -> Estimate | None:
    """Estimate a share or a mean of a group with its 95% interval; None for an empty group."""
    return share(*found) if isinstance(found, Count) else mean(found)


def differences(
    one: Mapping[str, Measure], other: Mapping[str, Measure]
) -> dict[str, Difference | None]:
    """Estimate the difference of two groups in each measure that both have, by name."""
    return {
        name: share_difference(mine, theirs)
        if isinstance(mine, Count) and isinstance(theirs, Count)
        else mean_difference(mine, theirs)
        for name, mine in one.items()
        if (theirs := other.get(name)) is not None
    }


def percent_of(successes: int, total: int) -> str:
    """Estimate a share as text with its Wilson interval (95%): `7/12 = 58% [32–81]`, or `0/0`."""
    if total == 0:
        return "0/0"
    low, high = wilson(successes, total)
    return f"{successes}/{total} = {successes / total:.0%} [{low * 100:.0f}–{high * 100:.0f}]"


@dataclass(frozen=True)
class Trend:
    """How an estimate changed over a sequence of steps.

    Attributes:
        steps: number of values, one per step.
        first: mean over the first third of the steps.
        last: mean over the last third.
        rise: `last` minus `first`.
        rise_interval: Welch's t interval of `rise`.
        slope: change per step, by ordinary least squares.
        slope_interval: t interval of `slope`.
    """

    steps: int
    first: float
    last: float
    rise: float
    rise_interval: Interval | None
    slope: float | None
    slope_interval: Interval | None


def trend(values: Sequence[float]) -> Trend:
    """Estimate the trend of a series with 95% intervals; None for too few values.

    The intervals assume that steps are independent apart from the trend.

    Raises:
        statistics.StatisticsError: `values` is empty.
    """
    third = max(1, len(values) // 3)
    first, last = values[:third], values[-third:]
    rise, rise_interval = welch(last, first)
    slope, slope_interval = slope_of(values)
    return Trend(len(values), fmean(first), fmean(last), rise, rise_interval, slope, slope_interval)


def slope_of(values: Sequence[float]) -> tuple[float | None, Interval | None]:
    """Return the least-squares slope over steps 1, 2, 3 … and its 95% t interval.

    The slope is None for fewer than two values, the interval for fewer than three.
    """
    if len(values) < 2:
        return None, None
    from scipy.stats import linregress, t

    line = linregress(range(1, len(values) + 1), values)
    slope = float(line.slope)
    if len(values) < 3:
        return slope, None
    half = float(t.ppf(0.975, len(values) - 2)) * float(line.stderr)
    return slope, (slope - half, slope + half)
