"""An experiment's arms by cycle, over all seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from nngpt.errors import UserError
from nngpt.reports.charts import (
    DIM,
    LOOKS,
    Look,
    cycle_axis,
    numbered_look,
    percent_axis,
    rc,
    top_legend,
    whiskers,
    within_bounds,
)
from nngpt.reports.experiment.figures import RunFigures, measures
from nngpt.reports.text import plural
from nngpt.statistics import estimate

_STEP = 0.14
_MANY = 3


def save(found: Sequence[RunFigures], path: Path) -> None:
    """Save an experiment's plot, format by the path's ending. Raises: UserError."""
    with rc():
        figure = cycles(found)
        FigureCanvasAgg(figure)
        try:
            figure.savefig(path, dpi=200, facecolor="white", metadata=_NO_DATE.get(path.suffix))
        except (OSError, ValueError) as error:  # matplotlib's for a file type it does not know
            why = f"cannot be written ({error})"
            raise UserError(why, where=str(path), hint="Choose another file") from None


def cycles(found: Sequence[RunFigures]) -> Figure:
    """Draw an experiment by cycle: valid share, share above the threshold, mean accuracy."""
    names = list(dict.fromkeys(run.name for run in found))
    figure = Figure(figsize=(10, 3.3), layout="constrained")
    looks = [_look(name, number, found) for number, name in enumerate(names)]
    last = max(point.number for run in found for point in run.by_cycle)
    numbers = range(1, last + 1)
    for axes, (what, title) in zip(figure.subplots(1, 3), _PANELS.items(), strict=True):
        for number, (name, look) in enumerate(zip(names, looks, strict=True)):
            moved = (number - (len(names) - 1) / 2) * _STEP
            runs = [run for run in found if run.name == name]
            estimates = [estimate(measures(_of_cycle(runs, n))[what]) for n in numbers]
            whiskers(axes, [n + moved for n in numbers], estimates, look, band=len(names) <= _MANY)
        cycle_axis(axes, last)
        percent_axis(axes)
        within_bounds(axes)
        axes.set_title(title)
        axes.set_xlabel("cycle")
    top_legend(figure, [look.handle() for look in looks], len(looks))
    seeds = plural(len({run.seed for run in found}), "seed")
    figure.supxlabel(f"{seeds}, whiskers: 95% intervals", fontsize=8, color=DIM)
    return figure


def _of_cycle(runs: Sequence[RunFigures], number: int) -> list[RunFigures]:
    return [
        replace(run, by_cycle=tuple(point for point in run.by_cycle if point.number == number))
        for run in runs
    ]


_PANELS = {
    "valid": "valid, of all written",
    "above the threshold": "above threshold, of all written",
    "mean accuracy": "mean accuracy of the valid",
}
_NO_DATE: dict[str, dict[str, None]] = {".pdf": {"CreationDate": None}, ".svg": {"Date": None}}


def _look(name: str, number: int, found: Sequence[RunFigures]) -> Look:
    """Return a writer's look as in a run's report; with several arms each has a look of its own."""
    if len({run.arm for run in found}) == 1:
        return LOOKS[next(run.writer for run in found if run.name == name)]
    return numbered_look(name, number)
