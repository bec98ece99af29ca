"""What the store gives back: frozen records made of its rows."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from nngpt.records import (
    Arm,
    Candidate,
    Completion,
    Evaluation,
    Novelty,
    Refusal,
    Retraining,
    Stage,
    State,
    canonical_json,
)


@dataclass(frozen=True)
class RunRecord:
    """A run.

    Attributes:
        config: the configuration it was started with.
        identity: `identity_hash` of the part of it that must not change.
        status: "active", "done" or "archived".
        fence: how many runners have worked on it.
        created: ISO 8601, UTC; so is `updated`.
        ended: why it was done before its last cycle, "" if it was not.
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


@dataclass(frozen=True)
class AttemptRecord:
    """One completion and all that became of it so far.

    Attributes:
        batch: number of the generation batch within the cycle, from 0.
        place: number of the attempt within the cycle, from 0.
        mode: how much of the network the LLM wrote.
        content_hash: None before the candidate was parsed.
        candidate: None before it was parsed, or when the code was not asked for.
        evaluation: None unless training and judging succeeded.
        retraining: what our own training loop made of it before it was admitted.
        restarts: how often a killed runner lost its training.
        retrainings: how often its training by our own loop was begun.
        created: ISO 8601, UTC; so is `updated`.
        repairs: 0 for a first answer; else it is the first or second repair of one.
        repaired_from: the refused attempt that it repairs.
        arm: who wrote it: the loop or a control.
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
        """True once it is admitted or refused."""
        return self.state in (State.ADMITTED, State.REFUSED)

    @property
    def relative_effort(self) -> float | None:
        """Time of its own training, in times of our own loop's on the same network.

        CPU seconds on a CPU, wall time on a GPU; both as we measured them. None if unknown. Far
        above 1 means that it trains more than the protocol's epochs.
        """
        evaluation, plain = self.evaluation, self.retraining
        if evaluation is None or plain is None or plain.accuracy is None:
            return None
        trials = max(1, len(evaluation.trials))
        if evaluation.device != "cpu":
            return evaluation.seconds / trials / plain.seconds
        if not evaluation.cpu_s or not plain.cpu_s:
            return None
        return evaluation.cpu_s / trials / plain.cpu_s


@dataclass(frozen=True)
class Transition:
    """One line of the audit trail; `before` is None for the first state."""

    before: State | None
    after: State
    at: str
    fence: int


@dataclass(frozen=True)
class Activity:
    """Wall seconds of a cycle while just these things went on; see `ActivityRow`."""

    cycle: int
    activity: str
    seconds: float
    joules: float | None


@dataclass(frozen=True)
class ForecastRecord:
    """What a runner expected, in seconds with 95% bounds; `spent` of the run were gone by then.

    Attributes:
        created: ISO 8601, UTC.
        cycles: up to which cycle.
        basis: the stage times that it was made of.
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
    """A candidate trained fully and judged on the test set.

    Attributes:
        protocol: how it was trained, as canonical JSON.
        accuracy: on the test images after the last epoch, 0…1; None if the training failed.
        total: number of test images.
        epochs: test accuracy after each epoch.
        seconds: wall time.
        reason: why there is no accuracy, "" if there is one.
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
    """One arm's cycle in numbers, counted raw (invariant 7): first answers, unless it says repairs.

    Attributes:
        mode: how much of a network the LLM wrote; belongs beside every validity figure.
        generated: completions.
        parsed: completions that became a candidate.
        valid: candidates that were built, trained and judged.
        admitted: members of the corpus now.
        open: attempts that are neither admitted nor refused yet, repairs included.
        refused: number of refusals by stage.
        accuracies: of the valid ones, 0…1, in the order of writing.
        seconds: wall time of "generation", "evaluation" and "learning".
        adapter: name of the adapter that wrote, None for the bare base.
        closed: True when the cycle's learning is over.
        learned: name of the adapter trained at the end, None if there is none.
        skipped: why there is none ("" otherwise).
        repairs: answers to refusals.
        repairs_valid: those that were built, trained and judged.
        repairs_admitted: members of the corpus now, besides `admitted`.
        constrained: True if settings after code were written under a constraint.
        above: valid ones that reached the task's threshold.
        arm: who wrote.
        alarm: what collapsed, "" if nothing did.
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
    repairs: int = 0
    repairs_valid: int = 0
    repairs_admitted: int = 0
    constrained: bool = False
    above: int = 0
    arm: Arm = Arm.LOOP
    alarm: str = ""

    @property
    def how(self) -> str:
        """The mode, and whether there was a constraint: what no validity figure may lack."""
        return f"constrained {self.mode}" if self.constrained else str(self.mode)

    @property
    def best(self) -> float | None:
        """Highest accuracy, 0…1."""
        return max(self.accuracies, default=None)

    @property
    def mean(self) -> float | None:
        """Mean accuracy of the valid ones, 0…1."""
        return sum(self.accuracies) / len(self.accuracies) if self.accuracies else None


def identity_hash(identity: Mapping[str, Any]) -> str:
    """sha256 of what makes a run the same run."""
    return hashlib.sha256(canonical_json(identity).encode()).hexdigest()
