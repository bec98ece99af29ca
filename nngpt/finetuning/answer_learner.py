"""The base of the learners that compare a run's own answers by accuracy: `dpo` and `grpo`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, ClassVar

from pydantic import Field

from nngpt.config import Config
from nngpt.errors import ConfigError
from nngpt.finetuning.learners.sft import LoraLearner
from nngpt.finetuning.sft.objective import Objective
from nngpt.finetuning.sft.packing import TokenizedPair
from nngpt.plugins import PluginOptions
from nngpt.protocols import LLM

_OWN = "compares the run's answers, with its last adapter"


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

    Attributes:
        needed: settings by key, with the only value that goes with the learner, and why: there is
            nothing to compare in others' answers, and an answer is compared with what the LLM
            wrote then.

    Raises: ConfigError: a setting cannot go with it; else as `LoraLearner`.
    """

    needed: ClassVar[Mapping[str, tuple[Any, str]]] = {
        "learning.start": ("last", _OWN),
        "learning.corpus": (None, _OWN),
        "learning.replay": (None, _OWN),
        "learning.on_collapse": ("tell", _OWN),
    }

    def __init__(
        self, config: Config, llm: LLM, options: AnswerOptions, objective: Objective
    ) -> None:
        name = config.learning.learner
        for where, (needed, why) in self.needed.items():
            if attrgetter(where)(config) != needed:
                value = "null" if needed is None else str(needed).lower()
                raise ConfigError(
                    f"the learner {name!r} {why}", where=where, hint=f"Set it to {value}."
                )
        learning = config.learning.model_copy(update={"learning_rate": options.learning_rate})
        super().__init__(config.model_copy(update={"learning": learning}), llm, objective)
        shown = ", ".join(f"{key} {value:g}" for key, value in options)
        self.facts = f"{name}, {shown}; {self.facts}"
