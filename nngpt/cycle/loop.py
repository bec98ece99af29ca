"""The loop: write networks, lead each through the gates, learn from what was admitted, again.

Everything that happens is a row in the store the moment it is known, so the loop keeps no state
of its own: after a kill, `Loop.run` reads where each attempt stands and goes on from there.
"""

from __future__ import annotations

from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from nngpt.config import Config
from nngpt.cycle.background import Background
from nngpt.cycle.energy import Energy
from nngpt.cycle.finetune import Teacher
from nngpt.cycle.forecast import Basis
from nngpt.cycle.generator import Writer, Writing, check_template
from nngpt.cycle.meter import Meter, MeteredProgress
from nngpt.cycle.parts import Parts
from nngpt.cycle.probe import foresee
from nngpt.cycle.stop import plateau
from nngpt.cycle.time_limit import Budget
from nngpt.generation import contract
from nngpt.generation.prompts.known import candidates
from nngpt.protocols import NoveltyMeasure
from nngpt.records import (
    Adapter,
    Arm,
    Candidate,
    Evaluation,
    Novelty,
    Refusal,
    Retraining,
    Stage,
    State,
    derive_seed,
)
from nngpt.reports.progress.run import Progress
from nngpt.store import AttemptRecord, Lease, RunRecord, Store

__all__ = ["Loop", "derive_seed"]


