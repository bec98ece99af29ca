"""Run the loop with an evaluator of one's own: ask for a candidate, tell what it achieved."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from rich.console import Console

from nngpt import config
from nngpt.api.runs import Run
from nngpt.cycle.meter import TimeLimit
from nngpt.cycle.runner import is_finished, run_loop
from nngpt.cycle.threads import Threads
from nngpt.errors import UserError
from nngpt.records import EpochResult, Evaluation, Refusal, Stage
from nngpt.reports.progress import ConsoleProgress
from nngpt.sandbox.executors.outside import EXCHANGE, LEVEL, Exchange, Question

_SETTINGS = {"evaluation.executor": "outside", "evaluation.retrain": False}


@dataclass(frozen=True, eq=False)
class Asked:
    """A network to evaluate.

    Attributes:
        code: Python file that defines `class Net`.
        hyperparameters: a value for each hyperparameter of the network.
        transform: a transform's name, or its source for `torchvision.transforms.v2`.
        batch: batch size.
        seed: seed for the training.
    """

    code: str = field(repr=False)
    hyperparameters: Mapping[str, float]
    transform: str
    batch: int
    seed: int
    _question: Question = field(repr=False)
    _since: float = field(repr=False)


class AskTell:
    """A run of the loop whose networks another program evaluates; a context manager.

    The run is in the database like any other. After a kill or an early end of the block, the same
    call resumes it, and asks again for what was asked and not told.

    Args:
        name: a configuration: YAML file, or name of a shipped one. Its data set gives shape and
            number of classes.
        settings: settings to change, by key path, such as `{"cycles": 3}`.
        workers: number of networks that may be asked for before one is told; with more than one,
            call `ask` from as many threads.
        fresh: True to start a new run although there is one.
        verbose: True to print the progress on standard error.

    Raises: UserError if a setting is wrong; by `ask` if something else is missing.
    """

    def __init__(
        self,
        name: str | Path,
        settings: Mapping[str, Any] | None = None,
        *,
        workers: int = 1,
        fresh: bool = False,
        verbose: bool = False,
    ) -> None:
        overrides = config.as_overrides({**(settings or {}), **_SETTINGS})
        self._config = config.load(name, overrides)
        self._fresh, self._verbose = fresh, verbose
        self._exchange, self._limit, self._threads = Exchange(workers), TimeLimit(None), Threads()
        self._free = threading.BoundedSemaphore(workers)

    @property
    def run(self) -> Run:
        """The run in the database. Raises: StoreError if it has not begun."""
        return Run.open(self._config.folder, self._config.name)

    def ask(self) -> Asked | None:
        """Wait for the next network to evaluate; return None once the run has ended.

        Raises:
            UserError: all networks that may be asked for are waiting for `tell`, or the run ended
                with this error.
        """
        if not self._free.acquire(blocking=False):
            raise UserError("tell the result of an earlier network first", where="AskTell.ask")
        question = self._exchange.questions.get()
        if question is None:
            self._free.release()
            self._exchange.questions.put(None)  # for other threads
            self._loop.result()
            return None
        candidate = question.candidate
        return Asked(
            code=candidate.code,
            hyperparameters=dict(candidate.hyperparameters),
            transform=candidate.transform,
            batch=candidate.batch,
            seed=question.seed,
            _question=question,
            _since=time.monotonic(),
        )

    def tell(
        self, asked: Asked, outcome: float | str, *, images: int = 0, parameters: int = 0
    ) -> None:
        """Tell what a network achieved.

        Args:
            outcome: its accuracy, 0…1, or why it has none.
            images: number of images on which the accuracy was measured, for its interval.
            parameters: number of trainable parameters.

        Raises: UserError if the accuracy is not in 0…1, or the network was told already.
        """
        answer = asked._question.answer
        if answer.done():
            raise UserError("this network was told already, or its run ended", where="AskTell.tell")
        answer.set_result(_outcome(asked, outcome, images, parameters))
        self._free.release()

    def __enter__(self) -> Self:
        self._loop = self._threads.start(self._run)
        self._loop.add_done_callback(lambda _: self._exchange.questions.put(None))
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Stop the run, which resumes later, unless it has ended. Raises: as `ask`."""
        if not self._loop.done():
            self._limit.end()
        error = self._loop.exception()
        if error is not None and kind is None:
            raise error

    def _run(self) -> None:
        EXCHANGE.set(self._exchange)
        if self._fresh or not is_finished(self._config):
            console = Console(stderr=True, quiet=not self._verbose)
            with ConsoleProgress(console) as progress:
                run_loop(self._config, progress, self._fresh, limit=self._limit)


def _outcome(
    asked: Asked, outcome: float | str, images: int, parameters: int
) -> Evaluation | Refusal:
    """Return what was told as the outcome of a training. Raises: UserError."""
    if isinstance(outcome, str):
        return Refusal(Stage.TRAIN, outcome)
    if not 0 <= outcome <= 1 or not math.isfinite(outcome):
        raise UserError(f"the accuracy {outcome} is not in 0…1", where="AskTell.tell")
    seconds = time.monotonic() - asked._since
    epoch = EpochResult(1, float(outcome), round(outcome * images), images, seconds)
    return Evaluation((epoch,), parameters, seconds, "cpu", asked.seed, LEVEL)
