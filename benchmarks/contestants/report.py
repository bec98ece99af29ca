"""Report of the search benchmark: tables in Markdown, and accuracy against minutes as a figure.

Ranks and differences are taken within complete blocks only: (minutes, data set, seed) of which
every contestant has a row. Seeds from 100 on chose recipes and are left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, median
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from scipy.stats import rankdata

from nngpt.reports.charts import Look, numbered_look, percent_axis, rc, top_legend
from nngpt.reports.sheets import Sheet, markdown_table
from nngpt.reports.text import NONE, accuracy, amount, decimal
from nngpt.statistics import Estimate
from nngpt.statistics import accuracy as estimate

from .seeds import over_seeds

CHOOSING = 100
"""Seeds from this one on chose recipes."""

PRIMARY = (20.0, 40.0)
"""Minutes of the primary figure."""

TITLES = {
    "nngpt": "nngpt search",
    "resnet20": "ResNet-20",
    "resnet18": "ResNet-18, CIFAR stem",
    "mobilenet": "MobileNetV3-small",
    "optuna": "Optuna TPE + ASHA",
    "lemur": "random networks of LEMUR",
}

Row = Mapping[str, Any]
Block = tuple[float, str, int]
"""Minutes, data set, seed."""


@dataclass(frozen=True)
class Results:
    """Rows by block and contestant; the last of equal ones counts.

    Attributes:
        contestants: those that have a row, in the order of `TITLES`.
    """

    contestants: tuple[str, ...]
    blocks: Mapping[Block, Mapping[str, Row]]

    @classmethod
    def of(cls, rows: Sequence[Row]) -> Results:
        """Collect rows of a file."""
        blocks: dict[Block, dict[str, Row]] = {}
        for row in rows:
            if row["seed"] < CHOOSING:
                block = (row["minutes"], row["data"], row["seed"])
                blocks.setdefault(block, {})[row["contestant"]] = row
        present = {name for block in blocks.values() for name in block}
        return cls(tuple(name for name in TITLES if name in present), blocks)

    def complete(self, minutes: Sequence[float] = ()) -> dict[Block, dict[str, float]]:
        """Return the accuracies of complete blocks, of some minutes or all."""
        return {
            block: {name: _accuracy(rows[name]) for name in self.contestants}
            for block, rows in sorted(self.blocks.items())
            if rows.keys() >= set(self.contestants) and block[0] in (minutes or (block[0],))
        }

    def cells(self) -> Iterator[tuple[float, str]]:
        """Yield the minutes and data set of every table's line."""
        yield from sorted({block[:2] for block in self.blocks})


def _accuracy(row: Row) -> float:
    return float(row["correct"] / row["total"])


def _time_used(row: Row) -> float:
    """Return the share of its time that a row took: wall time, or CPU time of both cores."""
    seconds = row["wall_s"] if "wall_s" in row else row["cpu_s"] / 2
    return float(seconds / 60 / row["minutes"])


def ranks(results: Results, minutes: Sequence[float]) -> dict[str, Estimate]:
    """Return the mean rank of each contestant, 1 being the best, with its t interval over seeds.

    A seed's value is the mean over its complete blocks; only seeds with equally many count.
    """
    blocks = results.complete(minutes)
    by_seed: dict[int, list[Mapping[str, float]]] = {}
    for block, accuracies in blocks.items():
        places = rankdata([-accuracies[name] for name in results.contestants])
        ranked = dict(zip(results.contestants, map(float, places), strict=True))
        by_seed.setdefault(block[2], []).append(ranked)
    most = max(map(len, by_seed.values()), default=0)
    whole = [found for found in by_seed.values() if len(found) == most]
    found = {}
    for name in results.contestants if whole else ():
        values = [fmean(one[name] for one in seed) for seed in whole]
        if (rank := over_seeds(values, 1, len(results.contestants))) is not None:
            found[name] = rank
    return found


def markdown(results: Results) -> str:
    """Return all tables."""
    return "\n".join(map(markdown_table, (_ranks(results), _accuracies(results))))


def _ranks(results: Results) -> Sheet:
    names = results.contestants
    primary, blocks = ranks(results, PRIMARY), results.complete(PRIMARY)
    each = {
        minutes: ranks(results, [minutes]) for minutes in sorted({b[0] for b in results.blocks})
    }
    lines = []
    for name in sorted(names, key=lambda name: primary[name].value if name in primary else 99):
        own = [rows[name] for rows in results.blocks.values() if name in rows]
        shown = [_rank(found.get(name)) for found in (primary, *each.values())]
        shown += [_deficit(results, name), amount(round(median(row["parameters"] for row in own)))]
        lines.append((TITLES[name], *shown, f"{median(map(_time_used, own)):.0%}"))
    heads = [f">rank at {minutes:g} min" for minutes in each]
    more = (">worst deficit (points)", ">parameters (median)", ">time used (median)")
    columns = ("", ">rank at 20 and 40 min", *heads, *more)
    note = (
        f"Complete blocks (minutes, data set, seed): {len(results.complete())}, of them "
        f"{len(blocks)} of 20 and 40 minutes. Ranks are means over them (1 is best of "
        f"{len(names)}), with t intervals (95%) over n seeds."
    )
    return Sheet("Ranks", columns, tuple(lines), note)


