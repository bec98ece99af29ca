"""Frozen records that the store returns: runs, attempts, forecasts and cycle summaries."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from nngpt.records import (
    Arm,
    Candidate,
    Completion,
    Evaluation,
    Novelty,
    Refusal,
    Result,
    Retraining,
    Stage,
    State,
    canonical_json,
)


@dataclass(frozen=True)
class RunRecord:
    """A run as the store returns it.

    Attributes:
        config: the configuration that the run was started with.
        identity: `identity_hash` of the settings that must not change.
        status: "active", "done" or "archived".
        fence: number of processes that have worked on the run.
        created, updated: ISO 8601, UTC.
        ended: why the run ended before its last cycle, or "".
        limit_s: own seconds after which a training is ended (`nngpt.sandbox.own_time`); None if no
            executor with such a limit has worked on the run.
        class_names: name of each class, in the order of the labels; () of a run that no nngpt with
            class names has worked on.
        images_digest: sha256 of the run's images and labels, None like `class_names`.
    """

    id: int
    name: str
    config: Mapping[str, Any] = field(repr=False)
    identity: str
    seed: int
    status: str
    fence: int
    created: str
    updated: str
    ended: str = ""
    limit_s: float | None = None
    class_names: tuple[str, ...] = ()
    images_digest: str | None = None


@dataclass(frozen=True)
class AttemptRecord:
    """One completion and everything derived from it so far.

    Attributes:
        batch: index of the generation batch within the cycle, from 0.
        place: index of the attempt within the cycle, from 0.
        mode: prompt mode: how much of the network the LLM wrote.
        content_hash: LEMUR's hash of the code; None before parsing.
        candidate: None before parsing, or if the code was not requested.
        evaluation: None unless training and judging succeeded.
        retraining: result of training with nngpt's own loop before admission.
        restarts: number of trainings lost to killed processes.
        retrainings: number of trainings started with nngpt's own loop.
        created, updated: ISO 8601, UTC.
        repairs: 0 for a first answer, 1 or 2 for a first or second repair.
        repaired_from: id of the refused attempt that this repair answers.
        arm: the arm that generated the attempt: the loop or a control.
    """

    id: int
    run_id: int
    cycle: int
    batch: int
    place: int
    state: State
    mode: str
    prompt_hash: str
    completion: Completion
    content_hash: str | None
    candidate: Candidate | None
    evaluation: Evaluation | None
    novelty: Novelty | None
    refusal: Refusal | None
    retraining: Retraining | None
    restarts: int
    retrainings: int
    created: str
    updated: str
    repairs: int = 0
    repaired_from: int | None = None
    arm: Arm = Arm.LOOP

    @property
    def settled(self) -> bool:
        """True once the attempt is admitted or refused."""
        return self.state in (State.ADMITTED, State.REFUSED)

    @property
    def result(self) -> Result | None:
        """The result that counts.

        That of nngpt's own loop if it trained the network too, else of the candidate's own; None if
        there is no training, or it was refused. It holds for thresholds, rankings and wherever one
        accuracy stands for a network; means over all that trained take `evaluation`.
        """
        refused = self.refusal is not None and self.refusal.stage is Stage.TRAIN
        if self.evaluation is None or refused:
            return None
        if self.retraining is not None and self.retraining.accuracy is not None:
            return Result(self.retraining.accuracy, self.retraining.total)
        return self.evaluation.result

    @property
    def accuracy(self) -> float:
        """The accuracy that counts, 0…1; 0 if there is no `result`."""
        return self.result.accuracy if self.result else 0.0

    @property
    def relative_effort(self) -> float | None:
        """Training time of the candidate's code relative to nngpt's own loop on the same network.

        CPU seconds; on a GPU the smaller ratio of CPU seconds and wall time, of which the load
        makes only one larger. None if unknown. A value far above 1 means that the code trains for
        more than the protocol's epochs.
        """
        evaluation, plain = self.evaluation, self.retraining
        if evaluation is None or plain is None or plain.accuracy is None:
            return None
        pairs = [(evaluation.cpu_s, plain.cpu_s)]
        if evaluation.device != "cpu":
            pairs.append((evaluation.seconds, plain.seconds))
        ratios = [own / ours for own, ours in pairs if own and ours]
        return min(ratios, default=0.0) / max(1, len(evaluation.trials)) or None


class Outcome(NamedTuple):
    """What came of a first answer.

    Attributes:
        accuracy: validation accuracy as trained by its own code, 0…1, None if it was not trained.
        decided: True once it is admitted, refused or trained.
    """

    arm: Arm
    cycle: int
    accuracy: float | None
    decided: bool


@dataclass(frozen=True)
class Transition:
    """One entry of an attempt's audit trail; `before` is None for the first state."""

    before: State | None
    after: State
    at: str
    fence: int


