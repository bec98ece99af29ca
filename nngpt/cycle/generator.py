"""Have the LLM write what a cycle still needs: first answers, then repairs, then control arms.

Control arms come last, when the loop will write nothing more: nothing of the loop depends on them.
Every prompt and seed follows from the configuration and the store, so a run that was killed asks
what it would have asked.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass

from nngpt.config import Config
from nngpt.cycle.answer_pool import answer_pool, best_answers, whole_answers
from nngpt.cycle.context import RunContext
from nngpt.cycle.threads import Threads
from nngpt.errors import StoreError
from nngpt.generation import best_of
from nngpt.generation.llm.mutation import MutationLLM
from nngpt.generation.prompts.cycle_prompts import CyclePrompts
from nngpt.generation.prompts.known import from_run
from nngpt.generation.prompts.memory import last_tries, make_memory
from nngpt.generation.prompts.repair import (
    REPEATED,
    answers_of_llm,
    first_answers,
    next_repair,
    repair_prompt,
)
from nngpt.protocols import LLM
from nngpt.records import Adapter, Arm, Completion, Prompt, Sampling, State
from nngpt.store import AttemptRecord, prompt_hash

Record = Callable[[list[Completion]], list[int]]
"""Stores completions and returns the ids of their attempts."""


@dataclass(frozen=True)
class PendingBatch:
    """Completions that an LLM is writing.

    Attributes:
        completions: the future result.
        add: stores the completions.
        display: closes the batch's line of progress.
    """

    completions: Future[list[Completion]]
    add: Record
    display: ExitStack

    def record(self) -> list[int]:
        """Store the completions before anything else happens to them; return the attempts' ids."""
        self.display.close()
        return self.add(self.completions.result())


