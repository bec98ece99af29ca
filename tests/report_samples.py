"""A small run with three arms, written through a lease as the loop does."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from store_samples import PROMPT, TASK, adapter, candidate, completion, evaluation, start

from nngpt.records import Arm, Candidate, EpochResult, Novelty, Refusal, Stage
from nngpt.reports.analysis.study import Study, StudySetting, read_study
from nngpt.store import Activity, Confirmation, ForecastRecord, Lease, RunRecord, Store

HOSTILE = "<script>alert(1)</script><img src=//evil.example/x>"
FULL_TRAINING = '{"epochs":20}'

ACCURACIES = {
    Arm.LOOP: ((0.30, 0.50, 0.60, None), (0.55, 0.65, 0.70, 0.45), (0.60, 0.70, 0.80, None)),
    Arm.BASE: ((0.30, None), (0.35, 0.50), (0.40, None)),
    Arm.CORPUS: ((0.20, 0.45), (0.25, 0.30), (0.50, 0.35)),
}
"""By arm and cycle; None is an answer that is no Python."""


def network(number: int, layers: str = "") -> Candidate:
    """A whole network that no other number shares, and that draws as two layers or more."""
    names = " ".join(f"a{number}_{n} = {number}\n" for n in range(12))
    code = (
        f"# {HOSTILE}\nimport torch.nn as nn\n{names.replace(' a', 'a')}"
        "class Net(nn.Module):\n    def __init__(self):\n"
        f"        self.one = nn.Conv2d(3, {number + 1}, 3)\n        self.two = nn.ReLU()\n{layers}"
    )
    return replace(candidate(code), written=code, mode="full")


def three_arms(store: Store, name: str = "demo") -> RunRecord:
    """Three cycles of `ACCURACIES`, an alarm, an early end, activities and a forecast."""
    task = {"dataset": "cifar10", "threshold": 0.4}
    run = start(store, name, task=task, evil=HOSTILE)
    with store.lease(run.id) as lease:
        lease.forecast(ForecastRecord("2026-11-28T01:00:00+00:00", 3, 360.0, 200.0, 500.0, 0.0, {}))
        number = 0
        for cycle in (1, 2, 3):
            for batch, arm in enumerate(Arm):
                number = _write(lease, arm, cycle, batch, number)
            lease.spend([Activity(cycle, "writing", 20.0, 100.0)])
            lease.spend([Activity(cycle, "training+writing", 80.0, None)])
            _close(lease, cycle, store)
        lease.finish_run(f"it got no better {HOSTILE}")
    return store.run(run.id)


def confirm(store: Store, run: RunRecord) -> None:
    """Train every candidate fully: the better in the first epoch, the better in the end."""
    with store.lease(run.id) as lease:
        for a in store.attempts(run.id):
            if a.evaluation is not None:
                full = round(0.5 + a.evaluation.accuracy / 2, 4)
                lease.confirmed(Confirmation(a.id, FULL_TRAINING, 5, full, 10000, (0.4, full), 9.0))


def study(store: Store, run: RunRecord, **known: Candidate) -> Study:
    """The run in figures; ten classes."""
    return read_study(store, run, StudySetting("cifar10", 0.4, classes=10, pairs=5, corpus=known))


def open_store(folder: Path) -> Store:
    """A database in a folder."""
    return Store.open(folder / "nngpt.db")


def _write(lease: Lease, arm: Arm, cycle: int, batch: int, number: int) -> int:
    values = ACCURACIES[arm][cycle - 1]
    writer = f"a{cycle - 1}" if arm is Arm.LOOP and cycle > 1 else None
    texts = [completion(i, adapter=writer) for i in range(len(values))]
    ids = lease.add_completions(cycle, batch, PROMPT, texts, arm)
    for attempt, accuracy in zip(ids, values, strict=True):
        number += 1
        if accuracy is None:
            lease.refuse(attempt, Refusal(Stage.PARSE, f"not Python {HOSTILE}"))
        else:
            _settle(lease, attempt, network(number), accuracy)
    return number


def _settle(lease: Lease, attempt: int, found: Candidate, accuracy: float) -> None:
    lease.parsed(attempt, found)
    lease.validated(attempt)
    lease.training(attempt)
    epoch = EpochResult(1, accuracy, round(accuracy * 100), 100, 1.5)
    lease.trained(attempt, replace(evaluation(accuracy), epochs=(epoch,), trials=()), TASK)
    if accuracy < TASK.threshold:
        lease.refuse(attempt, Refusal(Stage.THRESHOLD, "too weak"))
        return
    lease.judged(attempt)
    lease.admit(attempt, Novelty(0.25, None, False))


def _close(lease: Lease, cycle: int, store: Store) -> None:
    alarm = "collapse" if cycle == 2 else ""
    pairs = 5 + len(store.admitted(lease.run_id))
    made = replace(adapter(f"a{cycle}", f"a{cycle - 1}" if cycle > 1 else None), pairs=pairs)
    lease.add_adapter(cycle, made, alarm)
