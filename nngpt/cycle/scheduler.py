"""Decide which attempt trains when, and settle attempts in the order in which they were written."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, TypeVar

from nngpt.cycle.context import RunContext
from nngpt.cycle.gates import BEFORE_TRAINING, Gates
from nngpt.cycle.generator import Generator, PendingBatch
from nngpt.cycle.threads import Threads
from nngpt.records import Candidate, Evaluation, Refusal, Retraining, State
from nngpt.sandbox import exit_reasons
from nngpt.store import AttemptRecord

T = TypeVar("T")

SPENDING_EVERY_S = 10.0
"""Time and energy are stored this often; a kill loses as much of them at most."""


@dataclass
class QueuedAttempt:
    """An attempt of the scheduler that is not settled yet.

    Attributes:
        attempt: the attempt as stored.
        running: its training or retraining while in progress, else None.
        duplicate: whether it was a near-duplicate when last measured, None before.
        retraining: the result of the training by our own loop, None before it.
        display: closes the attempt's line of progress.
    """

    attempt: AttemptRecord
    running: Future[Evaluation | Refusal] | Future[Retraining] | None = None
    duplicate: bool | None = None
    retraining: Retraining | None = None
    display: ExitStack = field(default_factory=ExitStack)

    @property
    def candidate(self) -> Candidate:
        """The attempt's candidate; every attempt in or after training has one."""
        assert self.attempt.candidate is not None
        return self.attempt.candidate


