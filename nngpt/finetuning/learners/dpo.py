"""Learner `dpo`: direct preference optimisation on a run's own answers (arXiv:2305.18290).

Each answer to be learned is paired with worse ones to the same kind of prompt. A step minimises the
mean over its pairs of −log σ(β · (Δ(better) − Δ(worse))), where Δ is an answer's log-probability
minus that at the start of the training: the reference is the adapter from which it continues.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pydantic import Field

from nngpt.config import Config
from nngpt.errors import LearningFailed
from nngpt.finetuning.answer_learner import AnswerLearner, AnswerOptions, ComparingObjective
from nngpt.finetuning.sft.objective import of_answers
from nngpt.finetuning.sft.packing import TokenizedPair
from nngpt.protocols import LLM
from nngpt.records import MeasuredAnswer, Prompt, TrainingPair

if TYPE_CHECKING:
    import torch


class Options(AnswerOptions):
    """Options of the learner `dpo`.

    Each answer is paired with up to `rivals` answers whose accuracy (0…1) is lower by `margin` or
    more.
    """

    margin: float = Field(0.01, gt=0, le=1)
    rivals: int = Field(1, gt=0)


def create(config: Config, llm: LLM, *, options: Options) -> DPOLearner:
    """Return the learner `dpo`. Raises: ConfigError, ModelError."""
    return DPOLearner(config, llm, options)


class PreferenceObjective(ComparingObjective):
    """The mean loss of DPO over pairs."""

    def loss(
        self, losses: torch.Tensor, start: torch.Tensor, pairs: Sequence[TokenizedPair]
    ) -> torch.Tensor:
        """Return the summed loss of some pairs of answers."""
        import torch

        changes = torch.stack([change.sum() for change in of_answers(start - losses, pairs)])
        better, worse = changes[::2], changes[1::2]
        return -torch.nn.functional.logsigmoid(self.beta * (better - worse)).sum()


class DPOLearner(AnswerLearner):
    """Learns to prefer better answers; implements `nngpt.protocols.ComparesAnswers`."""

    noun = "comparison"

    def __init__(self, config: Config, llm: LLM, options: Options) -> None:
        super().__init__(config, llm, options, PreferenceObjective(options.beta))
        self._options = options

    def compare(
        self,
        learned: Sequence[TrainingPair],
        answers: Sequence[MeasuredAnswer],
        cycle: int,
        seed: int,
    ) -> list[TrainingPair]:
        """Return a pair for each answer to be learned and each of its rivals, drawn at random.

        None if no answer to be learned is of this cycle: the others were learned before.
        """
        chance, of_kind = random.Random(seed), defaultdict(list)
        known = {answer.pair.source: answer for answer in answers}
        if all(known[asked.source].cycle != cycle for asked in learned):
            return []
        for answer in answers:
            if answer.parsed:
                of_kind[_kind(answer.pair.prompt)].append(answer)
        pairs = []
        for asked in learned:
            better = known[asked.source]
            worse = [a for a in of_kind[_kind(asked.prompt)] if self._is_worse(a, better)]
            pairs += [
                replace(better.pair, prompt=asked.prompt, rival=rival.pair.completion)
                for rival in chance.sample(worse, min(self._options.rivals, len(worse)))
            ]
        return pairs

    def _tokenize(self, tokenizer: Any, pairs: Sequence[TrainingPair]) -> list[TokenizedPair]:
        if not all(pair.rival for pair in pairs):
            raise LearningFailed("there are answers without a worse one to compare them with")
        return super()._tokenize(tokenizer, pairs)

    def _is_worse(self, answer: MeasuredAnswer, better: MeasuredAnswer) -> bool:
        """Return True if an answer's accuracy is lower by the margin; a failure is always worse.

        Both must have ended, or both not, since one mark says so for a pair.
        """
        reached = -1.0 if answer.accuracy is None else answer.accuracy
        far = (better.accuracy or 0.0) - reached >= self._options.margin
        return far and answer.pair.finished == better.pair.finished


def _kind(prompt: Prompt) -> tuple[str, ...]:
    """Return what must be equal for an answer to one prompt to be an answer to another."""
    return prompt.mode, prompt.template_hash, prompt.prefill, prompt.parent
