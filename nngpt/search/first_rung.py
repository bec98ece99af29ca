"""The executor of a search's runs: a candidate's first stage, whose weights the search keeps."""

from __future__ import annotations

from collections.abc import Mapping

from nngpt.cycle.meter import TimeLimit
from nngpt.protocols import Pruner
from nngpt.records import (
    Candidate,
    EpochResult,
    Evaluation,
    Refusal,
    Retraining,
    Stage,
    Trial,
    canonical_json,
)
from nngpt.sandbox.executors.local import LocalExecutor
from nngpt.search.ladder import Entrant, Trainer
from nngpt.search.recipe import Recipe


def first_key(network: str) -> str:
    """Return the journal's key of a network's first stage."""
    return f"first-{network}"


class FirstRung:
    """Trains one epoch with nngpt's recipe, or as much as the time allows; an `Executor`.

    Attributes:
        level, workers: as of the executor that it uses.
        pruner: None.
        limit: the time of the run that trains its networks at present.
    """

    pruner: Pruner | None = None

    def __init__(
        self,
        executor: LocalExecutor,
        trainer: Trainer,
        recipe: Recipe,
        seconds: float,
        rates: Mapping[str, float | None],
    ) -> None:
        self._executor, self._trainer = executor, trainer
        self._recipe, self._seconds, self._rates = recipe, seconds, rates
        self.limit = TimeLimit(None)
        self.level, self.workers = executor.level, executor.workers

    def evaluate(self, candidate: Candidate, seed: int) -> Evaluation | Refusal:
        """Train the network's first stage, and judge it."""
        recipe = self._recipe.with_rate(self._rates.get(candidate.content_hash))
        entrant = Entrant("", candidate, "", "", recipe)
        stage = recipe.stage(self._trainer.train_count, 0, self._seconds)
        record = self._trainer.train(first_key(entrant.network), entrant, stage, None)
        if record.refused:
            return Refusal(Stage(record.refused_at), record.refused)
        epoch = EpochResult(1, record.accuracy, record.correct, record.total, record.seconds)
        return Evaluation(
            epochs=(epoch,),
            claimed_parameters=record.parameters,
            claimed_flops=None if record.macs is None else 2 * record.macs,
            claimed_latency_ms=record.latency_ms,
            seconds=record.seconds,
            device=self._executor.device,
            seed=seed,
            sandbox=self.level,
            claimed_batches=record.batches,
            protocol=canonical_json({"search": recipe.note, "seconds": self._seconds}),
            trials=(Trial(seed, 0, record.accuracy, record.total),),
        )

    def retrain(self, candidate: Candidate, seed: int) -> Retraining:
        """Never called: the search trains all networks with its own recipe."""
        raise NotImplementedError

    def stop(self) -> None:
        """Make every running training raise `ExecutionError`, unless the run's time has ended.

        The search goes on then, and a first stage ends soon by itself.
        """
        if self.limit.seconds_left != 0.0:
            self._executor.stop()

    def close(self) -> None:
        """Do nothing: the search closes the executor that it opened."""
