"""Figures of a run by cycle: trajectory, accuracies, gates, time and energy, forecasts."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from nngpt.records import Arm
from nngpt.reports.analysis.costs import Costs
from nngpt.reports.analysis.study import Study
from nngpt.reports.charts import (
    DASHED,
    DIM,
    HATCHES,
    INK,
    LOOKS,
    MARK,
    PALETTE,
    cycle_axis,
    dodge,
    percent_axis,
    tint,
    top_legend,
    whiskers,
    within_bounds,
)
from nngpt.statistics import Estimate

_THRESHOLD = Line2D([], [], c=MARK, lw=1, ls=DASHED, label="threshold")
_PANELS = (
    ("valid, of all written", "valid", True),
    ("mean accuracy of the trained", "mean", False),
    ("median accuracy of the trained", "median", False),
    ("best accuracy", "best", False),
    ("above threshold, of the trained", "above_trained", True),
    ("above threshold, of all written", "above_written", True),
)
_SERIES = 7


def trajectory(study: Study) -> Figure:
    """Draw a run by cycle: validity, accuracies, share above threshold, admissions, corpus size."""
    figure = Figure(figsize=(10, 11), layout="constrained")
    axes = figure.subplots(4, 2)
    for place, (title, name, is_share) in zip(axes.flat, _PANELS, strict=False):
        _panel(place, study, title, name, is_share)
    _admitted(axes[3, 0], study)
    _corpus(axes[3, 1], study)
    for place in axes[3]:
        place.set_xlabel("cycle")
    top_legend(figure, [*(LOOKS[arm].handle() for arm in study.arms), _THRESHOLD])
    return figure


def distributions(study: Study) -> Figure:
    """Draw a run's accuracies by cycle with quartiles and mean, a row per arm."""
    arms = [arm for arm in study.arms if any(p.accuracies for p in study.points[arm])]
    figure = Figure(figsize=(10, 0.9 + 2.5 * len(arms)), layout="constrained")
    rows = figure.subplots(len(arms), 1, sharex=True, sharey=True, squeeze=False)[:, 0]
    for axes, arm in zip(rows, arms, strict=True):
        _arm_distribution(axes, study, arm)
        _threshold(axes, study)
        cycle_axis(axes, study.cycles)
        percent_axis(axes)
        axes.set_title(LOOKS[arm].label)
        axes.set_ylabel("accuracy")
    within_bounds(rows[0])
    rows[-1].set_xlabel("cycle")
    handles = [
        Line2D([], [], ls="none", marker=".", c=DIM, label="a network"),
        Patch(fc="white", ec=INK, label="quartiles and median"),
        Line2D([], [], marker="D", c=INK, mfc="white", label="mean, 95% interval"),
        _THRESHOLD,
    ]
    top_legend(figure, handles)
    return figure


def gates(study: Study) -> Figure:
    """Draw how many of a run's first answers are left after each gate, by arm."""
    arms = [arm for arm in study.arms if study.funnels[arm]]
    figure = Figure(figsize=(10, 4.1), layout="constrained")
    columns = figure.subplots(1, len(arms), sharey=True, squeeze=False)[0]
    names = ["written", *(f"after {g.stage}" for g in study.funnels[arms[0]][1:])]
    for axes, arm in zip(columns, arms, strict=True):
        look, found = LOOKS[arm], study.funnels[arm]
        places = np.arange(len(found))
        shares = [gate.share.value for gate in found]
        fill: Any = {"fc": tint(look.colour, 0.35), "ec": look.colour, "hatch": look.hatch}
        axes.barh(places, shares, height=0.7, **fill)
        lows, highs = zip(*(gate.share.interval or (0.0, 0.0) for gate in found[1:]), strict=True)
        axes.hlines(places[1:], lows, highs, colors=INK, lw=1.2)
        for place, gate in zip(places, found, strict=True):
            axes.text(1.03, place, f"{gate.left:,}", va="center", fontsize=8.5, color=INK)
        axes.set(xlim=(0, 1.16), xticks=[0, 0.25, 0.5, 0.75, 1], title=look.label)
        axes.grid(axis="y", visible=False)
        axes.spines["left"].set_visible(False)
        axes.tick_params(axis="y", length=0, labelleft=True)
        percent_axis(axes, "x")
        axes.set_xlabel("share of the first answers")
    columns[0].set_yticks(range(len(names)), names)
    columns[0].invert_yaxis()
    return figure


