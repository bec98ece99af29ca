"""Executor `nasbench201`: looks up what a cell of NAS-Bench-201 reached; nothing is trained.

A look-up gives one of the cell's two or three recorded trainings of 200 epochs, chosen by the
candidate's seed, so it is as noisy as a training, and repeats when a run resumes. The seconds are
those of the recorded training.
"""

from __future__ import annotations

import json

from pydantic import ValidationError

from nngpt.config import EvaluationConfig
from nngpt.data.nasbench201 import Cell, Table, open_table
from nngpt.data.splits import Splits
from nngpt.errors import ConfigError
from nngpt.protocols import Pruner
from nngpt.records import (
    Candidate,
    EpochResult,
    Evaluation,
    Refusal,
    Retraining,
    Stage,
    Task,
    canonical_json,
)
from nngpt.sandbox.judge import Budget

EPOCHS = 200
"""Number of epochs of every recorded training."""


def create(
    splits: Splits, evaluation: EvaluationConfig, task: Task, pruner: Pruner | None = None
) -> LookUpExecutor:
    """Return the executor `nasbench201` with the table of the task.

    Raises:
        ConfigError: the configuration asks for trainings that the tables do not have.
        DataError: the task's data set is no table, or its table is damaged.
    """
    needed = {
        "epochs": EPOCHS,
        "retrain": False,
        "seeds": 1,
        "folds": None,
        "budget_s": None,
        "early_stop": False,
        "proxies": False,
    }
    for name, value in needed.items():
        if getattr(evaluation, name) != value:
            raise ConfigError(
                f"the recorded trainings of NAS-Bench-201 need {json.dumps(value)}",
                where=f"evaluation.{name}",
                hint="Start from the configuration nasbench201",
            )
    return LookUpExecutor(open_table(task.dataset), evaluation, task)


class LookUpExecutor:
    """Looks up cells in a table; implements `nngpt.protocols.Executor`.

    Attributes:
        table: the recorded trainings of the task's data set.
    """

    level, workers, pruner = "none: looked up, nothing runs", 1, None

    def __init__(self, table: Table, evaluation: EvaluationConfig, task: Task) -> None:
        self.table, self._budget = table, Budget(task.max_parameters, task.max_latency_ms)
        self._protocol = canonical_json(evaluation.protocol())

    def evaluate(self, candidate: Candidate, seed: int) -> Evaluation | Refusal:
        """Return the recorded training of the candidate's cell that belongs to `seed`."""
        try:
            cell = Cell.model_validate_json(candidate.written)
        except ValidationError:
            return Refusal(Stage.BUILD, "not a cell of NAS-Bench-201")
        found = self.table.training(cell, seed)
        latency_ms = 1000 * found.latency_s
        over = self._budget.refusal(found.parameters, latency_ms)
        if over is not None:
            return over
        images = self.table.images
        epoch = EpochResult(EPOCHS, found.correct / images, found.correct, images, found.seconds)
        return Evaluation(
            epochs=(epoch,),
            claimed_parameters=found.parameters,
            seconds=found.seconds,
            device="cpu",
            seed=seed,
            sandbox=self.level,
            claimed_latency_ms=latency_ms,
            protocol=self._protocol,
        )

    def retrain(self, candidate: Candidate, seed: int) -> Retraining:
        """Return a failure: `create` refuses configurations with this training."""
        return Retraining(None, 0, seed, 0.0, None, "its trainings are recorded ones")

    def stop(self) -> None:
        """Do nothing: no call takes long."""

    def close(self) -> None:
        """Do nothing: there is no process."""
