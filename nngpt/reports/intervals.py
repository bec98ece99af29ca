"""95% intervals: t-based for means, Wilson for shares (papers, appendix K), and of differences."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean, stdev, variance

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
