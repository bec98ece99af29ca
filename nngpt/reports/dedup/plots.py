"""The two figures of a deduplication: similarities of removed networks, and sizes of groups."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from nngpt.novelty.dedup.collection import DedupOutcome, DedupSettings
from nngpt.novelty.dedup.summary import Cluster
from nngpt.reports.charts import (
    DASHED,
    INK,
    MARK,
    PALETTE,
    Plot,
    numbered_look,
    page_svg,
    rc,
    tint,
    top_legend,
)
from nngpt.reports.text import line, plural

_MOST_BINS = 40
_WIDTHS = (0.01, 0.02, 0.05, 0.1)
_SIZES = (1, 2, 3, 4, 5, 10, 20, 50, 100, 200, 500, 1000)


@dataclass(frozen=True)
class Histogram:
    """A deduplication's removed networks by similarity to their kept neighbour.

    Attributes:
        labels: lower edge of each bin; the last bin, "1", holds similarity 1 alone.
        counts: number of networks in each bin, by level.
        thresholds: place of each threshold in bins from the left, by label.
    """

    labels: tuple[str, ...]
    counts: Mapping[str, tuple[int, ...]]
    thresholds: Mapping[str, float]


@dataclass(frozen=True)
class SizeClass:
    """Number of a deduplication's groups in a range of sizes, and of the networks in them."""

    label: str
    groups: int
    networks: int


def plots(settings: DedupSettings, outcome: DedupOutcome, found: Sequence[Cluster]) -> list[Plot]:
    """Draw a deduplication: the similarities of removed networks and the sizes of the groups."""
    histogram = similarities(settings, outcome)
    sizes = size_classes(found, len(outcome.kept) - len(found))
    with rc():
        near = None if histogram is None else page_svg(_similarity_figure(histogram), "similarity")
        size = page_svg(_size_figure(sizes), "sizes")
    capped = sum(removed.similarity is None for removed in outcome.removed)
    without = f" {plural(capped, 'network')} beyond the family cap not shown." if capped else ""
    return [
        Plot(
            "similarity",
            "Similarity of removed networks to their kept neighbour",
            f"The last bar is a similarity of exactly 1. Dashed: thresholds.{without}",
            near,
            "No network was removed as a near-duplicate.",
        ),
        Plot(
            "sizes",
            "Group sizes",
            "A group is a kept network with all networks removed for it; a group of size 1 has no "
            "near-duplicate. Bars count networks, labels networks and groups.",
            size,
        ),
    ]


def similarities(settings: DedupSettings, outcome: DedupOutcome) -> Histogram | None:
    """Bin a deduplication's removed networks by similarity and level; None without any."""
    pairs = [(r.level, r.similarity) for r in outcome.removed if r.similarity is not None]
    if not pairs:
        return None
    limits = _limits(settings)
    lowest = min(min(s for _, s in pairs), *limits.values())
    width = next((w for w in _WIDTHS if (1 - lowest) / w <= _MOST_BINS), _WIDTHS[-1])
    first = math.floor(lowest / width + 1e-9)
    bins = max(1, round(1 / width) - first)
    counts: Counter[tuple[str, int]] = Counter()
    for level, similarity in pairs:
        place = bins if similarity == 1 else min(bins - 1, math.floor(similarity / width - first))
        counts[level, place] += 1
    return Histogram(
        labels=(*(f"{(first + i) * width:.2f}" for i in range(bins)), "1"),
        counts={n: tuple(counts[n, i] for i in range(bins + 1)) for n in settings.levels},
        thresholds={f"{n} > {limit:g}": limit / width - first for n, limit in limits.items()},
    )


def size_classes(clusters: Sequence[Cluster], alone: int) -> list[SizeClass]:
    """Count groups of near-duplicates by size, as plotted; `alone` networks are groups of one."""
    groups: Counter[int] = Counter({0: alone})
    networks: Counter[int] = Counter({0: alone})
    for cluster in clusters:
        place = next((i for i, size in enumerate(_SIZES) if cluster.size <= size), len(_SIZES))
        groups[place] += 1
        networks[place] += cluster.size
    return [SizeClass(_range(i), groups[i], networks[i]) for i in range(max(groups) + 1)]


def _limits(settings: DedupSettings) -> dict[str, float]:
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
        named = len(some) == 1 and len(some[0]) <= 24
        found[line(some[0]) if named else plural(len(some), "family", "families")] = limit
    return found or {"exact": 1.0}


def _range(index: int) -> str:
    if index == len(_SIZES):
        return f"> {_SIZES[-1]:,}"
    low = _SIZES[index - 1] + 1 if index else 1
    return str(low) if low == _SIZES[index] else f"{low}–{_SIZES[index]:,}"


def _similarity_figure(found: Histogram) -> Figure:
    figure = Figure(figsize=(10, 3.4), layout="constrained")
    axes: Axes = figure.subplots()
    bottoms = [0] * len(found.labels)
    for number, (level, counts) in enumerate(found.counts.items()):
        look = numbered_look(level, number)
        fill: Any = {"fc": tint(look.colour, 0.55), "ec": INK, "lw": 0.5, "hatch": look.hatch}
        bars = axes.bar(range(len(counts)), counts, 0.85, bottoms, **fill)
        if any(counts):
            bars.set_label(level)
        bottoms = [a + b for a, b in zip(bottoms, counts, strict=True)]
    for label, place in found.thresholds.items():
        axes.axvline(place - 0.5, c=MARK, lw=1, ls=DASHED)
        axes.text(place - 0.4, 1.0, label, transform=axes.get_xaxis_transform(), c=MARK, fontsize=8)
    every = -(-len(found.labels) // 16)
    ticks = [*range(0, len(found.labels) - 1, every), len(found.labels) - 1]
    axes.set_xticks(ticks, [found.labels[i] for i in ticks])
    axes.set(xlabel="similarity", ylabel="removed networks")
    axes.grid(axis="x", visible=False)
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    top_legend(figure, axes.get_legend_handles_labels()[0])
    return figure


def _size_figure(sizes: Sequence[SizeClass]) -> Figure:
    figure = Figure(figsize=(10, 0.9 + 0.27 * len(sizes)), layout="constrained")
    axes: Axes = figure.subplots()
    labels = [size.label for size in sizes]
    colour = PALETTE[0]
    bars = axes.barh(labels, [s.networks for s in sizes], 0.7, fc=tint(colour, 0.4), ec=colour)
    texts = [f"{s.networks:,} in {plural(s.groups, 'group')}" if s.groups else "" for s in sizes]
    axes.bar_label(bars, texts, padding=3, fontsize=8, color=INK)
    axes.invert_yaxis()
    axes.margins(x=0.16)
    axes.set(xlabel="networks", ylabel="group size")
    axes.grid(axis="y", visible=False)
    return figure
