"""Table of the regret of HPO engines."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table

from nngpt.prediction.grouped_mean import MeanInterval
from nngpt.prediction.hpo.benchmark import Regret


def regret_table(found: Sequence[Regret], folds: str) -> Table:
    """Return a table with a row for each engine and number of epochs.

    Args:
        folds: hash of the folds.
    """
    table = Table(
        title="Regret: accuracy lost by picking one trial of each pool",
        caption="A pool has at least 10 recorded trials of one network in one place. 95% intervals "
        "come from resampling near-duplicate components; the surrogate did not learn from the "
        f"components that it was tested on. Folds {folds[:12]}.",
    )
    for name in ("epochs", "engine", "pools", "components"):
        table.add_column(name, justify="left" if name == "engine" else "right")
    for name in ("mean regret", "of random's", "best of three", "mean of components"):
        table.add_column(name)
    for one in found:
        table.add_row(
            str(one.epochs),
            one.engine,
            str(one.pools),
            str(one.components),
            _interval(one.first),
            f"{one.share:.0%}",
            "–" if one.top3 is None else _interval(one.top3),
            f"{one.macro:.3f}",
        )
    return table


def _interval(value: MeanInterval) -> str:
    return f"{value[0]:.3f} [{value[1]:.3f}–{value[2]:.3f}]"
