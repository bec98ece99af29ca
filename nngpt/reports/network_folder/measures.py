"""What a network's answers to the test images show: accuracy, confusions, calibration, mistakes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

BINS = 15
"""Number of equal bins of confidence in the calibration error."""


@dataclass(frozen=True)
class Mistake:
    """A test image that a network gets wrong.

    Attributes:
        index: place in the test part.
        label, answer: true and predicted class.
        confidence: probability of the predicted class, 0…1.
    """

    index: int
    label: int
    answer: int
    confidence: float


@dataclass(frozen=True)
class Bin:
    """Answers of similar confidence: its bounds `low` < c ≤ `high`, their number and means."""

    low: float
    high: float
    count: int
    confidence: float
    accuracy: float


@dataclass(frozen=True)
class Answers:
    """A network's answers to labelled images.

    Attributes:
        logits: float [n, classes].
        labels: int64 [n].
    """

    logits: npt.NDArray[np.float32]
    labels: npt.NDArray[np.int64]

    @cached_property
    def probabilities(self) -> npt.NDArray[np.float64]:
        """Probability of each class, [n, classes]: softmax of the logits."""
        shifted = self.logits.astype(np.float64)
        shifted = np.exp(shifted - shifted.max(axis=1, keepdims=True))
        return np.asarray(shifted / shifted.sum(axis=1, keepdims=True))

    @cached_property
    def predicted(self) -> npt.NDArray[np.int64]:
        """Number of the most probable class of each image."""
        return np.asarray(self.logits.argmax(axis=1), np.int64)

    @property
    def confidence(self) -> npt.NDArray[np.float64]:
        """Probability of the predicted class of each image."""
        return np.asarray(self.probabilities.max(axis=1))

    @property
    def judged(self) -> tuple[int, int]:
        """Number of correct answers and of images."""
        return int((self.predicted == self.labels).sum()), len(self.labels)

    @cached_property
    def confusion(self) -> npt.NDArray[np.int64]:
        """Number of images, by true class (rows) and predicted class (columns)."""
        classes = self.logits.shape[1]
        pairs = self.labels * classes + self.predicted
        return np.bincount(pairs, minlength=classes * classes).reshape(classes, classes)

    @property
    def confusions(self) -> list[tuple[int, int, int]]:
        """True class, predicted class and number of images of all mistakes, most frequent first."""
        wrong = self.confusion * (1 - np.eye(len(self.confusion), dtype=np.int64))
        pairs = [(int(a), int(b), int(wrong[a, b])) for a, b in np.argwhere(wrong)]
        return sorted(pairs, key=lambda pair: (-pair[2], pair))

    @cached_property
    def bins(self) -> list[Bin]:
        """The answers by confidence, in `BINS` equal bins; empty ones are left out."""
        confidence, right = self.confidence, self.predicted == self.labels
        place = np.clip(np.ceil(confidence * BINS).astype(int) - 1, 0, BINS - 1)
        found = []
        for number in range(BINS):
            inside = place == number
            if count := int(inside.sum()):
                means = float(confidence[inside].mean()), float(right[inside].mean())
                found.append(Bin(number / BINS, (number + 1) / BINS, count, *means))
        return found

    @property
    def calibration_error(self) -> float:
        """Expected calibration error: mean of |confidence − accuracy| over the bins, by images."""
        gaps = [abs(part.confidence - part.accuracy) * part.count for part in self.bins]
        return sum(gaps) / len(self.labels)

    def mistakes(self, most: int) -> Sequence[Mistake]:
        """Return at most so many wrong answers, the most confident first."""
        confidence = self.confidence
        wrong = np.flatnonzero(self.predicted != self.labels)
        order = wrong[np.argsort(-confidence[wrong], kind="stable")][:most]
        return [
            Mistake(int(n), int(self.labels[n]), int(self.predicted[n]), float(confidence[n]))
            for n in order
        ]