class Loop:
    """One run of a configuration."""

    def __init__(
        self,
        config: Config,
        parts: Parts,
        store: Store,
        progress: Progress,
        budget: Budget | None = None,
        probed: Basis | None = None,
    ) -> None:
        self.config, self.parts, self.store = config, parts, store
        self.budget, self.probed = budget or Budget(None), probed
        self.meter = Meter(Energy())
        self.progress: Progress = MeteredProgress(progress, self.meter)

    def run(self, run: RunRecord, lease: Lease) -> None:
        """Go through all cycles that are not closed yet, unless there is nothing more to gain."""
        self.run_id, self.lease = run.id, lease
        self.teacher = Teacher(
            self.config, self.parts, self.store, lease, self.progress, self.budget
        )
        check_template(self.config, self.parts, self.store, run.id)
        ended, cycle = "", 0
        try:
            self.warm_up()
            while cycle < self.config.cycles and not ended:
                cycle += 1
                if not self.store.cycle_closed(run.id, cycle):
                    self.foresee(cycle)
                    self.run_cycle(cycle)
                ended = self.reason_to_stop(cycle)
        finally:
            self.lease.spend(self.meter.take(cycle))
        self.lease.finish_run(ended)

    def warm_up(self) -> None:
        """Learn the corpus before anything is written: the papers' start. Counts as cycle 0."""
        if self.config.learning.warm_up and not self.store.cycle_closed(self.run_id, 0):
            self.foresee(0)
            self.teacher.learn(0)
            self.lease.spend(self.meter.take(0))

    def run_cycle(self, cycle: int) -> None:
        """Write candidates with the newest adapter, settle each, fine-tune on the admitted."""
        adapter = self.teacher.adapter_before(cycle) or self.parts.adapter
        self.parts.llm.use_adapter(adapter)
        settled = [a for a in self.store.attempts(self.run_id, cycle) if a.settled]
        self.progress.cycle_started(cycle, self.config, adapter, settled)
        self.known = {arm: self.known_networks(cycle, arm) for arm in self.config.arms}
        self.validate_pruner(cycle)
        frozen = self.teacher.adapter_before(1) or self.parts.adapter
        with Background(self.parts.llm, self.parts.executor) as background:
            self.settle_all(cycle, self.writer(cycle, frozen), background)
        self.teacher.learn(cycle)
        self.lease.spend(self.meter.take(cycle))
        self.progress.cycle_done(self.store.summary(self.run_id)[cycle - 1])

    def writer(self, cycle: int, frozen: Adapter | None) -> Writer:
        """Who writes in a cycle; `frozen` is the adapter of the control arm `base`."""
        parts, progress = self.parts, self.progress
        return Writer(self.config, parts, self.store, self.lease, progress, cycle, frozen)

    def foresee(self, cycle: int) -> None:
        """Say how long it will take from this cycle on (0: the warm-up), once that is known."""
        log, probed = self.progress.note, self.probed
        foresee(self.config, self.parts, self.store, self.lease, cycle, log, probed)

    def reason_to_stop(self, cycle: int) -> str:
        """Why the run ends with this cycle although more are wanted, "" if it does not."""
        if not self.config.stop.enabled or cycle == self.config.cycles:
            return ""
        done = [s for s in self.store.summary(self.run_id) if s.cycle <= cycle]
        reason = plateau(done, self.config.stop)
        if reason:
            self.progress.note(f"The run ends after cycle {cycle}: {reason}.")
        return reason

    def settle_all(self, cycle: int, writer: Writer, background: Background) -> None:
        """Let the LLM write and several candidates train at once; settle them in order.

        Attempts pass each gate in the order in which they were written, whatever ends first:
        the outcome does not depend on how fast the machine is.
        """
        line = [Turn(attempt) for attempt in self.store.open_attempts(self.run_id, cycle)]
        writing: Writing | None = None
        while True:
            while self.settle_first(line, background) or self.begin_next(line, background):
                pass
            # Only now: whether more is to be written may depend on the last one settled.
            writing = writing or writer.begin(background, anything_open=bool(line))
            running = [turn.running for turn in line if turn.running]
            if not running and writing is None:
                return
            self.wait([*running, *([writing.result] if writing else [])], line)
            for turn in line:
                self.record_training(turn)
            if writing and writing.result.done():
                line += map(Turn, writer.record(writing))
                writing = None

    def wait(self, running: list[Future[Any]], line: list[Turn]) -> None:
        """Until something has ended. What trains when the run is stopped counts as not begun."""
        try:
            wait(running, timeout=self.budget.left, return_when=FIRST_COMPLETED)
            self.budget.check()
        except KeyboardInterrupt:
            for turn in line:
                if turn.running:
                    self.lease.put_back(turn.attempt.id)
            raise

    # ------------------------------------------------------------------ the gates

    def settle_first(self, line: list[Turn], background: Background) -> bool:
        """Lead the first in line through the gates after training; False if it cannot yet."""
        if not line or line[0].running or line[0].attempt.state in BEFORE_TRAINING:
            return False
        turn = line[0]
        if turn.attempt.state == State.TRAINED:
            self.judge(turn)
        if turn.attempt.state == State.JUDGED and not self.admit(turn, line, background):
            return False
        if stopped_early(turn.attempt) and turn.attempt.candidate is not None:
            self.remember(turn.attempt, turn.attempt.candidate)
        self.progress.settled(turn.attempt)
        self.lease.spend(self.meter.take(turn.attempt.cycle))
        line.pop(0)
        return True

    def begin_next(self, line: list[Turn], background: Background) -> bool:
        """Lead the next attempt up to its training if a worker is free; False if there is none."""
        next_one = (t for t in line if not t.running and t.attempt.state in BEFORE_TRAINING)
        turn = next(next_one, None)
        if turn is None or not self.worker_free(line):
            return False
        self.prepare(turn)
        if turn.attempt.state == State.VALIDATED:
            self.begin_training(turn, background)
        return True

    def worker_free(self, line: list[Turn]) -> bool:
        """True if another training may begin."""
        return sum(turn.running is not None for turn in line) < self.parts.executor.workers

    def prepare(self, turn: Turn) -> None:
        """Read the completion and pass the gates that cost nothing."""
        attempt = turn.attempt
        # What was recorded is what goes on, even if the templates have changed since.
        candidate = attempt.candidate or self.read(attempt)
        if isinstance(candidate, Refusal):
            self.lease.refuse(attempt.id, candidate)
        else:
            if attempt.state == State.GENERATED:
                self.lease.parsed(attempt.id, candidate)
            if attempt.state != State.VALIDATED:
                self.validate(attempt, candidate)
        turn.attempt = self.store.attempt(attempt.id)

    def read(self, attempt: AttemptRecord) -> Candidate | Refusal:
        """The candidate in a completion, as the answer to what was asked."""
        asked = self.store.prompt(attempt.prompt_hash)
        return self.parts.reader.read_answer(attempt.completion.text, asked)

    def validate(self, attempt: AttemptRecord, candidate: Candidate) -> None:
        """Exact duplicates are refused before they cost an epoch."""
        twin = self.twin(attempt, candidate)
        if twin is None:
            return self.lease.validated(attempt.id)
        return self.lease.refuse(attempt.id, Refusal(Stage.DUPLICATE, f"same network as {twin}"))

    def begin_training(self, turn: Turn, background: Background) -> None:
        """Train in a process of its own; the accuracy is computed by us."""
        attempt, candidate = turn.attempt, turn.attempt.candidate
        assert candidate is not None
        if attempt.restarts >= MOST_RESTARTS:
            reason = f"the runner ended {attempt.restarts} times while training it"
            self.refuse(turn, Refusal(Stage.TRAIN, reason))
            return
        self.lease.training(attempt.id)
        turn.attempt = self.store.attempt(attempt.id)
        seed = derive_seed(self.config.seed, "train", candidate.content_hash)
        turn.shown.enter_context(self.progress.training(attempt))
        turn.running = background.train(candidate, seed)

    def record_training(self, turn: Turn) -> None:
        """What came of a training that has ended goes into the store at once."""
        if turn.running is None or not turn.running.done():
            return
        turn.shown.close()
        outcome, turn.running = turn.running.result(), None
        if isinstance(outcome, Retraining):
            turn.retraining = outcome
        elif isinstance(outcome, Refusal):
            self.refuse(turn, outcome)
        else:
            self.lease.trained(turn.attempt.id, outcome, self.parts.task)
            turn.attempt = self.store.attempt(turn.attempt.id)

    def judge(self, turn: Turn) -> None:
        """The accuracy threshold; whatever was trained counts as known from here on."""
        attempt = turn.attempt
        assert attempt.evaluation is not None and attempt.candidate is not None
        accuracy, threshold = attempt.evaluation.accuracy, self.parts.task.threshold
        if accuracy >= threshold or "threshold" in self.config.without:
            self.lease.judged(attempt.id)
            turn.attempt = self.store.attempt(attempt.id)
            return
        self.remember(attempt, attempt.candidate)
        reason = f"accuracy {accuracy:.1%} is below the threshold {threshold:.1%}"
        self.refuse(turn, Refusal(Stage.THRESHOLD, reason))

    def admit(self, turn: Turn, line: list[Turn], background: Background) -> bool:
        """Near-duplicates are refused; the rest joins the corpus.

        False if it waits for being trained once more, by our own loop and with another seed.
        """
        attempt, candidate = turn.attempt, turn.attempt.candidate
        assert candidate is not None
        novelty = self.known[attempt.arm].compare(contract.novelty_text(candidate))
        if "novelty" in self.config.without:
            novelty = replace(novelty, duplicate=False)
        if self.config.evaluation.retrain and not novelty.duplicate and not turn.retraining:
            if self.worker_free(line):
                self.begin_retraining(turn, candidate, background)
            if not turn.retraining:
                return False
        self.remember(attempt, candidate)
        if novelty.duplicate:
            reason = f"Jaccard similarity {novelty.jaccard:.3f} to {novelty.nearest}"
            self.refuse(turn, Refusal(Stage.NOVELTY, reason), novelty)
        else:
            self.lease.admit(attempt.id, novelty, turn.retraining)
            turn.attempt = self.store.attempt(attempt.id)
        return True

    def begin_retraining(self, turn: Turn, candidate: Candidate, background: Background) -> None:
        """Train it with our own loop, unless runners have ended over that too often."""
        attempt = turn.attempt
        seed = derive_seed(self.config.seed, "retrain", candidate.content_hash)
        if attempt.retrainings >= MOST_RESTARTS:
            reason = f"the runner ended {attempt.retrainings} times meanwhile"
            turn.retraining = Retraining(None, 0, seed, 0.0, None, reason)
            return
        self.lease.retraining(attempt.id)
        turn.shown.enter_context(self.progress.training(attempt))
        turn.running = background.retrain(candidate, seed)

    def refuse(self, turn: Turn, refusal: Refusal, novelty: Novelty | None = None) -> None:
        """Record why an attempt goes no further."""
        self.lease.refuse(turn.attempt.id, refusal, novelty)
        turn.attempt = self.store.attempt(turn.attempt.id)

    def validate_pruner(self, cycle: int) -> None:
        """Check early stopping against the loop's trainings of earlier cycles."""
        pruner = self.parts.executor.pruner
        if pruner is None:
            return
        before = [a for a in self.store.attempts(self.run_id, arm=Arm.LOOP) if a.cycle < cycle]
        if line := pruner.validate(a.evaluation for a in before if a.evaluation is not None):
            self.progress.note(f"Stopping early: {line}.")

    # ------------------------------------------------------------------ what is known

    def remember(self, attempt: AttemptRecord, candidate: Candidate) -> None:
        """From here on the attempt's arm knows this network."""
        self.known[attempt.arm].add(key_of(attempt), contract.novelty_text(candidate))

    def known_networks(self, cycle: int, arm: Arm) -> NoveltyMeasure:
        """Index of examples, corpus, and what the arm admitted earlier or has trained in this one.

        Arms know nothing of each other, so that controls change nothing for the loop.
        """
        measure = self.parts.new_measure()
        for key, candidate in self.shown.items():
            measure.add(key, contract.novelty_text(candidate))
        earlier = [a for a in self.store.admitted(self.run_id, arm=arm) if a.cycle < cycle]
        written = self.store.attempts(self.run_id, cycle, with_code=True, arm=arm)
        now = [a for a in written if a.settled and (a.evaluation or stopped_early(a))]
        for attempt in [*earlier, *now]:
            if attempt.candidate is not None:
                measure.add(key_of(attempt), contract.novelty_text(attempt.candidate))
        return measure

    @cached_property
    def shown(self) -> dict[str, Candidate]:
        """What prompts show or may show and what is or was learned from, by where it comes from."""
        corpus = {
            f"corpus network {number} ({pair.source})": candidate
            for number, (pair, candidate) in enumerate(self.parts.corpus, 1)
        }
        pool = candidates(self.parts.questions.pool)
        return {**self.parts.reader.examples(), **corpus, **pool, **self.parts.seen}

    def twin(self, attempt: AttemptRecord, candidate: Candidate) -> str | None:
        """What this candidate is an exact copy of, white space apart."""
        known = self.store.known_hash(self.run_id, candidate.content_hash, attempt.arm)
        if known is not None and known != attempt.id:
            return f"attempt {known}"
        for key, other in self.shown.items():
            if other.content_hash == candidate.content_hash:
                return key
        return None


MOST_RESTARTS = 3
"""So often a runner may end in the middle of one training before the candidate is refused."""

BEFORE_TRAINING = (State.GENERATED, State.PARSED, State.VALIDATED)


@dataclass
class Turn:
    """An attempt's place in the line of those not settled.

    Attributes:
        running: its training, or its training by our own loop, while one goes on.
        retraining: what our own loop made of it.
        shown: closes its line of progress.
    """

    attempt: AttemptRecord
    running: Future[Evaluation | Refusal] | Future[Retraining] | None = None
    retraining: Retraining | None = None
    shown: ExitStack = field(default_factory=ExitStack)


def stopped_early(attempt: AttemptRecord) -> bool:
    """Whether its training was ended since it could not reach the threshold."""
    refusal = attempt.refusal
    return refusal is not None and refusal.stage is Stage.THRESHOLD and not attempt.evaluation


def key_of(attempt: AttemptRecord) -> str:
    """How an attempt is named in the novelty index and in reasons."""
    return f"attempt {attempt.id}"
