"""How good the predictor is, and what it was made from, as tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table

from nngpt.prediction.evaluation import Figures
from nngpt.prediction.replay import Replay


def figures_table(found: Sequence[Figures]) -> Table:
    """One row for each way of predicting, split and horizon."""
    table = Table(
        title="Final accuracy within 50 epochs, predicted for groups that were not learned from",
        caption="RMSE and coverage with 95% intervals from resampling groups; r within: after each "
        "place's means are taken off; width: of the 90% intervals; few: share of groups of which "
        "less than 80% of runs are inside; stop: median error of the stopping epoch, with coverage "
        "and width of its 90% interval.",
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
            _between(one.rmse),
            f"{one.r:.3f}",
            f"{one.r_within:.3f}",
            _between(one.coverage),
            "–" if one.width is None else f"{one.width:.3f}",
            "–" if one.few is None else f"{one.few:.0%}",
            _stop(one),
        )
    return table


def by_place(found: Sequence[Figures]) -> Table:
    """The RMSE of the predictor on each place: a column for each split and horizon."""
    shown = [one for one in found if one.coverage is not None]
    table = Table(title="RMSE by place", caption="A place: task, data set and metric.")
    table.add_column("place")
    for one in shown:
        table.add_column(f"{one.split}, {one.epochs}", justify="right")
    for place in sorted({place for one in shown for place in one.by_place}):
        cells = (one.by_place.get(place) for one in shown)
        table.add_row(place, *("–" if c is None else f"{c[1]:.3f} (n {c[0]:,})" for c in cells))
    return table


def replay_lines(found: Replay) -> list[str]:
    """What stopping early would have saved and lost."""
    return [
        f"{found.runs:,} runs of 50 epochs, each stopped as soon as its ceiling is below what the "
        "best tenth of its place reaches",
        f"stopped             {_share(found.stopped)} of the runs",
        f"epochs saved        {_share(found.saved)}",
        f"best tenth lost     {_share(found.lost)} of {found.top:,} runs",
        "95% intervals from resampling families; ceilings are learned from other families.",
    ]


def card_table(path: str, card: Mapping[str, Any]) -> Table:
    """What a predictor was made from."""
    table = Table(title=path, show_header=False)
    for name, value in card.items():
        if isinstance(value, Mapping):
            value = "\n".join(f"{key}: {_plain(inner)}" for key, inner in value.items())
        table.add_row(name.replace("_", " "), _plain(value))
    return table


def _plain(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {inner}" for key, inner in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _share(value: tuple[float, float, float]) -> str:
    return f"{value[0]:.1%} [{value[1]:.1%}–{value[2]:.1%}]"


def _between(value: tuple[float, float, float] | None) -> str:
    return "–" if value is None else f"{value[0]:.3f} [{value[1]:.3f}–{value[2]:.3f}]"


def _stop(one: Figures) -> str:
    if one.stop_error is None:
        return "–"
    return f"{one.stop_error:.1f} ({one.stop_coverage:.2f}, {one.stop_width:.0f})"
