"""The figures of a comparison: valid shares, accuracies, and similarity to the corpus."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from nngpt.reports.charts import (
    DASHED,
    INK,
    MARK,
    Look,
    Plot,
    numbered_look,
    page_svg,
    percent_axis,
    rc,
    tint,
)
from nngpt.reports.comparison.figures import COPY, ComparisonFigures
from nngpt.reports.comparison.sheets import corpus_line, judged_by
from nngpt.statistics import share

_COLUMNS = 4


def plots(found: ComparisonFigures) -> list[Plot]:
    """Draw every figure for which the comparison has data."""
    looks = {arm.name: numbered_look(arm.name, n) for n, arm in enumerate(found.arms)}
    accuracies = {
        (result.arm, f"{result.arm} on {result.task}"): result.accuracy.runs
        for result in found.results
        if result.accuracy and result.accuracy.runs
    }
    nearest = {(c.arm, c.arm): c.nearest for c in found.copies if c.nearest}
    shown = []
    with rc():
        if any(result.fit.total for result in found.results):
            caption = "Shares of all answers before any repair, with 95% Wilson intervals."
            shown.append(_plot("validity", "Answers that run", caption, _validity(found, looks)))
        if accuracies:
            caption = "First-epoch validation accuracy of the networks that run."
            drawn = _histograms(accuracies, looks)
            shown.append(_plot("accuracies", "First-epoch accuracy", caption, drawn))
        if nearest:
            caption = f"{corpus_line(found).replace('`', '')} Beyond the dashed line it is a copy."
            title = "Similarity to the nearest network of the training corpus"
            shown.append(_plot("nearest", title, caption, _histograms(nearest, looks, COPY)))
    return shown


def _plot(name: str, title: str, caption: str, drawn: Figure) -> Plot:
    return Plot(name, title, caption, page_svg(drawn, name))


def _validity(found: ComparisonFigures, looks: dict[str, Look]) -> Figure:
    results = [result for result in found.results if result.fit.total]
    figure = Figure(figsize=(10, 0.7 + 0.32 * len(results)), layout="constrained")
    axes = figure.subplots()
    for place, result in enumerate(results):
        look, estimate = looks[result.arm], share(*(result.runs or result.fit))
        assert estimate is not None and estimate.interval is not None
        fill: Any = {"fc": tint(look.colour, 0.4), "ec": look.colour, "hatch": look.hatch}
        axes.barh(place, estimate.value, 0.65, **fill)
        axes.hlines(place, *estimate.interval, colors=INK, lw=1.3)
    labels = [f"{result.arm}, {result.asked}: {judged_by(result)}" for result in results]
    axes.set_yticks(range(len(results)), labels)
    axes.set_xlim(0, 1)
    axes.invert_yaxis()
    axes.grid(axis="y", visible=False)
    percent_axis(axes, "x")
    return figure


def _histograms(
    series: Mapping[tuple[str, str], Sequence[float]],
    looks: dict[str, Look],
    mark: float | None = None,
) -> Figure:
    columns = min(_COLUMNS, len(series))
    rows = -(-len(series) // columns)
    figure = Figure(figsize=(10, 0.2 + 2.1 * rows), layout="constrained")
    grid = figure.subplots(rows, columns, sharex=True, squeeze=False)
    bins: Any = np.linspace(0, 1, 21)
    for axes in grid.flat[len(series) :]:
        axes.set_visible(False)
    for axes, ((arm, title), values) in zip(grid.flat, series.items(), strict=False):
        look = looks[arm]
        axes.hist(values, bins, fc=tint(look.colour, 0.45), ec=look.colour, lw=0.6)
        if mark is not None:
            axes.axvline(mark, c=MARK, lw=1, ls=DASHED)
        axes.set_title(f"{title} (n = {len(values)})")
        axes.set_xlim(0, 1)
        axes.grid(axis="x", visible=False)
    return figure
