"""Executor `outside`: a program that uses nngpt evaluates the candidates (`nngpt.AskTell`)."""

from __future__ import annotations

import queue
import threading
from concurrent.futures import Future
from contextvars import ContextVar
from dataclasses import dataclass, field

from nngpt.config import EvaluationConfig
from nngpt.data.splits import Splits
from nngpt.errors import ConfigError, ExecutionError
from nngpt.protocols import Pruner
from nngpt.records import Candidate, Evaluation, Refusal, Retraining, Task

LEVEL = "none: evaluated outside of nngpt"


@dataclass(frozen=True, eq=False)
class Question:
    """A candidate that waits for its evaluation by another program.

    Attributes:
        seed: seed that its training should use.
        answer: done once it was evaluated, or will not be.
    """

    candidate: Candidate
    seed: int
    answer: Future[Evaluation | Refusal] = field(default_factory=Future, repr=False)


class Exchange:
    """Hands candidates to another program, and its answers back.

    Attributes:
        workers: number of candidates that may wait at once.
        questions: candidates to evaluate; None once no more will come.
    """

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self.questions: queue.SimpleQueue[Question | None] = queue.SimpleQueue()


EXCHANGE: ContextVar[Exchange] = ContextVar("nngpt_exchange")
"""The exchange of the run in this thread."""


def create(
    splits: Splits, evaluation: EvaluationConfig, task: Task, pruner: Pruner | None = None
) -> OutsideExecutor:
    """Return the executor of the exchange that is open in this thread. Raises: ConfigError."""
    exchange = EXCHANGE.get(None)
    if exchange is None:
        hint = "Resume it there: nngpt.AskTell"
        what = "the candidates of this run are evaluated by a program of yours"
        raise ConfigError(what, where="evaluation.executor", hint=hint)
    if evaluation.retrain:
        what = "nngpt cannot train candidates that are evaluated outside of it"
        raise ConfigError(what, where="evaluation.retrain", hint="Set it to false")
    if evaluation.proxies:
        what = "nngpt cannot measure candidates that are evaluated outside of it"
        raise ConfigError(what, where="evaluation.proxies", hint="Set it to false")
    return OutsideExecutor(exchange)


class OutsideExecutor:
    """Waits for the answers of an exchange; implements `nngpt.protocols.Executor`."""

    level, pruner = LEVEL, None

    def __init__(self, exchange: Exchange) -> None:
        self.workers = exchange.workers
        self._exchange, self._lock = exchange, threading.Lock()
        self._open: set[Question] = set()
        self._stopped = False

    def evaluate(self, candidate: Candidate, seed: int) -> Evaluation | Refusal:
        """Return the answer of the other program. Raises: ExecutionError if the run is stopped."""
        question = Question(candidate, seed)
        with self._lock:
            if self._stopped:
                raise ExecutionError("stopped")
            self._open.add(question)
        self._exchange.questions.put(question)
        try:
            return question.answer.result()
        finally:
            self._open.discard(question)

    def retrain(self, candidate: Candidate, seed: int) -> Retraining:
        """Return a failure: `create` refuses configurations with this training."""
        return Retraining(None, 0, seed, 0.0, None, "it is evaluated outside of nngpt")

    def stop(self) -> None:
        """Make every `evaluate` raise ExecutionError."""
        with self._lock:
            self._stopped = True
            waiting = [question for question in self._open if not question.answer.done()]
        for question in waiting:
            question.answer.set_exception(ExecutionError("stopped"))

    def close(self) -> None:
        """Do nothing: there is no process."""
