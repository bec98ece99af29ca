"""Geometry of the report's two charts in per cent, so that the page only draws them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from nngpt.novelty.dedup.records import Outcome, Settings
from nngpt.novelty.dedup.summary import Cluster

_MOST_BINS = 40
_WIDTHS = (0.01, 0.02, 0.05, 0.1)
_SIZES = (1, 2, 3, 4, 5, 10, 20, 50, 100, 200, 500, 1000)


@dataclass(frozen=True)
class Part:
    """A coloured part of a bar: which series (from 0), how many, its height in % of the chart."""

    series: int
    count: int
    height: float


@dataclass(frozen=True)
class Bar:
    """A bar: what it stands for, its parts from the bottom up, and a sentence about it."""

    label: str
    parts: tuple[Part, ...]
    count: int
    title: str


@dataclass(frozen=True)
class Mark:
    """A vertical line at `place` (% of the width) and what it stands for."""

    place: float
    label: str


@dataclass(frozen=True)
class Chart:
    """A bar chart; `ticks` are (value, height in %) of the horizontal lines."""

    bars: tuple[Bar, ...]
    ticks: tuple[tuple[int, float], ...]
    series: tuple[str, ...] = ()
    marks: tuple[Mark, ...] = ()


@dataclass(frozen=True)
class SizeRow:
    """How many groups have a size, how many networks they hold, and the bar's length in %."""

    label: str
    groups: int
    networks: int
    share: float


def similarity_chart(settings: Settings, outcome: Outcome) -> Chart | None:
    """Removed networks by their similarity with the kept neighbour, a series a level.

    The last bar holds the similarity 1 alone. None if nothing was removed for a likeness.
    """
    pairs = [(r.level, r.similarity) for r in outcome.removed if r.similarity is not None]
    if not pairs:
        return None
    limits = _limits(settings)
    lowest = min(min(s for _, s in pairs), *limits.values())
    width = next((w for w in _WIDTHS if (1 - lowest) / w <= _MOST_BINS), _WIDTHS[-1])
    first = math.floor(lowest / width + 1e-9)
    bins = max(1, round(1 / width) - first)
    counts: Counter[tuple[int, str]] = Counter()
    for level, similarity in pairs:
        place = bins if similarity == 1 else min(bins - 1, math.floor(similarity / width - first))
        counts[place, level] += 1
    labels = [f"{(first + i) * width:.2f}" for i in range(bins)]
    titles = [f"from {a} to below {(first + i + 1) * width:.2f}" for i, a in enumerate(labels)]
    rows = [[counts[i, level] for level in settings.levels] for i in range(bins + 1)]
    marks = [
        Mark(100 * (limit / width - first) / (bins + 1), f"{name} ≥ {limit:g}")
        for name, limit in limits.items()
    ]
    chart = _chart([*labels, "1"], rows, [*titles, "exactly 1"], "networks")
    return Chart(chart.bars, chart.ticks, settings.levels, tuple(marks))


def size_rows(clusters: Sequence[Cluster], alone: int) -> list[SizeRow]:
    """Groups by their size; `alone` kept networks have no near-duplicate."""
    groups: Counter[int] = Counter({0: alone})
    networks: Counter[int] = Counter({0: alone})
    for cluster in clusters:
        place = next((i for i, size in enumerate(_SIZES) if cluster.size <= size), len(_SIZES))
        groups[place] += 1
        networks[place] += cluster.size
    most = max(1, *networks.values())
    return [
        SizeRow(_range(i), groups[i], networks[i], round(80 * networks[i] / most, 1))
        for i in range(max(groups) + 1)
    ]


def _limits(settings: Settings) -> dict[str, float]:
    """Thresholds by what to call them: those in use, families included."""
    names: dict[float, list[str]] = {}
    for level in settings.levels:
        if level != "exact":
            limit = settings.thresholds.get(level, settings.threshold)
            names.setdefault(limit, []).append(level)
    families: dict[float, list[str]] = {}
    for family, limit in settings.family_thresholds.items():
        families.setdefault(limit, []).append(family)
    found = {", ".join(levels): limit for limit, levels in names.items()}
    for limit, some in families.items():
        several = f"{len(some)} famil{'y' if len(some) == 1 else 'ies'}"
        found[some[0] if len(some) == 1 and len(some[0]) <= 24 else several] = limit
    return found or {"exact": 1.0}


def _range(index: int) -> str:
    if index == len(_SIZES):
        return f"> {_SIZES[-1]:,}"
    low = _SIZES[index - 1] + 1 if index else 1
    return str(low) if low == _SIZES[index] else f"{low}–{_SIZES[index]:,}"


def _chart(
    labels: Sequence[str], rows: Sequence[Sequence[int]], titles: Sequence[str], what: str
) -> Chart:
    step = _step(max(map(sum, rows)))
    top = max(1, math.ceil(max(map(sum, rows)) / step)) * step
    bars = []
    for label, row, title in zip(labels, rows, titles, strict=True):
        parts = [Part(i, n, round(100 * n / top, 2)) for i, n in enumerate(row) if n]
        bars.append(Bar(label, tuple(parts), sum(row), f"{sum(row):,} {what} {title}"))
    ticks = [(value, 100 * value / top) for value in range(0, top + 1, step)]
    return Chart(tuple(bars), tuple(ticks))


def _step(most: int) -> int:
    """A round distance of the horizontal lines: three to six of them."""
    scale = int(10 ** max(0, int(math.log10(max(1, most))) - 1))
    return next(k * scale for k in (1, 2, 5, 10, 20, 50) if most <= 5 * k * scale)
