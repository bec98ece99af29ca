"""Learner `grpo`: group-relative policy optimisation on a cycle's answers (arXiv:2402.03300).

The group is the cycle: its answers were written by the adapter from which the training continues,
but for repairs and what took the place of repeats, which count like the others. An answer's
advantage A is its reward (its accuracy, 0 for a failure) minus the mean of the group, in standard
deviations of the group. A step minimises the mean over its answers of the mean over their tokens of
−(min(r·A, clip(r, 1 − ε, 1 + ε)·A) − β·KL), where r is the token's probability divided by that at
the start of the training, and KL = 1/r + log r − 1.

Nothing is sampled here, because every network that is executed is an attempt of the run: this is
one iteration of the algorithm's outer loop per cycle, with `learning.epochs` passes over one group.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean, pstdev
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from nngpt.config import Config
from nngpt.finetuning.answer_learner import AnswerLearner, AnswerOptions, ComparingObjective
from nngpt.finetuning.sft.objective import of_answers
from nngpt.finetuning.sft.packing import TokenizedPair
from nngpt.protocols import LLM
from nngpt.records import MeasuredAnswer, TrainingPair

if TYPE_CHECKING:
    import torch


class Options(AnswerOptions):
    """Options of the learner `grpo`; `clip` bounds the rewarded change of a token's probability."""

    learning_rate: float = Field(1e-4, gt=0)
    beta: float = Field(0.04, ge=0)
    clip: float = Field(0.2, gt=0, lt=1)


def create(config: Config, llm: LLM, *, options: Options) -> GRPOLearner:
    """Return the learner `grpo`. Raises: ConfigError, ModelError."""
    return GRPOLearner(config, llm, options)


@dataclass(frozen=True)
class GroupObjective(ComparingObjective):
    """The mean loss of GRPO over answers.

    Attributes:
        beta: weight of the KL divergence from the start.
        clip: bound of the rewarded change of a token's probability.
    """

    clip: float

    def loss(
        self, losses: torch.Tensor, start: torch.Tensor, pairs: Sequence[TokenizedPair]
    ) -> torch.Tensor:
        """Return the summed loss of some answers, each the mean over its tokens."""
        import torch

        total = torch.zeros((), device=losses.device)
        for change, pair in zip(of_answers(start - losses, pairs), pairs, strict=True):
            ratio = change.exp()
            bounded = ratio.clamp(1 - self.clip, 1 + self.clip)
            reward = torch.minimum(ratio * pair.advantage, bounded * pair.advantage)
            divergence = (-change).exp() + change - 1
            total = total - (reward - self.beta * divergence).mean()
        return total


class GRPOLearner(AnswerLearner):
    """Makes better answers of a cycle likelier; implements `nngpt.protocols.ComparesAnswers`.

    Raises: ConfigError: answers are not written by the adapter from which the training continues,
        or their accuracies or questions do not compare.
    """

    noun = "answer"
    needed: ClassVar[Mapping[str, tuple[Any, str]]] = {
        **AnswerLearner.needed,
        "candidates.lag": (0, "changes the adapter that wrote the answers, not a later one"),
        "evaluation.retrain": (
            False,
            "compares all answers, and only admitted networks are trained again",
        ),
        "evaluation.early_stop": (
            False,
            "needs the accuracy of every network that trains, and these would end before",
        ),
        "prompt.accuracy_quantiles": (None, "learns answers to the questions that were asked"),
    }

    def __init__(self, config: Config, llm: LLM, options: Options) -> None:
        super().__init__(config, llm, options, GroupObjective(options.beta, options.clip))

    def compare(
        self, _: Sequence[TrainingPair], answers: Sequence[MeasuredAnswer], cycle: int, seed: int
    ) -> list[TrainingPair]:
        """Return the answers of the cycle with their advantages; none if all are equally good."""
        group = [answer for answer in answers if answer.cycle == cycle]
        rewards = [answer.accuracy or 0.0 for answer in group]
        spread = pstdev(rewards) if rewards else 0.0
        if not spread:
            return []
        mean = fmean(rewards)
        return [
            replace(answer.pair, advantage=(reward - mean) / spread)
            for answer, reward in zip(group, rewards, strict=True)
        ]
