"""The loop: write networks, lead each through the gates, learn from what was admitted, again.

Everything that happens is a row in the store the moment it is known, so the loop keeps no state
of its own: after a kill, `Loop.run` reads where each attempt stands and goes on from there.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property
from pathlib import Path

from nngpt import contract
from nngpt.assembly import Parts
from nngpt.config import Config
from nngpt.errors import LearningFailed, StoreError
from nngpt.learning.pairs import admitted_pairs, corpus_hash
from nngpt.protocols import NoveltyMeasure
from nngpt.records import Adapter, Candidate, Refusal, Sampling, Stage, State, TrainingPair
from nngpt.reporting.progress import Progress
from nngpt.store import AttemptRecord, Lease, RunRecord, Store, prompt_hash


class Loop:
    """One run of a configuration."""

    def __init__(self, config: Config, parts: Parts, store: Store, progress: Progress) -> None:
        self.config, self.parts, self.store, self.progress = config, parts, store, progress

    def run(self, run: RunRecord, lease: Lease) -> None:
        """Go through all cycles that are not closed yet."""
        self.run_id, self.lease = run.id, lease
        self.check_prompt()
        self.warm_up()
        for cycle in range(1, self.config.cycles + 1):
            if not self.store.cycle_closed(run.id, cycle):
                self.run_cycle(cycle)
        self.store.finish_run(run.id)

    def check_prompt(self) -> None:
        """A run goes on only with the prompt it began with. Raises: StoreError."""
        asked = {attempt.prompt_hash for attempt in self.store.attempts(self.run_id)}
        if asked - {prompt_hash(self.parts.prompt)}:
            raise StoreError(
                f"run {self.run_id} began with another text of this prompt",
                where=f"prompt.template: {self.parts.prompt.template}",
                mend="Restore the template, or begin anew with --fresh.",
            )

    def warm_up(self) -> None:
        """Learn the corpus before anything is written: the papers' start. Counts as cycle 0."""
        if self.config.learning.warm_up and not self.store.cycle_closed(self.run_id, 0):
            self.learn(0)

    def run_cycle(self, cycle: int) -> None:
        """Write candidates with the newest adapter, settle each, fine-tune on the admitted."""
        adapter = self.adapter_before(cycle) or self.parts.adapter
        self.parts.llm.use_adapter(adapter)
        settled = [a for a in self.store.attempts(self.run_id, cycle) if a.state in FINAL]
        self.progress.cycle_started(cycle, self.config, adapter, settled)
        self.known = self.known_networks(cycle)
        for attempt in self.attempts(cycle):
            self.progress.settled(self.settle(attempt))
        self.learn(cycle)
        self.progress.cycle_done(self.store.summary(self.run_id)[cycle - 1])

    # ------------------------------------------------------------------ writing

    def attempts(self, cycle: int) -> Iterator[AttemptRecord]:
        """The cycle's attempts that are not settled: first those left over, then new ones."""
        yield from self.store.open_attempts(self.run_id, cycle)
        while (missing := self.missing(cycle)) > 0:
            for attempt_id in self.write(cycle, min(missing, self.parts.llm.batch_size)):
                yield self.store.attempt(attempt_id)

    def missing(self, cycle: int) -> int:
        """How many candidates are still to be written in this cycle."""
        wanted, attempts = self.config.candidates, self.store.attempts(self.run_id, cycle)
        goal = wanted.until_admitted if cycle >= wanted.until_admitted_from else None
        if goal is None or len(attempts) < wanted.per_cycle:
            return wanted.per_cycle - len(attempts)
        admitted = sum(a.state == State.ADMITTED for a in attempts)
        return 0 if admitted >= goal else wanted.max_per_cycle - len(attempts)

    def write(self, cycle: int, count: int) -> list[int]:
        """Let the LLM write one batch and record it; returns the attempts' ids."""
        batch = self.store.batches(self.run_id, cycle)
        seed = derive_seed(self.config.seed, "write", cycle, batch)
        sampling = Sampling(**self.config.sampling.model_dump())
        with self.progress.writing(count):
            completions = self.parts.llm.generate(self.parts.prompt, count, seed, sampling)
        return self.lease.add_completions(cycle, batch, self.parts.prompt, completions)

    # ------------------------------------------------------------------ the gates

    def settle(self, attempt: AttemptRecord) -> AttemptRecord:
        """Lead an attempt from wherever it stands to its end: admitted or refused."""
        gates = {
            State.PARSED: self.validate,
            State.VALIDATED: self.train,
            State.TRAINED: self.judge,
            State.JUDGED: self.admit,
        }
        # What was recorded is what goes on, even if the templates have changed since.
        candidate = attempt.candidate or self.parts.reader.read(attempt.completion.text)
        if isinstance(candidate, Refusal):
            self.lease.refuse(attempt.id, candidate)
            return self.store.attempt(attempt.id)
        if attempt.state == State.GENERATED:
            self.lease.parsed(attempt.id, candidate)
        while (attempt := self.store.attempt(attempt.id)).state in gates:
            gates[attempt.state](attempt, candidate)
        return attempt

    def validate(self, attempt: AttemptRecord, candidate: Candidate) -> None:
        """Exact duplicates are refused before they cost an epoch."""
        twin = self.twin(attempt, candidate)
        if twin is None:
            return self.lease.validated(attempt.id)
        return self.lease.refuse(attempt.id, Refusal(Stage.DUPLICATE, f"same network as {twin}"))

    def train(self, attempt: AttemptRecord, candidate: Candidate) -> None:
        """Train and judge in a process of its own; the accuracy is computed by us."""
        if attempt.restarts >= MOST_RESTARTS:
            reason = f"the runner ended {attempt.restarts} times while training it"
            return self.lease.refuse(attempt.id, Refusal(Stage.TRAIN, reason))
        self.lease.training(attempt.id)
        seed = derive_seed(self.config.seed, "train", candidate.content_hash)
        with self.progress.training(attempt):
            try:
                outcome = self.parts.executor.evaluate(candidate, seed)
            except KeyboardInterrupt:
                self.lease.put_back(attempt.id)  # stopping is no fault of the candidate
                raise
        if isinstance(outcome, Refusal):
            return self.lease.refuse(attempt.id, outcome)
        return self.lease.trained(attempt.id, outcome, self.parts.task)

    def judge(self, attempt: AttemptRecord, candidate: Candidate) -> None:
        """The accuracy threshold; whatever was trained counts as known from here on."""
        assert attempt.evaluation is not None
        accuracy, threshold = attempt.evaluation.accuracy, self.parts.task.threshold
        if accuracy >= threshold:
            return self.lease.judged(attempt.id)
        self.known.add(key_of(attempt), contract.novelty_text(candidate))
        reason = f"accuracy {accuracy:.1%} is below the threshold {threshold:.1%}"
        return self.lease.refuse(attempt.id, Refusal(Stage.THRESHOLD, reason))

    def admit(self, attempt: AttemptRecord, candidate: Candidate) -> None:
        """Near-duplicates are refused; the rest joins the corpus."""
        text = contract.novelty_text(candidate)
        novelty = self.known.compare(text)
        self.known.add(key_of(attempt), text)
        if not novelty.duplicate:
            return self.lease.admit(attempt.id, novelty)
        reason = f"Jaccard similarity {novelty.jaccard:.3f} to {novelty.nearest}"
        return self.lease.refuse(attempt.id, Refusal(Stage.NOVELTY, reason), novelty)

    # ------------------------------------------------------------------ what is known

    def known_networks(self, cycle: int) -> NoveltyMeasure:
        """Index of examples, corpus, what earlier cycles admitted and this one has trained."""
        measure = self.parts.new_measure()
        for key, candidate in self.shown.items():
            measure.add(key, contract.novelty_text(candidate))
        earlier = [a for a in self.store.admitted(self.run_id) if a.cycle < cycle]
        now = [
            a for a in self.store.attempts(self.run_id, cycle, with_code=True) if a.state in FINAL
        ]
        for attempt in [*earlier, *(a for a in now if a.evaluation)]:
            if attempt.candidate is not None:
                measure.add(key_of(attempt), contract.novelty_text(attempt.candidate))
        return measure

    @cached_property
    def shown(self) -> dict[str, Candidate]:
        """The prompt's examples and the corpus file's networks, by where they come from."""
        corpus = {
            f"corpus network {number} ({pair.source})": candidate
            for number, (pair, candidate) in enumerate(self.parts.corpus, 1)
        }
        return {**self.parts.reader.examples(), **corpus}

    def twin(self, attempt: AttemptRecord, candidate: Candidate) -> str | None:
        """What this candidate is an exact copy of, white space apart."""
        known = self.store.known_hash(self.run_id, candidate.content_hash)
        if known is not None and known != attempt.id:
            return f"attempt {known}"
        for key, other in self.shown.items():
            if other.content_hash == candidate.content_hash:
                return key
        return None

    # ------------------------------------------------------------------ learning

    def learn(self, cycle: int) -> None:
        """Fine-tune on everything admitted so far, or record why not."""
        pairs = [pair for pair, _ in self.parts.corpus]
        pairs += admitted_pairs(self.store, self.store.admitted(self.run_id))
        parent = self.adapter_before(cycle)
        reason = self.reason_not_to_learn(pairs, parent)
        if reason is None:
            try:
                return self.lease.add_adapter(cycle, self.tune(cycle, pairs, parent))
            except LearningFailed as failure:
                reason = failure.line()
        self.progress.note(f"No fine-tuning after cycle {cycle}: {reason}.")
        return self.lease.skip_learning(cycle, reason)

    def reason_not_to_learn(self, pairs: list[TrainingPair], parent: Adapter | None) -> str | None:
        """Why this cycle ends without a fine-tuning, None if it does not."""
        learning = self.config.learning
        if self.parts.learner is None:
            return "learning is switched off"
        if len(pairs) < learning.min_pairs:
            return f"{len(pairs)} training pairs, min_pairs is {learning.min_pairs}"
        if parent is not None and parent.corpus_hash == corpus_hash(pairs):
            return "nothing new was admitted"
        return None

    def tune(self, cycle: int, pairs: list[TrainingPair], parent: Adapter | None) -> Adapter:
        """A new adapter, under a new name (invariant 9). Raises: LearningFailed."""
        name = f"{self.config.name}-{self.run_id}-c{cycle}"
        seed = derive_seed(self.config.seed, "learn", cycle)
        start = (parent or self.parts.adapter) if self.config.learning.start == "last" else None
        learner = self.parts.learner
        assert learner is not None, "reason_not_to_learn looks first"
        with self.progress.learning(len(pairs)) as on_step:
            return learner.learn(pairs, name, self.adapters, start, seed, on_step)

    def adapter_before(self, cycle: int) -> Adapter | None:
        """The newest adapter of earlier cycles, where it lies now (the folder may have moved)."""
        adapter = self.store.last_adapter(self.run_id, before_cycle=cycle)
        return adapter and replace(adapter, path=str((self.adapters / adapter.name).resolve()))

    @property
    def adapters(self) -> Path:
        """Where the run's adapters lie."""
        return self.config.folder / "adapters"


MOST_RESTARTS = 3
"""So often a runner may end in the middle of one training before the candidate is refused."""

FINAL = (State.ADMITTED, State.REFUSED)


def key_of(attempt: AttemptRecord) -> str:
    """How an attempt is named in the novelty index and in reasons."""
    return f"attempt {attempt.id}"


def derive_seed(*parts: object) -> int:
    """A seed (31 bits) that depends on all parts and on nothing else."""
    digest = hashlib.sha256("/".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1
