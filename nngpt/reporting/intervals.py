"""95% intervals: t-based for means, Wilson for shares (papers, appendix K)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean, stdev

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
    from scipy.stats import t

    point = float(t.ppf(0.975, len(values) - 1))
    return mean, point * stdev(values) / math.sqrt(len(values))


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
