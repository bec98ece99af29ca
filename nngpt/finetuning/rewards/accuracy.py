"""Reward validation accuracy above chance: 0 at 1/classes or below, 1 at 100%.

The accuracy is the parent process's own count of right answers after the last epoch. A network that
was not trained earns 0. The test images are not read.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from nngpt.protocols import NoveltyMeasure
from nngpt.records import Evaluation, Rollout, Task


class AccuracyReward:
    """Implements `nngpt.protocols.Reward`: accuracy above chance, for `classes` classes."""

    low, high = 0.0, 1.0

    def __init__(self, classes: int) -> None:
        self._chance = 1 / classes

    def score(self, group: Sequence[Rollout]) -> list[float]:
        """Return (accuracy - chance) / (1 - chance), at least 0, for each answer."""
        return [self._above_chance(rollout) for rollout in group]

    def _above_chance(self, rollout: Rollout) -> float:
        if not isinstance(rollout.outcome, Evaluation) or self._chance >= 1:
            return 0.0
        return max(0.0, (rollout.outcome.accuracy - self._chance) / (1 - self._chance))


def create(
    task: Task, known: NoveltyMeasure, new_measure: Callable[[], NoveltyMeasure]
) -> AccuracyReward:
    """Return the reward for the task's number of classes; range 0…1."""
    return AccuracyReward(task.out_shape[0])
