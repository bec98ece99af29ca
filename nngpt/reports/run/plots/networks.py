"""Figures of a run's networks: accuracy against cost and full training, and similarity."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from nngpt.records import Arm
from nngpt.reports.analysis.full_training import Confirmed
from nngpt.reports.analysis.novelty import NetworkPlace
from nngpt.reports.analysis.pareto import PARAMETERS, CostedNetwork, Front
from nngpt.reports.analysis.study import Study
from nngpt.reports.charts import (
    DASHED,
    DIM,
    INK,
    LOOKS,
    MARK,
    Look,
    cost_axis,
    cycle_axis,
    percent_axis,
    tint,
    top_legend,
    whiskers,
    within_bounds,
)
from nngpt.reports.text import decimal, plural
from nngpt.statistics import Estimate

_QUARTERS = (0, 0.25, 0.5, 0.75, 1)


def pareto(study: Study) -> Figure:
    """Draw a run's networks by accuracy and parameters or latency, with the Pareto front."""
    figure = Figure(figsize=(10, 4.6), layout="constrained")
    columns = figure.subplots(1, len(study.fronts), sharey=True, squeeze=False)[0]
    for axes, found in zip(columns, study.fronts, strict=True):
        _cloud(axes, found)
        _front(axes, found.front)
        cost_axis(axes, found.cost == PARAMETERS)
        axes.set_xlabel("trainable parameters" if found.cost == PARAMETERS else found.cost)
        axes.set_title(f"accuracy against {found.cost.split(',')[0]}")
        percent_axis(axes)
        axes.tick_params(labelleft=True)
    within_bounds(columns[0])
    columns[0].set_ylabel("accuracy")
    there = {w.arm for found in study.fronts for w in found.networks}
    handles = [LOOKS[arm].handle(ls="none", alpha=0.6) for arm in study.arms if arm in there]
    edge = Line2D([], [], c=INK, lw=1.2, marker="o", mfc="none", label="front, 95% Wilson")
    top_legend(figure, [*handles, edge])
    return figure


def novelty(study: Study) -> Figure:
    """Draw a run's trained networks by similarity to the corpus and to earlier siblings, by arm."""
    arms = [arm for arm in study.arms if any(p.arm is arm for p in study.places)]
    figure = Figure(figsize=(10, 4.7 if len(arms) > 1 else 6.2), layout="constrained")
    values = [p.accuracy for p in study.places]
    low, high = min(values), max(values)
    scale = Normalize(low, high if high > low else low + 0.01)
    ratios: Any = {"width_ratios": [4, 0.9] * len(arms), "height_ratios": [0.9, 4]}
    grid = figure.add_gridspec(2, 2 * len(arms), wspace=0.02, hspace=0.02, **ratios)
    mains = []
    for number, arm in enumerate(arms):
        main = figure.add_subplot(grid[1, 2 * number])
        above = figure.add_subplot(grid[0, 2 * number], sharex=main)
        beside = figure.add_subplot(grid[1, 2 * number + 1], sharey=main)
        mine = [p for p in study.places if p.arm is arm]
        _map(main, study, mine, scale)
        _margins(above, beside, study, mine, LOOKS[arm].colour)
        above.set_title(LOOKS[arm].label)
        mains.append(main)
    mains[0].set_ylabel("Jaccard to the nearest trained before")
    colours = ScalarMappable(scale, "viridis")
    bar = figure.colorbar(colours, ax=figure.axes, shrink=0.7, pad=0.01, aspect=30)
    assert bar.solids is not None
    # As quads: the page may load no image, and a raster inside the figure is one.
    bar.solids.set(rasterized=False, edgecolor="face")
    bar.set_label("accuracy")
    bar.outline.set_visible(False)
    percent_axis(bar.ax)
    _novelty_legend(figure)
    return figure


def _cloud(axes: Axes, found: Front) -> None:
    for arm in Arm:
        mine = [w for w in found.networks if w.arm is arm]
        if mine:
            look = LOOKS[arm]
            costs, values = [w.cost for w in mine], [w.accuracy.value for w in mine]
            axes.plot(costs, values, look.marker, c=look.colour, alpha=0.4, mew=0, ms=5, zorder=2)


def _front(axes: Axes, front: Sequence[CostedNetwork]) -> None:
    costs, values = [w.cost for w in front], [w.accuracy.value for w in front]
    axes.step(costs, values, where="post", c=INK, lw=1.1, zorder=3)
    for w in front:
        if w.accuracy.interval is not None:
            axes.vlines(w.cost, *w.accuracy.interval, colors=INK, lw=1, zorder=3)
        look = LOOKS[w.arm]
        axes.plot(w.cost, w.accuracy.value, look.marker, c=INK, mfc=look.colour, zorder=4)