def _panel(axes: Axes, study: Study, title: str, name: str, is_share: bool) -> None:
    moved = dodge(study.arms)
    for arm in study.arms:
        points = study.points[arm]
        found: list[Estimate | None] = [getattr(point, name) for point in points]
        whiskers(axes, [p.cycle + moved[arm] for p in points], found, LOOKS[arm])
    if is_share:
        axes.set_ylim(-0.03, 1.03)
    else:
        _threshold(axes, study)
        within_bounds(axes)
    axes.set_title(title)
    percent_axis(axes)
    cycle_axis(axes, study.cycles)


def _admitted(axes: Axes, study: Study) -> None:
    width = 0.8 / len(study.arms)
    for arm, shift in dodge(study.arms, width).items():
        look, points = LOOKS[arm], study.points[arm]
        xs, counts = [p.cycle + shift for p in points], [p.admitted for p in points]
        fill: Any = {"fc": tint(look.colour, 0.4), "ec": look.colour, "hatch": look.hatch}
        bars = axes.bar(xs, counts, width * 0.9, **fill)
        if study.cycles * len(study.arms) <= 24:
            axes.bar_label(bars, fontsize=7.5, padding=1.5, color=DIM)
    axes.margins(y=0.14)
    axes.set_title("admitted in the cycle")
    axes.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
    axes.grid(axis="x", visible=False)
    cycle_axis(axes, study.cycles)


def _corpus(axes: Axes, study: Study) -> None:
    look = LOOKS[Arm.LOOP]
    xs = [0, *(p.cycle for p in study.loop)]
    sizes = [study.initial, *(p.corpus or 0 for p in study.loop)]
    axes.plot(xs, sizes, c=look.colour, marker=look.marker, drawstyle="steps-post")
    style: Any = {"textcoords": "offset points", "ha": "center", "fontsize": 8, "color": DIM}
    axes.annotate(f"{sizes[-1]:,}", (xs[-1], sizes[-1]), (0, 5), **style)
    axes.set_title("training set of the loop, networks")
    axes.margins(y=0.16)
    axes.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
    cycle_axis(axes, study.cycles, first=0)


def _threshold(axes: Axes, study: Study) -> None:
    axes.axhline(study.setting.threshold, c=MARK, lw=1, ls=DASHED, zorder=1)


def _arm_distribution(axes: Axes, study: Study, arm: Arm) -> None:
    look = LOOKS[arm]
    for point in study.points[arm]:
        values = list(point.accuracies)
        if not values:
            continue
        shifts = np.random.default_rng(point.cycle).uniform(-0.16, 0.16, len(values))
        places = point.cycle - 0.14 + shifts
        axes.plot(places, values, ".", c=look.colour, alpha=0.45, mew=0, ms=5.5)
        if len(values) >= 5:
            axes.boxplot(
                [values],
                positions=[point.cycle + 0.2],
                widths=0.2,
                showfliers=False,
                manage_ticks=False,
                medianprops={"color": look.colour, "lw": 2},
                boxprops={"color": INK},
                whiskerprops={"color": DIM},
                capprops={"color": DIM},
            )
        mean = point.mean
        if mean is not None:
            axes.plot(point.cycle + 0.4, mean.value, "D", c=INK, mfc="white", ms=4.5, zorder=4)
            if mean.interval is not None:
                axes.vlines(point.cycle + 0.4, *mean.interval, colors=INK, lw=1.2, zorder=3)


