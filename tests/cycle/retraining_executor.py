"""An executor without trainings, whose outcome by our own loop stands in the name of a layer."""

from __future__ import annotations

from crash.instant_executor import InstantExecutor

from nngpt.records import Candidate, EpochResult, Evaluation, Retraining

WORTH = {
    "nn.ReLU()": Retraining(0.7, 200, 0, 1.0, 1.0),
    "nn.GELU()": Retraining(0.08, 200, 0, 1.0, 1.0),
    "nn.SiLU()": Retraining(0.9, 200, 0, 1.0, 0.2),
    "nn.ELU()": Retraining(None, 0, 0, 1.0, None, "train: training failed: RuntimeError"),
    "nn.Mish()": Retraining(0.6, 200, 0, 1.0, 1.0),
}
"""Activation of a network → what our own loop makes of it."""


def create(splits: object, evaluation: object, task: object, pruner: object = None) -> Executor:
    """Return the executor; see `nngpt.protocols.Executor`."""
    return Executor()


class Executor(InstantExecutor):
    """Finds 93% in a CPU second with any network's own loop."""

    def evaluate(self, candidate: Candidate, seed: int) -> Evaluation:
        """Return the same evaluation of every network."""
        epochs = (EpochResult(1, 0.93, 186, 200, 1.0),)
        return Evaluation(epochs, 1000, 1.0, self.device, seed, self.level, cpu_s=1.0)

    def retrain(self, candidate: Candidate, seed: int) -> Retraining:
        """Return the outcome that belongs to the network's activation."""
        return next(found for layer, found in WORTH.items() if layer in candidate.written)
