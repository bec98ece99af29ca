"""Figures about learning: the adapters' lineage, and what the loop adds to the controls."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import FancyArrowPatch
from matplotlib.ticker import FuncFormatter, MaxNLocator

from nngpt.records import Arm
from nngpt.reports.analysis.genealogy import LineageNode
from nngpt.reports.analysis.study import Study
from nngpt.reports.analysis.uplift import LAST, MEASURES, Comparison
from nngpt.reports.charts import (
    DIM,
    INK,
    LOOKS,
    PALETTE,
    Look,
    cycle_axis,
    dodge,
    percent_axis,
    tint,
    top_legend,
    whiskers,
)
from nngpt.statistics import Estimate

_VALID = Look("valid share", PALETTE[2], "s", "none", "")
_AGAINST = {
    Arm.BASE: "loop − frozen LLM",
    Arm.CORPUS: "loop − no LLM",
    Arm.LOOP: "loop: last third − first third",
}
_MEAN = Look("mean accuracy", PALETTE[0], "o", "none", "")


def genealogy(study: Study) -> Figure:
    """Draw a run's adapters with their parents; below, their training and what they wrote."""
    figure = Figure(figsize=(10, 7.4), layout="constrained")
    rows = figure.subplots(4, 1, sharex=True, height_ratios=[1.1, 1, 1, 1.5])
    places = _lineage_places(study.writers)
    _line(rows[0], study.writers, places)
    learned = [w for w in study.writers if w.adapter is not None]
    at = [places[w.name] for w in learned]
    pairs = [w.adapter.pairs for w in learned if w.adapter]
    bars = rows[1].bar(at, pairs, 0.5, fc=tint(PALETTE[0], 0.4), ec=PALETTE[0])
    if len(learned) <= 16:
        rows[1].bar_label(bars, [f"{count:,}" for count in pairs], fontsize=8, padding=1)
    rows[1].margins(y=0.2)
    rows[1].set_title("training pairs")
    _losses(rows[2], learned, at)
    _wrote(rows[3], study.writers, places)
    for axes in rows[1:]:
        axes.grid(axis="x", visible=False)
    cycle_axis(rows[3], max(places.values()), first=min(places.values()))
    rows[3].set_xlabel("trained at the end of cycle (0 and below: before the run)")
    return figure


def _lineage_places(writers: Sequence[LineageNode]) -> dict[str, int]:
    """Place each writer of the drawn lineage at its cycle; older ones at 0 and below."""
    roots = [w.name for w in writers if w.cycle is None]
    before = {name: -number for number, name in enumerate(reversed(roots))}
    if any(w.cycle == 0 for w in writers):  # the warm-up's adapter stands at 0
        before = {name: place - 1 for name, place in before.items()}
    return {**before, **{w.name: w.cycle for w in writers if w.cycle is not None}}


def controls(study: Study) -> Figure:
    """Plot what learning adds: the loop minus each control, with intervals."""
    others = list(dict.fromkeys(c.other for c in study.comparisons))
    figure = Figure(figsize=(10, 3.9), layout="constrained")
    columns = figure.subplots(1, len(others), sharey=True, squeeze=False)[0]
    shown = [m for m in MEASURES if any(c.differences.get(m) for c in study.comparisons)]
    for axes, other in zip(columns, others, strict=True):
        mine = [c for c in study.comparisons if c.other is other]
        for number, comparison in enumerate(mine):
            _forest(axes, comparison, shown, 0.15 * (2 * number - len(mine) + 1))
        axes.axvline(0, c=INK, lw=1)
        axes.margins(x=0.08)
        axes.set_title(_AGAINST[other])
        axes.set_xlabel("difference, percentage points")
        axes.xaxis.set_major_locator(MaxNLocator(nbins=6))
        axes.xaxis.set_major_formatter(FuncFormatter(_points))
        axes.grid(axis="y", visible=False)
    columns[0].set_yticks(range(len(shown)), shown)
    columns[0].set_ylim(len(shown) - 0.4, -0.6)
    _forest_legend(figure)
    return figure


