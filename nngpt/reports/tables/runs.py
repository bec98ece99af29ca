"""Console tables of runs, their cycles and their arms."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from nngpt.records import Stage
from nngpt.statistics import accuracy_of, mean_half_width, mean_of, percent_of, wilson
from nngpt.store import CycleSummary, RunRecord, Store

_COLUMNS = (
    "cycle",
    "written by",
    "mode",
    "valid (95% CI)",
    "best",
    "mean (95% CI)",
    "admitted",
    "copies",
    "refused at",
)
_NUMBERS = ("cycle", "admitted", "copies")


def story(run: RunRecord, summaries: Sequence[CycleSummary], validation: int) -> Table:
    """Return a run's cycles as a table; `validation` is the number of validation images."""
    table = Table(
        title=f"Run {run.id}: {run.name} ({run.status})",
        caption=f"Accuracy on {validation:,} validation images, with 95% intervals; "
        "valid = built, trained and judged, of all written; exact copies are not trained again "
        "and do not count as valid.",
    )
    repairs = any(s.repairs for s in summaries)
    for column in (*_COLUMNS, *(["repairs"] if repairs else [])):
        table.add_column(column, justify="right" if column in _NUMBERS else "left")
    for s in summaries:
        others = [f"{at} {n}" for at, n in s.refused.items() if at != Stage.DUPLICATE]
        table.add_row(
            str(s.cycle),
            Text(s.adapter or "base model"),
            s.how,
            percent_of(s.valid, s.generated),
            accuracy_of(max(s.accuracies), validation) if s.accuracies else "–",
            mean_of(s.accuracies),
            str(s.admitted),
            str(s.refused.get(Stage.DUPLICATE, 0)),
            ", ".join(others) or "–",
            *([repairs_of(s)] if repairs else []),
        )
    return table


def arms_table(store: Store, run: RunRecord) -> Table:
    """Return the loop beside its control arms, over all cycles."""
    table = Table(
        "arm",
        "valid (95% CI)",
        "mean accuracy (95% CI)",
        "above the threshold, of the valid",
        "admitted",
        title="The loop and its controls",
    )
    for arm in store.arms(run.id):
        summaries = store.summary(run.id, arm)
        accuracies = [accuracy for s in summaries for accuracy in s.accuracies]
        valid = sum(s.valid for s in summaries)
        table.add_row(
            arm,
            percent_of(valid, sum(s.generated for s in summaries)),
            mean_of(accuracies),
            percent_of(sum(s.above for s in summaries), valid),
            str(sum(s.admitted for s in summaries)),
        )
    return table


def repairs_of(summary: CycleSummary) -> str:
    """Return the outcome of a cycle's repairs, which no other figure counts."""
    return (
        f"{summary.repairs_valid} of {summary.repairs} valid, {summary.repairs_admitted} admitted"
    )


def summary_json(summary: CycleSummary) -> dict[str, Any]:
    """Return a cycle's figures with their intervals for a script."""
    mean, half = mean_half_width(summary.accuracies) if summary.accuracies else (None, None)
    return {
        "cycle": summary.cycle,
        "arm": summary.arm,
        "adapter": summary.adapter,
        "mode": summary.mode,
        "constrained": summary.constrained,
        "generated": summary.generated,
        "valid": summary.valid,
        "valid_share_95": wilson(summary.valid, summary.generated),
        "best_accuracy": max(summary.accuracies, default=None),
        "mean_accuracy": mean,
        "mean_accuracy_half_width_95": half,
        "above_threshold": summary.above,
        "above_threshold_share_95": wilson(summary.above, summary.valid),
        "admitted": summary.admitted,
        "copies": summary.refused.get(Stage.DUPLICATE, 0),
        "refused": dict(summary.refused),
        "alarm": summary.alarm,
        "repairs": {
            "written": summary.repairs,
            "valid": summary.repairs_valid,
            "admitted": summary.repairs_admitted,
        },
    }


def runs_table(runs: Sequence[RunRecord], store: Store) -> Table:
    """Return all runs of a database as a table."""
    table = Table("run", "name", "status", "cycles", "candidates", "admitted", "started")
    for run in runs:
        summaries = store.summary(run.id)
        table.add_row(
            str(run.id),
            run.name,
            run.status,
            str(len(summaries)),
            str(sum(s.generated for s in summaries)),
            str(sum(s.admitted + s.repairs_admitted for s in summaries)),
            run.created[:16].replace("T", " "),
        )
    return table
