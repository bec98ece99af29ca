"""Figure of a run's time and energy, and of its forecasts."""

from __future__ import annotations

from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from nngpt.reports.analysis.costs import Costs
from nngpt.reports.analysis.study import Study
from nngpt.reports.charts import DIM, HATCHES, INK, PALETTE, cycle_axis, tint, top_legend

_SERIES = 7


def costs(study: Study) -> Figure:
    """Draw a run's time by cycle and activity, energy if reported, and forecasts."""
    found = study.costs
    panels = [_stacked]
    if found.joules is not None:
        panels.append(_energy)
    if found.forecasts:
        panels.append(_forecasts)
    figure = Figure(figsize=(10, 4.4), layout="constrained")
    widths = [1.7, *([1.0] * (len(panels) - 1))]
    columns = figure.subplots(1, len(panels), width_ratios=widths, squeeze=False)[0]
    for axes, draw in zip(columns, panels, strict=True):
        draw(axes, found)
        if draw is not _forecasts:
            cycle_axis(axes, max(found.by_cycle, default=1), first=min(found.by_cycle, default=1))
            axes.set_xlabel("cycle")
            axes.grid(axis="x", visible=False)
    handles, labels = columns[0].get_legend_handles_labels()
    top_legend(figure, handles, min(4, len(labels)))
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