def _map(axes: Axes, study: Study, mine: Sequence[NetworkPlace], scale: Normalize) -> None:
    """Draw the networks; without a corpus the x axis shows the cycle."""
    limit = study.setting.likeness
    for admitted, marker, size in ((False, "X", 30), (True, "o", 26)):
        some = [p for p in mine if p.admitted is admitted and p.sibling is not None]
        across = [_across(p) for p in some]
        up = [p.sibling.jaccard if p.sibling else 0.0 for p in some]
        colours: Any = {"c": [p.accuracy for p in some], "norm": scale, "cmap": "viridis"}
        axes.scatter(across, up, size, marker=marker, ec=INK, lw=0.4, zorder=3, **colours)
    axes.axhline(limit, c=MARK, lw=1, ls=DASHED)
    axes.set_ylim(-0.03, 1.03)
    axes.set_yticks(_QUARTERS)
    if study.setting.corpus:
        axes.axvline(limit, c=MARK, lw=1, ls=DASHED)
        axes.set_xlim(-0.03, 1.03)
        axes.set_xticks(_QUARTERS)
        axes.set_xlabel("Jaccard to the nearest in the corpus")
    else:
        axes.set_xlim(0.4, study.cycles + 0.6)
        axes.set_xlabel("cycle (the corpus is unknown)")


def _across(place: NetworkPlace) -> float:
    if place.corpus is not None:
        return place.corpus.jaccard
    return place.cycle + (place.attempt * 0.618 % 1 - 0.5) * 0.5


def _margins(
    above: Axes, beside: Axes, study: Study, mine: Sequence[NetworkPlace], colour: str
) -> None:
    bins: Any = np.linspace(0, 1, 26)
    across = [_across(p) for p in mine]
    style: dict[str, Any] = {"fc": tint(colour, 0.5), "ec": "white", "lw": 0.4}
    above.hist(across, bins if study.setting.corpus else 24, **style)
    siblings = [p.sibling.jaccard for p in mine if p.sibling is not None]
    beside.hist(siblings, bins, orientation="horizontal", **style)
    for axes in (above, beside):
        axes.grid(visible=False)
        axes.spines[["left", "bottom"]].set_visible(False)
        axes.tick_params(left=False, bottom=False, labelleft=False, labelbottom=False)


def _novelty_legend(figure: Figure) -> None:
    handles = [
        Line2D([], [], ls="none", marker="o", c=DIM, label="admitted"),
        Line2D([], [], ls="none", marker="X", c=DIM, label="refused or undecided"),
        Line2D([], [], c=MARK, lw=1, ls=DASHED, label="near-duplicate above"),
    ]
    top_legend(figure, handles)


def proxy(study: Study) -> Figure:
    """Plot networks' first-epoch accuracy against full training (test), and τ by cycle."""
    found = study.ranking
    assert found is not None
    figure = Figure(figsize=(10, 4.4), layout="constrained")
    columns = figure.subplots(1, 2, width_ratios=[1.25, 1]) if found.by_cycle else None
    left: Axes = figure.subplots() if columns is None else columns[0]
    for arm in Arm:
        _confirmed(left, [c for c in found.confirmed if c.arm is arm], LOOKS[arm])
    left.set(xlabel="validation accuracy after the first epoch", ylabel="full test accuracy")
    left.set_title(_tau_title(found.tau, len(found.confirmed)))
    for which in "xy":
        percent_axis(left, which)
        within_bounds(left, which)
    arms = [arm for arm in Arm if any(c.arm is arm for c in found.confirmed)]
    if len(arms) > 1:
        top_legend(figure, [LOOKS[arm].handle(ls="none") for arm in arms])
    if columns is not None:
        right = columns[1]
        cycles, taus = zip(*found.by_cycle, strict=True)
        whiskers(right, cycles, taus, Look("", INK, "D", "-", ""))
        right.axhline(0, c=DIM, lw=1)
        right.set_ylim(-1.05, 1.05)
        right.set(xlabel="cycle", title="Kendall's τ-b by cycle, all arms")
        cycle_axis(right, study.cycles)
    return figure


def _confirmed(axes: Axes, some: Sequence[Confirmed], look: Look) -> None:
    for c in some:
        style: dict[str, Any] = {"colors": look.colour, "lw": 0.7, "alpha": 0.35}
        if c.first.interval is not None:
            axes.hlines(c.full.value, *c.first.interval, **style)
        if c.full.interval is not None:
            axes.vlines(c.first.value, *c.full.interval, **style)
    xs, ys = [c.first.value for c in some], [c.full.value for c in some]
    axes.plot(xs, ys, look.marker, c=look.colour, mec="white", mew=0.5, zorder=3)


def _tau_title(tau: Estimate | None, count: int) -> str:
    if tau is None:
        return f"{plural(count, 'candidate')}: too few, or all equal, for a rank correlation"
    return f"Kendall's τ-b {decimal(tau)}, n = {count}"
