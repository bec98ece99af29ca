"""Console tables of runs and of a run's state by cycle, and their JSON (`nngpt cycle`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from nngpt.records import Arm, Stage
from nngpt.reports.analysis.best import final_accuracy
from nngpt.reports.sheets import Sheet, rich_table
from nngpt.reports.text import accuracy_of, likelihood, mean_of
from nngpt.statistics import mean_half_width, percent_of, wilson
from nngpt.store import CycleSummary, RunRecord, Store

if TYPE_CHECKING:
    from nngpt.reports.analysis.trajectory import CyclePoint

_COLUMNS = (
    *(">cycle", "written by", "mode", "valid (95% CI)", "best", "mean (95% CI)"),
    *(">admitted", ">copies", "refused at"),
)

OWN_MEAN = "own mean (95% CI)"
OWN_MEAN_NOTE = (
    "Best: the accuracy that counts, of nngpt's loop wherever that trained the network again with "
    "another seed; mean: of the first trainings, by the networks' own loops."
)

HELD_OUT = "held-out log-likelihood"
HELD_OUT_NOTE = (
    "per token, mean over the admitted networks that the LLM never learns, before and after the "
    "fine-tuning at the end of the cycle."
)


def story(run: RunRecord, summaries: Sequence[CycleSummary]) -> Table:
    """Return the console table of one of the runs, cycle by cycle."""
    images = max((s.best.images for s in summaries if s.best), default=0)
    caption = (
        f"Accuracy on {images:,} validation images, with 95% intervals; valid = built, trained and "
        "judged, of all written; exact copies are not trained again and do not count as valid."
    )
    repairs, held_out = any(s.repairs for s in summaries), any(s.held_out for s in summaries)
    head: tuple[str, ...] = _COLUMNS
    if any(s.retrained for s in summaries):
        caption += f" {OWN_MEAN_NOTE}"
        head = tuple(OWN_MEAN if column == "mean (95% CI)" else column for column in head)
    columns = (*head, *(["repairs"] if repairs else []), *([HELD_OUT] if held_out else []))
    rows = []
    for s in summaries:
        others = [f"{at} {n}" for at, n in s.refused.items() if at != Stage.DUPLICATE]
        best = "–" if s.best is None else accuracy_of(*s.best)
        figures = (percent_of(s.valid, s.generated), best, mean_of(s.accuracies))
        counts = (str(s.admitted), str(s.refused.get(Stage.DUPLICATE, 0)))
        begin = (str(s.cycle), s.adapter or "base model", s.how)
        last = (", ".join(others) or "–", *([repairs_of(s)] if repairs else []))
        known = [likelihood(s.held_out_first, s.held_out_last)] if held_out else []
        rows.append((*begin, *figures, *counts, *last, *known))
    if held_out:
        caption += f" {HELD_OUT.capitalize()}: {HELD_OUT_NOTE}"
    title = f"Run {run.id}: {run.name} ({run.status})"
    return rich_table(Sheet(title, columns, tuple(rows), caption))


def _arms_table(store: Store, run: RunRecord) -> Table:
    """Return a table of a run's loop beside its control arms, over all cycles."""
    figures = ("valid (95% CI)", "mean accuracy (95% CI)", "above the threshold, of all written")
    table = Table("arm", *figures, "admitted", title="The loop and its controls")
    for arm in store.arms(run.id):
        summaries = store.summary(run.id, arm)
        accuracies = [accuracy for s in summaries for accuracy in s.accuracies]
        written = sum(s.generated for s in summaries)
        table.add_row(
            arm,
            percent_of(sum(s.valid for s in summaries), written),
            mean_of(accuracies),
            percent_of(sum(s.above for s in summaries), written),
            str(sum(s.admitted for s in summaries)),
        )
    return table


def repairs_of(summary: CycleSummary | CyclePoint) -> str:
    """Return the outcome of a cycle's repairs, for its row in a table of runs."""
    valid, admitted = summary.repairs_valid, summary.repairs_admitted
    return f"{valid} of {summary.repairs} valid, {admitted} admitted"


def summary_json(summary: CycleSummary) -> dict[str, Any]:
    """Return a row of the table of cycles as JSON values, with intervals."""
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
        "best_accuracy": summary.best and summary.best.accuracy,
        "mean_accuracy": mean,
        "mean_accuracy_half_width_95": half,
        "above_threshold": summary.above,
        "above_threshold_share_95": wilson(summary.above, summary.valid),
        "admitted": summary.admitted,
        "copies": summary.refused.get(Stage.DUPLICATE, 0),
        "refused": dict(summary.refused),
        "alarm": summary.alarm,
        "held_out": {
            "networks": summary.held_out,
            "loss_before": summary.held_out_first,
            "loss_after": summary.held_out_last,
        },
        "repairs": {
            "written": summary.repairs,
            "valid": summary.repairs_valid,
            "admitted": summary.repairs_admitted,
        },
    }


def runs_table(runs: Sequence[RunRecord], store: Store) -> Table:
    """Return a table of these runs, with their counts from the store."""
    table = Table("run", "name", "status", "cycles", "candidates", "admitted", "started")
    for run in runs:
        cycles = store.summary(run.id)
        written = sum(s.generated for s in cycles)
        admitted = sum(s.admitted + s.repairs_admitted for s in cycles)
        counts = map(str, (len(cycles), written, admitted))
        started = run.created[:16].replace("T", " ")
        table.add_row(str(run.id), run.name, run.status, *counts, started)
    return table


def status_json(store: Store, run: RunRecord) -> dict[str, Any]:
    """Return the status table of a run as JSON values."""
    cycles = {arm: list(map(summary_json, store.summary(run.id, arm))) for arm in Arm}
    controls = {arm: cycles[arm] for arm in store.arms(run.id) if arm is not Arm.LOOP}
    head = {"run": run.id, "name": run.name, "status": run.status, "ended": run.ended}
    return {**head, "cycles": cycles[Arm.LOOP], "controls": controls}


def print_status(store: Store, run: RunRecord, out: Console) -> None:
    """Print the console tables of a run, and the command that shows its best network."""
    out.print(story(run, store.summary(run.id)))
    if run.ended:
        out.print(f"Ended early: {run.ended}.", soft_wrap=True, markup=False)
    if len(store.arms(run.id)) > 1:
        out.print(_arms_table(store, run))
    best = max(store.admitted(run.id), key=final_accuracy, default=None)
    if best is not None:
        command = f"nngpt cycle show {best.id} --folder {store.path.parent}"
        out.print(f"Best network: {command}", soft_wrap=True, markup=False)
