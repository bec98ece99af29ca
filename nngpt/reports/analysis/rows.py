"""Every attempt of a run as one flat row, for the leaderboard, the data frame and trackers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nngpt.records import Arm, Stage, State
from nngpt.reports.analysis.full_training import longest
from nngpt.reports.analysis.pareto import fronts
from nngpt.statistics import accuracy
from nngpt.store import AttemptRecord, Confirmation, RunRecord, Store


@dataclass(frozen=True)
class AttemptRow:
    """One attempt of a run; None where something was not measured.

    Attributes:
        run: number of the run.
        name: name of the run.
        attempt: number of the attempt.
        cycle: number of its cycle, from 1.
        arm: "loop", or the control arm that wrote it.
        dataset: name of the data set; of a folder of images, its path.
        state: "admitted", "refused", or how far it is.
        stage: gate that refused it.
        reason: why it was refused, "" if it was not.
        accuracy: validation accuracy that counts, 0…1.
        low, high: ends of its 95% interval.
        own_accuracy: validation accuracy after the training by the network's own loop, 0…1.
        curve: validation accuracy after each epoch of that training, 0…1.
        test_accuracy: accuracy on the test set after the newest full training, 0…1.
        parameters: number of trainable parameters, as the network's process reported it.
        flops: floating-point operations of one image's forward pass, likewise.
        latency_ms: milliseconds of one image's forward pass, likewise.
        seconds: wall time of the evaluation.
        cpu_s: CPU seconds of the evaluation.
        memory_mb: largest resident memory of the evaluation in MiB.
        device: "cpu" or "cuda".
        novelty: 1 − Jaccard similarity to the nearest known network, 0…1.
        nearest: name of that network.
        mode: prompt mode: how much of the network the LLM wrote.
        model: base model of the LLM.
        adapter: adapter of the LLM.
        content_hash: LEMUR's hash of the code.
        created: when it was written: ISO 8601, UTC.
    """

    run: int
    name: str
    attempt: int
    cycle: int
    arm: Arm
    dataset: str
    state: State
    stage: Stage | None
    reason: str
    accuracy: float | None
    low: float | None
    high: float | None
    own_accuracy: float | None
    curve: tuple[float, ...]
    test_accuracy: float | None
    parameters: int | None
    flops: int | None
    latency_ms: float | None
    seconds: float | None
    cpu_s: float | None
    memory_mb: float | None
    device: str | None
    novelty: float | None
    nearest: str | None
    mode: str
    model: str
    adapter: str | None
    content_hash: str | None
    created: str


@dataclass(frozen=True)
class Place:
    """One place of a leaderboard.

    Attributes:
        rank: 1 for the most accurate network of the data set.
        front: True if no network on the data set is as accurate and smaller, or, where latency was
            measured, as accurate and faster.
    """

    rank: int
    row: AttemptRow
    front: bool


def dataset_of(config: Mapping[str, Any]) -> str:
    """Return the data set in a run's stored configuration: its name, or the folder's path."""
    task = config.get("task", {})
    return str(task.get("root") or task.get("dataset", ""))


def attempt_row(
    run: RunRecord, attempt: AttemptRecord, confirmation: Confirmation | None = None
) -> AttemptRow:
    """Return an attempt as a row; `confirmation` is its newest full training."""
    evaluation, result, novelty = attempt.evaluation, attempt.result, attempt.novelty
    refusal, found = attempt.refusal, accuracy(*result) if result else None
    return AttemptRow(
        run=run.id,
        name=run.name,
        attempt=attempt.id,
        cycle=attempt.cycle,
        arm=attempt.arm,
        dataset=dataset_of(run.config),
        state=attempt.state,
        stage=refusal.stage if refusal else None,
        reason=refusal.reason if refusal else "",
        accuracy=found.value if found else None,
        low=found.low if found else None,
        high=found.high if found else None,
        own_accuracy=evaluation.accuracy if evaluation else None,
        curve=tuple(epoch.accuracy for epoch in evaluation.epochs) if evaluation else (),
        test_accuracy=confirmation.accuracy if confirmation else None,
        parameters=(evaluation.claimed_parameters or None) if evaluation else None,
        flops=evaluation.claimed_flops if evaluation else None,
        latency_ms=evaluation.claimed_latency_ms if evaluation else None,
        seconds=evaluation.seconds if evaluation else None,
        cpu_s=evaluation.cpu_s if evaluation else None,
        memory_mb=evaluation.peak_memory_mb if evaluation else None,
        device=evaluation.device if evaluation else None,
        novelty=1 - novelty.jaccard if novelty else None,
        nearest=novelty.nearest if novelty else None,
        mode=attempt.mode,
        model=attempt.completion.model,
        adapter=attempt.completion.adapter,
        content_hash=attempt.content_hash,
        created=attempt.created,
    )


def read_rows(store: Store, run: RunRecord) -> list[AttemptRow]:
    """Return all attempts of a run as rows, in the order of writing."""
    return _rows(store, run, store.attempts(run.id))


def read_places(store: Store, runs: Iterable[RunRecord]) -> list[Place]:
    """Return the trained networks of runs: by data set, and best first within each.

    Accuracies on different data sets cannot be compared, so each data set has ranks of its own.
    """
    by_dataset: dict[str, list[RunRecord]] = {}
    for run in runs:
        by_dataset.setdefault(dataset_of(run.config), []).append(run)
    places: list[Place] = []
    for _, group in sorted(by_dataset.items()):
        attempts = {run.id: store.attempts(run.id) for run in group}
        rows = [row for run in group for row in _rows(store, run, attempts[run.id])]
        ranked = sorted(
            (row for row in rows if row.accuracy is not None),
            key=lambda row: (-(row.accuracy or 0.0), row.attempt),
        )
        found = fronts([attempt for every in attempts.values() for attempt in every])
        best = {network.attempt for front in found for network in front.front}
        places += [Place(n, row, row.attempt in best) for n, row in enumerate(ranked, 1)]
    return places


def _rows(store: Store, run: RunRecord, attempts: Sequence[AttemptRecord]) -> list[AttemptRow]:
    confirmed = longest(store.confirmations(run.id))
    return [attempt_row(run, attempt, confirmed.get(attempt.id)) for attempt in attempts]
