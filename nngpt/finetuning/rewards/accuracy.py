"""Validation accuracy above chance: 0 at 1/classes or below, 1 where every answer is right.

The accuracy is the parent's own count of right answers after the last epoch. What was not trained
earns nothing. The test images play no part.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from nngpt.protocols import NoveltyMeasure
from nngpt.records import Evaluation, Rollout, Task


class Accuracy:
    """Implements `nngpt.protocols.Reward`."""

    low, high = 0.0, 1.0

    def __init__(self, classes: int) -> None:
        self._chance = 1 / classes

    def score(self, group: Sequence[Rollout]) -> list[float]:
        """(accuracy - chance) / (1 - chance), not below 0."""
        return [self._above_chance(rollout) for rollout in group]

    def _above_chance(self, rollout: Rollout) -> float:
        if not isinstance(rollout.outcome, Evaluation) or self._chance >= 1:
            return 0.0
        return max(0.0, (rollout.outcome.accuracy - self._chance) / (1 - self._chance))


def create(
    task: Task, known: NoveltyMeasure, new_measure: Callable[[], NoveltyMeasure]
) -> Accuracy:
    """Range 0…1, for the task's number of classes."""
    return Accuracy(task.out_shape[0])
