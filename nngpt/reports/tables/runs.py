"""Tables of what is in the store, for a terminal or a file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from nngpt.records import Arm, Stage, State
from nngpt.statistics import accuracy_of, mean_half_width, mean_of, percent_of, wilson
from nngpt.store import AttemptRecord, CycleSummary, RunRecord, Store

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
    """The run in one table, a row a cycle; `validation` is the number of images judged on."""
    table = Table(
        title=f"Run {run.id}: {run.name} ({run.status})",
        caption=f"Accuracy on {validation:,} validation images, with 95% intervals; "
        "valid = built, trained and judged, of all that were written; exact copies are not "
        "trained again and are not counted as valid.",
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
    """The loop beside its control arms, all cycles together."""
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
    """What became of the repairs, which no other figure counts."""
    return (
        f"{summary.repairs_valid} of {summary.repairs} valid, {summary.repairs_admitted} admitted"
    )


def summary_json(summary: CycleSummary) -> dict[str, Any]:
    """A cycle's figures for a script, intervals included."""
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
    """All runs of a database."""
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


EXTRA = 2.0
"""A network that trains so many times longer than our own loop does is flagged."""


def attempt_line(attempt: AttemptRecord) -> Text:
    """One settled attempt in a line: verdict, accuracy, size, reason."""
    line = Text(f"  #{attempt.id:<5}")
    if attempt.arm is not Arm.LOOP:
        line.append(f"(control {attempt.arm}) ")
    if attempt.repaired_from is not None:
        line.append(f"(repairs #{attempt.repaired_from}) ")
    admitted = attempt.state == State.ADMITTED
    line.append(f"{attempt.state:<9}", style="bold green" if admitted else "yellow")
    if attempt.evaluation is not None:
        last = attempt.evaluation.epochs[-1]
        line.append(f"accuracy {accuracy_of(last.accuracy, last.total):<13}")
        line.append(f"{attempt.evaluation.claimed_parameters:>10,} parameters  ")
    if attempt.novelty is not None and admitted:
        line.append(f"nearest known: Jaccard {attempt.novelty.jaccard:.2f}")
    if (effort := attempt.relative_effort) is not None and effort > EXTRA:
        line.append(f"  trains {effort:.1f} × as long as our own loop", style="bold red")
    if attempt.refusal is not None:
        line.append(f"{attempt.refusal.stage}: {attempt.refusal.reason}")
    return line
