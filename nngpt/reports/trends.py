"""Does a figure rise over the steps? Slope and difference, each with its 95% interval."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from nngpt.reports.intervals import welch

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
