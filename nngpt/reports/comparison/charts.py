"""Geometry of the comparison's charts in per cent of the plot, so that the page only draws them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nngpt.reports.comparison.figures import COPY, Figures
from nngpt.reports.comparison.sheets import judged_by

_BINS = 20


@dataclass(frozen=True)
class Whisker:
    """A share as a bar from 0, with its interval; all in %."""

    label: str
    title: str
    series: int
    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Histogram:
    """Counts in equal bins from 0 to 1: heights in % of the highest, and what each stands for."""

    label: str
    series: int
    heights: tuple[float, ...]
    titles: tuple[str, ...]
    mark: float | None = None


def validity(found: Figures) -> list[Whisker]:
    """The share of answers that run (or fit, where none was run), a bar for each cell."""
    series = _series(found)
    bars = []
    for cell in found.cells:
        share = cell.runs or cell.fit
        if share.total:
            low, high = share.interval
            value = share.hits / share.total
            title = f"{share.hits} of {share.total}, {low:.0%} to {high:.0%}"
            label = f"{cell.arm}, {cell.asked}: {judged_by(cell)}"
            bars.append(Whisker(label, title, series[cell.arm], 100 * value, 100 * low, 100 * high))
    return bars


def accuracies(found: Figures) -> list[Histogram]:
    """First-epoch accuracies, a histogram for each arm and data set."""
    series = _series(found)
    return [
        _histogram(f"{cell.arm} on {cell.task}", series[cell.arm], cell.accuracy.values)
        for cell in found.cells
        if cell.accuracy and cell.accuracy.values
    ]


def nearest(found: Figures) -> list[Histogram]:
    """Similarity to the nearest network of the training corpus, a histogram for each arm."""
    series = _series(found)
    return [
        _histogram(copies.arm, series[copies.arm], copies.nearest, COPY)
        for copies in found.copies
        if copies.nearest
    ]


def _series(found: Figures) -> dict[str, int]:
    return {arm.name: number for number, arm in enumerate(found.arms)}


def _histogram(
    label: str, series: int, values: Sequence[float], mark: float | None = None
) -> Histogram:
    counts = [0] * _BINS
    for value in values:
        counts[min(_BINS - 1, int(value * _BINS))] += 1
    most = max(counts)
    titles = [f"{n} from {i / _BINS:.2f} to {(i + 1) / _BINS:.2f}" for i, n in enumerate(counts)]
    heights = tuple(round(100 * n / most, 1) for n in counts)
    place = None if mark is None else 100 * mark
    return Histogram(f"{label} (n {len(values)})", series, heights, tuple(titles), place)
