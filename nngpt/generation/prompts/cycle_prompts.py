"""Make the prompt of each batch of a cycle.

A prompt follows from the configuration, the seed, and the networks written in earlier cycles, so
a resumed run asks exactly what the interrupted run would have asked.

In a mode whose answers change a parent, each batch changes one network: one admitted in an earlier
cycle; before there is any, one of the corpus; without a corpus, the template's own. Better networks
are more likely. `prompt.parents` makes another choice. With `prompt.begin`, the answers of a batch
begin as a network of the pool; with `prompt.better_than`, its question names one of the best
networks; with `prompt.crossover`, it shows a second parent; with `prompt.memory`, it ends with the
last tries; with `prompt.accuracy_quantiles`, it asks for the best quantile. With `prompt.islands`,
the networks that the run admitted are divided among the batches.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

from nngpt.config import Config
from nngpt.generation import modes
from nngpt.generation.contract.candidate import Defaults, full_answer
from nngpt.generation.contract.reader import Reader
from nngpt.generation.prompts.better import better_than
from nngpt.generation.prompts.blocks import indexed_blocks, sample_blocks
from nngpt.generation.prompts.crossover import crossed
from nngpt.generation.prompts.islands import populations
from nngpt.generation.prompts.known import (
    KnownNetwork,
    Similarity,
    choose_examples,
    quality_ranks,
    shuffle_by_quality,
)
from nngpt.generation.prompts.memory import Memory
from nngpt.generation.prompts.parents import Parents
from nngpt.generation.prompts.quantiles import in_quantile
from nngpt.generation.prompts.template import Example, Template
from nngpt.protocols import LLM, Log, MeasuresPrompts
from nngpt.records import Arm, Prompt, Sampling, ShownBlock, Task, derive_seed
from nngpt.store.lemur_rows import lemur_dataset

_FENCE = "```"
"""A network that contains a fence cannot be a parent: its code block would end there."""


@dataclass(frozen=True)
class PromptLimit:
    """The longest prompt that a run may send.

    Attributes:
        max_chars: `prompt.max_chars`, None for no limit of characters.
        sampling: sets the length of the answer that must fit into the model's context, too.
        llm: the model.
    """

    max_chars: int | None
    sampling: Sampling
    llm: LLM

    def exceeded(self, prompt: Prompt) -> str:
        """Return the name of the limit that a prompt exceeds, "" if it fits."""
        length = sum(len(message.content) for message in prompt.messages) + len(prompt.prefill)
        if self.max_chars is not None and length > self.max_chars:
            return "prompt.max_chars"
        if isinstance(self.llm, MeasuresPrompts):
            left = self.llm.room(prompt, self.sampling)
            if left is not None and left < 0:
                return "the model's context"
        return ""


@dataclass(frozen=True)
class RunPrompts:
    """The settings and sources from which all prompts of a run are made.

    Attributes:
        config: the run's configuration.
        template: the prompt template.
        task: the task of the networks.
        limit: the longest prompt.
        similarity: similarity of two networks' texts, for choosing diverse examples.
        pool: networks of a corpus that prompts may show.
        blocks: library blocks that prompts may show; each prompt shows `prompt.retrieve` of them.
    """

    config: Config
    template: Template
    task: Task
    limit: PromptLimit
    similarity: Similarity
    pool: Sequence[KnownNetwork] = ()
    blocks: Sequence[ShownBlock] = ()

    def of_cycle(
        self,
        admitted: Sequence[KnownNetwork],
        log: Log,
        cycle: int = 1,
        memory: Memory | None = None,
    ) -> CyclePrompts:
        """Return the prompts of a cycle.

        Args:
            admitted: networks admitted in earlier cycles.
            log: called with the names of the shown networks, and with what was too long.
            memory: the tries of earlier cycles that questions name, None for none.
        """
        return CyclePrompts(self, admitted, log, cycle, memory or Memory())

    def turn(self, cycle: int, batch: int, arm: Arm = Arm.LOOP) -> int:
        """Return the number of an arm's batch in the run, as if cycles wrote what they must."""
        each = -(-self.config.arms[arm] // self.limit.llm.batch_size)
        return (cycle - 1) * each + batch

    def island(self, cycle: int, batch: int) -> int:
        """Return the number, from 0, of the island where a batch is written."""
        return self.turn(cycle, batch) % self.config.prompt.islands

    def populations(self, admitted: Sequence[KnownNetwork], cycle: int) -> list[list[KnownNetwork]]:
        """Return the networks of each island for the prompts of a cycle."""
        last, every = cycle - 1 - self.config.candidates.lag, self.config.prompt.migrate_every
        return populations(
            admitted,
            self.config.prompt.islands,
            lambda network: self.island(network.cycle, network.batch),
            range(every, last + 1, every),
        )

    def render(
        self, examples: Sequence[Example], parent: str, blocks: Sequence[ShownBlock] = ()
    ) -> Prompt:
        """Return the prompt that shows these examples and blocks and asks to change `parent`."""
        hyperparameters = self.config.evaluation.hyperparameters
        return self.template.render(self.task, hyperparameters, examples, parent, blocks)


def make_prompts(
    config: Config,
    reader: Reader,
    pool: Sequence[KnownNetwork],
    llm: LLM,
    similarity: Similarity,
) -> RunPrompts:
    """Make the prompts of all cycles, with the template and task of the run's reader.

    Args:
        pool: networks of a corpus that prompts may show (`known.read_pool`).
        llm: the model, which may limit the length of a prompt.

    Raises: UserError if `prompt.retrieve` is set, and the index has no suitable blocks.
    """
    sampling = Sampling(**config.sampling.model_dump())
    limit = PromptLimit(config.prompt.max_chars, sampling, llm)
    blocks = indexed_blocks(config)
    return RunPrompts(config, reader.template, reader.task, limit, similarity, pool, blocks)


class CyclePrompts:
    """The prompts of one cycle; `RunPrompts.of_cycle` makes one."""

    def __init__(
        self,
        run: RunPrompts,
        admitted: Sequence[KnownNetwork],
        log: Log,
        cycle: int,
        memory: Memory,
    ) -> None:
        self._run, self._cycle, islands = run, cycle, run.populations(admitted, cycle)
        named = [_of_island(number, log) for number in range(1, len(islands) + 1)]
        logs = named if len(islands) > 1 else [log]
        self._islands = [
            PopulationPrompts(run, networks, own, memory)
            for networks, own in zip(islands, logs, strict=True)
        ]

    def prompt(self, seed: int, batch: int = 0, arm: Arm = Arm.LOOP) -> Prompt:
        """Return the prompt for a batch.

        Args:
            seed: selects parent networks, blocks and beginning.
            batch: number of the arm's batch in the cycle, which decides on island and family.
        """
        turn, island = divmod(self._run.turn(self._cycle, batch, arm), len(self._islands))
        return self._islands[island].prompt(seed, turn)


class PopulationPrompts:
    """The prompts of one cycle that show networks of one population."""

    def __init__(
        self, run: RunPrompts, admitted: Sequence[KnownNetwork], log: Log, memory: Memory
    ) -> None:
        self._run, self._admitted, self._log, self._memory = run, list(admitted), log, memory
        shares = {str(source): share for source, share in run.config.prompt.parents.items()}
        dataset = lemur_dataset(run.task.dataset)
        self._parents = Parents(shares, self._admitted, run.pool, dataset)
        self._changes = modes.load(run.template.mode).changes_parent
        self._examples: dict[str, list[Example]] = {}
        self._logged = set[str]()

    def prompt(self, seed: int, turn: int) -> Prompt:
        """Return the prompt for a seed and the number of a batch among those of this population."""
        first = self._choose_parent(seed, turn) if self._changes else None
        parent = self._shown(first) if first else ""
        if parent not in self._examples:
            self._examples[parent] = self._choose_examples(parent)
        prompt = self._begun(self._add_blocks(self._examples[parent], parent, seed), seed)
        prompt = self._remembered(prompt)
        asked = self._crossed(prompt, first, seed, turn) or self._named(prompt, seed)
        return self._in_best_quantile(asked)

    def _begun(self, prompt: Prompt, seed: int) -> Prompt:
        """Return the prompt whose answer begins as a network of the pool, if answers shall."""
        share = self._run.config.prompt.begin
        if share is None:
            return prompt
        for network in shuffle_by_quality(self._example_pool(), seed):
            lines = network.answer.splitlines()
            begun = replace(prompt, prefill="\n".join(lines[: round(share * len(lines))]))
            longer = begun.prefill.startswith(prompt.prefill)
            if longer and not self._exceeded(begun):
                self._log_once(f"Answers begin as {_label(network)}.")
                return begun
        return prompt

    def _remembered(self, prompt: Prompt) -> Prompt:
        """Return the prompt whose question names the last tries, as many as fit."""
        for asked in self._memory.added(prompt):
            if not self._exceeded(asked):
                return asked
            self._log_once("Old tries were left out: too long for the prompt.")
        return prompt

    def _named(self, prompt: Prompt, seed: int) -> Prompt:
        """Return the prompt that asks for a better network than one of the best, if wanted."""
        best = sorted(self._admitted, key=lambda network: -network.accuracy)
        best = best[: self._run.config.prompt.better_than or 0]
        random.Random(seed).shuffle(best)
        asked = (better_than(prompt, network.answer) for network in best)
        return next((one for one in asked if not self._exceeded(one)), prompt)

    def _crossed(
        self, prompt: Prompt, first: KnownNetwork | None, seed: int, turn: int
    ) -> Prompt | None:
        """Return the prompt that shows a second parent too, None if it shall not or cannot."""
        seed = derive_seed(seed, "crossover")
        if random.Random(seed).random() >= self._run.config.prompt.crossover:
            return None
        if not self._changes:
            first = next(iter(self._parents.ordered(seed, turn)), None)
        shown = self._shown(first) if first and not self._changes else ""
        for second in self._parents.ordered(derive_seed(seed, "second parent"), turn + 1):
            other = first is None or second.candidate.content_hash != first.candidate.content_hash
            if other and self._can_be_shown(second):
                asked = crossed(prompt, second, self._shown(second), shown)
                if not self._exceeded(asked):
                    self._log_once(f"Network to take over from: {_label(second)}.")
                    return asked
        return None

    def _choose_parent(self, seed: int, turn: int) -> KnownNetwork | None:
        """Return the network to change, None for the template's own."""
        for network in self._parents.ordered(seed, turn):
            exceeded = self._exceeded(self._run.render([], self._shown(network)))
            if not exceeded and self._can_be_shown(network):
                self._log_once(f"Network to change: {_label(network)}.")
                return network
        return None

    def _can_be_shown(self, network: KnownNetwork) -> bool:
        return not (self._changes and _FENCE in network.candidate.code)

    def _shown(self, network: KnownNetwork) -> str:
        """Return a network as the text of a parent: whole where it is changed, else the answer."""
        if not self._changes:
            return network.answer
        return full_answer(network.candidate, Defaults.of(self._run.config.evaluation))

    def _choose_examples(self, parent: str) -> list[Example]:
        """Return examples of the template, as many as needed, then chosen ones, the best last."""
        own, shots = self._run.template.examples, self._run.config.prompt.shots
        count, pool = len(own) if shots is None else shots, self._example_pool()
        exceeded = set[str]()

        def fits(examples: Sequence[Example]) -> bool:
            limit = self._exceeded(self._run.render(examples, parent))
            exceeded.update({limit} - {""})
            return not limit

        shown = choose_examples(
            pool, count, self._run.similarity, lambda chosen: fits(list(map(_example, chosen)))
        )
        if shown:
            self._log_once(f"Shown in the prompt: {', '.join(map(_label, shown))}.")
        quality = dict(zip((network.name for network in pool), quality_ranks(pool), strict=True))
        shown.sort(key=lambda network: quality[network.name])
        examples = list(map(_example, shown))
        lengths = range(count - len(shown), -1, -1)
        kept = next((n for n in lengths if fits([*own[:n], *examples])), 0)
        if exceeded:
            limits = " and ".join(sorted(exceeded))
            self._log_once(f"Examples were left out: too long for {limits}.")
        return [*own[:kept], *examples]

    def _example_pool(self) -> list[KnownNetwork]:
        """Return the networks that may be examples, besides the template's own."""
        source = self._run.config.prompt.shots_from
        corpus = list(self._run.pool) if source in ("corpus", "both") else []
        return [*corpus, *self._admitted] if source in ("admitted", "both") else corpus

    def _add_blocks(self, examples: Sequence[Example], parent: str, seed: int) -> Prompt:
        """Return the prompt with as many of the sampled blocks as fit."""
        count = self._run.config.prompt.retrieve if self._run.blocks else 0
        sampled = sample_blocks(self._run.blocks, count, seed)
        for count in range(len(sampled), 0, -1):
            prompt = self._run.render(examples, parent, sampled[:count])
            if not self._exceeded(prompt):
                return prompt
        if sampled:
            self._log_once("The sampled blocks were left out: too long for the prompt.")
        return self._run.render(examples, parent)

    def _in_best_quantile(self, prompt: Prompt) -> Prompt:
        """Return the prompt that asks for the best quantile, if wanted, once there are networks."""
        quantiles = self._run.config.prompt.accuracy_quantiles if self._admitted else None
        return in_quantile(prompt, quantiles, quantiles) if quantiles else prompt

    def _exceeded(self, prompt: Prompt) -> str:
        """Return the name of the limit that a prompt will exceed, "" if it fits."""
        return self._run.limit.exceeded(self._in_best_quantile(prompt))

    def _log_once(self, text: str) -> None:
        """Log a line unless this cycle has logged it already."""
        if text not in self._logged:
            self._logged.add(text)
            self._log(text)


def _of_island(number: int, log: Log) -> Log:
    """Return a log that names an island."""
    return lambda text: log(f"Island {number}: {text}")


def _example(network: KnownNetwork) -> Example:
    """Return a network as an example turn."""
    return Example(assistant=network.answer, parent=network.parent)


def _label(network: KnownNetwork) -> str:
    """Return a network's name and accuracy for the log."""
    return f"{network.name}, {network.accuracy:.1%}"
