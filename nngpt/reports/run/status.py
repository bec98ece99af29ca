"""Show how far a run is: its cycles, control arms and best network, as tables or JSON."""

from __future__ import annotations

from typing import Any

from rich.console import Console

from nngpt.records import Arm
from nngpt.reports.tables.runs import arms_table, story, summary_json
from nngpt.store import AttemptRecord, RunRecord, Store


def status_json(store: Store, run: RunRecord) -> dict[str, Any]:
    """Return the figures of a run's cycles, for a script."""
    cycles = [summary_json(summary) for summary in store.summary(run.id)]
    controls = {
        arm: [summary_json(summary) for summary in store.summary(run.id, arm)]
        for arm in store.arms(run.id)
        if arm is not Arm.LOOP
    }
    head = {"run": run.id, "name": run.name, "status": run.status, "ended": run.ended}
    return {**head, "cycles": cycles, "controls": controls}


def print_status(store: Store, run: RunRecord, out: Console) -> None:
    """Print the tables of a run, and the command that shows its best network."""
    out.print(story(run, store.summary(run.id), _validation_images(store, run)))
    if run.ended:
        out.print(f"Ended early: {run.ended}.", soft_wrap=True, markup=False)
    if len(store.arms(run.id)) > 1:
        out.print(arms_table(store, run))
    best = max(store.admitted(run.id), key=_accuracy, default=None)
    if best is not None:
        command = f"nngpt cycle show {best.id} --folder {store.path.parent}"
        out.print(f"Best network: {command}", soft_wrap=True, markup=False)


def _accuracy(attempt: AttemptRecord) -> float:
    return attempt.evaluation.accuracy if attempt.evaluation else 0.0


def _validation_images(store: Store, run: RunRecord) -> int:
    """Return the number of images on which the run's networks were judged."""
    judged = (a.evaluation for a in store.attempts(run.id) if a.evaluation is not None)
    return max((e.epochs[-1].total for e in judged), default=0)