class Generator:
    """Starts the batches of one cycle.

    Attributes:
        context: the run.
        cycle: the cycle.
        adapter: the adapter with which the loop writes, None for the bare base.
        frozen: the adapter with which the control arm `base` writes, None for the bare base.
        threads: the threads in which LLMs write.
        prompts: the loop's prompts, one for each seed.
        unrepairable: ids of refused attempts whose repair prompt is too long.

    Raises: StoreError if the cycle began with another prompt.
    """

    def __init__(
        self,
        context: RunContext,
        cycle: int,
        adapter: Adapter | None,
        frozen: Adapter | None,
        threads: Threads,
    ) -> None:
        self.context, self.cycle = context, cycle
        self.adapter, self.frozen, self.threads = adapter, frozen, threads
        self.sampling = Sampling(**context.config.sampling.model_dump())
        self.unrepairable: set[int] = set()
        self._waiting = False
        self.prompts = self._loop_prompts()

    def next_batch(self, anything_open: bool) -> PendingBatch | None:
        """Start the next batch: first answers, else a repair, else a control arm's, else None."""
        settings = self.context.config.candidates
        if anything_open and (self._waiting or not settings.overlap):
            return None
        attempts = self._attempts(Arm.LOOP)
        count = min(self._missing(first_answers(attempts)), self.context.parts.llm.batch_size)
        if count > 0:
            return self._first_answers(count)
        batch = self._repair_or_mutation(attempts)
        batch = batch or (self._control() if self._loop_is_done(attempts) else None)
        # Reading all attempts takes long: not again before it can end otherwise.
        self._waiting = batch is None and not self._repairs
        return batch

    @property
    def _repairs(self) -> bool:
        """Whether refused answers are repaired, by the LLM or by a random change."""
        settings = self.context.config.candidates
        return settings.repairs > 0 or settings.repeats != "refuse"

    # ------------------------------------------------------------------ how many

    def _missing(self, attempts: list[AttemptRecord]) -> int:
        """Return how many first answers may be written now in addition to `attempts`.

        Beyond `per_cycle` the number depends on the admissions, so everything must be settled.
        """
        limits, size = self.context.config.candidates, self.context.config.arms[Arm.LOOP]
        goal = self._admission_goal()
        if goal is None or len(attempts) < size:
            return size - len(attempts)
        anything_open = any(not attempt.settled for attempt in attempts)
        admitted = sum(attempt.state == State.ADMITTED for attempt in attempts)
        return 0 if anything_open or admitted >= goal else limits.max_per_cycle - len(attempts)

    def _admission_goal(self) -> int | None:
        """Return how many admissions this cycle needs, None if it has no such goal."""
        limits = self.context.config.candidates
        return limits.until_admitted if self.cycle >= limits.until_admitted_from else None

    def _loop_is_done(self, attempts: list[AttemptRecord]) -> bool:
        """Return whether the loop, idle now, will write nothing more in this cycle."""
        may_go_on = self._admission_goal() is not None or self._repairs
        return not may_go_on or all(attempt.settled for attempt in attempts)

    # ------------------------------------------------------------------ kinds of batches

    def _first_answers(self, count: int) -> PendingBatch:
        """Ask the LLM for `count` new networks."""
        batch = self._next_number()
        prompt = self.prompts.prompt(self._seed("ask", batch), batch)
        seed, record = self._seed("write", batch), self._recorder(prompt, Arm.LOOP)
        return self._start(Arm.LOOP, prompt, count, seed, record, best=True)

    def _repair_or_mutation(self, attempts: list[AttemptRecord]) -> PendingBatch | None:
        """Start a repair by the LLM, else, when none can be needed any more, a random change."""
        own, rounds = answers_of_llm(attempts), self.context.config.candidates.repairs
        batch = self._repair(own)
        if batch or not all(a.settled for a in own if a.repairs < rounds):
            return batch
        return self._mutation(Arm.LOOP, attempts)

    def _repair(self, attempts: list[AttemptRecord]) -> PendingBatch | None:
        """Give the next refused answer back with the reason, unless the prompt is too long."""
        context = self.context
        while refused := next_repair(
            attempts, context.config.candidates.repairs, self.unrepairable
        ):
            assert refused.refusal is not None, "only refused ones are repaired"
            asked = context.store.prompt(refused.prompt_hash)
            prompt = repair_prompt(asked, refused.completion.text, refused.refusal)
            limit = context.parts.prompts.limit.exceeded(prompt)
            if not limit:
                return self._start_repair(refused, prompt)
            self.unrepairable.add(refused.id)
            context.progress.note(f"  #{refused.id} is not repaired: too long for {limit}")
        return None

    def _start_repair(
        self, refused: AttemptRecord, prompt: Prompt, llm: LLM | None = None
    ) -> PendingBatch:
        def record(written: list[Completion]) -> list[int]:
            return [self.context.lease.add_repair(refused.id, prompt, *written)]

        display = self.context.progress.repairing(refused)
        seed = self._seed("repair", refused.place)
        return self._start(refused.arm, prompt, 1, seed, record, display, llm)

    def _mutation(self, arm: Arm, attempts: list[AttemptRecord]) -> PendingBatch | None:
        """Change one of the arm's best networks in place of the next answer that is a repeat.

        Two of them are crossed, if wanted. They are of the repeat's island, if any is. The repairs
        of this cycle are not among the best, so that their order does not matter.
        """
        how = self.context.config.candidates.repeats
        if how == "refuse":
            return None
        repeat = next_repair(attempts, 1, stages=REPEATED)
        if repeat is None:
            return None
        prompt = self.context.store.prompt(repeat.prompt_hash)
        found = self.context.store.attempts(self.context.run_id, with_code=True, arm=arm)
        earlier = [a for a in found if not (a.cycle == self.cycle and a.repairs)]
        place = repeat.cycle, repeat.batch
        best = best_answers(self.context, earlier, place)
        avoid = set(whole_answers(self.context, found))
        llm = MutationLLM(best, 1, 1, avoid, crosses=how == "crossover")
        return self._start_repair(repeat, prompt, llm) if best else None

    def _control(self) -> PendingBatch | None:
        """Start the next batch of a control arm, None if no arm misses one."""
        for arm, size in self.context.config.arms.items():
            written = self._attempts(arm)
            missing = min(size - len(first_answers(written)), self.context.parts.llm.batch_size)
            if arm is not Arm.LOOP and missing > 0:
                number = len({attempt.batch for attempt in written})
                return self._control_batch(arm, missing, number)
            if arm is not Arm.LOOP and (mutation := self._mutation(arm, written)):
                return mutation
        return None

    def _control_batch(self, arm: Arm, count: int, number: int) -> PendingBatch:
        parts = self.context.parts
        if arm is Arm.BASE:
            prompts = parts.prompts.of_cycle([], lambda _: None, self.cycle)
            prompt = prompts.prompt(self._seed(f"ask {arm}", number), number, arm)
        else:
            prompt = parts.reader.prompt
        seed, record = self._seed(f"write {arm}", number), self._recorder(prompt, arm)
        return self._start(arm, prompt, count, seed, record, best=arm is Arm.BASE)

    def _start(
        self,
        arm: Arm,
        prompt: Prompt,
        count: int,
        seed: int,
        record: Record,
        display: AbstractContextManager[None] | None = None,
        llm: LLM | None = None,
        best: bool = False,
    ) -> PendingBatch:
        """Let an arm's LLM, or another one, write in a thread, with a line of progress.

        Args:
            best: whether more are written than are wanted, if `candidates` says so.
        """
        llm, lines = llm or self.context.parts.writers[arm], ExitStack()
        llm.use_adapter(self.adapter if arm is Arm.LOOP else self.frozen)
        display = display or self.context.progress.writing(count)
        lines.enter_context(self.context.metered("writing", display))
        place = self.cycle, self._next_number()
        pool = answer_pool(self.context, arm, prompt, place) if best else best_of.Pool()
        asked = llm, prompt, count, seed, self.sampling
        completions = self.threads.start(lambda: best_of.write(*asked, pool))
        return PendingBatch(completions, record, lines)

    def _recorder(self, prompt: Prompt, arm: Arm) -> Record:
        """Return the function that stores the next batch of an arm."""
        lease, number = self.context.lease, self._next_number()
        return lambda written: lease.add_completions(self.cycle, number, prompt, written, arm)

    # ------------------------------------------------------------------ what the store knows

    def _loop_prompts(self) -> CyclePrompts:
        """Return the prompts of this cycle, which depend on attempts of cycles before the lag.

        Raises: StoreError if a stored batch was written for another prompt.
        """
        context, store = self.context, self.context.store
        upto = self.cycle - 1 - context.config.candidates.lag
        shown = from_run(store, store.admitted(context.run_id, upto_cycle=upto))
        tries = last_tries(store, context.run_id, upto, context.config.prompt.memory)
        memory = make_memory(store, tries, shown, context.parts.reader.defaults)
        note = context.progress.note
        prompts = context.parts.prompts.of_cycle(shown, note, self.cycle, memory)
        batches = {(a.batch, a.prompt_hash) for a in first_answers(self._attempts(Arm.LOOP))}
        for batch, asked in sorted(batches):
            if prompt_hash(prompts.prompt(self._seed("ask", batch), batch)) != asked:
                raise _other_prompt(context.config, context.run_id)
        return prompts

    def _next_number(self) -> int:
        """Return the number of the next batch."""
        return self.context.store.batches(self.context.run_id, self.cycle)

    def _attempts(self, arm: Arm) -> list[AttemptRecord]:
        return self.context.store.attempts(self.context.run_id, self.cycle, arm=arm)

    def _seed(self, purpose: str, number: int) -> int:
        return self.context.seed(purpose, self.cycle, number)


def check_template(context: RunContext) -> None:
    """Refuse to generate with another template than the run began with. Raises: StoreError."""
    store, run_id = context.store, context.run_id
    hashes = {attempt.prompt_hash for attempt in store.attempts(run_id)}
    if {store.prompt(key).template_hash for key in hashes} - {context.parts.reader.template.hash}:
        raise _other_prompt(context.config, run_id)


def _other_prompt(config: Config, run_id: int) -> StoreError:
    """Return the error for a prompt that was changed after its run began."""
    return StoreError(
        f"run {run_id} began with another text of this prompt",
        where=f"prompt.template: {config.prompt.template}",
        hint="Restore the template and the corpus, or begin anew with --fresh.",
    )
