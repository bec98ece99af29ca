"""Daemon threads for slow calls: generation, training and fine-tuning."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Protocol, Self, TypeVar

T = TypeVar("T")

_JOIN_S = 10.0


class Stoppable(Protocol):
    """A part of a run with a call that takes long."""

    def stop(self) -> None:
        """Make the running call end soon; called from another thread."""


class Threads:
    """Runs calls in daemon threads; a context manager.

    If the block ends with an exception (the user stops the run, say), every part in `stoppable`
    is stopped, and the threads are joined.
    """

    def __init__(self, *stoppable: Stoppable) -> None:
        self._stoppable = stoppable
        self._threads: list[threading.Thread] = []

    def start(self, work: Callable[[], T]) -> Future[T]:
        """Call `work` in a new daemon thread and return its future result."""
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

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            for part in self._stoppable:
                part.stop()
        for thread in self._threads:
            thread.join(_JOIN_S)  # a call that waits for a server's answer is left behind
