"""Report of the benchmark on NAS-Bench-201: regret after look-ups, as a table and as curves.

The regret of a policy after n look-ups is the best mean accuracy of all cells minus that of the
cell with the best observed accuracy so far, in percentage points. Intervals are t intervals (95%)
over seeds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from nngpt.data.nasbench201 import TABLES, Table, key, open_table
from nngpt.reports.charts import numbered_look, rc, top_legend
from nngpt.reports.text import NONE, decimal
from nngpt.statistics import Estimate, mean_half_width

CHOOSING = 100
"""Seeds from this one on chose recipes."""

SHOWN = (25, 50, 100)
"""Numbers of look-ups in the table; the last is the primary figure."""

TITLES = {
    "loop": "the loop",
    "no-learning": "the loop, nothing learned",
    "frozen": "frozen LLM",
    "random": "random search",
    "evolution": "regularised evolution",
    "novel-evolution": "regularised evolution, repeats replaced",
    "local": "local search",
    "tpe": "TPE",
}

DATA = {"cifar10": "CIFAR-10", "cifar100": "CIFAR-100", "imagenet16-120": "ImageNet16-120"}
"""Name of a table → the data set's name on pages."""

Curves = list[list[float]]
"""Regret after each look-up, by seed."""


@dataclass(frozen=True)
class Results:
    """Regret curves by data set and policy; of equal rows the last counts."""

    curves: Mapping[tuple[str, str], Curves]

    @classmethod
    def of(cls, rows: Sequence[Mapping[str, Any]], choosing: bool = False) -> Results:
        """Collect the rows of files: reported seeds, or those that chose recipes."""
        tables = {name: open_table(key(name)) for name in sorted({row["table"] for row in rows})}
        found: dict[tuple[str, str], dict[int, list[float]]] = {}
        for row in rows:
            if (row["seed"] >= CHOOSING) is choosing:
                policy = " ".join([row["policy"], *row["settings"]])
                curve = regrets(row["trace"], tables[row["table"]])
                found.setdefault((row["table"], policy), {})[row["seed"]] = curve
        return cls({place: list(seeds.values()) for place, seeds in found.items()})

    @property
    def policies(self) -> list[str]:
        """The policies that have rows, in the order of `TITLES`."""
        order = list(TITLES)
        present = {policy for _, policy in self.curves}
        return sorted(present, key=lambda policy: (order.index(policy.split()[0]), policy))

    @property
    def tables(self) -> list[str]:
        """The data sets that have rows."""
        return [table for table in TABLES if any(table == place[0] for place in self.curves)]


def regrets(trace: Sequence[tuple[int, float]], table: Table) -> list[float]:
    """Return the regret after each look-up."""
    means, found = table.means, list[float]()
    best, observed = -1, -1.0
    for cell, accuracy in trace:
        if accuracy > observed:
            best, observed = cell, accuracy
        found.append(float(means.max() - means[best]))
    return found


def regret(curves: Curves, look_ups: int) -> Estimate | None:
    """Return the mean regret after so many look-ups, None without a seed."""
    values = [curve[look_ups - 1] for curve in curves if len(curve) >= look_ups]
    if not values:
        return None
    centre, half = mean_half_width(values)
    low, high = (None, None) if half is None else (max(0.0, centre - half), centre + half)
    return Estimate(centre, low, high, len(values))


def markdown(results: Results) -> str:
    """Return the table."""
    return "\n".join(_lines(results))


def _lines(results: Results) -> Iterator[str]:
    yield (
        "Regret in points of mean validation accuracy after so many look-ups, with t intervals "
        "(95%) over seeds; n is the number of seeds."
    )
    yield ""
    heads = [f"{DATA[table]}, {count}" for table in results.tables for count in SHOWN]
    yield _line(["policy", "n", *heads])
    yield _line(["---"] * (2 + len(heads)))
    for policy in results.policies:
        own = [results.curves.get((table, policy), []) for table in results.tables]
        counts = "/".join(str(len(curves)) for curves in own)
        cells = [decimal(regret(curves, count)) for curves in own for count in SHOWN]
        yield _line([TITLES.get(policy, policy), counts, *cells])


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell or NONE for cell in cells)} |"


def save_figure(results: Results, path: Path) -> None:
    """Draw regret against look-ups: the mean of each policy with its band, a panel per data set."""
    looks = {
        policy: numbered_look(TITLES.get(policy, policy), number)
        for number, policy in enumerate(results.policies)
    }
    with rc():
        figure = Figure(figsize=(3.8 * len(results.tables), 4.0), layout="constrained")
        panels = figure.subplots(1, len(results.tables), squeeze=False)[0]
        for axes, table in zip(panels, results.tables, strict=True):
            for policy, look in looks.items():
                curves = results.curves.get((table, policy), [])
                counts = range(1, 1 + max(map(len, curves), default=0))
                found = [(n, e) for n in counts if n >= 5 and (e := regret(curves, n))]
                if not found:
                    continue
                axes.plot(
                    [n for n, _ in found], [e.value for _, e in found], c=look.colour, ls=look.line
                )
                band = [(n, *e.interval) for n, e in found if e.interval]
                if band:
                    axes.fill_between(*zip(*band, strict=True), color=look.colour, alpha=0.12, lw=0)
            axes.set_yscale("log")
            axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5), numticks=12))
            axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            axes.yaxis.set_minor_formatter(NullFormatter())
            axes.set_xlabel("look-ups")
            axes.set_title(DATA[table])
        panels[0].set_ylabel("regret, points of accuracy")
        handles = [look.handle(marker="") for look in looks.values()]
        top_legend(figure, handles, 4)
        figure.savefig(path, dpi=200, facecolor="white")
