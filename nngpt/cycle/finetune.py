"""What the LLM learns at the end of a cycle: everything admitted so far, with the corpus.

The control arms teach it nothing. Before it learns, the cycle is compared with the earlier ones:
an LLM that learns from itself may collapse.
"""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

from nngpt import plugins
from nngpt.config import Config
from nngpt.cycle import collapse
from nngpt.cycle.parts import Parts
from nngpt.cycle.time_limit import Budget
from nngpt.errors import LearningFailed
from nngpt.generation.pairs import admitted_pairs, corpus_hash
from nngpt.protocols import Learner
from nngpt.records import Adapter, Arm, Candidate, TrainingPair, derive_seed
from nngpt.reports.progress.run import Progress
from nngpt.store import Lease, Store


class Teacher:
    """Fine-tunes the LLM of one run."""

    def __init__(
        self,
        config: Config,
        parts: Parts,
        store: Store,
        lease: Lease,
        progress: Progress,
        budget: Budget,
    ) -> None:
        self.config, self.parts, self.store, self.lease = config, parts, store, lease
        self.progress, self.run_id, self.budget = progress, lease.run_id, budget

    def learn(self, cycle: int) -> None:
        """Fine-tune on everything admitted so far, or record why not. Cycle 0 is the warm-up."""
        alarm = self.alarm(cycle) if cycle else ""
        if alarm:
            self.progress.note(f"Alarm: {alarm}.")
        replays = bool(alarm) and self.config.learning.on_collapse == "replay"
        pairs = [pair for pair, _ in self.parts.corpus]
        admitted = admitted_pairs(self.store, self.store.admitted(self.run_id))
        pairs += admitted
        if replays:
            pairs += self.replayed(cycle, len(admitted))
        parent = self.adapter_before(cycle)
        reason = self.reason_not_to_learn(cycle, pairs, parent)
        if reason is None:
            if replays:
                self.progress.note("  replaying networks that were there before the run")
            try:
                adapter = self.tune(cycle, pairs, parent, replays)
                return self.lease.add_adapter(cycle, adapter, alarm)
            except LearningFailed as failure:
                reason = failure.line()
        self.progress.note(f"No fine-tuning after cycle {cycle}: {reason}.")
        return self.lease.skip_learning(cycle, reason, alarm)

    def alarm(self, cycle: int) -> str:
        """What collapsed in this cycle, "" if nothing did."""
        summaries = [s for s in self.store.summary(self.run_id) if s.cycle <= cycle]
        networks: dict[int, list[Candidate]] = {s.cycle: [] for s in summaries}
        for attempt in self.store.attempts(self.run_id, arm=Arm.LOOP, with_code=True):
            if attempt.candidate is not None and not attempt.repairs and attempt.cycle in networks:
                networks[attempt.cycle].append(attempt.candidate)
        if len(summaries) < 2:
            return ""
        distances = collapse.spreads(list(networks.values()), self.config.novelty.shingle)
        return collapse.alarm(summaries, distances)

    def reason_not_to_learn(
        self, cycle: int, pairs: list[TrainingPair], parent: Adapter | None
    ) -> str | None:
        """Why this cycle ends without a fine-tuning, None if it does not."""
        learning = self.config.learning
        if self.parts.learner is None:
            return "learning is switched off"
        if cycle and "iteration" in self.config.without:
            return "the run is without iteration"
        if len(pairs) < learning.min_pairs:
            return f"{len(pairs)} training pairs, min_pairs is {learning.min_pairs}"
        if parent is not None and parent.corpus_hash == corpus_hash(pairs):
            return "nothing new was admitted"
        return None

    def replayed(self, cycle: int, count: int) -> list[TrainingPair]:
        """So many of the networks that were there before the run, once more."""
        prompt = self.parts.reader.prompt
        there = [pair for pair, _ in self.parts.corpus] + [
            TrainingPair(prompt, candidate.written, name)
            for name, candidate in self.parts.seen.items()
        ]
        chance = random.Random(derive_seed(self.config.seed, "replay on collapse", cycle))
        return chance.sample(there, min(count, len(there)))

    def tune(
        self, cycle: int, pairs: list[TrainingPair], parent: Adapter | None, replays: bool
    ) -> Adapter:
        """A new adapter, under a new name (invariant 9).

        Raises:
            LearningFailed: these pairs cannot be learned.
            BudgetSpent: the time is over; what was learned since the last checkpoint is lost.
        """
        name = f"{self.config.name}-{self.run_id}-c{cycle}"
        seed = derive_seed(self.config.seed, "learn", cycle)
        start = (parent or self.parts.adapter) if self.config.learning.start == "last" else None
        learner = self.everything() if replays else self.parts.learner
        assert learner is not None, "reason_not_to_learn looks first"
        with self.progress.learning(len(pairs)) as show:

            def on_step(step: int, steps: int, loss: float) -> None:
                show(step, steps, loss)
                self.budget.check()

            return learner.learn(pairs, name, self.adapters, start, seed, on_step)

    def everything(self) -> Learner:
        """A learner that learns all it is given, `learning.replay` or not."""
        learning = self.config.learning.model_copy(update={"replay": None})
        config = self.config.model_copy(update={"learning": learning})
        made: Learner = plugins.load("learner", learning.learner).create(config, self.parts.llm)
        return made

    def adapter_before(self, cycle: int) -> Adapter | None:
        """The newest adapter of earlier cycles, where it lies now (the folder may have moved)."""
        adapter = self.store.last_adapter(self.run_id, before_cycle=cycle)
        return adapter and replace(adapter, path=str((self.adapters / adapter.name).resolve()))

    @property
    def adapters(self) -> Path:
        """Where the run's adapters lie."""
        return self.config.folder / "adapters"
