"""What is written in a cycle: the LLM's first answers in batches, then repairs of those refused,
then the control arms.

Controls come when the loop has written all that it will: nothing of the loop depends on them. All
of it follows from the configuration and the store, so a run that was killed asks again what it
had asked.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from contextlib import AbstractContextManager, ExitStack
from dataclasses import InitVar, dataclass, field

from nngpt.config import Config
from nngpt.cycle.background import Background
from nngpt.cycle.parts import Parts
from nngpt.errors import StoreError
from nngpt.generation.prompts.known import of_run
from nngpt.generation.prompts.questions import Ask
from nngpt.generation.prompts.repair import first_answers, next_repair, repair_prompt
from nngpt.records import Adapter, Arm, Completion, Prompt, Sampling, State, derive_seed
from nngpt.reports.progress.run import Progress
from nngpt.store import AttemptRecord, Lease, Store, prompt_hash


@dataclass
class Writing:
    """Completions on their way.

    Attributes:
        record: puts them into the store; returns the ids of the attempts.
        showing: their line of progress.
        shown: closes it.
    """

    result: Future[list[Completion]]
    record: Callable[[list[Completion]], list[int]]
    showing: InitVar[AbstractContextManager[None]]
    shown: ExitStack = field(default_factory=ExitStack)

    def __post_init__(self, showing: AbstractContextManager[None]) -> None:
        self.shown.enter_context(showing)


class Writer:
    """Lets the LLM write what a cycle still needs; `frozen` is the adapter of the arm `base`.

    Raises:
        StoreError: the cycle began with another prompt.
    """

    def __init__(
        self,
        config: Config,
        parts: Parts,
        store: Store,
        lease: Lease,
        progress: Progress,
        cycle: int,
        frozen: Adapter | None = None,
    ) -> None:
        self.config, self.parts, self.store, self.lease = config, parts, store, lease
        self.progress, self.cycle, self.frozen = progress, cycle, frozen
        self.sampling = Sampling(**config.sampling.model_dump())
        self.ask = self._questions()
        self.given_up: set[int] = set()

    def begin(self, background: Background, anything_open: bool) -> Writing | None:
        """The next batch if one is missing, else a repair if one is due, else the next control."""
        if anything_open and not self.parts.overlap:
            return None
        attempts = self._attempts(Arm.LOOP)
        count = min(self._missing(first_answers(attempts)), self.parts.llm.batch_size)
        if count > 0:
            return self._batch(count, background)
        repair = self._repair(attempts, background)
        return repair or (self._control(background) if self._is_over(attempts) else None)

    def record(self, writing: Writing) -> list[AttemptRecord]:
        """What was written is in the store before anything else happens to it."""
        writing.shown.close()
        ids = writing.record(writing.result.result())
        return [self.store.attempt(attempt_id) for attempt_id in ids]

    def _questions(self) -> Ask:
        """What is asked in this cycle: it depends on what earlier ones admitted, on nothing later.

        Raises:
            StoreError: a batch was written for another prompt.
        """
        run_id, before = self.lease.run_id, self.cycle - 1
        admitted = of_run(self.store, self.store.admitted(run_id, upto_cycle=before))
        ask = self.parts.questions.of_cycle(admitted, self.progress.note)
        batches = {(a.batch, a.prompt_hash) for a in first_answers(self._attempts(Arm.LOOP))}
        for batch, asked in sorted(batches):
            if prompt_hash(ask(self._seed("ask", batch))) != asked:
                raise other_prompt(self.config, run_id)
        return ask

    def _missing(self, attempts: list[AttemptRecord]) -> int:
        """How many first answers may be written now, besides these.

        Beyond `per_cycle` it depends on what was admitted, so everything must be settled first.
        """
        wanted, size = self.config.candidates, self.config.arms[Arm.LOOP]
        goal = self._goal()
        if goal is None or len(attempts) < size:
            return size - len(attempts)
        anything_open = any(not attempt.settled for attempt in attempts)
        admitted = sum(attempt.state == State.ADMITTED for attempt in attempts)
        return 0 if anything_open or admitted >= goal else wanted.max_per_cycle - len(attempts)

    def _goal(self) -> int | None:
        """How many are to be admitted in this cycle, None if that does not matter."""
        wanted = self.config.candidates
        return wanted.until_admitted if self.cycle >= wanted.until_admitted_from else None

    def _is_over(self, attempts: list[AttemptRecord]) -> bool:
        """Whether the loop, which writes nothing now, will write nothing more in this cycle."""
        may_go_on = self._goal() is not None or self.config.candidates.repairs > 0
        return not may_go_on or all(attempt.settled for attempt in attempts)

    def _control(self, background: Background) -> Writing | None:
        """The next batch of a control arm, None if none is missing."""
        for arm, size in self.config.arms.items():
            written = self._attempts(arm)
            missing = min(size - len(written), self.parts.llm.batch_size)
            if arm is not Arm.LOOP and missing > 0:
                number = len({attempt.batch for attempt in written})
                return self._of_arm(arm, missing, number, background)
        return None

    def _of_arm(self, arm: Arm, count: int, number: int, background: Background) -> Writing:
        batch = self.store.batches(self.lease.run_id, self.cycle)
        seed = self._seed(f"write {arm}", number)
        if arm is Arm.CORPUS:
            assert self.parts.sampler is not None, "there is one where there is this arm"
            prompt = self.parts.sampler.prompt
            result = background.draw(self.parts.sampler, count, seed)
        else:
            self.parts.llm.use_adapter(self.frozen)
            ask = self.parts.questions.of_cycle([], lambda _: None)
            prompt = ask(self._seed(f"ask {arm}", number))
            result = background.write(prompt, count, seed, self.sampling)
        return Writing(
            result,
            lambda written: self.lease.add_completions(self.cycle, batch, prompt, written, arm),
            self.progress.writing(count),
        )

    def _batch(self, count: int, background: Background) -> Writing:
        """Ask for `count` new networks."""
        batch = self.store.batches(self.lease.run_id, self.cycle)
        prompt, seed = self.ask(self._seed("ask", batch)), self._seed("write", batch)
        return Writing(
            background.write(prompt, count, seed, self.sampling),
            lambda written: self.lease.add_completions(self.cycle, batch, prompt, written),
            self.progress.writing(count),
        )

    def _repair(self, attempts: list[AttemptRecord], background: Background) -> Writing | None:
        """Give a refused answer back with the reason, unless that is too long to be read."""
        while refused := next_repair(attempts, self.config.candidates.repairs, self.given_up):
            assert refused.refusal is not None, "only refused ones are repaired"
            asked = self.store.prompt(refused.prompt_hash)
            prompt = repair_prompt(asked, refused.completion.text, refused.refusal)
            fault = self.parts.questions.budget.fault(prompt)
            if not fault:
                return self._answer(refused, prompt, background)
            self.given_up.add(refused.id)
            self.progress.note(f"  #{refused.id} is not repaired: too long for {fault}")
        return None

    def _answer(self, refused: AttemptRecord, prompt: Prompt, background: Background) -> Writing:
        seed = self._seed("repair", refused.place)
        return Writing(
            background.write(prompt, 1, seed, self.sampling),
            lambda written: [self.lease.add_repair(refused.id, prompt, *written)],
            self.progress.repairing(refused),
        )

    def _attempts(self, arm: Arm) -> list[AttemptRecord]:
        return self.store.attempts(self.lease.run_id, self.cycle, arm=arm)

    def _seed(self, purpose: str, number: int) -> int:
        return derive_seed(self.config.seed, purpose, self.cycle, number)


def check_template(config: Config, parts: Parts, store: Store, run_id: int) -> None:
    """A run goes on only with the template it began with. Raises: StoreError."""
    hashes = {attempt.prompt_hash for attempt in store.attempts(run_id)}
    if {store.prompt(key).template_hash for key in hashes} - {parts.reader.template.hash}:
        raise other_prompt(config, run_id)


def other_prompt(config: Config, run_id: int) -> StoreError:
    """What the user did to the prompt of a run that has begun."""
    return StoreError(
        f"run {run_id} began with another text of this prompt",
        where=f"prompt.template: {config.prompt.template}",
        hint="Restore the template and the corpus, or begin anew with --fresh.",
    )
