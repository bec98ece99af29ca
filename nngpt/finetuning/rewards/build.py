"""Reward 1 for a network that was built within the budget, as its own process reported.

Use a small weight, or none where networks are whole files: the report can be forged.
"""

from __future__ import annotations

from nngpt.finetuning.rl.scoring import AnswerReward, rung_reward


def create(*_: object) -> AnswerReward:
    """Return the reward `build`: 1 for an answer that reached rung 3 (built), else 0."""
    return rung_reward(3)