class Scheduler:
    """Generates, trains and settles the attempts of the cycles that have begun.

    Attempts pass each gate in the order in which they were written, whichever training ends first:
    the outcome does not depend on the speed of the machine.

    Attributes:
        generators: generate the attempts of the cycles that have begun, in order.
        queue: attempts that are not settled, in the order of writing.
        batch: completions that the LLM is writing, None if it is idle.
    """

    def __init__(self, context: RunContext, threads: Threads) -> None:
        self.context, self.threads = context, threads
        self.generators: list[Generator] = []
        self.queue: list[QueuedAttempt] = []
        self.batch: PendingBatch | None = None
        self._gates: Gates | None = None

    def begin(self, generator: Generator) -> None:
        """Begin the next cycle; its attempts follow those of the cycles before."""
        self.generators.append(generator)
        open_attempts = self.context.store.open_attempts(self.context.run_id, generator.cycle)
        self.queue += map(QueuedAttempt, open_attempts)

    def settle(self, cycle: int) -> str:
        """Generate, train and settle until all is generated and no attempt of `cycle` is open.

        Cycles that have begun after it are generated meanwhile, so that the LLM is idle in the end.

        Returns:
            An alarm about trainings that were ended asleep, or "".
        """
        self._work(lambda: not self.batch and not (self.queue and self._first_cycle <= cycle))
        self.generators = [later for later in self.generators if later.cycle > cycle]
        return self._slept(cycle)

    def _slept(self, cycle: int) -> str:
        """Return that more than a tenth of the cycle's candidates were ended asleep, else ""."""
        attempts = self.context.store.attempts(self.context.run_id, cycle)
        refusals = [attempt.refusal.reason for attempt in attempts if attempt.refusal]
        slept = sum(reason.startswith(exit_reasons.ASLEEP) for reason in refusals)
        if 10 * slept <= len(attempts):
            return ""
        return (
            f"{slept} of {len(attempts)} candidates were ended asleep: if their code does not "
            "sleep, memory or disk are too slow here; free them or raise evaluation.limit_s"
        )

    def meanwhile(self, work: Callable[[], T]) -> T:
        """Call `work`, which uses the idle LLM, while attempts are trained; return its result."""
        if not self.queue:
            return work()
        future = self.threads.start(work)
        self._work(future.done, future)
        return future.result()

    @property
    def _first_cycle(self) -> int:
        """The cycle of the oldest attempt; all cycles before it are settled."""
        return self.queue[0].attempt.cycle

    @property
    def gates(self) -> Gates:
        """The gates of the oldest attempt's cycle."""
        if self._gates is None or self._gates.cycle != self._first_cycle:
            self._gates = Gates(self.context, self._first_cycle)
            for queued in self.queue:
                queued.duplicate = None
        return self._gates

    def _work(self, done: Callable[[], bool], *others: Future[Any]) -> None:
        """Generate, train and settle until `done`; wake up if one of the others is."""
        while True:
            while self._settle_first() or self._start_next():
                pass
            # Only now: whether more are generated may depend on the attempt settled last.
            batches = (each.next_batch(anything_open=bool(self.queue)) for each in self.generators)
            self.batch = self.batch or next(filter(None, batches), None)
            if done():
                return
            self._wait(*others)
            for queued in self.queue:
                self._record_training(queued)
            self._record_batch()

    def _wait(self, *others: Future[Any]) -> None:
        """Wait until a future is done; put trainings back into the queue if the user stops."""
        limit, trainings = self.context.time_limit, [q for q in self.queue if q.running]
        pending = [
            limit.ended,
            *others,
            *(queued.running for queued in trainings if queued.running),
        ]
        if self.batch:
            pending.append(self.batch.completions)
        try:
            wait(pending, timeout=limit.seconds_left, return_when=FIRST_COMPLETED)
            limit.check()
        except KeyboardInterrupt:
            with self.context.lease.together():
                for queued in trainings:
                    self.context.lease.put_back(queued.attempt.id)
            raise

    def _settle_first(self) -> bool:
        """Settle the oldest attempt; return False if its training or retraining is missing."""
        first = self.queue[0] if self.queue else None
        if first is None or first.running or first.attempt.state in BEFORE_TRAINING:
            return False
        if first.attempt.state == State.TRAINED:
            first.attempt = self.gates.judge(first.attempt)
        if first.attempt.state == State.JUDGED and not self._admit(first):
            return False
        self.gates.close(first.attempt)
        self.context.progress.settled(first.attempt)
        self.context.record_spending(first.attempt.cycle, SPENDING_EVERY_S)
        self.queue.pop(0)
        return True

    def _start_next(self) -> bool:
        """Start the next training; return False if no attempt waits or no worker is free."""
        running = sum(queued.running is not None for queued in self.queue)
        if running >= self.context.parts.executor.workers:
            return False
        for queued in self.queue:
            if queued.running:
                continue
            if queued.attempt.state in BEFORE_TRAINING:
                self._train(queued)
                return True
            if self._wants_retraining(queued):
                self._retrain(queued)
                return True
        return False

    def _wants_retraining(self, queued: QueuedAttempt) -> bool:
        """Return whether a network is to be trained by our own loop, as far as is known by now.

        Of a network that an earlier attempt then makes a near-duplicate, the retraining is lost.
        """
        if queued.attempt.state != State.JUDGED or queued.retraining:
            return False
        if queued.duplicate is None:
            queued.duplicate = self.gates.measure_novelty(queued.attempt).duplicate
        return self.context.config.evaluation.retrain and not queued.duplicate

    def _admit(self, queued: QueuedAttempt) -> bool:
        """Lead a judged attempt through novelty; return False if it waits for its retraining."""
        novelty = self.gates.measure_novelty(queued.attempt)
        queued.duplicate = novelty.duplicate
        if self._wants_retraining(queued):
            return False
        queued.attempt = self.gates.admit(queued.attempt, novelty, queued.retraining)
        return True

    def _train(self, queued: QueuedAttempt) -> None:
        """Train in a process of its own; our own process computes the accuracy."""
        queued.attempt = self.gates.begin_training(queued.attempt)
        if queued.attempt.state != State.TRAINING:
            return
        candidate, executor = queued.candidate, self.context.parts.executor
        seed = self.context.seed("train", candidate.content_hash)
        self._show_training(queued)
        queued.running = self.threads.start(lambda: executor.evaluate(candidate, seed))

    def _retrain(self, queued: QueuedAttempt) -> None:
        """Train the network with our own loop and another seed, before it is admitted."""
        candidate, executor = queued.candidate, self.context.parts.executor
        seed = self.context.seed("retrain", candidate.content_hash)
        queued.retraining = self.gates.begin_retraining(queued.attempt, seed)
        if queued.retraining is None:
            self._show_training(queued)
            queued.running = self.threads.start(lambda: executor.retrain(candidate, seed))

    def _show_training(self, queued: QueuedAttempt) -> None:
        """Meter and display a training until its outcome is recorded."""
        display = self.context.progress.training(queued.attempt)
        queued.display.enter_context(self.context.metered("training", display))

    def _record_training(self, queued: QueuedAttempt) -> None:
        """Store the outcome of a training as soon as it has ended."""
        if queued.running is None or not queued.running.done():
            return
        queued.display.close()
        outcome, queued.running = queued.running.result(), None
        if isinstance(outcome, Retraining):
            queued.retraining = outcome
        else:
            queued.attempt = self.gates.record_training(queued.attempt, outcome)

    def _record_batch(self) -> None:
        """Store the LLM's completions as soon as they are written, and queue their attempts."""
        if self.batch and self.batch.completions.done():
            ids = self.batch.record()
            written = self.context.store.attempts(self.context.run_id, ids=ids)
            self.queue += map(QueuedAttempt, written)
            self.batch = None
