"""Answers for the tests of rewards, and an outside reward, loaded by its dotted path."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from nngpt.config import NoveltyConfig
from nngpt.novelty.measures.jaccard import JaccardMeasure
from nngpt.records import (
    Candidate,
    Completion,
    EpochResult,
    Evaluation,
    Refusal,
    Rollout,
    Stage,
    Task,
)

TASK = Task("mnist", (1, 1, 28, 28), (10,), 0.5, max_parameters=10_000)
LAYERS = "nn.Conv2d(1, 16, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(2704, 10)"
OTHER = "torch.relu(self.a(x)).flatten(1) @ self.weight.t() + self.bias - self.b(x).mean(dim=1)"


def new_measure() -> JaccardMeasure:
    return JaccardMeasure(NoveltyConfig())


def candidate(code: str = LAYERS) -> Candidate:
    return Candidate(code, code, "full", {"lr": 0.1}, "norm", 32)


def completion(text: str = LAYERS) -> Completion:
    return Completion(text, "tiny", None, 1, 0, 10, len(text.split()), 0.1)


def evaluation(accuracy: float = 0.5, parameters: int = 5_000) -> Evaluation:
    epoch = EpochResult(1, accuracy, round(accuracy * 100), 100, 1.0)
    return Evaluation((epoch,), parameters, 1.0, "cpu", 1, "standard")


def trained(code: str = LAYERS, accuracy: float = 0.5, parameters: int = 5_000) -> Rollout:
    return Rollout(completion(code), candidate(code), evaluation(accuracy, parameters))


def refused(stage: Stage, reason: str = "failed") -> Rollout:
    read = None if stage in (Stage.PARSE, Stage.CONTRACT, Stage.SAFETY) else candidate()
    return Rollout(completion(), read, Refusal(stage, reason))


def boasting(rollout: Rollout) -> Rollout:
    """Return the rollout with the best possible claims."""
    assert isinstance(rollout.outcome, Evaluation)
    claims = replace(
        rollout.outcome,
        claimed_parameters=0,
        claimed_flops=0,
        claimed_latency_ms=0.0,
        claimed_batches=10**9,
    )
    return replace(rollout, outcome=claims)


class LongAnswers:
    """Implements `nngpt.protocols.Reward`: rewards length, so that any two answers differ."""

    low, high = 0.0, 1.0

    def score(self, group: Sequence[Rollout]) -> list[float]:
        return [min(1.0, len(rollout.completion.text) / 1000) for rollout in group]


def create(*_: object) -> LongAnswers:
    return LongAnswers()
