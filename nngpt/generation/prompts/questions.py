"""The prompt of each batch. It follows from the configuration and from what was admitted in
earlier cycles, so a run that was killed asks what it would have asked.

In `delta` mode each batch changes one network: one that was admitted in an earlier cycle; before
there is any, one of the corpus; without a corpus, the template's own. The better, the likelier.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

from nngpt.config import Config
from nngpt.generation import modes
from nngpt.generation.contract import Defaults, full_answer
from nngpt.generation.prompts.blocks import draw_blocks
from nngpt.generation.prompts.examples import choose, draw, qualities
from nngpt.generation.prompts.known import Known
from nngpt.generation.prompts.template import Example, Template
from nngpt.protocols import LLM, Log, MeasuresPrompts
from nngpt.records import Prompt, Sampling, ShownBlock, Task

Ask = Callable[[int], Prompt]
"""Gives the prompt that belongs to a seed."""

_FENCE = "```"
"""A parent with this in it could not be changed: an answer would seem to end there."""


@dataclass(frozen=True)
class Budget:
    """How long a prompt may be: `prompt.max_chars`, and what the model's context has room for."""

    max_chars: int | None
    sampling: Sampling
    llm: LLM

    def fault(self, prompt: Prompt) -> str:
        """What a prompt is too long for, "" if it is not."""
        length = sum(len(message.content) for message in prompt.messages) + len(prompt.prefill)
        if self.max_chars is not None and length > self.max_chars:
            return "prompt.max_chars"
        if isinstance(self.llm, MeasuresPrompts):
            left = self.llm.room(prompt, self.sampling)
            if left is not None and left < 0:
                return "the model's context"
        return ""


class Questions:
    """What a run asks.

    Attributes:
        pool: networks of a corpus that may be shown.
        blocks: of libraries that may be shown; each batch draws `prompt.retrieve` of them.
        budget: how long a prompt may be.
    """

    def __init__(
        self,
        config: Config,
        template: Template,
        task: Task,
        pool: Sequence[Known],
        budget: Budget,
        blocks: Sequence[ShownBlock] = (),
    ) -> None:
        self.pool, self.budget, self.blocks = list(pool), budget, blocks
        self._config, self._template, self._task = config, template, task

    def of_cycle(self, admitted: Sequence[Known], log: Log) -> Ask:
        """What is asked in a cycle: a prompt for each seed, which chooses the parent if any.

        Args:
            admitted: by earlier cycles.
            say: is told which networks are shown, and that some are too long.
        """
        said = set[str]()

        def once(text: str) -> None:
            if text not in said:
                said.add(text)
                log(text)

        def ask(seed: int) -> Prompt:
            parent = self._parent([*admitted] or self.pool, seed, once)
            return self._with_blocks(examples(parent), parent, seed, once)

        @cache
        def examples(parent: str) -> Sequence[Example]:
            return self._examples(admitted, parent, once)

        return ask

    def _with_blocks(self, examples: Sequence[Example], parent: str, seed: int, log: Log) -> Prompt:
        """The prompt, with as many of the drawn blocks as it has room for."""
        count = self._config.prompt.retrieve if self.blocks else 0
        drawn = draw_blocks(self.blocks, count, seed)
        for count in range(len(drawn), 0, -1):
            prompt = self._render(examples, parent, drawn[:count])
            if not self.budget.fault(prompt):
                return prompt
        if drawn:
            log("The drawn blocks were left out: too long for the prompt.")
        return self._render(examples, parent)

    def _parent(self, pool: Sequence[Known], seed: int, log: Log) -> str:
        """The network to be changed, as an answer; "" for the template's own, or for none."""
        if not modes.load(self._template.mode).changes_parent:
            return ""
        defaults = Defaults.of(self._config.evaluation)
        for network in draw(pool, seed):
            parent = full_answer(network.candidate, defaults)
            fault = self.budget.fault(self._render([], parent))
            if not fault and _FENCE not in network.candidate.code:
                log(f"To be changed: {_named(network)}.")
                return parent
        return ""

    def _examples(self, admitted: Sequence[Known], parent: str, log: Log) -> list[Example]:
        """The template's, as far as they are needed, then the chosen ones, the best one last."""
        own, shots = self._template.examples, self._config.prompt.shots
        count, pool = len(own) if shots is None else shots, self._shots(admitted)
        too_long = set[str]()

        def fits(examples: Sequence[Example]) -> bool:
            fault = self.budget.fault(self._render(examples, parent))
            too_long.update({fault} - {""})
            return not fault

        width = self._config.novelty.shingle
        shown = choose(pool, count, width, lambda networks: fits(list(map(_example, networks))))
        if shown:
            log(f"Shown in the prompt: {', '.join(map(_named, shown))}.")
        worth = dict(zip((network.name for network in pool), qualities(pool), strict=True))
        shown.sort(key=lambda network: worth[network.name])
        examples = list(map(_example, shown))
        lengths = range(count - len(shown), -1, -1)
        left = next((n for n in lengths if fits([*own[:n], *examples])), 0)
        if too_long:
            log(f"Examples were left out: too long for {' and '.join(sorted(too_long))}.")
        return [*own[:left], *examples]

    def _shots(self, admitted: Sequence[Known]) -> list[Known]:
        """What examples may be chosen from, besides the template's own."""
        source = self._config.prompt.shots_from
        corpus = self.pool if source in ("corpus", "both") else []
        return [*corpus, *admitted] if source in ("admitted", "both") else corpus

    def _render(
        self, examples: Sequence[Example], parent: str, blocks: Sequence[ShownBlock] = ()
    ) -> Prompt:
        hyperparameters = self._config.evaluation.hyperparameters
        return self._template.render(self._task, hyperparameters, examples, parent, blocks)


def _example(network: Known) -> Example:
    return Example(assistant=network.answer, parent=network.parent)


def _named(network: Known) -> str:
    return f"{network.name}, {network.accuracy:.1%}"
