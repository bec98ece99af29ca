"""Decide which attempt trains when, and settle attempts in the order in which they were written."""

from __future__ import annotations

from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from nngpt.cycle.context import RunContext
from nngpt.cycle.gates import BEFORE_TRAINING, Gates
from nngpt.cycle.generator import Generator, PendingBatch
from nngpt.cycle.threads import Threads
from nngpt.records import Candidate, Evaluation, Refusal, Retraining, State
from nngpt.store import AttemptRecord

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
    """Generates, trains and settles the attempts of one cycle.

    Attributes:
        queue: attempts that are not settled, in the order of writing.
        batch: completions that the LLM is writing, None if it is idle.
    """

    def __init__(
        self, context: RunContext, cycle: int, gates: Gates, generator: Generator, threads: Threads
    ) -> None:
        self.context, self.gates = context, gates
        self.generator, self.threads = generator, threads
        open_attempts = context.store.open_attempts(context.run_id, cycle)
        self.queue = [QueuedAttempt(self._judged(attempt)) for attempt in open_attempts]
        self.batch: PendingBatch | None = None

    def settle_all(self) -> None:
        """Generate, train and settle until no attempt is open and no more are needed.

        Attempts pass each gate in the order in which they were written, whichever training ends
        first: the outcome does not depend on the speed of the machine.
        """
        while True:
            while self._settle_first() or self._start_next():
                pass
            # Only now: whether more are generated may depend on the attempt settled last.
            self.batch = self.batch or self.generator.next_batch(anything_open=bool(self.queue))
            if not self._pending():
                return
            self._wait()
            for queued in self.queue:
                self._record_training(queued)
            self._record_batch()

    def _judged(self, attempt: AttemptRecord) -> AttemptRecord:
        """Judge a trained attempt: older versions stored both states one after the other."""
        return self.gates.judge(attempt) if attempt.state == State.TRAINED else attempt

    def _pending(self) -> list[Future[Any]]:
        """Return the futures of all trainings in progress and of the LLM's batch."""
        running = [queued.running for queued in self.queue if queued.running]
        return [*running, *([self.batch.completions] if self.batch else [])]

    def _wait(self) -> None:
        """Wait until a future is done; put trainings back into the queue if the user stops."""
        limit = self.context.time_limit
        try:
            wait(self._pending(), timeout=limit.seconds_left, return_when=FIRST_COMPLETED)
            limit.check()
        except KeyboardInterrupt:
            for queued in self.queue:
                if queued.running:
                    self.context.lease.put_back(queued.attempt.id)
            raise

    def _settle_first(self) -> bool:
        """Settle the oldest attempt; return False if its training or retraining is missing."""
        first = self.queue[0] if self.queue else None
        if first is None or first.running or first.attempt.state in BEFORE_TRAINING:
            return False
        if first.attempt.state == State.TRAINED:
            first.attempt = self.gates.refuse_weak(first.attempt)
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
            self.queue += map(QueuedAttempt, self.generator.record(self.batch))
            self.batch = None