def _rank(found: Estimate | None) -> str:
    return f"{decimal(found, 1)} (n = {found.count})" if found else NONE


def _deficit(results: Results, name: str) -> str:
    """Return the largest difference to the best contestant's mean on a data set, and where."""
    cells: dict[tuple[float, str], list[dict[str, float]]] = {}
    for (minutes, data, _), accuracies in results.complete(PRIMARY).items():
        cells.setdefault((minutes, data), []).append(accuracies)
    found = []
    for (minutes, data), blocks in cells.items():
        means = {one: fmean(block[one] for block in blocks) for one in results.contestants}
        found.append((max(means.values()) - means[name], f"{data}, {minutes:g} min"))
    if not found:
        return NONE
    most, where = max(found)
    return f"{most * 100:.1f} ({where})"


def _accuracies(results: Results) -> Sheet:
    lines = []
    for minutes, data in results.cells():
        cells = [f"{minutes:g}", data]
        for name in results.contestants:
            rows = [
                rows[name]
                for block, rows in sorted(results.blocks.items())
                if block[:2] == (minutes, data) and name in rows
            ]
            cells.append(_cell(rows))
        lines.append(tuple(cells))
    note = (
        "Of what comes out, with its interval (95%) over images, and over seeds from three on; of "
        "two seeds, the values. A line in which n differs compares nothing."
    )
    columns = (">minutes", "data set", *(f">{TITLES[name]}" for name in results.contestants))
    return Sheet("Test accuracy", columns, tuple(lines), note)


def _cell(rows: Sequence[Row]) -> str:
    if not rows:
        return NONE
    values = [_accuracy(row) for row in rows]
    return f"{accuracy(estimate(fmean(values), rows[0]['total'], values))}, n = {len(rows)}"


def save_figure(results: Results, path: Path) -> None:
    """Draw accuracy against minutes: a mark for each row, lines through complete blocks' means.

    Where all rows have one time, contestants are lines with an interval (95%) over images each.
    """
    datasets = sorted({data for _, data, _ in results.blocks})
    times = {minutes for minutes, _, _ in results.blocks}
    one_time = len(times) == 1
    draw = _draw_one_time if one_time else _draw_times
    size = (3.0 * len(datasets) + 2.0, 2.6) if one_time else (3.6 * len(datasets), 3.6)
    with rc():
        figure = Figure(figsize=size, layout="constrained")
        panels = figure.subplots(1, len(datasets), squeeze=False, sharey=one_time)[0]
        for axes, data in zip(panels, datasets, strict=True):
            axes.set_title(data)
            draw(results, axes, data)
        if one_time:
            figure.supxlabel(f"test accuracy after {times.pop():g} minutes")
        else:
            top_legend(figure, [_look(name).handle() for name in results.contestants], 3)
        figure.savefig(path, dpi=200, facecolor="white")


def _look(name: str) -> Look:
    return numbered_look(TITLES[name], list(TITLES).index(name))


def _marks(results: Results, data: str, name: str) -> list[tuple[float, Row]]:
    """Return the minutes and the row of each row of a contestant on a data set."""
    return [
        (minutes, rows[name])
        for (minutes, where, _), rows in results.blocks.items()
        if where == data and name in rows
    ]


def _draw_one_time(results: Results, axes: Axes, data: str) -> None:
    """Draw a line per contestant with its rows' accuracies and intervals, the first on top."""
    for place, name in enumerate(results.contestants):
        look = _look(name)
        for _, row in _marks(results, data, name):
            found = estimate(_accuracy(row), row["total"])
            reach = [[found.value - (found.low or 0)], [(found.high or 1) - found.value]]
            style = {"c": look.colour, "marker": look.marker, "ms": 5, "capsize": 2}
            axes.errorbar(found.value, place, xerr=reach, **style)
    axes.set_yticks(range(len(results.contestants)), [TITLES[n] for n in results.contestants])
    axes.set_ylim(len(results.contestants) - 0.5, -0.5)
    axes.grid(axis="y", visible=False)
    axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))


def _draw_times(results: Results, axes: Axes, data: str) -> None:
    """Draw a mark per row against its minutes, and a line through the means."""
    for name in results.contestants:
        look = _look(name)
        for minutes, row in _marks(results, data, name):
            axes.scatter(minutes, _accuracy(row), c=look.colour, marker=look.marker, s=14)
        means: dict[float, list[float]] = {}
        for (minutes, where, _), accuracies in results.complete().items():
            if where == data:
                means.setdefault(minutes, []).append(accuracies[name])
        axes.plot(list(means), [fmean(v) for v in means.values()], c=look.colour, ls=look.line)
    axes.set_xscale("log")
    minutes = sorted({block[0] for block in results.blocks if block[1] == data})
    axes.set_xticks(minutes, [f"{one:g}" for one in minutes], minor=False)
    axes.minorticks_off()
    axes.set_xlabel("minutes")
    percent_axis(axes)
