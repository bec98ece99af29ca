"""Report of the benchmark on NAS-Bench-201: regret after look-ups, as a table and as curves.

The regret of a policy after n look-ups is the best mean accuracy of all cells minus that of the
cell with the best observed accuracy so far, in percentage points. Intervals are t intervals (95%)
over seeds; those of ratios of means are bootstrapped over seeds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from nngpt.data.nasbench201 import TABLES, Table, key, open_table
from nngpt.reports.charts import numbered_look, rc, top_legend
from nngpt.reports.sheets import Sheet, markdown_table
from nngpt.reports.text import NONE, decimal
from nngpt.statistics import Estimate

from .seeds import over_seeds

CHOOSING = 100
"""Seeds of loops from this one on chose recipes."""

SHOWN = (25, 50, 100)
"""Numbers of look-ups in the table; the last is the primary figure."""

TITLES = {
    "loop": "the loop",
    "no-tuning": "the loop, LLM not tuned",
    "no-choice": "the loop, nothing chosen",
    "frozen": "frozen LLM, nothing chosen",
    "mutate": "mutation of the ten best",
    "random": "random search",
    "novel-random": "random search, repeats replaced",
    "evolution": "regularised evolution",
    "evolution-10-3": "regularised evolution, 10/3",
    "novel-evolution": "regularised evolution, repeats replaced",
    "local": "local search",
    "tpe": "TPE",
    "counts": "operations of the best quarter",
    "counts-10": "operations of the best quarter, chosen",
    "process": "a Gaussian process over operations",
    "reading": "a Gaussian process over hidden states",
    "novel-tpe": "TPE, repeats replaced",
}
LOOPS: Mapping[str, Sequence[str]] = {
    "loop": (),
    "no-tuning": ("learning.enabled=false",),
    "no-choice": ("candidates.choose_by=likelihood",),
    "frozen": ("learning.enabled=false", "candidates.choose_by=likelihood"),
}
"""Policies with a language model → what they change in the configuration `nasbench201`."""

DATA = {"cifar10": "CIFAR-10", "cifar100": "CIFAR-100", "imagenet16-120": "ImageNet16-120"}
"""Name of a table → the data set's name on pages."""

Curves = list[list[float]]
"""Regret after each look-up, by seed."""


@dataclass(frozen=True)
class Results:
    """What rows hold; of equal rows the last counts.

    Attributes:
        curves: regret curves by data set and policy; the last regret of a row with too few
            look-ups goes on.
        short: number of rows with too few look-ups, by policy.
        random_changes: share of look-ups that are random changes, by policy with an LLM.
        floors: mean regret after a look-up of every cell, by data set.
    """

    curves: Mapping[tuple[str, str], Curves]
    short: Mapping[str, int]
    random_changes: Mapping[str, float]
    floors: Mapping[str, float]

    @classmethod
    def of(cls, rows: Sequence[Mapping[str, Any]], choosing: bool = False) -> Results:
        """Collect the rows of files: of loops, reported seeds or those that chose recipes.

        Raises: ValueError if a policy's rows have several configurations, or one has no look-up.
        """
        tables = {name: open_table(key(name)) for name in sorted({row["table"] for row in rows})}
        last = {(_name(row), row["table"], row["seed"]): row for row in rows}
        found: dict[tuple[str, str], Curves] = {}
        configurations: dict[str, str] = {}
        short, looked_up, changed = Counter[str](), Counter[str](), Counter[str]()
        for (policy, name, seed), row in last.items():
            if row["policy"] in LOOPS and (seed >= CHOOSING) is not choosing:
                continue
            own = row.get("configuration", "")
            if configurations.setdefault(policy, own) != own:
                raise ValueError(f"rows of {policy} have different configurations")
            if not row["trace"]:
                raise ValueError(f"{policy}, {name}, seed {seed}: no look-ups")
            curve = regrets(row["trace"], tables[name])
            missing = SHOWN[-1] - len(curve)
            short[policy] += missing > 0
            found.setdefault((name, policy), []).append(curve + missing * curve[-1:])
            if row["policy"] in LOOPS:
                looked_up[policy] += len(curve)
                changed[policy] += len(row["random_changes"])
        shares = {policy: changed[policy] / count for policy, count in looked_up.items()}
        return cls(found, short, shares, {name: floor(t) for name, t in tables.items()})

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


def _name(row: Mapping[str, Any]) -> str:
    return " ".join([row["policy"], *row["settings"]])


def regrets(trace: Sequence[tuple[int, float]], table: Table) -> list[float]:
    """Return the regret after each look-up."""
    means, found = table.means, list[float]()
    best, observed = -1, -1.0
    for cell, accuracy in trace:
        if accuracy > observed:
            best, observed = cell, accuracy
        found.append(float(means.max() - means[best]))
    return found


def floor(table: Table) -> float:
    """Return the expected regret after a look-up of every cell, one noisy training each.

    Lucky trainings of other cells hide the best one, so that this is more than 0.
    """
    observed, means = table.figures[:, :, 0], table.means
    trainings = (~np.isnan(observed)).sum(1)
    missed = np.zeros(len(means))  # share of a cell's trainings that are better than the current
    best_so_far, expected = 1.0, 0.0  # chance that none of the better trainings was observed
    for flat in np.argsort(-np.nan_to_num(observed, nan=-1.0), axis=None):
        cell = flat // observed.shape[1]
        left = 1 - missed[cell]
        chance = best_so_far * (1 / trainings[cell]) / left if left > 0 else 0.0
        expected += chance * float(means.max() - means[cell])
        missed[cell] += 1 / trainings[cell]
        best_so_far -= chance
        if best_so_far < 1e-9:
            break
    return expected


