"""Train a network in stages: each in a process of its own, from the weights of the one before."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

from nngpt.records import Candidate, Refusal, StagedTraining, TrainingStage
from nngpt.sandbox import tensors
from nngpt.sandbox.exporter import ExportJudge
from nngpt.sandbox.folds import Fold
from nngpt.sandbox.jobs import JobFactory
from nngpt.sandbox.judge import Budget
from nngpt.sandbox.lane_pool import LanePool


@dataclass(frozen=True)
class StageTrainer:
    """Trains stages with the workers of one executor."""

    pool: LanePool
    jobs: JobFactory
    budget: Budget

    def train(
        self,
        candidate: Candidate,
        seed: int,
        fold: Fold,
        stage: TrainingStage,
        before: bytes | None,
        limit_s: float,
    ) -> StagedTraining | Refusal:
        """Train one stage and judge the network after it.

        Args:
            before: state after the stage before, None for the first stage.
            limit_s: own seconds after which the process is ended.

        Raises: ExecutionError if the sandbox itself does not work.
        """
        settings: dict[str, Any] = {"work": "stage", "stage": asdict(stage), "epochs": 1}
        settings |= {"transform": stage.transform, "batch": stage.batch, "loop": "stage"}
        settings |= {"precision": stage.precision, "memory_format": stage.memory_format}
        job = self.jobs.training(candidate, seed, fold, **settings)
        job = replace(job, state=before)
        protocol = job.description["classes"], 1, self.budget
        result = self.pool.run(job, partial(ExportJudge, job.labels, *protocol), limit_s)
        if result.refusal is not None:
            return result.refusal
        judge, last = result.judge, result.judge.epochs[-1]
        return StagedTraining(
            correct=last.correct,
            total=last.total,
            batches=stage.first + judge.batches,
            seconds=result.seconds,
            state=tensors.safetensors_file(judge.tensors),
            claimed_parameters=judge.parameters,
            claimed_flops=judge.flops,
            claimed_latency_ms=judge.latency_ms,
            own_s=judge.learn_s,
        )
