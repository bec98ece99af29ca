"""Reward validation accuracy above chance: 0 at 1/classes or below, 1 at 100%.

The accuracy is the parent process's own count of right answers after the last epoch. A network that
was not trained earns 0. The test images are not read.
"""

from __future__ import annotations

from nngpt.finetuning.rl.scoring import AnswerReward
from nngpt.records import Evaluation, Rollout, Task


def create(task: Task, *_: object) -> AnswerReward:
    """Return the reward `accuracy`: (accuracy - chance) / (1 - chance), at least 0; range 0…1."""
    chance = 1 / task.out_shape[0]

    def above_chance(rollout: Rollout) -> float:
        if not isinstance(rollout.outcome, Evaluation) or chance >= 1:
            return 0.0
        return max(0.0, (rollout.outcome.accuracy - chance) / (1 - chance))

    return AnswerReward(above_chance)