def regret(curves: Curves, look_ups: int) -> Estimate | None:
    """Return the mean regret after so many look-ups, None without a seed."""
    return over_seeds([curve[look_ups - 1] for curve in curves], lowest=0)


@dataclass(frozen=True)
class Ratio:
    """The mean regret of a loop divided by that of another policy.

    Attributes:
        value, low, high: the ratio and its interval (95%).
        p: probability, two-sided, of a ratio as far from 1 if both are equal.
    """

    value: float
    low: float
    high: float
    p: float


def ratio(one: Curves, other: Curves) -> Ratio:
    """Compare two policies after all look-ups, by 10,000 bootstrap samples of the seeds of each."""
    chance, count = np.random.default_rng(1), 10_000
    ends = [np.array([curve[-1] for curve in curves]) + 1e-9 for curves in (one, other)]
    means = [chance.choice(end, (count, len(end))).mean(1) for end in ends]
    low, high = np.quantile(means[0] / means[1], [0.025, 0.975])
    less = (means[0] < means[1]).mean() + (means[0] == means[1]).mean() / 2
    p = max(2 * min(less, 1 - less), 1 / count)
    return Ratio(float(ends[0].mean() / ends[1].mean()), float(low), float(high), float(p))


def holm(chances: Sequence[float]) -> list[float]:
    """Return p values corrected for their number by Holm's method, in the same order."""
    order, most = sorted(range(len(chances)), key=lambda n: chances[n]), 0.0
    corrected = [0.0] * len(chances)
    for rank, number in enumerate(order):
        most = max(most, min(1.0, (len(chances) - rank) * chances[number]))
        corrected[number] = most
    return corrected


def markdown(results: Results) -> str:
    """Return the tables."""
    compared = _comparisons(results)
    sheets = [_regrets(results), *([compared] if compared.rows else [])]
    return "\n".join(map(markdown_table, sheets))


RIVALS = {
    "evolution": ">regularised evolution",
    "frozen": ">frozen LLM",
    "no-tuning": ">no tuning",
    "no-choice": ">no choice",
}
"""Policies with which the loop is compared beside the best search → the head of their column."""


def _comparisons(results: Results) -> Sheet:
    """Compare the loop with the best search without an LLM on each data set, and with `RIVALS`."""
    curves, found = results.curves, list[tuple[str, str, Ratio, list[str]]]()
    for table in results.tables:
        searches = [p for p in results.policies if p not in LOOPS and (table, p) in curves]
        if "loop" not in results.policies or not searches or (table, "loop") not in curves:
            continue
        best = min(searches, key=lambda p: fmean(c[-1] for c in curves[table, p]))
        own, others = curves[table, "loop"], [curves.get((table, p)) for p in RIVALS]
        beside = [_shown(ratio(own, other)) if other else NONE for other in others]
        found.append((table, best, ratio(own, curves[table, best]), beside))
    corrected = holm([compared.p for _, _, compared, _ in found])
    rows = [
        (DATA[table], TITLES[best], _shown(compared), f"{p:.4f}", *beside)
        for (table, best, compared, beside), p in zip(found, corrected, strict=True)
    ]
    title = "Mean regret of the loop after all look-ups, divided by that of …"
    heads = ("data set", "best search", ">ratio", ">p (Holm)", *RIVALS.values())
    return Sheet(title, heads, tuple(rows))


def _shown(found: Ratio) -> str:
    return f"{found.value:.2f} [{found.low:.2f}, {found.high:.2f}]"


def _regrets(results: Results) -> Sheet:
    rows = []
    for policy in results.policies:
        own = [results.curves.get((table, policy), []) for table in results.tables]
        counts = "/".join(str(len(curves)) for curves in own)
        cells = [decimal(regret(curves, count)) for curves in own for count in SHOWN]
        share = results.random_changes.get(policy)
        changed = NONE if share is None else f"{share:.0%}"
        rows.append((TITLES.get(policy, policy), counts, changed, *cells))
    notes = [
        "In points of mean validation accuracy after so many look-ups, with t intervals (95%) over "
        "seeds; n is the number of seeds, and random changes the share of look-ups that are such "
        "changes of known cells, where an LLM writes others."
    ]
    floors = ", ".join(f"{DATA[table]} {results.floors[table]:.2f}" for table in results.tables)
    notes.append(f"A look-up of every cell would leave, on average: {floors}.")
    notes += [
        f"{count} rows of {policy} have too few look-ups: their last regret goes on."
        for policy, count in results.short.items()
        if count
    ]
    heads = [f">{DATA[table]}, {count}" for table in results.tables for count in SHOWN]
    columns = ("policy", ">n", ">random changes", *heads)
    return Sheet("Regret", columns, tuple(rows), " ".join(notes))


DRAWN = (*LOOPS, "random", "evolution", "local", "tpe", "counts-10", "process", "reading")
"""Policies in the figure; more could not be told apart."""


def save_figure(results: Results, path: Path) -> None:
    """Draw regret against look-ups: the mean of each policy with its band, a panel per data set."""
    drawn = [policy for policy in results.policies if policy.split()[0] in DRAWN]
    looks = {
        policy: numbered_look(TITLES.get(policy, policy), number)
        for number, policy in enumerate(drawn)
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
