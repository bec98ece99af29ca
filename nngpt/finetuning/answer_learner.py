"""The base of the learners that compare a run's own answers by accuracy: `dpo` and `grpo`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from pydantic import Field

from nngpt.config import Config
from nngpt.errors import ConfigError
from nngpt.finetuning.learners.sft import LoraLearner
from nngpt.finetuning.sft.objective import Objective
from nngpt.finetuning.sft.packing import TokenizedPair
from nngpt.plugins import PluginOptions
from nngpt.protocols import LLM

_NEEDED = {"start": "last", "corpus": None, "replay": None, "on_collapse": "tell"}
"""Keys of `learning` with the only values that make sense: there is nothing to compare in others'
answers, and an answer is compared with what the LLM wrote then."""


class AnswerOptions(PluginOptions):
    """Options that `dpo` and `grpo` share.

    `learning_rate` takes the place of `learning.learning_rate`, which is usually that of `sft`;
    `beta` is the weight of the distance from the LLM at the start of the training.
    """

    learning_rate: float = Field(5e-5, gt=0)
    beta: float = Field(0.1, gt=0)


@dataclass(frozen=True)
class ComparingObjective(Objective):
    """Base of the objectives that compare an answer's probability with that at the start.

    Attributes:
        beta: weight of the distance from the start.
    """

    compares = True
    rate: ClassVar[str] = "learning.options.learning_rate"
    beta: float

    @property
    def facts(self) -> tuple[str | float, ...]:
        """The name of the class, and its settings."""
        return type(self).__name__, *vars(self).values()

    def size(self, pairs: Sequence[TokenizedPair]) -> int:
        """Return the number of pairs."""
        return len(pairs)


class AnswerLearner(LoraLearner):
    """Base of the learners that compare a run's answers (`nngpt.protocols.ComparesAnswers`).

    Raises: ConfigError: a key of `learning` cannot go with it; else as `LoraLearner`.
    """

    def __init__(
        self, config: Config, llm: LLM, options: AnswerOptions, objective: Objective
    ) -> None:
        name = config.learning.learner
        for key, needed in _NEEDED.items():
            if getattr(config.learning, key) != needed:
                raise ConfigError(
                    f"the learner {name!r} compares the run's answers, with its last adapter",
                    where=f"learning.{key}",
                    hint=f"Set it to {needed or 'null'}.",
                )
        learning = config.learning.model_copy(update={"learning_rate": options.learning_rate})
        super().__init__(config.model_copy(update={"learning": learning}), llm, objective)
        shown = ", ".join(f"{key} {value:g}" for key, value in options)
        self.facts = f"{name}, {shown}; {self.facts}"
