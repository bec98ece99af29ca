"""What a training step minimises: the mean loss of answer tokens, or a comparison of answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from nngpt.finetuning.sft.packing import TokenizedPair

if TYPE_CHECKING:
    import torch


class Objective:
    """The objective of supervised fine-tuning, and base of the others.

    Attributes:
        compares: True if a loss depends on the losses at the start of the training. These are
            measured before the first step, and there is no dropout, which would change them.
        rate: key of the learning rate, for messages.
    """

    compares: ClassVar[bool] = False
    rate: ClassVar[str] = "learning.learning_rate"

    @property
    def facts(self) -> tuple[str | float, ...]:
        """What tells this objective from others; () for supervised fine-tuning."""
        return ()

    def size(self, pairs: Sequence[TokenizedPair]) -> int:
        """Return the number by which the summed loss of a step's pairs is divided."""
        return sum(pair.answered for pair in pairs)

    def loss(
        self, losses: torch.Tensor, start: torch.Tensor, pairs: Sequence[TokenizedPair]
    ) -> torch.Tensor:
        """Return the summed loss of some pairs.

        Args:
            losses: negative log-probability of each answer token, pair by pair [n].
            start: the same at the start of the training [n]; [0] unless `compares`.
        """
        return losses.sum()


def of_answers(values: torch.Tensor, pairs: Sequence[TokenizedPair]) -> list[torch.Tensor]:
    """Divide values of answer tokens [n] by answer; a rival's follow those of its pair's answer."""
    import torch

    return list(torch.split(values, [len(answer) for pair in pairs for answer in pair.answers]))
