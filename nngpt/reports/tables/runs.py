"""Console tables of runs and of a run's state by cycle, and their JSON (`nngpt cycle`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from nngpt.records import Arm, Stage
from nngpt.reports.analysis.best import best_of
from nngpt.reports.analysis.costs import Costs, Reached, costs, read_reached
from nngpt.reports.analysis.lead import newest_leads
from nngpt.reports.analysis.rows import AttemptRow, Place, dataset_of
from nngpt.reports.sheets import Sheet, rich_table
from nngpt.reports.tables.costs import reached_sheet, spent_sheet
from nngpt.reports.text import NONE, accuracy_of, duration, likelihood, mean_of, percent, plural
from nngpt.statistics import Estimate, mean_half_width, percent_of, wilson
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

CHANGES = "random changes"
CHANGES_NOTE = "of known networks; no LLM wrote them."


def story(run: RunRecord, summaries: Sequence[CycleSummary]) -> Table:
    """Return the console table of one of the runs, cycle by cycle."""
    images = max((s.best.images for s in summaries if s.best), default=0)
    caption = (
        f"Accuracy on {images:,} validation images, with 95% intervals; valid = built, trained and "
        "judged, of all written; exact copies are not trained again and do not count as valid."
    )
    repairs, held_out = any(s.repairs for s in summaries), any(s.held_out for s in summaries)
    changes = any(s.random_changes for s in summaries)
    head: tuple[str, ...] = _COLUMNS
    if any(s.retrained for s in summaries):
        caption += f" {OWN_MEAN_NOTE}"
        head = tuple(OWN_MEAN if column == "mean (95% CI)" else column for column in head)
    columns = (
        *(*head, *(["repairs"] if repairs else []), *([HELD_OUT] if held_out else [])),
        *([CHANGES] if changes else []),
    )
    rows = []
    for s in summaries:
        others = [f"{at} {n}" for at, n in s.refused.items() if at != Stage.DUPLICATE]
        best = "–" if s.best is None else accuracy_of(*s.best)
        figures = (percent_of(s.valid, s.generated), best, mean_of(s.accuracies))
        counts = (str(s.admitted), str(s.refused.get(Stage.DUPLICATE, 0)))
        begin = (str(s.cycle), s.adapter or "base model", s.how)
        last = (", ".join(others) or "–", *([repairs_of(s)] if repairs else []))
        known = [likelihood(s.held_out_first, s.held_out_last)] if held_out else []
        changed = [f"{s.random_changes} of {s.generated}"] if changes else []
        rows.append((*begin, *figures, *counts, *last, *known, *changed))
    if held_out:
        caption += f" {HELD_OUT.capitalize()}: {HELD_OUT_NOTE}"
    if changes:
        caption += f" {CHANGES.capitalize()}: {CHANGES_NOTE}"
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
        "random_changes": summary.random_changes,
        "repairs": {
            "written": summary.repairs,
            "valid": summary.repairs_valid,
            "admitted": summary.repairs_admitted,
        },
    }


def run_facts(run: RunRecord, store: Store) -> dict[str, Any]:
    """Return a run with its data set, its counts and its best accuracy (0…1), for JSON."""
    cycles = store.summary(run.id)
    results = [s.best.accuracy for s in cycles if s.best is not None]
    return {
        **asdict(run),
        "dataset": dataset_of(run.config),
        "cycles": len(cycles),
        "candidates": sum(s.generated for s in cycles),
        "admitted": sum(s.admitted + s.repairs_admitted for s in cycles),
        "best_accuracy": max(results, default=None),
    }


def runs_table(runs: Sequence[Mapping[str, Any]]) -> Table:
    """Return a table of runs, given the facts of each."""
    columns = ("run", "name", "status", "data set", "cycles", "candidates", "admitted", "best")
    table = Table(*columns, "started")
    for run in runs:
        counts = (str(run[name]) for name in ("cycles", "candidates", "admitted"))
        best = NONE if run["best_accuracy"] is None else f"{run['best_accuracy']:.1%}"
        started = run["created"][:16].replace("T", " ")
        head = (str(run["id"]), run["name"], run["status"], run["dataset"])
        table.add_row(*map(Text, (*head, *counts, best, started)))
    return table


def leaderboard_sheet(places: Sequence[Place], top: int | None, title: str) -> Sheet:
    """Return a leaderboard: the first `top` networks of each data set, None for all."""
    shown = [place for place in places if top is None or place.rank <= top]
    rows = [place.row for place in shown]
    latency, tested = (
        any(getattr(row, name) is not None for row in rows)
        for name in ("latency_ms", "test_accuracy")
    )
    columns = (">", "data set", "accuracy (95% CI)", *([">test set"] if tested else []))
    columns += (">parameters", *([">latency"] if latency else []), ">training", ">novelty", "front")
    cells = []
    for place, row in zip(shown, rows, strict=True):
        figures = (
            row_accuracy(row),
            *([percent(_exactly(row.test_accuracy), 1)] if tested else []),
        )
        ms = NONE if row.latency_ms is None else f"{row.latency_ms:.2f} ms"
        size = (f"{row.parameters:,}" if row.parameters else NONE, *([ms] if latency else []))
        time = NONE if row.seconds is None else duration(row.seconds)
        novelty = NONE if row.novelty is None else f"{row.novelty:.2f}"
        state = str(row.state) if row.stage is None else f"refused at {row.stage}"
        last = (time, novelty, "yes" if place.front else "", state, row.name, f"#{row.attempt}")
        cells.append((str(place.rank), row.dataset, *figures, *size, *last))
    left = len(places) - len(shown)
    note = (
        "Accuracy on the validation images. Novelty: 1 − Jaccard similarity to the nearest known "
        "network. Front: no network on the data set is as accurate and smaller (or faster)."
    )
    note += f" {plural(left, 'more network')} with --top." if left else ""
    return Sheet(title, (*columns, "state", "run", ">network"), tuple(cells), note)


def row_accuracy(row: AttemptRow) -> str:
    """Return the accuracy of a run's row with its interval: `91.3% [89.1–93.2]`."""
    if row.accuracy is None:
        return NONE
    return percent(Estimate(row.accuracy, row.low, row.high, 0), 1)


