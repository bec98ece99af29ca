"""The reference network: what it needs on this machine sets the limit on a candidate's own seconds.

The limit is a multiple of the seconds that the network would train and answer for, so that a slow
machine and a fast one refuse the same candidates. A few dozen batches are measured.
"""

from __future__ import annotations

from typing import Any

from nngpt.config import EvaluationConfig
from nngpt.records import Candidate, Refusal
from nngpt.sandbox.folds import Fold
from nngpt.sandbox.judge import Judge

TIMES = {"cpu": 15, "cuda": 100}
"""How many times as long as the reference network a candidate may take, by device.

The network is too small to fill a GPU: a larger one takes longer there than it need.
"""

START_S = 20.0
"""Seconds allowed besides, for what does not depend on the images, such as importing packages."""

LIMIT_S = 600.0
"""Own seconds after which the reference network itself is ended."""

_ENOUGH_S = 1.0
_ANSWER = 1 / 3
"""Time to answer an image, relative to training on it: only the forward pass."""

_CODE = """
from torch import nn


def supported_hyperparameters():
    return set()


class Net(nn.Sequential):
    def __init__(self, in_shape, out_shape, prm, device):
        super().__init__(
            nn.Conv2d(in_shape[1], 32, 3, padding=1),
            nn.BatchNorm2d(32),
            nn.ReLU(),
            nn.Conv2d(32, 32, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(32, out_shape[0]),
        )
"""


def candidate(evaluation: EvaluationConfig) -> Candidate:
    """Return the reference network; nngpt's own loop trains it."""
    return Candidate(_CODE, _CODE, "full", {}, evaluation.transform, evaluation.batch)


class ReferenceJudge(Judge):
    """Measures a network's own seconds a batch, without its first, which warms up.

    Attributes:
        batch_s: own seconds of training on one batch, None before enough of them were seen.
    """

    batch_s: float | None = None

    @property
    def done(self) -> bool:
        """True once the batches seen have taken long enough, or the training has ended."""
        return self.batch_s is not None or super().done

    def _progress(self, facts: dict[str, Any]) -> Refusal | None:
        refusal = super()._progress(facts)
        seconds = self.own_s() - self._first_batch
        if self._drawn > 1 and seconds > _ENOUGH_S:
            self.batch_s = seconds / (self._drawn - 1)
        return refusal

    def total_s(self, fold: Fold, batch: int, epochs: int) -> float:
        """Return the own seconds of training and answering in all epochs."""
        if self.batch_s is None:
            return self.trained_s
        images = fold.train_count + _ANSWER * len(fold.validation_labels)
        return self.batch_s * images / batch * epochs
