"""What engines give away when they choose hyperparameters."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table

from nngpt.prediction.hpo.bench import Between, Regret


def regret_table(found: Sequence[Regret], folds: str) -> Table:
    """One row for each engine and number of epochs."""
    table = Table(
        title="Regret: accuracy given away by picking one trial of each pool",
        caption="A pool: at least 10 recorded trials of one network in one place. With 95% "
        "intervals from resampling near-duplicate components; the surrogate never learned from a "
        f"component that it is asked about. Folds {folds[:12]}.",
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
            _between(one.first),
            f"{one.share:.0%}",
            "–" if one.top3 is None else _between(one.top3),
            f"{one.macro:.3f}",
        )
    return table


def _between(value: Between) -> str:
    return f"{value[0]:.3f} [{value[1]:.3f}–{value[2]:.3f}]"
