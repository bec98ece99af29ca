"""Fine-tune the LLM at the end of a cycle on the corpus and everything admitted so far.

Control arms teach the LLM nothing. Before each fine-tuning the cycle is compared with earlier
ones: an LLM that learns from its own answers may collapse.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from nngpt import plugins
from nngpt.cycle import collapse
from nngpt.cycle.context import RunContext
from nngpt.errors import LearningFailed
from nngpt.finetuning.selection import selected
from nngpt.generation.pairs import admitted_pairs, corpus_hash, measured_answers
from nngpt.generation.prompts.better import better_pairs
from nngpt.generation.prompts.quantiles import in_own_quantiles
from nngpt.protocols import ComparesAnswers, Learner
from nngpt.records import Adapter, Arm, Candidate, MeasuredAnswer, TrainingPair
from nngpt.reports.text import plural
from nngpt.store import AttemptRecord

Call = Callable[[Callable[[], Adapter]], Adapter]
"""Calls a function, perhaps in another thread, and returns its result."""


class Finetuner:
    """Fine-tunes the LLM at the end of a run's cycles: makes its adapters.

    Attributes:
        context: the run.
        folder: the folder of the run's adapters.
    """

    def __init__(self, context: RunContext) -> None:
        self.context = context
        self.folder: Path = context.config.folder / "adapters"
        self._stopped = threading.Event()

    def stop(self) -> None:
        """Make a running fine-tuning end after its current step; called from another thread."""
        self._stopped.set()

    def learn(self, cycle: int, call: Call, alarm: str = "") -> None:
        """Close a cycle with a new adapter, or with the reason for none; cycle 0 is the warm-up.

        Args:
            call: called with the fine-tuning itself.
            alarm: what went wrong in the cycle's trainings; stored with what collapsed.
        """
        context = self.context
        collapsed = self._collapse(cycle) if cycle else ""
        alarm = "; ".join(filter(None, (collapsed, alarm)))
        if alarm:
            context.progress.note(f"Alarm: {alarm}.")
        replays = bool(collapsed) and context.config.learning.on_collapse == "replay"
        pairs, held_out = self._pairs(cycle, replays)
        parent = self.adapter_before(cycle)
        reason = self._reason_to_skip(cycle, pairs, parent)
        if reason is None:
            if replays:
                context.progress.note("  replaying networks that were there before the run")
            try:
                adapter = self._finetune(cycle, pairs, held_out, parent, replays, call)
                context.progress.held_out(adapter)
                return context.lease.add_adapter(cycle, adapter, alarm)
            except LearningFailed as failure:
                reason = failure.line()
        context.progress.note(f"Nothing was learned after cycle {cycle}: {reason}.")
        return context.lease.skip_learning(cycle, reason, alarm)

    def adapter_before(self, cycle: int) -> Adapter | None:
        """Return the newest adapter of earlier cycles, with its path in this run's folder."""
        context = self.context
        adapter = context.store.last_adapter(context.run_id, before_cycle=cycle)
        # The stored path may be old: a folder of runs may be moved.
        return adapter and replace(adapter, path=str((self.folder / adapter.name).resolve()))

    def _collapse(self, cycle: int) -> str:
        """Return what collapsed in this cycle, "" if nothing did."""
        context = self.context
        summaries = [s for s in context.store.summary(context.run_id) if s.cycle <= cycle]
        networks: dict[int, list[Candidate]] = {s.cycle: [] for s in summaries}
        for attempt in context.store.attempts(context.run_id, arm=Arm.LOOP, with_code=True):
            if attempt.candidate is not None and not attempt.repairs and attempt.cycle in networks:
                networks[attempt.cycle].append(attempt.candidate)
        if len(summaries) < 2:
            return ""
        width = context.config.novelty.shingle
        return collapse.alarm(summaries, collapse.spreads(list(networks.values()), width))

    def _pairs(self, cycle: int, replays: bool) -> tuple[list[TrainingPair], list[TrainingPair]]:
        """Return the pairs to learn and those to hold out.

        Learned are the corpus, what `learning.select` takes of the networks admitted up to the
        cycle and, if wanted, as many replayed pairs; or what the learner compares. Admissions only
        follow one another, by cycle, so those held out are the same ones in every later cycle.
        """
        context, store = self.context, self.context.store
        learning, prompt = context.config.learning, context.config.prompt
        corpus = [pair for pair, _ in context.parts.start.corpus]
        known = sorted(store.admitted(context.run_id, cycle), key=lambda a: a.cycle)
        attempts, apart = known, list[AttemptRecord]()
        if (every := learning.held_out) is not None:
            networks = dict[str | None, AttemptRecord]()  # a run without novelty admits copies
            for attempt in known:
                networks.setdefault(attempt.content_hash, attempt)
            apart = list(networks.values())[every - 1 :: every]
            hidden = {attempt.content_hash for attempt in apart}
            attempts = [attempt for attempt in known if attempt.content_hash not in hidden]
        chosen = selected(learning.select, attempts)
        learned, held_out = admitted_pairs(store, chosen), admitted_pairs(store, apart)
        if prompt.better_than:
            learned = better_pairs(store, chosen, attempts, context.seed("better than", cycle))
        if prompt.accuracy_quantiles:
            learned = in_own_quantiles(learned, chosen, known, prompt.accuracy_quantiles)
            held_out = in_own_quantiles(held_out, apart, known, prompt.accuracy_quantiles)
        learner: object = context.parts.learner  # mypy takes the two protocols to be disjoint
        if isinstance(learner, ComparesAnswers):
            unlearned = {attempt.id for attempt in known}.difference(a.id for a in attempts)
            answers = self._answers(cycle, unlearned)
            seed = context.seed("comparisons", cycle)
            return learner.compare(learned, answers, cycle, seed), held_out
        replayed = self._replayed(cycle, len(learned)) if replays else []
        return [*corpus, *learned, *replayed], held_out

    def _answers(self, cycle: int, unlearned: set[int]) -> list[MeasuredAnswer]:
        """Return the loop's answers up to a cycle, but not those of `unlearned` attempts."""
        context = self.context
        found = context.store.attempts(context.run_id, arm=Arm.LOOP)
        mine = [a for a in found if a.cycle <= cycle and a.id not in unlearned]
        return measured_answers(context.store, mine)

    def _replayed(self, cycle: int, count: int) -> list[TrainingPair]:
        """Sample up to `count` networks known before the run, for replay."""
        start, prompt = self.context.parts.start, self.context.parts.reader.prompt
        known = [pair for pair, _ in start.corpus] + [
            TrainingPair(prompt, candidate.written, name)
            for name, candidate in start.learned.items()
        ]
        chance = random.Random(self.context.seed("replay on collapse", cycle))
        return chance.sample(known, min(count, len(known)))

    def _reason_to_skip(
        self, cycle: int, pairs: list[TrainingPair], parent: Adapter | None
    ) -> str | None:
        """Return why this cycle ends without a fine-tuning, None if it does not."""
        learning, learner = self.context.config.learning, self.context.parts.learner
        if learner is None:
            return "learning is switched off"
        if cycle and "iteration" in self.context.config.without:
            return "the run is without iteration"
        if not pairs and isinstance(learner, ComparesAnswers):
            return "there are no new answers of different accuracies to compare"
        if not pairs:
            return "no network was admitted"
        if len(pairs) < learning.min_pairs:
            return f"{len(pairs)} training pairs, min_pairs is {learning.min_pairs}"
        if parent is not None and parent.corpus_hash == corpus_hash(pairs):
            return "nothing new to learn was admitted"
        return None

    def _finetune(
        self,
        cycle: int,
        pairs: list[TrainingPair],
        held_out: list[TrainingPair],
        parent: Adapter | None,
        replays: bool,
        call: Call,
    ) -> Adapter:
        """Train a new adapter under a new name (docs/design.md, Lineage).

        Raises:
            LearningFailed: the learner cannot learn these pairs.
            TimeLimitReached: no time is left; the steps since the last checkpoint are lost.
        """
        context = self.context
        start = None
        if context.config.learning.start == "last":
            start = parent or context.parts.start.adapter
        learner = self._learner_of_all_pairs() if replays else context.parts.learner
        assert learner is not None, "_reason_to_skip looks first"
        name = f"{context.config.name}-{context.run_id}-c{cycle}"
        seed = context.seed("learn", cycle)
        noun = learner.noun if isinstance(learner, ComparesAnswers) else "network"
        display = context.progress.learning(plural(len(pairs), noun))
        with context.metered("learning", display) as show:

            def on_step(step: int, steps: int, loss: float) -> None:
                context.meter.read()  # a counter may wrap around in a long fine-tuning
                show(step, steps, loss)
                context.time_limit.check()
                if self._stopped.is_set():
                    raise KeyboardInterrupt

            return call(
                lambda: learner.learn(pairs, name, self.folder, start, seed, on_step, held_out)
            )

    def _learner_of_all_pairs(self) -> Learner:
        """Return a learner that learns every pair, whatever `learning.replay` says."""
        config = self.context.config
        learning = config.learning.model_copy(update={"replay": None})
        config = config.model_copy(update={"learning": learning})
        made: Learner = plugins.create(
            "learner", learning.learner, config, self.context.parts.llm, options=learning.options
        )
        return made
