"""Report of the levers: the regret and the last third of each, beside the plain loop's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from nngpt.data.nasbench201 import key, open_table
from nngpt.reports.sheets import Sheet, markdown_table
from nngpt.reports.text import decimal
from nngpt.statistics import FEWEST

from .regret import regrets
from .seeds import over_seeds

LAST_THIRD = 67
"""Look-ups before the last third of a hundred."""

Figures = Mapping[str, float]


def figures(row: Mapping[str, Any]) -> Figures:
    """Return what is reported of a row.

    `regret` is the one after all look-ups; `accuracy` is the mean accuracy of the cells that were
    looked up in the last third, in percent, and `written` of those that the LLM wrote; `changes` is
    the share of the others, the random changes; `cpu_s` is the CPU time of the row.
    """
    table, trace = open_table(key(row["table"])), row["trace"]
    last = range(LAST_THIRD, len(trace))
    accuracies = {number: float(table.means[trace[number][0]]) for number in last}
    written = set(last) - set(row["random_changes"])
    found = {
        "regret": regrets(trace, table)[-1],
        "accuracy": fmean(accuracies.values()),
        "changes": 1 - len(written) / len(last),
        "cpu_s": row["cpu_s"],
    }
    return found | ({"written": fmean(accuracies[n] for n in written)} if written else {})


def markdown(rows: Sequence[Mapping[str, Any]], names: Mapping[tuple[str, ...], str]) -> str:
    """Return the table: each lever's rows beside those of the first name, seed by seed.

    Args:
        names: levers by the settings of their rows; rows with other settings are left out.
    """
    found: dict[str, dict[int, Figures]] = {name: {} for name in names.values()}
    for row in rows:
        if tuple(row["settings"]) in names:
            found[names[tuple(row["settings"])]][row["seed"]] = figures(row)
    plain = next(iter(found.values()))
    lines = [_line(name, own, plain) for name, own in found.items() if own]
    note = (
        "After 100 look-ups, t intervals (95%) over seeds. Differences are to the plain loop, by "
        "seed, not corrected for their number; below zero is better in regret, above it in "
        "accuracy. The accuracy is that of the cells looked up in the last third; written, that of "
        "those that the LLM wrote; changes, the share of the others."
    )
    heads = ("lever", ">n", ">regret", ">− plain", ">accuracy", ">− plain", ">written", ">− plain")
    return markdown_table(Sheet("Levers", (*heads, ">changes", ">CPU s"), tuple(lines), note))


def _line(name: str, own: Mapping[int, Figures], plain: Mapping[int, Figures]) -> tuple[str, ...]:
    cells = [name, str(len(own))]
    for figure, digits in (("regret", 2), ("accuracy", 1), ("written", 1)):
        mine = {seed: one[figure] for seed, one in own.items() if figure in one}
        theirs = {seed: one[figure] for seed, one in plain.items() if figure in one}
        beside = [mine[seed] - theirs[seed] for seed in sorted(mine.keys() & theirs.keys())]
        cells.append(decimal(over_seeds(list(mine.values()), fewest=FEWEST), digits))
        gained = decimal(over_seeds(beside, fewest=FEWEST), digits)
        cells.append(gained if own is not plain else "")
    cells.append(f"{fmean(one['changes'] for one in own.values()):.0%}")
    cells.append(f"{fmean(one['cpu_s'] for one in own.values()):.0f}")
    return tuple(cells)