def _exactly(value: float | None) -> Estimate | None:
    return None if value is None else Estimate(value, None, None, 1)


def status_json(store: Store, run: RunRecord) -> dict[str, Any]:
    """Return the status table of a run as JSON values."""
    cycles = {arm: list(map(summary_json, store.summary(run.id, arm))) for arm in Arm}
    controls = {arm: cycles[arm] for arm in store.arms(run.id) if arm is not Arm.LOOP}
    head = {"run": run.id, "name": run.name, "status": run.status, "ended": run.ended}
    leads = [asdict(lead) for lead in newest_leads(store, run)]
    spent, reached = _costs(store, run)
    return {
        **{**head, "cycles": cycles[Arm.LOOP], "controls": controls, "leads": leads},
        "costs": [
            {
                "cycle": cycle,
                "seconds": sum(seconds.values()),
                "joules": spent.joules_by_cycle.get(cycle),
                "admitted": spent.admitted_by_cycle.get(cycle, 0),
            }
            for cycle, seconds in spent.by_cycle.items()
        ],
        "reached": list(map(asdict, reached)),
    }


def _costs(store: Store, run: RunRecord) -> tuple[Costs, tuple[Reached, ...]]:
    every = [summary for arm in store.arms(run.id) for summary in store.summary(run.id, arm)]
    spent = costs(store.activities(run.id), (), every)
    return spent, read_reached(store, run, store.attempts(run.id), spent)


def print_status(store: Store, run: RunRecord, out: Console) -> None:
    """Print the console tables of a run, and the command that shows its best network."""
    out.print(story(run, store.summary(run.id)))
    if run.ended:
        out.print(f"Ended early: {run.ended}.", soft_wrap=True, markup=False)
    if len(store.arms(run.id)) > 1:
        out.print(_arms_table(store, run))
    for lead in newest_leads(store, run):
        out.print(lead.line(), soft_wrap=True, markup=False)
    spent, reached = _costs(store, run)
    if spent.by_cycle:
        out.print(rich_table(spent_sheet(spent)))
    if (sheet := reached_sheet(reached)) is not None:
        out.print(rich_table(sheet))
    if (best := best_of(store, run)) is not None:
        command = f"nngpt cycle show {best.id} --folder {store.path.parent}"
        out.print(f"Best network: {command}", soft_wrap=True, markup=False)
