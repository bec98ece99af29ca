"""Console tables of the predictor (errors, stopping, training) and of HPO engines' regret."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table

from nngpt.prediction.cross_validation import PredictionErrors
from nngpt.prediction.early_stopping import Replay
from nngpt.prediction.groups import MeanInterval
from nngpt.prediction.hpo.benchmark import Regret


def errors_table(found: Sequence[PredictionErrors]) -> Table:
    """Return a table of the predictor's errors by split, number of known epochs and method."""
    table = Table(
        title="Final accuracy within 50 epochs, predicted for groups that were not learned from",
        caption="95% intervals of RMSE and coverage come from resampling groups. r within: after "
        "subtraction of each place's means. width: mean width of the 90% intervals. few: share of "
        "groups with less than 80% of their runs inside. stop: median error of the stopping epoch "
        "(coverage and width of its 90% interval).",
    )
    for column in ("split", "predicted by", "epochs", "runs", "groups"):
        table.add_column(column, justify="left" if column in ("split", "predicted by") else "right")
    for column in ("RMSE", "r", "r within", "coverage", "width", "few", "stop"):
        table.add_column(column)
    for one in found:
        table.add_row(
            one.split,
            one.what,
            str(one.epochs),
            f"{one.runs:,}",
            str(one.groups),
            _interval(one.rmse),
            f"{one.r:.3f}",
            f"{one.r_within:.3f}",
            _interval(one.coverage),
            "–" if one.width is None else f"{one.width:.3f}",
            "–" if one.few is None else f"{one.few:.0%}",
            _stop(one),
        )
    return table


def place_table(found: Sequence[PredictionErrors]) -> Table:
    """Return a table of the predictor's RMSE by place, split and number of known epochs."""
    shown = [one for one in found if one.coverage is not None]
    table = Table(title="RMSE by place", caption="A place is a task, data set and metric.")
    table.add_column("place")
    for one in shown:
        table.add_column(f"{one.split}, {one.epochs}", justify="right")
    for place in sorted({place for one in shown for place in one.by_place}):
        cells = (one.by_place.get(place) for one in shown)
        table.add_row(place, *("–" if c is None else f"{c[1]:.3f} (n {c[0]:,})" for c in cells))
    return table


def replay_lines(found: Replay) -> list[str]:
    """Return lines about what early stopping would have saved and lost."""
    return [
        f"{found.runs:,} runs of 50 epochs, each stopped once its ceiling is below the best tenth "
        "of its place",
        f"stopped             {_percent(found.stopped)} of the runs",
        f"epochs saved        {_percent(found.saved)}",
        f"best tenth lost     {_percent(found.lost)} of {found.top:,} runs",
        "95% intervals from resampling families; ceilings are learned from other families.",
    ]


def regret_table(found: Sequence[Regret], folds: str) -> Table:
    """Return a table of the HPO engines' regret by number of epochs; `folds` is their hash."""
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
            _interval(one.top3),
            f"{one.macro:.3f}",
        )
    return table


def card_table(path: str, card: Mapping[str, Any]) -> Table:
    """Return a table of the facts about a predictor's training."""
    table = Table(title=path, show_header=False)
    for name, value in card.items():
        if isinstance(value, Mapping):
            value = "\n".join(f"{key}: {_text(inner)}" for key, inner in value.items())
        table.add_row(name.replace("_", " "), _text(value))
    return table


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {inner}" for key, inner in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _percent(value: MeanInterval) -> str:
    return f"{value[0]:.1%} [{value[1]:.1%}–{value[2]:.1%}]"


def _interval(value: MeanInterval | None) -> str:
    return "–" if value is None else f"{value[0]:.3f} [{value[1]:.3f}–{value[2]:.3f}]"


def _stop(one: PredictionErrors) -> str:
    if one.stop_error is None:
        return "–"
    return f"{one.stop_error:.1f} ({one.stop_coverage:.2f}, {one.stop_width:.0f})"
