"""The prompt of each batch. It follows from the configuration and from what was admitted in
earlier cycles, so a run that was killed asks what it would have asked.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from nngpt.asking.choice import choose, qualities
from nngpt.asking.known import Known
from nngpt.config import Config
from nngpt.prompts import Example, Template
from nngpt.protocols import LLM, MeasuresPrompts
from nngpt.records import Prompt, Sampling, Task

Say = Callable[[str], None]


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
    """

    def __init__(
        self,
        config: Config,
        template: Template,
        task: Task,
        pool: Sequence[Known],
        budget: Budget,
    ) -> None:
        self.pool = list(pool)
        self._config, self._template, self._task = config, template, task
        self._budget = budget

    def prompt(self, admitted: Sequence[Known], say: Say) -> Prompt:
        """What is asked when the run has admitted these networks before.

        Args:
            say: is told which networks are shown, and which are too long.

        Raises:
            ConfigError: the template uses an unknown variable.
        """
        too_long = set[str]()
        examples = self._examples(self._networks(admitted), too_long, say)
        if too_long:
            say(f"Examples were left out: too long for {' and '.join(sorted(too_long))}.")
        return self._render(examples)

    def _networks(self, admitted: Sequence[Known]) -> list[Known]:
        """What examples may be chosen from, besides the template's own."""
        source = self._config.prompt.shots_from
        corpus = self.pool if source in ("corpus", "both") else []
        return [*corpus, *admitted] if source in ("admitted", "both") else corpus

    def _examples(self, pool: Sequence[Known], too_long: set[str], say: Say) -> list[Example]:
        """The template's, as far as they are needed, then those of `pool`, the best one last."""
        own, shots = self._template.examples, self._config.prompt.shots
        count = len(own) if shots is None else shots

        def fits(examples: Sequence[Example]) -> bool:
            fault = self._budget.fault(self._render(examples))
            too_long.update({fault} - {""})
            return not fault

        worth = dict(zip((network.name for network in pool), qualities(pool), strict=True))
        width = self._config.novelty.shingle
        shown = choose(pool, count, width, lambda networks: fits([*map(self._example, networks)]))
        if shown:
            say(f"Shown in the prompt: {', '.join(map(_named, shown))}.")
        shown.sort(key=lambda network: worth[network.name])
        examples = [self._example(network) for network in shown]
        for number in range(count - len(shown), -1, -1):
            if fits([*own[:number], *examples]):
                return [*own[:number], *examples]
        return examples

    def _example(self, network: Known) -> Example:
        return Example(user=self._template.user, assistant=network.answer)

    def _render(self, examples: Sequence[Example]) -> Prompt:
        hyperparameters = self._config.evaluation.hyperparameters
        return self._template.render(self._task, hyperparameters, examples)


def _named(network: Known) -> str:
    return f"{network.name}, {network.accuracy:.1%}"
