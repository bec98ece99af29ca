"""Threads in which the LLM writes and candidates train while the loop keeps the books."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Self, TypeVar

from nngpt.generation.mutation import CorpusSampler
from nngpt.protocols import LLM, Executor
from nngpt.records import Candidate, Completion, Evaluation, Prompt, Refusal, Retraining, Sampling

T = TypeVar("T")

_STOP_S = 10.0


class Background:
    """Runs what takes long; use it in a `with`.

    When an exception leaves the block (the user stops the run, say), what is running is told to
    stop and waited for. The caller starts no more trainings than the executor has workers.
    """

    def __init__(self, llm: LLM, executor: Executor) -> None:
        self._llm, self._executor = llm, executor
        self._threads: list[threading.Thread] = []

    def write(
        self, prompt: Prompt, count: int, seed: int, sampling: Sampling
    ) -> Future[list[Completion]]:
        """`LLM.generate`; one at a time."""
        return self._start(lambda: self._llm.generate(prompt, count, seed, sampling))

    def draw(self, sampler: CorpusSampler, count: int, seed: int) -> Future[list[Completion]]:
        """`CorpusSampler.write`."""
        return self._start(lambda: sampler.write(count, seed))

    def train(self, candidate: Candidate, seed: int) -> Future[Evaluation | Refusal]:
        """`Executor.evaluate`."""
        return self._start(lambda: self._executor.evaluate(candidate, seed))

    def retrain(self, candidate: Candidate, seed: int) -> Future[Retraining]:
        """`Executor.retrain`."""
        return self._start(lambda: self._executor.retrain(candidate, seed))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            self._llm.stop()
            self._executor.stop()
        for thread in self._threads:
            thread.join(_STOP_S)  # one that waits for a server's answer is left behind

    def _start(self, work: Callable[[], T]) -> Future[T]:
        future: Future[T] = Future()

        def run() -> None:
            try:
                future.set_result(work())
            except BaseException as error:  # noqa: BLE001 (raised again where the result is read)
                future.set_exception(error)

        self._threads = [thread for thread in self._threads if thread.is_alive()]
        thread = threading.Thread(target=run, daemon=True)
        self._threads.append(thread)
        thread.start()
        return future