def leads(study: Study) -> Figure:
    """Plot how far the loop is ahead of each control so far, with intervals for any time."""
    figure = Figure(figsize=(10, 3.4), layout="constrained")
    axes = figure.subplots()
    moved = dodge(list(study.leads))
    for arm, found in study.leads.items():
        places = [lead.cycle + moved[arm] for lead in found]
        whiskers(axes, places, [lead.difference for lead in found], LOOKS[arm])
    axes.axhline(0, c=INK, lw=1)
    axes.yaxis.set_major_formatter(FuncFormatter(_points))
    axes.set(ylabel="points", xlabel="answers up to and with cycle")
    axes.set_title("loop − control, mean accuracy of all answers so far")
    cycle_axis(axes, study.cycles)
    top_legend(figure, [LOOKS[arm].handle() for arm in study.leads])
    return figure


def _line(axes: Axes, writers: Sequence[LineageNode], places: dict[str, int]) -> None:
    for w in writers:
        here = places[w.name]
        if w.parent in places:
            gap = here - places[w.parent]
            bend = 0.0 if gap <= 1 else -min(0.35, 0.9 / gap)
            style: Any = {"connectionstyle": f"arc3,rad={bend}", "arrowstyle": "-|>", "color": DIM}
            ends = ((places[w.parent], 0), (here, 0))
            axes.add_patch(FancyArrowPatch(*ends, mutation_scale=11, shrinkA=9, shrinkB=9, **style))
        face = "white" if w.cycle is None else tint(PALETTE[0], 0.2)
        axes.plot(here, 0, "o", ms=14, c=PALETTE[0], mfc=face, mew=1.5)
        name = "before" if w.cycle is None else f"c{w.cycle}"
        axes.text(here, -0.42, name, ha="center", va="top", fontsize=8.5)
    axes.set_ylim(-1.1, 1)
    axes.set_title("adapters; arrows come from the adapter that training started from")
    axes.axis("off")


def _losses(axes: Axes, learned: Sequence[LineageNode], at: Sequence[int]) -> None:
    first = [w.adapter.loss_first for w in learned if w.adapter]
    last = [w.adapter.loss_last for w in learned if w.adapter]
    axes.vlines(at, first, last, colors=DIM, lw=1.4)
    axes.plot(at, first, "v", c=PALETTE[5], label="first step")
    axes.plot(at, last, "o", c=PALETTE[0], label="last step")
    axes.margins(y=0.2)
    axes.set_title("training loss")
    if learned:
        axes.legend(loc="lower right", bbox_to_anchor=(1, 0.98), ncols=2, borderpad=0)


def _wrote(axes: Axes, writers: Sequence[LineageNode], places: dict[str, int]) -> None:
    wrote = [w for w in writers if w.wrote]
    for look, name, shift in ((_VALID, "valid", -0.1), (_MEAN, "mean", 0.1)):
        found: list[Estimate | None] = [getattr(w, name) for w in wrote]
        at = [places[w.name] + shift for w in wrote]
        whiskers(axes, at, found, look, band=False, line=False)
    handles = [look.handle() for look in (_VALID, _MEAN)]
    axes.legend(handles=handles, loc="lower right", bbox_to_anchor=(1, 0.98), ncols=2, borderpad=0)
    axes.set_ylim(-0.03, 1.03)
    axes.set_title("answers written, 95% intervals")
    percent_axis(axes)


def _points(value: float, _: object) -> str:
    return f"{value * 100:+.4g}".replace("-", "−") if abs(value) > 1e-9 else "0"


def _forest(axes: Axes, comparison: Comparison, shown: Sequence[str], shift: float) -> None:
    colour = INK if comparison.other is Arm.LOOP else LOOKS[comparison.other].colour
    marker = "D" if comparison.span == LAST else "o"
    for place, measure in enumerate(shown):
        found = comparison.differences.get(measure)
        if found is None:
            continue
        if found.interval is not None:
            axes.hlines(place + shift, *found.interval, colors=colour, lw=1.6)
        face = colour if found.sign else "white"
        axes.plot(found.value, place + shift, marker, c=colour, mfc=face, ms=6, mew=1.4, zorder=3)


def _forest_legend(figure: Figure) -> None:
    style: Any = {"ls": "none", "c": DIM}
    handles = [
        Line2D([], [], marker="o", **style, label="all cycles"),
        Line2D([], [], marker="D", **style, label="last third"),
        Line2D([], [], c=DIM, lw=1.6, label="95% interval"),
        Line2D([], [], marker="o", mfc="white", **style, label="hollow: includes 0"),
    ]
    top_legend(figure, handles)