def costs(study: Study) -> Figure:
    """Draw a run's time by cycle and activity, energy if reported, and forecasts."""
    found = study.costs
    panels = [_stacked]
    if found.joules is not None:
        panels.append(_energy)
    if found.forecasts:
        panels.append(_forecasts)
    figure = Figure(figsize=(10, 4.4), layout="constrained")
    widths = [1.4, *([1.0] * (len(panels) - 1))]
    columns = figure.subplots(1, len(panels), width_ratios=widths, squeeze=False)[0]
    for axes, draw in zip(columns, panels, strict=True):
        draw(axes, found)
        if draw is not _forecasts:
            cycle_axis(axes, max(found.by_cycle, default=1), first=min(found.by_cycle, default=1))
            axes.set_xlabel("cycle")
            axes.grid(axis="x", visible=False)
    handles, _ = columns[0].get_legend_handles_labels()
    top_legend(figure, handles, 3)
    return figure


def series(found: Costs) -> list[str]:
    """Return a run's activities to draw, with colours; the shortest are merged into "others"."""
    names = list(found.activities)
    return names if len(names) <= _SERIES else [*names[: _SERIES - 1], "others"]


def unit(seconds: float) -> tuple[str, float]:
    """Return a readable unit for the drawn durations, and its length in seconds."""
    if seconds >= 2 * 3600:
        return "hours", 3600.0
    return ("minutes", 60.0) if seconds >= 120 else ("seconds", 1.0)


def _stacked(axes: Axes, found: Costs) -> None:
    longest = max((sum(spent.values()) for spent in found.by_cycle.values()), default=0.0)
    name, scale = unit(longest)
    bottoms = dict.fromkeys(found.by_cycle, 0.0)
    own = series(found)
    for number, activity in enumerate(own):
        heights = []
        for spent in found.by_cycle.values():
            rest = sum(s for a, s in spent.items() if a not in own)
            heights.append(spent.get(activity, rest if activity == "others" else 0.0) / scale)
        fill: Any = {"fc": tint(PALETTE[number], 0.65), "ec": INK, "hatch": HATCHES[number]}
        below = list(bottoms.values())
        axes.bar(list(bottoms), heights, 0.7, below, lw=0.6, label=activity, **fill)
        bottoms = {c: b + h for (c, b), h in zip(bottoms.items(), heights, strict=True)}
    axes.set_ylabel(name)
    axes.set_title("wall time" if found.measured else "time, summed over candidates")


def _energy(axes: Axes, found: Costs) -> None:
    watt_hours = {cycle: joules / 3600 for cycle, joules in found.joules_by_cycle.items()}
    axes.bar(list(watt_hours), list(watt_hours.values()), 0.7, fc=tint(DIM, 0.4), ec=DIM)
    axes.set_ylabel("watt-hours")
    axes.set_title("energy reported by devices")


def _forecasts(axes: Axes, found: Costs) -> None:
    name, scale = unit(max(f.actual or f.forecast.seconds for f in found.forecasts))
    for row, one in enumerate(found.forecasts, 1):
        forecast = one.forecast
        axes.hlines(row, forecast.low / scale, forecast.high / scale, colors=PALETTE[0], lw=1.8)
        axes.plot(forecast.seconds / scale, row, "o", c=PALETTE[0])
        if one.actual is not None:
            axes.plot(one.actual / scale, row, "x", c=PALETTE[5], ms=7, mew=2, zorder=4)
    axes.set_ylim(len(found.forecasts) + 0.6, 0.4)
    axes.set_yticks(range(1, len(found.forecasts) + 1))
    axes.set_xlim(left=0)
    axes.set(xlabel=f"{name} from then on", ylabel="forecast, oldest first")
    axes.set_title("forecast and actual time")
    handles = [
        Line2D([], [], c=PALETTE[0], marker="o", label="forecast, 95%"),
        Line2D([], [], ls="none", c=PALETTE[5], marker="x", mew=2, label="actual"),
    ]
    axes.legend(handles=handles, loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=2)
