"""An executor that pretends to train, in milliseconds, so that hundreds of kills are cheap.

A candidate's outcome follows from its text alone, like a training with a fixed seed. There is no
process of its own, so a killed runner leaves nothing behind.
"""

from __future__ import annotations

import threading

import numpy as np

from nngpt.data.splits import Splits
from nngpt.errors import ExecutionError
from nngpt.records import (
    Candidate,
    EpochResult,
    Evaluation,
    Exported,
    Package,
    Refusal,
    Retraining,
    Stage,
)

WORKERS = 2
EPOCHS = 2
IMAGES = 200
BELOW_THRESHOLD = "nn.Tanh()"
FAILS = "nn.LazyReLU()"


def create(
    splits: Splits, evaluation: object, task: object, pruner: object = None
) -> InstantExecutor:
    """Return the executor; see `nngpt.protocols.Executor`."""
    return InstantExecutor(splits)


class InstantExecutor:
    """Implements `nngpt.protocols.Executor`."""

    level = "none: nothing runs"
    device = "cpu"
    workers = WORKERS
    pruner = None

    def __init__(self, splits: Splits | None = None) -> None:
        self._splits = splits
        self._stopped = threading.Event()

    def evaluate(self, candidate: Candidate, seed: int) -> Evaluation | Refusal:
        """Wait for a time that follows from the code, then return its outcome."""
        number = self._wait(candidate)
        if FAILS in candidate.written:
            return Refusal(Stage.BUILD, "building the network failed: AttributeError")
        least = 0 if BELOW_THRESHOLD in candidate.written else IMAGES // 2
        last = least + number % (IMAGES // 4)
        epochs = tuple(_epoch(n, last - EPOCHS + n) for n in range(1, EPOCHS + 1))
        return Evaluation(epochs, 1000, 0.02, self.device, seed, self.level)

    def retrain(self, candidate: Candidate, seed: int) -> Retraining:
        """Wait the same time, then return another accuracy above 50%."""
        number = self._wait(candidate)
        correct = IMAGES // 2 + number // 7 % (IMAGES // 4)
        return Retraining(correct / IMAGES, IMAGES, seed, 0.02, 0.02)

    def export(self, candidate: Candidate, seed: int) -> Exported | Refusal:
        """Return the outcome of `evaluate` with weights that are the candidate's name."""
        outcome = self.evaluate(candidate, seed)
        if isinstance(outcome, Refusal):
            return outcome
        return Exported(outcome, (), candidate.content_hash.encode())

    def package(
        self, candidate: Candidate, seed: int, weights: bytes, onnx: bool
    ) -> Package | Refusal:
        """Return random answers that follow from the code."""
        shape = self._splits.test.count, self._splits.classes
        draw = np.random.default_rng(int(candidate.content_hash[:6], 16))
        return Package(
            validation=(IMAGES // 2, IMAGES),
            logits=draw.normal(size=shape).astype(np.float32),
            in_shape=(1, *self._splits.shape),
            needs_setup=False,
            seed=seed,
            device=self.device,
            machine="none",
            threads=1,
            claimed_parameters=1000,
            claimed_flops=None,
            claimed_latency_ms=None,
            claimed_batch_ms=None,
            onnx_problem="nothing was built" if onnx else "",
        )

    def stop(self) -> None:
        """Make every `evaluate` and `retrain` raise."""
        self._stopped.set()

    def close(self) -> None:
        """Do nothing: there is no process."""

    def _wait(self, candidate: Candidate) -> int:
        """Wait, and return a number; both follow from the code."""
        number = int(candidate.content_hash[:6], 16)
        if self._stopped.wait(self.pause(number)):
            raise ExecutionError("stopped")
        return number

    def pause(self, number: int) -> float:
        """Return how many seconds a training takes; others end in another order than they began."""
        return 0.004 + number % 5 * 0.006


def _epoch(number: int, correct: int) -> EpochResult:
    correct = max(0, correct)
    return EpochResult(number, correct / IMAGES, correct, IMAGES, 0.01)
