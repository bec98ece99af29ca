"""Take the weights of a trained network without running any of it in this process.

The worker that trained the network sends them as raw bytes, which are checked and copied here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from nngpt.records import Candidate, Evaluation, Exported, Refusal, WeightTensor
from nngpt.sandbox import tensors, wire
from nngpt.sandbox.folds import Fold
from nngpt.sandbox.jobs import JobFactory, JobResult
from nngpt.sandbox.judge import Budget, Judge, Labels
from nngpt.sandbox.lane_pool import LanePool
from nngpt.sandbox.tensors import TensorReader


@dataclass(frozen=True)
class Exporter:
    """Trains networks for their weights, with the workers of one executor."""

    pool: LanePool
    jobs: JobFactory
    evaluation_of: Callable[[JobResult[ExportJudge], int, Fold], Evaluation]
    budget: Budget
    limit_s: float

    def export(self, candidate: Candidate, seed: int, fold: Fold) -> Exported | Refusal:
        """Train a network and take its weights.

        Raises: ExecutionError if the sandbox itself does not work.
        """
        job = self.jobs.training(candidate, seed, fold, work="export")
        budget = replace(self.budget, latency_ms=None, seconds=None)
        protocol = job.description["classes"], job.description["epochs"], budget
        result = self.pool.run(job, partial(ExportJudge, job.labels, *protocol), self.limit_s)
        if result.refusal is not None:
            return result.refusal
        sent = result.judge.tensors
        evaluation = self.evaluation_of(result, seed, fold)
        return Exported(evaluation, sent, tensors.safetensors_file(sent))


class ExportJudge(Judge):
    """Judges a training, then takes the weights."""

    def __init__(self, labels: Labels, classes: int, epochs: int, budget: Budget) -> None:
        super().__init__(labels, classes, epochs, budget)
        self._script += [("weights", 0)]
        self._tensor_reader: TensorReader | None = None

    @property
    def done(self) -> bool:
        """True once every exported tensor has arrived."""
        return self._tensor_reader is not None and self._tensor_reader.complete

    @property
    def tensors(self) -> tuple[WeightTensor, ...]:
        """Exported tensors that have arrived."""
        return tuple(self._tensor_reader.tensors) if self._tensor_reader else ()

    def _allows(self, kind: bytes, length: int) -> bool:
        if kind == wire.TENSOR:
            reader = self._tensor_reader
            return self._phase == "weights" and reader is not None and reader.allows(length)
        return super()._allows(kind, length)

    def _take(self, kind: bytes, payload: bytes) -> Refusal | None:
        if kind == wire.TENSOR:
            assert self._tensor_reader is not None, "_allows checks first"
            self._tensor_reader.take(payload)
            return None
        return super()._take(kind, payload)

    def _enter(self, facts: dict[str, Any]) -> Refusal | None:
        if "phase" in facts:
            return super()._enter(facts)
        if self._phase != "weights":
            raise wire.WireError("facts out of order")
        if self._tensor_reader is None:
            self._tensor_reader = TensorReader(facts.get("tensors"))
        else:
            self._tensor_reader.announce(facts)
        return None
