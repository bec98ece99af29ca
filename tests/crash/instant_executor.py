"""An executor that only pretends to train, in milliseconds: so that hundreds of kills are cheap.

What comes of a candidate follows from its text alone, like a training with a fixed seed. It needs
no process, so a runner that is killed leaves nothing to end.
"""

from __future__ import annotations

import threading

from nngpt.errors import ExecutionError
from nngpt.records import Candidate, EpochResult, Evaluation, Refusal, Retraining, Stage

WORKERS = 2
EPOCHS = 2
IMAGES = 200
BELOW_THRESHOLD = "nn.Tanh()"
FAILS = "nn.LazyReLU()"


def create(
    splits: object, evaluation: object, task: object, pruner: object = None
) -> InstantExecutor:
    """The executor; see `nngpt.protocols.Executor`."""
    return InstantExecutor()


class InstantExecutor:
    """Implements `nngpt.protocols.Executor`."""

    level = "none: nothing runs"
    device = "cpu"
    workers = WORKERS
    pruner = None

    def __init__(self) -> None:
        self._stopped = threading.Event()

    def evaluate(self, candidate: Candidate, seed: int) -> Evaluation | Refusal:
        """Wait for as long as the code says, then answer what the code says."""
        number = self._wait(candidate)
        if FAILS in candidate.written:
            return Refusal(Stage.BUILD, "building the network failed: AttributeError")
        least = 0 if BELOW_THRESHOLD in candidate.written else IMAGES // 2
        last = least + number % (IMAGES // 4)
        epochs = tuple(_epoch(n, last - EPOCHS + n) for n in range(1, EPOCHS + 1))
        return Evaluation(epochs, 1000, 0.02, self.device, seed, self.level)

    def retrain(self, candidate: Candidate, seed: int) -> Retraining:
        """The same with another result."""
        number = self._wait(candidate)
        return Retraining(number % IMAGES / IMAGES, IMAGES, seed, 0.02, 0.02)

    def stop(self) -> None:
        """Have every `evaluate` and `retrain` raise."""
        self._stopped.set()

    def close(self) -> None:
        """Nothing to end."""

    def _wait(self, candidate: Candidate) -> int:
        """A number that belongs to the code, after a time that does, too."""
        number = int(candidate.content_hash[:6], 16)
        # Different lengths, so that trainings end in another order than they began in.
        if self._stopped.wait(0.004 + number % 5 * 0.006):
            raise ExecutionError("stopped")
        return number


def _epoch(number: int, correct: int) -> EpochResult:
    correct = max(0, correct)
    return EpochResult(number, correct / IMAGES, correct, IMAGES, 0.01)