@dataclass(frozen=True)
class Activity:
    """Wall time (s) and energy (J) of one kind of activity in a cycle; see `ActivityRow`."""

    cycle: int
    activity: str
    seconds: float
    joules: float | None


@dataclass(frozen=True)
class ForecastRecord:
    """A forecast of the run's total time in seconds, with its 95% bounds.

    Attributes:
        created: ISO 8601, UTC.
        cycles: number of the last cycle that the forecast covers.
        spent: seconds already spent when the forecast was made.
        basis: stage durations behind the forecast.
    """

    created: str
    cycles: int
    seconds: float
    low: float
    high: float
    spent: float
    basis: Mapping[str, Any]


@dataclass(frozen=True)
class Confirmation:
    """A candidate's full training, judged on the test set.

    Attributes:
        protocol: training settings, as canonical JSON.
        accuracy: test accuracy after the last epoch, 0…1; None if the training failed.
        total: number of test images.
        epochs: test accuracy after each epoch.
        seconds: wall time.
        reason: why the training failed, or "".
    """

    attempt_id: int
    protocol: str
    seed: int
    accuracy: float | None
    total: int
    epochs: tuple[float, ...]
    seconds: float
    reason: str = ""


@dataclass(frozen=True)
class CycleSummary:
    """Figures of one arm in one cycle, counting first answers only ("Raw numbers", docs/design.md).

    Attributes:
        mode: prompt mode; shown with every validity figure.
        generated: completions.
        parsed: completions that became a candidate.
        valid: candidates that were built, trained and judged.
        admitted: networks added to the corpus.
        open: attempts neither admitted nor refused yet, including repairs.
        refused: number of refusals by stage.
        accuracies: validation accuracies of the valid candidates, as trained by their own code,
            0…1, in order of generation.
        best: highest result that counts (`AttemptRecord.result`), None without a valid candidate.
        retrained: True if the accuracy that counts is that of nngpt's own loop for any candidate.
        seconds: wall time of "generation", "evaluation" and "learning".
        adapter: name of the adapter that generated the cycle, None for the base model.
        closed: True once the cycle's training has ended.
        learned: name of the adapter trained at the end, or None.
        held_out: number of held-out networks whose loss was measured; `held_out_first` and
            `held_out_last` are their mean loss per token before and after that training, or None.
        skipped: why no adapter was trained, or "".
        random_changes: first answers that are random changes of known ones, which no LLM wrote.
        repairs_valid: repairs that were built, trained and judged.
        repairs_admitted: repairs added to the corpus, not counted in `admitted`.
        constrained: True if the settings after the code were decoded under a grammar.
        above: valid candidates at or above the admission threshold.
        alarm: what went wrong (a collapse, trainings that slept), or "".
    """

    cycle: int
    mode: str
    generated: int
    parsed: int
    valid: int
    admitted: int
    open: int
    refused: Mapping[Stage, int]
    accuracies: tuple[float, ...]
    seconds: Mapping[str, float]
    adapter: str | None
    closed: bool
    learned: str | None
    skipped: str
    random_changes: int = 0
    repairs: int = 0
    repairs_valid: int = 0
    repairs_admitted: int = 0
    constrained: bool = False
    above: int = 0
    arm: Arm = Arm.LOOP
    alarm: str = ""
    best: Result | None = None
    retrained: bool = False
    held_out: int = 0
    held_out_first: float | None = None
    held_out_last: float | None = None

    @property
    def how(self) -> str:
        """Prompt mode and decoding constraint, to be shown with every validity figure."""
        return f"constrained {self.mode}" if self.constrained else str(self.mode)

    @property
    def mean(self) -> float | None:
        """Mean accuracy of the valid candidates, 0…1."""
        return sum(self.accuracies) / len(self.accuracies) if self.accuracies else None


def identity_hash(identity: Mapping[str, Any]) -> str:
    """Return the sha256 of the identifying settings in a run's view."""
    return hashlib.sha256(canonical_json(identity).encode()).hexdigest()
